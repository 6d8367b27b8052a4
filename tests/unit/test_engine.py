# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the engine needs no server, or one that is older than those of the tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _engine
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._sql import Statement


def test_a_server_that_is_too_old_is_not_asked() -> None:
    session = SimpleNamespace(version=130014)
    with pytest.raises(Failure, match="The server is PostgreSQL 13, and this collection is for 14 and newer"):
        _engine.converge(session, SimpleNamespace(key="role"), check_mode=True)


def due(*locks: int) -> list[Statement]:
    return [Statement("SELECT %d" % number, locks=count) for number, count in enumerate(locks)]


@pytest.mark.parametrize(
    ("locks", "parts"),
    [
        ([], [[]]),
        ([0, 0], [[0, 0]]),
        ([4, 6], [[4, 6]]),
        ([4, 7], [[4], [7]]),
        ([1] * 25, [[1] * 10, [1] * 10, [1] * 5]),
        # What takes no lock stays with what is before it, so that both happen at once.
        ([10, 0, 10, 0, 0], [[10, 0], [10, 0, 0]]),
        ([0, 10, 1], [[0, 10], [1]]),
        ([3, 20, 3], [[3], [20], [3]]),
    ],
)
def test_statements_are_parted_where_their_locks_would_not_fit(locks: list[int], parts: list[list[int]]) -> None:
    found = _engine.transactions(due(*locks), 10)
    assert [[statement.locks for statement in part] for part in found] == parts
    assert [statement for part in found for statement in part] == due(*locks)
