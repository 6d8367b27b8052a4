# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a connector gets of a database that the role cdc has prepared: one engine for each version of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from debezium import every_type
from debezium.engine import Engine, Event, prepare, set_up
from support import neon
from support.hurting import PASSWORD, SLOT, USER
from support.modules import run_module
from support.neon import Database
from support.postgres import Server

TABLES = """
CREATE TABLE app.plain (id int PRIMARY KEY, word text, number int);
CREATE TABLE app.full_image (id int PRIMARY KEY, word text, number int);
ALTER TABLE app.full_image REPLICA IDENTITY FULL;
CREATE TABLE app.keyless (id int, word text);
CREATE TABLE app.long (id int PRIMARY KEY, word text, long text);
ALTER TABLE app.long ALTER long SET STORAGE EXTERNAL;
CREATE TABLE app.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE SCHEMA private;
CREATE TABLE private.secrets (id int PRIMARY KEY);
"""

# Streamkap's own statement is not public; this one needs no more than its pages grant. Without it, with the interval
# alone, the slot stays where it is.
HEARTBEAT = {
    "heartbeat.interval.ms": 200,
    "heartbeat.action.query": "UPDATE streamkap.streamkap_heartbeat SET last_update = now()",
}


@pytest.fixture(scope="module")
def started(server: Server) -> Iterator[Engine]:
    with neon.isolated(server):
        database = neon.fresh_database(server)
        database.sql(TABLES + every_type.TABLE)
        prepare(database, cdc_keyless_tables="replica_identity_full")
        with Engine(database, HEARTBEAT) as engine:
            yield engine


@pytest.fixture
def engine(started: Engine) -> Engine:
    """The engine of this file, with nothing left of the tests before."""
    started.received()
    return started


def changes_of_a_row(engine: Engine, table: str) -> list[Event]:
    database = engine.database
    database.sql(f"INSERT INTO {table} VALUES (1, 'one', 10)")
    database.sql(f"UPDATE {table} SET word = 'two' WHERE id = 1")
    database.sql(f"UPDATE {table} SET id = 2 WHERE id = 1")
    database.sql(f"DELETE FROM {table} WHERE id = 2")
    events = engine.received()
    assert {event.table for event in events} == {table}
    return events


def test_with_the_default_identity_only_the_key_of_an_old_row_comes(engine: Engine) -> None:
    insert, update, old_key, new_key, delete = changes_of_a_row(engine, "app.plain")
    assert (insert.operation, insert.key, insert.before) == ("c", {"id": 1}, None)
    assert insert.after == {"id": 1, "word": "one", "number": 10}
    assert (update.operation, update.key, update.before) == ("u", {"id": 1}, None)
    assert update.after == {"id": 1, "word": "two", "number": 10}
    # Debezium makes two events of a change of the key.
    assert (old_key.operation, old_key.before) == ("d", {"id": 1, "word": None, "number": None})
    assert (new_key.operation, new_key.after) == ("c", {"id": 2, "word": "two", "number": 10})
    assert (delete.operation, delete.key, delete.after) == ("d", {"id": 2}, None)
    assert delete.before == {"id": 2, "word": None, "number": None}


def test_with_the_full_identity_the_whole_old_row_comes(engine: Engine) -> None:
    insert, update, old_key, new_key, delete = changes_of_a_row(engine, "app.full_image")
    assert (insert.operation, insert.before) == ("c", None)
    assert (update.operation, update.before) == ("u", {"id": 1, "word": "one", "number": 10})
    assert update.after == {"id": 1, "word": "two", "number": 10}
    assert (old_key.operation, old_key.before) == ("d", {"id": 1, "word": "two", "number": 10})
    assert (new_key.operation, new_key.after) == ("c", {"id": 2, "word": "two", "number": 10})
    assert (delete.operation, delete.before) == ("d", {"id": 2, "word": "two", "number": 10})


def test_a_table_without_a_key_has_been_given_the_full_identity(engine: Engine) -> None:
    engine.database.sql("INSERT INTO app.keyless VALUES (1, 'one')")
    engine.database.sql("UPDATE app.keyless SET word = 'two'")
    engine.database.sql("DELETE FROM app.keyless")
    insert, update, delete = engine.received()
    assert insert == Event("c", "app.keyless", None, None, {"id": 1, "word": "one"})
    assert update == Event("u", "app.keyless", None, {"id": 1, "word": "one"}, {"id": 1, "word": "two"})
    assert delete == Event("d", "app.keyless", None, {"id": 1, "word": "two"}, None)


