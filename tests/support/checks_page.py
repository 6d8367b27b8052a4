# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/checks.md from the checks themselves: `make docs`. A unit test sees that the page is the one of the code."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"

HEAD = """\
<!-- Generated from the code by `make docs`: change plugins/module_utils/_readiness/ instead. -->

# What readiness looks at

`streamkap.neon.readiness_info` makes these {count} checks, always all of them. The id of a check never changes, so that alerts can lean
on it.

- **critical**: without it nothing is captured, or not all, or the application's own statements fail. `ready` is false.
- **warning**: capturing works, and may break or be incomplete later.
- **info**: nothing is wrong, and somebody may want to know.

A check is skipped, and says why, when it cannot tell anything: because one that it needs fails, because what it looks at was not named,
because the server's version knows no such thing, or because the current role may not see it.

What the checks cannot tell from SQL: whether Streamkap's addresses are let in (Neon's IP Allow, firewalls, the SSH tunnel), whether a
write would pass every trigger (nothing is ever written), and what Streamkap itself has been told.
"""


def page() -> str:
    from support.modules import collections_path

    sys.path.insert(0, str(collections_path()))
    from ansible_collections.streamkap.neon.plugins.module_utils._resources.readiness import AREAS, CHECKS

    parts = [HEAD.format(count=len(CHECKS))]
    for area in AREAS:
        parts.append(
            "\n## %s\n\n| check | severity | what holds when it passes | needs |\n| --- | --- | --- | --- |\n"
            % area.name
        )
        for check in area.checks:
            name = "[`%s`](%s)" % (check.id, check.source) if check.source else "`%s`" % check.id
            needs = ", ".join("`%s`" % other for other in check.needs)
            parts.append("| %s | %s | %s | %s |\n" % (name, check.severity, check.title, needs))
    return "".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    PAGE.write_text(page())
