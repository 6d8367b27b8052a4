# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For the tests with Debezium, whose fixtures are those of support/fixtures.py: they need Java."""

from __future__ import annotations

import pytest

from debezium import java


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share an engine on one worker of pytest-xdist, and leave the others to whichever is free."""
    for item in items:
        if "started" in getattr(item, "fixturenames", ()):
            group = f"{item.path.stem}-{item.callspec.params['server']}"
            item.add_marker(pytest.mark.xdist_group(group), append=False)


@pytest.fixture(scope="session", autouse=True)
def java_is_here() -> None:
    try:
        java.home()
    except java.NoJavaError as error:
        pytest.skip(f"Debezium cannot run: {error}")
