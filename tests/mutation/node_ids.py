# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of tests, as pytest prints them and as pytest-xdist changes them."""

from __future__ import annotations

import hashlib
import re


def base_id(node_id: str) -> str:
    """Return the id without the group that pytest-xdist's loadgroup appends."""
    return re.sub(r"@[^@\[\]/:]+$", "", node_id)


def short_id(text: str) -> str:
    """Return a name for a test that needs no quoting in a configuration file or an environment variable."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def function_of(node_id: str) -> str:
    return node_id.partition("[")[0]


def layer_of(node_id: str) -> str:
    return node_id.split("/")[1]


def major_of(node_id: str) -> int | None:
    """Return the version of PostgreSQL that the test runs on."""
    found = re.search(r"[\[-]pg(\d+)[\]-]", node_id)
    return int(found[1]) if found else None
