# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plans of the resources signal_table and heartbeat_table."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources._connector_table import ConnectorTable
from ansible_collections.streamkap.neon.plugins.module_utils._resources.heartbeat_table import HeartbeatTable
from ansible_collections.streamkap.neon.plugins.module_utils._resources.signal_table import SignalTable
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server

USE = {"connector": ["INSERT", "SELECT", "UPDATE"]}
USAGE = {"connector": ["USAGE"]}

SERVER = Server(
    version=170011,
    database="neondb",
    user="admin",
    in_recovery=False,
    wal_level="logical",
    neon_project=None,
    neon_privileged=False,
    superuser=False,
    createrole=True,
    replication=True,
    bypassrls=True,
)


def signal(**options: object) -> SignalTable:
    return SignalTable(**{"schema": "s", "name": "t", "grant_to": [], "state": "present", **options})


def heartbeat(**options: object) -> HeartbeatTable:
    return HeartbeatTable(**{"schema": "s", "name": "t", "grant_to": [], "state": "present", **options})


def schema(**facts: object) -> dict[str, object]:
    defaults = {
        "owner": "owner",
        "mine": True,
        "may_create": True,
        "made_here": True,
        "grants": {},
        "holds_others": False,
    }
    return {**defaults, **facts}


def column(name: str, kind: str, **facts: object) -> dict[str, object]:
    defaults = {
        "type": kind,
        "base_type": kind,
        "length": None,
        "not_null": False,
        "generated": False,
        "default": False,
    }
    return {"name": name, **defaults, **facts}


def signal_columns() -> list[dict[str, object]]:
    return [column(name, "character varying", length=2000) for name in ("id", "type", "data")]


def heartbeat_columns() -> list[dict[str, object]]:
    return [
        column("id", "integer", not_null=True, default=True),
        column("text", "text"),
        column("last_update", "timestamp without time zone", default=True),
    ]


def table(columns: list[dict[str, object]], **facts: object) -> dict[str, object]:
    defaults = {
        "kind": "r",
        "persistence": "p",
        "owner": "owner",
        "mine": True,
        "trusted": True,
        "grants": {},
        "columns": columns,
        "primary_key": ["id"],
        "sequences": [],
        "has_rows": True,
    }
    return {**defaults, **facts}


def seen(**facts: object) -> dict[str, object]:
    return {
        "roles": ["connector", "other"],
        "may_create_schema": True,
        "schema": None,
        "table": None,
        "taken": [],
        **facts,
    }


def plan(resource: ConnectorTable, **facts: object) -> Plan:
    return resource.plan(seen(**facts), SERVER, {})


def sent(resource: ConnectorTable, **facts: object) -> list[str]:
    return [str(statement) for statement in plan(resource, **facts).statements]


def refusal(resource: ConnectorTable, **facts: object) -> str:
    with pytest.raises(Failure) as failure:
        plan(resource, **facts)
    return failure.value.as_result()["msg"]


def test_what_does_not_exist_is_made_and_granted_to_all_at_once() -> None:
    statements = sent(heartbeat(grant_to=["connector", "other", "connector"]))
    assert [statement.split(" (")[0] for statement in statements] == [
        'CREATE SCHEMA "s"',
        "COMMENT ON SCHEMA \"s\" IS 'Tables of the Streamkap connector, made by the Ansible collection streamkap.neon'",
        'CREATE TABLE "s"."t"',
        'GRANT USAGE ON SCHEMA "s" TO "connector", "other"',
        'GRANT INSERT, SELECT, UPDATE ON TABLE "s"."t" TO "connector", "other"',
        'GRANT USAGE ON SEQUENCE "s"."t_id_seq" TO "connector", "other"',
        'INSERT INTO "s"."t"',
    ]


def test_only_what_lacks_is_granted() -> None:
    found = {
        "schema": schema(grants=USAGE),
        "table": table(signal_columns(), grants={"connector": ["SELECT"], **{"other": USE["connector"]}}),
    }
    assert sent(signal(grant_to=["connector", "other"]), **found) == [
        'GRANT USAGE ON SCHEMA "s" TO "other"',
        'GRANT INSERT, UPDATE ON TABLE "s"."t" TO "connector"',
    ]


def test_nothing_is_due_when_everything_stands() -> None:
    sequence = {"schema": "elsewhere", "name": "ids", "mine": False, "grants": USAGE}
    found = {
        "schema": schema(grants=USAGE, mine=False, may_create=False),
        "table": table(heartbeat_columns(), grants=USE, mine=False, sequences=[sequence]),
    }
    made = plan(heartbeat(grant_to=["connector"]), may_create_schema=False, **found)
    assert made.statements == []
    assert made.before == made.after


def test_sequence_is_granted_where_it_is() -> None:
    sequence = {"schema": "else where", "name": "ids", "mine": True, "grants": {}}
    found = {"schema": schema(grants=USAGE), "table": table(heartbeat_columns(), grants=USE, sequences=[sequence])}
    assert sent(heartbeat(grant_to=["connector"]), **found) == [
        'GRANT USAGE ON SEQUENCE "else where"."ids" TO "connector"'
    ]


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("t", "t_id_seq"),
        ("t" * 56, "t" * 56 + "_id_seq"),
        ("t" * 57, "t" * 56 + "_id_seq"),
        ("t" * 63, "t" * 56 + "_id_seq"),
        # Never half a letter.
        ("a" + "é" * 30, "a" + "é" * 27 + "_id_seq"),
    ],
)
def test_sequence_of_a_new_table_is_called_as_postgresql_calls_it(name: str, sequence: str) -> None:
    assert [made.name for made in heartbeat(name=name).created_sequences([])] == [sequence]


