# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules signal_table and heartbeat_table on real servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.neon import Database, quoted

Run = Callable[..., dict[str, object]]

CONNECTOR, CONNECTOR_PASSWORD = "a_connector", "Connector-6-of-the-tests"
MODULES = ("signal_table", "heartbeat_table")


@pytest.fixture
def connector(database: Database) -> str:
    database.sql(f"CREATE ROLE {CONNECTOR} LOGIN PASSWORD '{CONNECTOR_PASSWORD}'")
    return CONNECTOR


@pytest.mark.parametrize("module", MODULES)
def test_it_is_made_once_and_as_predicted(database: Database, run: Run, connector: str, module: str) -> None:
    predicted = run(module, grant_to=[connector], check=True)
    assert database.sql("SELECT to_regnamespace('streamkap')") == [(None,)]
    first = run(module, grant_to=[connector])
    assert (predicted["queries"], predicted["diff"]) == (first["queries"], first["diff"])
    assert first[module]["grants"][connector] == ["INSERT", "SELECT", "UPDATE"]
    second = run(module, grant_to=[connector])
    assert (second["changed"], second["queries"]) == (False, [])


def test_the_grantee_writes_as_debezium_does(database: Database, run: Run, connector: str) -> None:
    run("signal_table", grant_to=[connector])
    database.sql_as(
        CONNECTOR,
        CONNECTOR_PASSWORD,
        "INSERT INTO streamkap.streamkap_signal VALUES (%s, 'snapshot-window-close', NULL)",
        ["x" * 42],
    )
    assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(1,)]


def test_the_grantee_inserts_and_updates_heartbeats(database: Database, run: Run, connector: str) -> None:
    run("heartbeat_table", grant_to=[connector])
    statement = "INSERT INTO streamkap.streamkap_heartbeat (text) VALUES ('a'); UPDATE streamkap.streamkap_heartbeat SET text = 'b'"
    database.sql_as(CONNECTOR, CONNECTOR_PASSWORD, statement)
    assert database.sql("SELECT text FROM streamkap.streamkap_heartbeat") == [("b",), ("b",)]


def test_a_table_made_by_hand_gets_only_what_it_lacks(database: Database, run: Run, connector: str) -> None:
    database.sql(
        "CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_signal"
        " (id VARCHAR(255) PRIMARY KEY, type VARCHAR(32) NOT NULL, data VARCHAR(2000) NULL);"
        f"GRANT SELECT, UPDATE, INSERT ON TABLE streamkap.streamkap_signal TO {connector}"
    )
    # What the vendor's page forgets.
    assert run("signal_table", grant_to=[connector])["queries"] == [
        f'GRANT USAGE ON SCHEMA "streamkap" TO "{connector}"'
    ]
    database.sql(
        "CREATE TABLE streamkap.streamkap_heartbeat (id SERIAL PRIMARY KEY, text TEXT, last_update TIMESTAMP DEFAULT CURRENT_TIMESTAMP);"
        f"GRANT SELECT, INSERT, UPDATE ON TABLE streamkap.streamkap_heartbeat TO {connector};"
        "INSERT INTO streamkap.streamkap_heartbeat (text) VALUES ('test_heartbeat')"
    )
    assert run("heartbeat_table", grant_to=[connector])["queries"] == [
        f'GRANT USAGE ON SEQUENCE "streamkap"."streamkap_heartbeat_id_seq" TO "{connector}"'
    ]


@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        (
            "type varchar(32), id varchar(255) PRIMARY KEY, data varchar(2000)",
            "its columns are type, id, data, not id, type, data",
        ),
        ("id varchar(255) PRIMARY KEY, type varchar(32), data jsonb", "data is jsonb, not character varying or text"),
        ("id varchar(41) PRIMARY KEY, type varchar(32), data text", "id holds 41 characters, and 42 are needed"),
        ("id varchar(255) PRIMARY KEY, type varchar(32), data text NOT NULL", "data is NOT NULL"),
        ("id varchar(255), type varchar(32), data text", "its primary key is (), not (id)"),
        (
            "id text PRIMARY KEY, type text, data text, more int",
            "its columns are id, type, data, more, not id, type, data",
        ),
    ],
)
def test_another_shape_is_named_and_never_altered(database: Database, run: Run, columns: str, difference: str) -> None:
    database.sql(f"CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_signal ({columns})")
    before = database.sql(
        "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = 'streamkap.streamkap_signal'::regclass"
    )
    for state in ("present", "absent"):
        failed = run("signal_table", state=state)
        assert failed["failed"]
        assert failed["differences"] == [difference]
        assert difference in failed["msg"]
    after = database.sql(
        "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = 'streamkap.streamkap_signal'::regclass"
    )
    assert after == before


