# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sentences about what a plan changes: none is left out, and none is of what stays."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._differences import differences


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"name": "r"}, {"name": "r"}, []),
        ({}, {"name": "r"}, ["The thing does not exist."]),
        ({"name": "r"}, {}, ["The thing exists."]),
        ({"schema": "s", "has_rows": False}, {"schema": "s", "table": "s.t"}, ["The thing does not exist."]),
        (
            {"login": False, "replication": False, "comment": None},
            {"login": True, "replication": True, "comment": "c"},
            ["The thing, login, replication: off, and should be on.", "The thing, comment: none, and should be c."],
        ),
        (
            {"member_of": ["a", "b"]},
            {"member_of": ["b", "c", "d"]},
            ["The thing, member of: c, d are lacking.", "The thing, member of: a is not wanted."],
        ),
        # Names of objects are as they are.
        ({"my_schema.t": "nothing"}, {"my_schema.t": "full"}, ["The thing, my_schema.t: nothing, and should be full."]),
        (
            {"tables": {"my_schema.t": "nothing", "u": "SELECT"}, "database": {"my_db": "nothing"}},
            {"tables": {"my_schema.t": "SELECT", "u": "SELECT"}, "database": {"my_db": "CONNECT"}},
            [
                "The thing, tables, my_schema.t: nothing, and should be SELECT.",
                "The thing, database, my_db: nothing, and should be CONNECT.",
            ],
        ),
        (
            {"tables": [{"name": "s.t", "columns": ["a", "b"], "where": "a > 0"}]},
            {"tables": ["s.t"]},
            [
                "The thing, tables: s.t is lacking.",
                "The thing, tables: s.t (columns: a, b, where: a > 0) is not wanted.",
            ],
        ),
        (
            {"all_tables": True},
            {"tables": ["s.t"]},
            ["The thing, tables: s.t is lacking.", "The thing, all tables: on, and should be none."],
        ),
    ],
)
def test_a_sentence_for_each_difference(before: dict, after: dict, said: list[str]) -> None:
    assert differences("the thing", before, after) == said


def test_of_thousands_the_first_are_named() -> None:
    tables = {f"s.t{number}": "nothing" for number in range(5000)}
    (sentence,) = differences("the thing", {"tables": tables}, {"tables": dict.fromkeys(tables, "SELECT")})
    assert sentence.endswith("s.t19 and 4980 more: nothing, and should be SELECT.")