def test_a_long_value_that_did_not_change_comes_with_the_full_identity_only(engine: Engine) -> None:
    engine.database.sql("INSERT INTO app.long VALUES (1, 'one', repeat('x', 10000))")
    engine.database.sql("UPDATE app.long SET word = 'two'")
    engine.database.sql("ALTER TABLE app.long REPLICA IDENTITY FULL")
    engine.database.sql("UPDATE app.long SET word = 'three'")
    insert, update, full = engine.received()
    assert insert.after["long"] == "x" * 10000
    assert update.after == {"id": 1, "word": "two", "long": "__debezium_unavailable_value"}
    assert full.after == {"id": 1, "word": "three", "long": "x" * 10000}


def test_rows_of_all_partitions_come_as_rows_of_the_partitioned_table(engine: Engine) -> None:
    engine.database.sql("INSERT INTO app.events VALUES (1, '2025-06-01'), (2, '2026-06-01')")
    engine.database.sql("UPDATE app.events SET at = '2026-06-01' WHERE id = 1")
    engine.database.sql("DELETE FROM app.events_2026 WHERE id = 2")
    engine.database.sql(
        "CREATE TABLE app.events_2027 PARTITION OF app.events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    )
    engine.database.sql("INSERT INTO app.events VALUES (3, '2027-06-01')")
    events = engine.received()
    assert {event.table for event in events} == {"app.events"}
    assert [(event.operation, (event.after or event.before)["id"]) for event in events] == [
        ("c", 1),
        ("c", 2),
        ("d", 1),
        ("c", 1),
        ("d", 2),
        ("c", 3),
    ]


def test_columns_of_these_types_are_missing_without_a_word(engine: Engine) -> None:
    """What users must know, and what readiness_info tells them: Debezium leaves the columns out and goes on."""
    engine.database.sql(every_type.INSERT, every_type.VALUES)
    (event,) = engine.received()
    columns = [name for name, _type, _value in every_type.COLUMNS]
    assert [name for name in columns if name not in event.after] == every_type.MISSING
    assert [name for name in columns if name in event.after and event.after[name] is None] == every_type.WITHOUT_VALUE
    nested, *vectors = every_type.NONSENSE
    assert all(text.startswith("[Ljava.lang.String;@") for text in event.after[nested])
    assert [event.after[vector] for vector in vectors] == [[], []]


def test_a_schema_that_was_not_listed_is_neither_readable_nor_captured(engine: Engine) -> None:
    engine.database.sql("INSERT INTO private.secrets VALUES (1)")
    engine.database.sql("INSERT INTO app.plain VALUES (3, 'public', 0)")
    (event,) = engine.received()
    assert event.after["word"] == "public"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied for schema private"):
        engine.database.sql_as(USER, PASSWORD, "SELECT * FROM private.secrets")


@pytest.mark.postgres(18)
def test_a_table_made_later_by_another_owner_is_captured_after_the_next_run(engine: Engine) -> None:
    database = engine.database
    database.sql("SET ROLE app_owner; CREATE TABLE app.later (id int PRIMARY KEY)")
    database.sql("INSERT INTO app.later VALUES (1)")
    assert engine.received() == []
    set_up(database, cdc_keyless_tables="replica_identity_full")
    database.sql("INSERT INTO app.later VALUES (2)")
    assert engine.received() == [Event("c", "app.later", {"id": 2}, None, {"id": 2})]
    # What came before the run is a matter of a snapshot, for which the connector may read it.
    assert database.sql_as(USER, PASSWORD, "SELECT id FROM app.later ORDER BY id") == [(1,), (2,)]


@pytest.mark.postgres(18)
def test_heartbeats_move_the_slot_of_an_idle_database_while_others_write(engine: Engine, databases) -> None:
    busy: Database = databases(shop=False)
    busy.sql("CREATE TABLE public.busy AS SELECT generate_series(1, 10000) AS id")
    ((written,),) = busy.sql("SELECT pg_current_wal_flush_lsn()")
    beats = len(engine.own)

    def slot_has_passed() -> bool:
        return engine.database.admin(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", [written, SLOT]
        ) == [(True,)]

    engine.wait_until(slot_has_passed)
    assert engine.received() == []
    heartbeats = engine.own[beats:]
    assert {(event.operation, event.table) for event in heartbeats} == {("u", "streamkap.streamkap_heartbeat")}
    # The one row is updated: the table does not grow.
    assert {event.after["id"] for event in heartbeats} == {1}


# The key of each table, and whether its two rows have one key downstream.
KEYS = {
    "of_text": ("id text PRIMARY KEY", "'a', 'b'", False),
    "of_uuid": (
        "id uuid PRIMARY KEY",
        "'00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'",
        False,
    ),
    "of_enum": ("id app.colour PRIMARY KEY", "'red', 'blue'", False),
    "of_time": ("id timestamptz PRIMARY KEY", "'2026-01-01 00:00+00', '2026-01-02 00:00+00'", False),
    "of_a_domain": ("id app.shorter PRIMARY KEY", "'a', 'b'", False),
    "of_arrays": ("id int[] PRIMARY KEY", "'{1}', '{2}'", False),
    "of_composites": ("id app.pair PRIMARY KEY", "'(1,a)', '(2,b)'", True),
    "of_xid8": ("id xid8 PRIMARY KEY", "'1', '2'", True),
    "of_name": ("id name PRIMARY KEY", "'a', 'b'", True),
    "of_isbn13": ("id isbn13 PRIMARY KEY", "'978-0-393-04002-9', '978-0-14-143951-8'", True),
}


def test_keys_that_no_event_has_are_named(engine: Engine) -> None:
    database = engine.database
    for table, (key, values, _lost) in KEYS.items():
        first, second = values.split(", ")
        database.sql(
            f"CREATE TABLE app.{table} ({key}, v int); ALTER PUBLICATION streamkap_pub ADD TABLE app.{table};"
            f"INSERT INTO app.{table} VALUES ({first}, 1), ({second}, 2)"
        )
    # Of a deleted row only the replica identity comes.
    database.sql(
        "CREATE TABLE app.by_code (id int PRIMARY KEY, code int NOT NULL UNIQUE);"
        "ALTER TABLE app.by_code REPLICA IDENTITY USING INDEX by_code_code_key;"
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.by_code;"
        "INSERT INTO app.by_code VALUES (1, 10); DELETE FROM app.by_code"
    )
    keys: dict[str, list[object]] = {}
    for event in engine.received():
        keys.setdefault(event.table, []).append(event.key)
    lost = {f"app.{table}" for table, (_key, _values, is_lost) in KEYS.items() if is_lost}
    assert {table for table, (one, other) in keys.items() if one == other} == lost
    assert keys["app.by_code"] == [{"id": 1}, {"id": 0}]
    result = run_module("readiness_info", dsn=database.dsn, tables=[*keys])
    (check,) = (check for check in result["checks"] if check["id"] == "event_keys")
    assert set(check["objects"]) == {*lost, "app.by_code"}
    assert not result["ready"]


def test_rows_of_a_child_are_in_snapshots_of_its_parent_and_its_changes_are_not(engine: Engine) -> None:
    database = engine.database
    database.sql(
        "CREATE TABLE app.readings (id int PRIMARY KEY); CREATE TABLE private.readings_2026 (PRIMARY KEY (id)) INHERITS (app.readings);"
        "ALTER PUBLICATION streamkap_pub ADD TABLE ONLY app.readings;"
        "INSERT INTO app.readings VALUES (1); INSERT INTO private.readings_2026 VALUES (2)"
    )
    assert [event.after for event in engine.received()] == [{"id": 1}]
    run_module("signal", dsn=database.dsn, type="execute-snapshot", data_collections=["app.readings"])
    engine.wait_until(lambda: engine.noticed("COMPLETED"))
    assert [event.after for event in engine.received()] == [{"id": 1}, {"id": 2}]
    result = run_module("readiness_info", dsn=database.dsn, tables=["app.readings"])
    (check,) = (check for check in result["checks"] if check["id"] == "inherited_changes")
    assert check["objects"] == ["app.readings", "private.readings_2026"]
    assert not result["ready"]