@pytest.mark.parametrize(
    ("kind", "difference"),
    [
        ("VIEW streamkap_signal AS SELECT 1 AS id", "it is a view"),
        ("UNLOGGED TABLE streamkap_signal (id text PRIMARY KEY)", "it is unlogged"),
    ],
)
def test_another_kind_is_named(database: Database, run: Run, kind: str, difference: str) -> None:
    database.sql(f"CREATE SCHEMA streamkap; SET search_path TO streamkap; CREATE {kind}")
    assert difference in run("signal_table")["msg"]


def test_a_wider_table_of_text_serves(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_signal (id text PRIMARY KEY, type text, data text)"
    )
    assert run("signal_table")["queries"] == []


def test_absent_takes_back_what_was_made_here_and_no_more(database: Database, run: Run) -> None:
    for module in MODULES:
        run(module)
    assert run("signal_table", state="absent")["queries"] == ['DROP TABLE "streamkap"."streamkap_signal"']
    assert not run("signal_table", state="absent")["changed"]
    gone = run("heartbeat_table", state="absent")["queries"]
    assert gone == ['DROP TABLE "streamkap"."streamkap_heartbeat"', 'DROP SCHEMA "streamkap"']
    assert not run("heartbeat_table", state="absent")["changed"]
    # A schema that somebody else made stays, empty or not.
    database.sql("CREATE SCHEMA mine")
    run("signal_table", schema="mine")
    assert run("signal_table", schema="mine", state="absent")["queries"] == ['DROP TABLE "mine"."streamkap_signal"']
    assert database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'mine'") == [(1,)]


