# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options, on real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from support import neon
from support.modules import run_module
from support.neon import Database

Run = Callable[..., dict[str, object]]


def test_neons_pooler_is_replaced_by_the_direct_host(database: Database, run: Run) -> None:
    dsn = database.dsn + "?hostaddr=127.0.0.1&sslmode=disable"
    looked = run(
        "signal_table", dsn=dsn.replace("@127.0.0.1", "@ep-a-b-1-pooler.c-2.us-east-2.aws.neon.tech"), check=True
    )
    assert looked["server"]["host"] == "ep-a-b-1.c-2.us-east-2.aws.neon.tech"
    assert "connection pooler" in looked["warnings"][0]


def test_pooled_host_is_warned_of_when_the_connection_fails_too(database: Database, run: Run) -> None:
    dsn = database.dsn_as(neon.OWNER, "Wrong-7-of-the-tests") + "?hostaddr=127.0.0.1&sslmode=disable"
    failed = run("signal_table", dsn=dsn.replace("@127.0.0.1", "@ep-a-b-1-pooler.us-east-2.aws.neon.tech"))
    assert failed["sqlstate"] == "28P01"
    assert "connection pooler" in failed["warnings"][0]


def test_neons_hosts_take_tls_only_unless_told_otherwise(database: Database, run: Run) -> None:
    dsn = database.dsn.replace("@127.0.0.1", "@ep-a-b-1.us-east-2.aws.neon.tech") + "?hostaddr=127.0.0.1"
    assert "SSL" in run("signal_table", dsn=dsn, check=True)["msg"]
    assert not run("signal_table", dsn=dsn, ssl_mode="prefer", check=True).get("failed")


def test_login_options_win_over_the_dsn(database: Database, databases, run: Run) -> None:
    other = databases()
    assert run("signal_table", login_db=other.name, check=True)["server"]["database"] == other.name
    assert run("signal_table", connect_params={"dbname": other.name}, check=True)["server"]["database"] == other.name
    assert (
        run(
            "signal_table",
            dsn=None,
            login_host="127.0.0.1",
            login_port=database.server.port,
            login_user=neon.OWNER,
            login_password=neon.OWNER_PASSWORD,
            login_db=other.name,
            check=True,
        )["server"]["database"]
        == other.name
    )


def test_the_environment_says_where_to_connect(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    assert run_module("signal_table", check=True)["server"]["database"] == database.name
    monkeypatch.setenv("NEON_DATABASE_URL", database.dsn.replace(database.name, "no_such_database"))
    assert "no_such_database" in run_module("signal_table", check=True)["msg"]


@pytest.mark.parametrize(
    ("options", "sqlstate", "said"),
    [
        ({"login_password": "Wrong-7-of-the-tests"}, "28P01", "Check the user and the password."),
        ({"login_password": "password"}, "28P01", "Check the user"),
        ({"login_db": "no_such_database"}, "3D000", "Check the name of the database."),
        ({"connect_params": {"no_such_parameter": "x"}}, None, "no_such_parameter"),
        ({"ssl_mode": "require"}, None, "SSL"),
        ({"connect_params": {"host": "no-such-host.invalid"}}, None, "Check the host's spelling."),
    ],
)
def test_what_will_not_pass_fails_at_once(run: Run, options: dict, sqlstate: str | None, said: str) -> None:
    started = time.monotonic()
    failed = run("signal_table", **options)
    assert failed["failed"]
    assert failed["sqlstate"] == sqlstate
    assert said in failed["msg"]
    assert "Wrong-7" not in str(failed)
    assert time.monotonic() - started < 5


def test_a_host_that_does_not_answer_is_tried_as_long_as_connect_timeout_says(run: Run) -> None:
    started = time.monotonic()
    failed = run("signal_table", login_port=1, connect_timeout=1)
    assert "within 1 seconds" in failed["msg"]
    assert "Check the host and the port" in failed["msg"]
    assert 0.5 < time.monotonic() - started < 5


def test_a_server_that_starts_meanwhile_is_reached(database: Database, run: Run) -> None:
    server = database.server
    server._pg_ctl("stop", "-m", "fast")
    late = threading.Timer(0.7, server._start)
    late.start()
    try:
        looked = run("signal_table", check=True)
    finally:
        late.join()
    assert not looked.get("failed"), looked


def test_a_dsn_that_cannot_be_read_is_not_quoted(run: Run) -> None:
    failed = run("signal_table", dsn="postgresql://me:Secret-5-of-the-tests@[::1/db")
    assert "not a valid libpq connection string" in failed["msg"]
    assert "Secret-5" not in str(failed)


@pytest.mark.newest_version
@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda dsn: dsn + "?schema=public", "schema (Prisma)"),
        (lambda dsn: f"psql '{dsn}'", "a whole command"),
        (lambda dsn: dsn + "\n", "ends with a line break"),
        (lambda dsn: "jdbc:" + dsn, "begins with jdbc:"),
        (lambda dsn: dsn.replace("of-neondb", "of@neondb"), "not percent-encoded"),
        (lambda dsn: dsn.replace("of-neondb", "of/neondb"), "not percent-encoded"),
    ],
)
def test_a_malformed_dsn_is_told_without_any_part_of_the_password(
    run: Run, database: Database, mistake: Callable[[str], str], said: str
) -> None:
    failed = run("signal_table", dsn=mistake(database.dsn))
    assert said in failed["msg"]
    assert not [part for part in ("Owner", "neondb", "tests") if part in str({**failed, "invocation": None})]


