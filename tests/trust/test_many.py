# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sixteen at once, each in a process of its own: all succeed, and what is to be changed once is changed by one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from support import neon
from support.crowd import Result, at_once
from support.figures import Figures
from support.hurting import PASSWORD, SLOT, make_user_where_sql_cannot
from support.neon import Database
from support.postgres import Server

CROWD = 16
ROLE = "streamkap_role"
WHOLE = {"connector_password": PASSWORD, "schemas": ["app", "billing"], "keyless_tables": "replica_identity_full"}
WAITS = {"lock_timeout": 60}
# As teardown does it.
AWAY = [
    ("slot", {}),
    ("publication", {}),
    ("heartbeat_table", {}),
    ("signal_table", {}),
    ("grant", {"role": ROLE, "schemas": ["app", "billing"]}),
]


@pytest.fixture
def shop(database: Database) -> Database:
    make_user_where_sql_cannot(database.server)
    return database


@pytest.fixture
def shops(server: Server) -> Iterator[list[Database]]:
    """A database for each of them, and room for their slots."""
    with server.restarted(max_replication_slots=CROWD, max_connections=100), neon.isolated(server):
        make_user_where_sql_cannot(server)
        yield [neon.fresh_database(server) for _ in range(CROWD)]


def check(results: list[Result], figures: Figures, *, shared: Callable[[str], bool] = lambda _query: True) -> None:
    """All succeeded, and no two made the same change.

    shared: whether a statement is about what all of them share
    """
    failed = [result["msg"] for result in results if result.get("failed")]
    done = Counter(query for result in results for query in result.get("queries", []) if shared(query))
    twice = {query: times for query, times in done.items() if times > 1}
    figures.add("runs_failed", len(failed))
    figures.add("changes_twice", len(twice))
    assert (failed, twice) == ([], {})


def changes(results: list[Result]) -> int:
    return sum(result["changed"] for result in results)


def test_sixteen_times_the_whole_on_one_database(shop: Database, figures: Figures) -> None:
    task = ("prerequisites", {"dsn": shop.dsn, **WAITS, **WHOLE})
    check(at_once([task] * CROWD), figures)
    check(again := at_once([task] * CROWD), figures)
    assert changes(again) == 0
    for module, options in AWAY:
        check(gone := at_once([(module, {"dsn": shop.dsn, "state": "absent", **WAITS, **options})] * CROWD), figures)
        assert changes(gone) == 1, module
    figures.add("runs_one_database", (2 + len(AWAY)) * CROWD)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("role", {"name": "r", "login": True, "password": PASSWORD, "member_of": ["app_owner"], "comment": "a reader"}),
        (
            "grant",
            {
                "role": "app_owner",
                "schemas": ["app"],
                "table_privileges": ["SELECT"],
                "default_table_privileges": ["SELECT"],
            },
        ),
        ("signal_table", {"grant_to": ["app_owner"]}),
        ("heartbeat_table", {"grant_to": ["app_owner"]}),
        ("replica_identity", {"schemas": ["app", "billing"], "identity": "full"}),
        ("publication", {"tables_from_schemas": ["app", "billing"]}),
        ("slot", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sixteen_times_one_module(shop: Database, figures: Figures, module: str, options: dict[str, object]) -> None:
    results = at_once([(module, {"dsn": shop.dsn, **WAITS, **options})] * CROWD)
    check(results, figures)
    assert changes(results) == 1
    figures.add("runs_one_database", CROWD)


def test_sixteen_databases_of_one_server(shops: list[Database], figures: Figures) -> None:
    tasks = [
        ("prerequisites", {"dsn": shop.dsn, "slot": f"{SLOT}_{number}", **WAITS, **WHOLE})
        for number, shop in enumerate(shops)
    ]
    of_roles = re.compile(r'(CREATE|ALTER) ROLE |GRANT "streamkap_role" TO ').match
    check(at_once(tasks), figures, shared=of_roles)
    check(again := at_once(tasks), figures)
    assert changes(again) == 0
    figures.add("runs_one_server", 2 * CROWD)