def test_a_schema_made_here_stays_while_something_else_is_in_it(database: Database, run: Run) -> None:
    run("signal_table")
    database.sql("CREATE FUNCTION streamkap.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert run("signal_table", state="absent")["queries"] == ['DROP TABLE "streamkap"."streamkap_signal"']


def test_a_check_takes_the_tables_for_gone_that_a_task_before_drops(run: Run) -> None:
    run("signal_table")
    run("heartbeat_table")
    both = {"state": "absent", "dropped_before": ["streamkap_heartbeat"]}
    dropped = ['DROP TABLE "streamkap"."streamkap_signal"', 'DROP SCHEMA "streamkap"']
    assert run("signal_table", check=True, **both)["queries"] == dropped
    # It is still there after all.
    assert "Nothing was changed." in run("signal_table", **both)["msg"]
    run("heartbeat_table", state="absent")
    assert run("signal_table", **both)["queries"] == dropped


@pytest.mark.parametrize("module", MODULES)
def test_names_that_hurt(database: Database, run: Run, module: str) -> None:
    grantee = 'G"ränté.;--'
    database.sql(f"CREATE ROLE {quoted(grantee)}")
    names = {"schema": 'Sch"é.;ma 100%s', "name": "é" * 31, "grant_to": [grantee]}
    assert run(module, **names)["changed"]
    assert not run(module, **names)["changed"]
    assert run(module, state="absent", **names)["changed"]


def test_a_missing_grantee_is_named_and_nothing_is_made(database: Database, run: Run) -> None:
    assert "The role nobody_yet does not exist." in run("signal_table", grant_to=["nobody_yet"])["msg"]
    assert database.sql("SELECT to_regnamespace('streamkap')") == [(None,)]
    assert run("signal_table", grant_to=["nobody_yet"], check=True)["warnings"] == [
        "The role nobody_yet does not exist."
    ]


def test_what_the_current_role_may_not_do_is_said_beforehand(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE limited LOGIN PASSWORD 'Limited-2-of-the-tests'")
    dsn = database.dsn_as("limited", "Limited-2-of-the-tests")
    assert "may not make one in this database" in run("signal_table", dsn=dsn)["msg"]
    database.sql("CREATE SCHEMA streamkap")
    assert "which neondb_owner owns" in run("signal_table", dsn=dsn)["msg"]
    run("signal_table")
    assert "it is no member of its owner" in run("signal_table", dsn=dsn, state="absent")["msg"]
    run("heartbeat_table")
    assert "the current role may not read it" in run("heartbeat_table", dsn=dsn)["msg"]
    database.sql("GRANT USAGE ON SCHEMA streamkap TO limited; GRANT SELECT ON streamkap.streamkap_heartbeat TO limited")
    assert not run("heartbeat_table", dsn=dsn)["changed"]


def test_only_an_empty_heartbeat_table_gets_its_first_row(database: Database, run: Run) -> None:
    run("heartbeat_table")
    database.sql("UPDATE streamkap.streamkap_heartbeat SET text = 'beaten'")
    assert not run("heartbeat_table")["changed"]
    database.sql("DELETE FROM streamkap.streamkap_heartbeat")
    assert run("heartbeat_table")["queries"] == [
        'INSERT INTO "streamkap"."streamkap_heartbeat" (text) VALUES (\'test_heartbeat\')'
    ]
    assert database.sql("SELECT text FROM streamkap.streamkap_heartbeat") == [("test_heartbeat",)]


def test_heartbeat_table_of_another_shape_is_named(database: Database, run: Run) -> None:
    database.sql("CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_heartbeat (id int PRIMARY KEY, text text)")
    assert run("heartbeat_table")["differences"] == ["its columns are id, text, not id, text, last_update"]


def test_heartbeat_table_with_an_identity_column_serves(database: Database, run: Run, connector: str) -> None:
    database.sql(
        "CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_heartbeat (id bigint GENERATED ALWAYS AS IDENTITY"
        " PRIMARY KEY, text varchar, last_update timestamptz DEFAULT now())"
    )
    run("heartbeat_table", grant_to=[connector])
    database.sql_as(CONNECTOR, CONNECTOR_PASSWORD, "INSERT INTO streamkap.streamkap_heartbeat (text) VALUES ('a')")
    assert not run("heartbeat_table", grant_to=[connector])["changed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"schema": ""}, "is empty"), ({"name": "n" * 64}, "64 bytes"), ({"grant_to": ["ü" * 32]}, "64 bytes")],
)
def test_bad_names_say_what_is_wrong(run: Run, options: dict, said: str) -> None:
    assert said in run("signal_table", **options)["msg"]


@pytest.mark.newest_version
def test_a_heartbeat_table_beside_one_that_was_put_aside_has_a_sequence_of_its_own(
    database: Database, run: Run
) -> None:
    """A renamed table leaves the name of its sequence to it."""
    database.sql(
        "CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_heartbeat (id serial PRIMARY KEY, kind text)"
    )
    refused = run("heartbeat_table", grant_to=["neondb_owner"])
    assert "Rename that table" in refused["msg"]
    database.sql("ALTER TABLE streamkap.streamkap_heartbeat RENAME TO streamkap_heartbeat_old; CREATE ROLE beating")
    predicted = run("heartbeat_table", grant_to=["beating"], check=True)
    result = run("heartbeat_table", grant_to=["beating"])
    assert predicted["queries"] == result["queries"]
    assert any('SEQUENCE "streamkap"."streamkap_heartbeat_id_seq1"' in query for query in result["queries"])
    assert not run("heartbeat_table", grant_to=["beating"])["changed"]
    granted = "SELECT has_sequence_privilege('beating', pg_get_serial_sequence('streamkap.streamkap_heartbeat', 'id'), 'USAGE')"
    assert database.sql(granted) == [(True,)]
    assert database.sql(
        "SELECT has_sequence_privilege('beating', 'streamkap.streamkap_heartbeat_id_seq', 'USAGE')"
    ) == [(False,)]