def test_what_is_made_belongs_to_the_session_role(database: Database, run: Run) -> None:
    database.sql(f'GRANT CREATE ON DATABASE "{database.name}" TO app_owner')
    assert run("signal_table", session_role="app_owner")["signal_table"]["owner"] == "app_owner"
    assert "no_such_role" in run("signal_table", session_role="no_such_role")["msg"]


@pytest.mark.parametrize("option", ["connect_timeout", "lock_timeout", "statement_timeout"])
def test_timeouts_must_be_positive(run: Run, option: str) -> None:
    assert f"{option} is 0." in run("signal_table", **{option: 0})["msg"]


def test_a_standby_serves_check_mode_and_names_the_primary_otherwise(standby: Database, run: Run) -> None:
    assert run("signal_table", dsn=standby.dsn, check=True)["changed"]
    failed = run("signal_table", dsn=standby.dsn)
    assert failed["sqlstate"] == "25006"
    assert "Connect to the primary." in failed["msg"]


def test_functions_of_an_attacker_are_not_found(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA evil; CREATE TABLE evil.ran (what text);"
        "CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO evil.ran VALUES (current_user); RETURN 'evil'; END $$;"
        "CREATE VIEW evil.pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE false"
    )
    database.admin(f'ALTER DATABASE "{database.name}" SET search_path = evil, pg_catalog')
    made = run("signal_table")
    assert made["server"]["database"] == database.name
    assert database.sql("SELECT count(*) FROM evil.ran") == [(0,)]


def test_an_unchanged_run_takes_no_transaction_id(database: Database, run: Run) -> None:
    run("signal_table")
    before = database.admin("SELECT pg_snapshot_xmax(pg_current_snapshot())")
    assert run("signal_table")["changed"] is False
    assert run("heartbeat_table", check=True)["changed"] is True
    assert database.admin("SELECT pg_snapshot_xmax(pg_current_snapshot())") == before


def test_what_does_not_take_is_rolled_back_and_named(database: Database, run: Run) -> None:
    """PostgreSQL only warns when a GRANT grants nothing; here an event trigger takes back what was just granted."""
    database.sql("CREATE ROLE grantee")
    database.admin(
        "CREATE FUNCTION take_back() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF has_table_privilege('grantee', 'streamkap.streamkap_signal', 'UPDATE')"
        " THEN REVOKE UPDATE ON streamkap.streamkap_signal FROM grantee; END IF; END $$;"
        "CREATE EVENT TRIGGER take_back ON ddl_command_end WHEN TAG IN ('GRANT') EXECUTE FUNCTION take_back()"
    )
    failed = run("signal_table", grant_to=["grantee"])
    assert failed["failed"]
    assert 'these did not take: GRANT UPDATE ON TABLE "streamkap"."streamkap_signal" TO "grantee"' in failed["msg"]
    assert database.sql("SELECT to_regnamespace('streamkap')") == [(None,)]