def test_sequence_of_a_new_table_gets_a_number_where_an_old_one_has_its_name() -> None:
    taken = ["t_id_seq", "t_id_seq1"]
    assert [made.name for made in heartbeat(name="t").created_sequences(taken)] == ["t_id_seq2"]
    long = "t" * 63
    assert [made.name for made in heartbeat(name=long).created_sequences(["t" * 56 + "_id_seq"])] == [
        "t" * 55 + "_id_seq1"
    ]


def test_first_row_is_put_into_an_empty_table_only() -> None:
    empty = {"schema": schema(), "table": table(heartbeat_columns(), has_rows=False)}
    assert sent(heartbeat(), **empty) == ['INSERT INTO "s"."t" (text) VALUES (\'test_heartbeat\')']
    assert sent(signal(), schema=schema(), table=table(signal_columns(), has_rows=False)) == []


def test_absent_drops_the_schema_only_if_it_was_made_here_and_is_empty() -> None:
    absent = signal(state="absent")
    drop_table, drop_schema = 'DROP TABLE "s"."t"', 'DROP SCHEMA "s"'
    found = table(signal_columns())
    assert sent(absent, schema=schema(), table=found) == [drop_table, drop_schema]
    for facts in ({"made_here": False}, {"holds_others": True}, {"mine": False}):
        assert sent(absent, schema=schema(**facts), table=found) == [drop_table]
    assert sent(absent, schema=schema()) == [drop_schema]
    assert sent(absent) == []


@pytest.mark.parametrize(
    ("resource", "found", "words"),
    [
        (signal(), {"may_create_schema": False}, "may not make one in this database. Run as the database's owner"),
        (signal(), {"schema": schema(may_create=False, owner="app")}, "in the schema s, which app owns. Run as"),
        (
            signal(grant_to=["connector"]),
            {"schema": schema(mine=False, owner="app"), "table": table(signal_columns())},
            "may not grant on the schema",
        ),
        (
            signal(grant_to=["connector"]),
            {"schema": schema(grants=USAGE), "table": table(signal_columns(), mine=False, owner="app")},
            "may not grant on the table",
        ),
        (
            heartbeat(),
            {"schema": schema(), "table": table(heartbeat_columns(), has_rows=None, owner="app")},
            "Whether s.t has a row cannot be told: the current role may not read it. Run as its owner, app,",
        ),
        (
            signal(state="absent"),
            {"schema": schema(), "table": table(signal_columns(), mine=False, owner="app")},
            "may not drop the table s.t: it is no member of its owner app, or does not inherit from it. Run as the owner "
            '(session_role), or let a role that may run GRANT "app" TO "admin" WITH INHERIT TRUE.',
        ),
    ],
)
def test_what_the_current_role_may_not_do_is_refused(
    resource: ConnectorTable, found: dict[str, object], words: str
) -> None:
    assert words in refusal(resource, **found)


def test_roles_that_do_not_exist_are_missing() -> None:
    made = plan(signal(grant_to=["connector", "nobody", "100%"]))
    assert made.missing == ["The role nobody does not exist.", "The role 100% does not exist."]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_every_difference_of_another_shape_is_named(state: str) -> None:
    columns = [
        column("id", "integer", default=False),
        column("text", "text", not_null=True, generated=True),
        column("last_update", "date"),
    ]
    with pytest.raises(Failure) as failure:
        plan(heartbeat(state=state), schema=schema(), table=table(columns, persistence="u", primary_key=["text"]))
    assert failure.value.details["differences"] == [
        "it is unlogged, so nothing of it reaches the slot",
        "id has no default",
        "text is NOT NULL",
        "text is generated",
        "last_update is date, not timestamp without time zone or timestamp with time zone",
        "its primary key is (text), not (id)",
    ]


@pytest.mark.parametrize(
    ("position", "facts", "difference"),
    [
        (0, {"length": 41}, "id holds 41 characters, and 42 are needed"),
        (0, {"length": 42}, None),
        (1, {"length": 31}, "type holds 31 characters, and 32 are needed"),
        (1, {"length": None, "base_type": "text", "type": "text"}, None),
        (1, {"not_null": True}, None),
        (2, {"not_null": True}, "data is NOT NULL"),
        (2, {"base_type": "jsonb", "type": "jsonb"}, "data is jsonb, not character varying or text"),
    ],
)
def test_signal_table_must_hold_what_debezium_inserts(
    position: int, facts: dict[str, object], difference: str | None
) -> None:
    columns = signal_columns()
    columns[position].update(facts)
    found = {"schema": schema(), "table": table(columns)}
    if difference is None:
        assert sent(signal(), **found) == []
    else:
        assert f"than a signal table: {difference}." in refusal(signal(), **found)
