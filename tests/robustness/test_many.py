# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sixteen at once, each in a process of its own: all succeed, and what is to be changed once is changed by one of them."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import neon
from support.crowd import Result, at_once
from support.figures import Figures
from support.hurting import PASSWORD, SLOT, USER, make_user_where_sql_cannot
from support.modules import run_playbook
from support.neon import Database
from support.postgres import Server

CROWD = 16
# A playbook is a process of Ansible's with many more, and a play has one for each host.
PLAYBOOKS, HOSTS = 3, 6
ROLE = "streamkap_role"
WHOLE = {"connector_password": PASSWORD, "schemas": ["app", "billing"], "keyless_tables": "replica_identity_full"}
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
        yield [neon.fresh_database(server) for _number in range(CROWD)]


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
    task = ("prerequisites", {"dsn": shop.dsn, **WHOLE})
    check(at_once([task] * CROWD), figures)
    check(again := at_once([task] * CROWD), figures)
    assert changes(again) == 0
    for module, options in AWAY:
        check(gone := at_once([(module, {"dsn": shop.dsn, "state": "absent", **options})] * CROWD), figures)
        assert changes(gone) == 1, module
    figures.add("runs_one_database", (2 + len(AWAY)) * CROWD)


@pytest.mark.postgres(14, 18)
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
    results = at_once([(module, {"dsn": shop.dsn, **options})] * CROWD)
    check(results, figures)
    assert changes(results) == 1
    figures.add("runs_one_database", CROWD)


def test_sixteen_databases_of_one_server(shops: list[Database], figures: Figures) -> None:
    tasks = [
        ("prerequisites", {"dsn": shop.dsn, "slot": f"{SLOT}_{number}", **WHOLE}) for number, shop in enumerate(shops)
    ]
    of_roles = re.compile(r'(CREATE|ALTER) ROLE |GRANT "streamkap_role" TO ').match
    check(at_once(tasks), figures, shared=of_roles)
    check(again := at_once(tasks), figures)
    assert changes(again) == 0
    for module, options in AWAY:
        away = [(module, {"dsn": shop.dsn, "state": "absent", **options}) for shop in shops]
        if module == "slot":
            away = [(module, {**its, "name": f"{SLOT}_{number}"}) for number, (_module, its) in enumerate(away)]
        check(at_once(away), figures, shared=of_roles)
    # Where SQL cannot make the user, it cannot drop it either.
    roles = [ROLE, USER] if shops[0].server.major >= 16 else [ROLE]
    for name in roles:
        dropped = {"name": name, "state": "absent", "used_elsewhere": "keep"}
        check(gone := at_once([("role", {"dsn": shop.dsn, **dropped}) for shop in shops]), figures)
        assert changes(gone) == 1, name
    figures.add("runs_one_server", (2 + len(AWAY) + len(roles)) * CROWD)


@pytest.mark.full
@pytest.mark.postgres(18)
def test_several_databases_by_one_playbook(shops: list[Database], figures: Figures) -> None:
    """In a play the hosts take each step at the same time."""
    hosts = {
        f"shop{number}": {"cdc_dsn": shop.dsn, "cdc_slot": f"{SLOT}_{number}"}
        for number, shop in enumerate(shops[:HOSTS])
    }
    given = {
        "cdc_hosts": "all",
        "cdc_password": PASSWORD,
        "cdc_schemas": ["app", "billing"],
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    for playbook in ("setup", "teardown"):
        played = run_playbook(
            f"streamkap.neon.{playbook}",
            inventory=json.dumps({"all": {"hosts": hosts}}) + "\n",
            extra_vars=given,
            env={"ANSIBLE_FORKS": str(HOSTS)},
        )
        assert played.rc == 0, played.stdout
        assert len(played.stats) == HOSTS
    left = shops[0].admin(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) UNION SELECT slot_name FROM pg_replication_slots",
        [[ROLE, USER]],
    )
    assert left == []
    figures.add("runs_one_server", 2 * HOSTS)


@pytest.mark.postgres(18)
def test_several_playbooks_on_one_database(shop: Database, figures: Figures) -> None:
    given = {"cdc_dsn": shop.dsn, "cdc_password": PASSWORD, "cdc_schemas": ["app", "billing"]}
    with ThreadPoolExecutor() as threads:
        played = list(
            threads.map(lambda _number: run_playbook("streamkap.neon.setup", extra_vars=given), range(PLAYBOOKS))
        )
    assert [play.stdout for play in played if play.rc] == []
    assert sum(play.changed for play in played) == 1
    figures.add("runs_one_database", PLAYBOOKS)
