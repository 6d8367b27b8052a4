# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody is in the way: every module goes on, or gives up in time and says behind whom; and the application goes on."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._connection import Connection
from psycopg2.extensions import parse_dsn

from support.blocking import APPLICATION, SLOW, application, held, running
from support.crowd import crew
from support.figures import Figures
from support.hurting import PASSWORD, USER, make_user_where_sql_cannot
from support.modules import run_playbook
from support.neon import CONSOLE_USER, Database
from support.waiting import eventually

Run = Callable[..., dict[str, object]]

# Seconds.
LOCK_TIMEOUT, STATEMENT_TIMEOUT = 1, 2
PATIENCE = {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": STATEMENT_TIMEOUT}
# What a busy machine may add to that.
MARGIN = 2

# What somebody does in a transaction that stays open. His queries are nobody's business.
SECRET = "Secret-of-a-query"
HELD = {
    "UPDATE": f"UPDATE app.customers SET name = '{SECRET}'; UPDATE app.orders SET status = 'paid'",
    "SELECT": f"DECLARE c CURSOR FOR SELECT *, '{SECRET}' FROM app.orders; FETCH c",
    "ALTER TABLE": "ALTER TABLE app.orders ADD COLUMN more int",
    "ALTER PUBLICATION": "ALTER PUBLICATION pub SET (publish = 'insert')",
    "DROP PUBLICATION": "DROP PUBLICATION pub",
    "ALTER ROLE": "ALTER ROLE {connector} CONNECTION LIMIT 7",
    "GRANT role": "SET ROLE neondb_owner; GRANT {group} TO {connector}",
    "GRANT ON SCHEMA": "GRANT USAGE ON SCHEMA app, streamkap TO {connector}",
    "LOCK signal table": "LOCK TABLE streamkap.streamkap_signal",
    "another run": "SELECT pg_advisory_xact_lock(7236273141)",
}
# What takes its time by itself.
RUNNING = {
    "VACUUM": ["SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1", "VACUUM app.orders"],
    "CREATE INDEX": ["CREATE INDEX ON app.orders (app.slow(id))"],
    "CREATE INDEX CONCURRENTLY": ["CREATE INDEX CONCURRENTLY ON app.orders (app.slow(id))"],
}
# The modules that have to wait for it. The others are not held up.
WAITING = {
    "another run": {
        "role",
        "grant",
        "signal_table",
        "heartbeat_table",
        "publication",
        "replica_identity",
        "signal",
        "prerequisites",
    },
    "UPDATE": {"replica_identity"},
    "SELECT": {"replica_identity"},
    "ALTER TABLE": {"grant", "publication", "replica_identity", "prerequisites"},
    "ALTER PUBLICATION": set(),
    "DROP PUBLICATION": {"publication"},
    "ALTER ROLE": {"role"},
    "GRANT role": {"role", "prerequisites"},
    "GRANT ON SCHEMA": {"grant", "signal_table", "heartbeat_table", "prerequisites"},
    "LOCK signal table": {"signal_table", "signal", "prerequisites"},
    "VACUUM": {"publication", "replica_identity", "prerequisites"},
    "CREATE INDEX": {"publication", "replica_identity", "prerequisites"},
    "CREATE INDEX CONCURRENTLY": {"publication", "replica_identity", "prerequisites"},
}


def roles(database: Database) -> dict[str, str]:
    """Roles are the whole server's, so each database has names of its own for them."""
    return {"group": f"group_{database.name}", "connector": f"connector_{database.name}"}


def modules(database: Database) -> dict[str, dict[str, object]]:
    """All modules but the slot's, each with something to do that has to do with what is locked."""
    group, connector = roles(database).values()
    return {
        "readiness_info": {"connector_user": USER, "schemas": ["app"], "publication": "pub"},
        "role": {"name": connector, "connection_limit": 5, "member_of": [group]},
        "grant": {"role": group, "schemas": ["app"], "schema_privileges": ["USAGE"], "table_privileges": ["SELECT"]},
        "signal_table": {"grant_to": [group]},
        "heartbeat_table": {"grant_to": [group]},
        "publication": {"name": "pub", "tables": ["app.customers", "app.orders"]},
        "replica_identity": {"tables": ["app.customers", "app.orders"], "identity": "full"},
        "signal": {"type": "log", "log_message": "hello", "publication": "signals"},
        "prerequisites": {
            "connector_password": PASSWORD,
            "connector_role": group,
            "schemas": ["app"],
            "publication": "pub2",
            "slot": "",
        },
    }


def prepared(database: Database, run: Run) -> Database:
    group, connector = roles(database).values()
    database.sql(f"CREATE ROLE {group}; CREATE ROLE {connector} LOGIN; CREATE PUBLICATION pub FOR TABLE app.products")
    for module in ("signal_table", "heartbeat_table"):
        assert run(module, dsn=database.dsn)["changed"]
    database.sql("CREATE PUBLICATION signals FOR TABLE streamkap.streamkap_signal")
    return database


def in_the_way(database: Database, what: str) -> contextlib.AbstractContextManager[int]:
    if what in RUNNING:
        database.admin(SLOW)
        return running(database, *RUNNING[what])
    as_admin = what not in ("UPDATE", "SELECT")
    return held(database, HELD[what].format(**roles(database)), as_admin=as_admin)


def left_behind(database: Database) -> list[tuple]:
    return database.admin(
        "SELECT pid, state, wait_event FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'streamkap.neon'"
    )


def check_gave_up(result: dict[str, object], took: float, process: int, user: str, patience: float) -> None:
    """It gave up in time, says behind whom and since when, and nothing of what he does."""
    assert result["sqlstate"] in ("55P03", "57014"), result
    assert patience - 0.1 < took < patience + MARGIN
    (blocker,) = result["blockers"]
    assert (blocker["pid"], blocker["user"], blocker["application"]) == (process, user, APPLICATION)
    assert blocker["transaction_seconds"] >= 0
    assert f"behind the process {process} of {user} in " in result["msg"]
    assert "(application nightly job, transaction open for " in result["msg"]
    assert f"SELECT pg_terminate_backend({process})" in result["hint"]
    assert "Nothing was changed." in result["msg"]
    assert SECRET not in json.dumps(result)


def test_every_module_goes_on_or_gives_up_in_time_and_names_who_is_in_the_way(
    databases: Callable[..., Database], run: Run, figures: Figures
) -> None:
    server = databases().server
    make_user_where_sql_cannot(server)
    scenes = {what: prepared(databases(), run) for what in WAITING}

    def waiting(what: str, run: Callable[[str, dict[str, object]], dict[str, object]]) -> set[str]:
        database, waited = scenes[what], set()
        with in_the_way(database, what) as process:
            for module, options in modules(database).items():
                begin = time.monotonic()
                result = run(module, {"dsn": database.dsn, **PATIENCE, **options})
                took = time.monotonic() - begin
                if result.get("failed"):
                    user = CONSOLE_USER if what in ("UPDATE", "SELECT") else "cloud_admin"
                    check_gave_up(result, took, process, user, LOCK_TIMEOUT)
                    waited.add(module)
                eventually(lambda: not left_behind(database))
        return waited

    # So many that the server has room for them, and for who asks on their behalf.
    with crew(8) as run_elsewhere, ThreadPoolExecutor(8) as threads:
        found = dict(zip(scenes, threads.map(lambda what: waiting(what, run_elsewhere), scenes), strict=True))
    expected = dict(WAITING)
    if server.major < 16:  # a grant of a role does not lock it
        expected["GRANT role"] = {"role"}
    assert found == expected
    figures.add("blocked_runs", sum(map(len, found.values())))


def test_a_slot_waits_for_who_writes_and_names_him(database: Database, run: Run, figures: Figures) -> None:
    with held(database, HELD["UPDATE"], as_admin=False) as process:
        begin = time.monotonic()
        result = run("slot", **PATIENCE)
        check_gave_up(result, time.monotonic() - begin, process, CONSOLE_USER, STATEMENT_TIMEOUT)
    assert database.admin("SELECT slot_name FROM pg_replication_slots") == []
    assert run("slot", **PATIENCE)["changed"]
    figures.add("blocked_runs", 1)


@pytest.mark.postgres(15, 18)
@pytest.mark.parametrize("module", ["publication", "readiness_info"])
def test_a_look_that_has_to_wait_says_for_whom(database: Database, run: Run, figures: Figures, module: str) -> None:
    """To read a row filter the server has to open its table."""
    database.sql("CREATE PUBLICATION pub FOR TABLE app.orders WHERE (id > 0)")
    options = {
        "publication": {"name": "pub", "tables": ["app.orders"]},
        "readiness_info": {"connector_user": "neondb_owner", "schemas": ["app"], "publication": "pub"},
    }
    with held(database, HELD["ALTER TABLE"]) as process:
        begin = time.monotonic()
        result = run(module, check=True, **PATIENCE, **options[module])
        took = time.monotonic() - begin
        assert result["sqlstate"] == "55P03", result
        assert f"for ACCESS SHARE on app.orders, behind the process {process} of cloud_admin" in result["msg"]
        assert took < LOCK_TIMEOUT + MARGIN
    figures.add("blocked_runs", 1)


@pytest.mark.postgres(17)
def test_a_prepared_transaction_is_named(database: Database, run: Run, figures: Figures) -> None:
    with database.server.restarted(max_prepared_transactions=2):
        database.sql("BEGIN; ALTER TABLE app.orders ADD COLUMN more int; PREPARE TRANSACTION 'it''s open'")
        try:
            for module, options, lock in [
                (
                    "replica_identity",
                    {"tables": ["app.orders"], "identity": "full"},
                    " for ACCESS EXCLUSIVE on app.orders,",
                ),
                ("slot", {}, ""),
            ]:
                failed = run(module, **PATIENCE, **options)
                assert (
                    f'It waited{lock} behind the prepared transaction "it\'s open" of neondb_owner in' in failed["msg"]
                )
                assert "ROLLBACK PREPARED 'it''s open'" in failed["hint"]
        finally:  # or the server would not start again
            database.sql("ROLLBACK PREPARED 'it''s open'")
    figures.add("blocked_runs", 2)


@pytest.mark.postgres(17)
def test_an_autovacuum_is_named_as_one(database: Database, run: Run, figures: Figures) -> None:
    # One that prevents wraparound does not give way after deadlock_timeout; here none does.
    with database.server.restarted(autovacuum="on", autovacuum_naptime=1, deadlock_timeout="60s"):
        database.sql(
            "ALTER TABLE app.orders SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
        )
        database.admin(SLOW)
        vacuuming = "SELECT pid FROM pg_stat_progress_vacuum WHERE relid = 'app.orders'::regclass"
        eventually(lambda: database.admin(vacuuming), seconds=60)
        failed = run("replica_identity", tables=["app.orders"], identity="full", **PATIENCE)
        ((process,),) = database.admin(vacuuming)
    assert f"behind the process {process}, an autovacuum in {database.name} (transaction open for" in failed["msg"]
    assert "better let it end" in failed["hint"]
    figures.add("blocked_runs", 1)


# What an application does all the time.
TABLES = ["app.customers", "app.keyless", "app.order_items", "app.orders", "app.products"]
WORK = [
    *(f"SELECT count(*) FROM {table}" for table in TABLES),
    "UPDATE app.customers SET name = 'B' WHERE id = 1",
    "UPDATE app.orders SET status = 'paid' WHERE id = 1",
    "INSERT INTO app.keyless VALUES (1)",
    "UPDATE app.order_items SET quantity = 2 WHERE line = 1",
    "UPDATE app.products SET name = 'B' WHERE sku = (SELECT min(sku) FROM app.products)",
]
# What the role makes in one go, locks and all.
WHOLE = {
    "connector_password": PASSWORD,
    "schemas": ["app", "billing"],
    "keyless_tables": "replica_identity_full",
    "lock_timeout": LOCK_TIMEOUT,
}
# As teardown does it.
AWAY = [
    ("slot", {}),
    ("publication", {}),
    ("heartbeat_table", {}),
    ("signal_table", {}),
    ("role", {"name": "streamkap_role"}),
    ("role", {"name": USER}),
]


@pytest.fixture
def shop(database: Database) -> Database:
    make_user_where_sql_cannot(database.server)
    database.sql("CREATE TABLE app.keyless (id int)")
    return database


def record(figures: Figures, taken: list[float]) -> float:
    """Counts the application's statements; gives how long the longest took."""
    figures.add("application_statements", len(taken))
    figures.longest("application_wait", max(taken))
    return max(taken)


def test_the_application_goes_on_while_all_is_made_and_taken_away(shop: Database, run: Run, figures: Figures) -> None:
    with application(shop, WORK) as taken:
        assert run("prerequisites", **WHOLE)["changed"]
        assert run("replica_identity", tables=TABLES, identity="full", lock_timeout=LOCK_TIMEOUT)["changed"]
        for module, options in AWAY:
            if shop.server.major >= 16 or options.get("name") != USER:
                result = run(module, state="absent", lock_timeout=LOCK_TIMEOUT, **options)
                assert result.get("changed"), result
    assert record(figures, taken) < LOCK_TIMEOUT


def test_the_application_waits_behind_us_no_longer_than_lock_timeout(
    shop: Database, run: Run, figures: Figures
) -> None:
    """Who wants a table for himself keeps everybody off who comes later, until the reader before him has ended."""
    with held(shop, "SELECT FROM app.keyless") as process, application(shop, WORK) as taken:
        for module, options in [
            ("replica_identity", {"tables": TABLES, "identity": "full", "lock_timeout": LOCK_TIMEOUT}),
            ("prerequisites", WHOLE),
        ]:
            result = run(module, **options)
            assert [blocker["pid"] for blocker in result["blockers"]] == [process], result
    # It did wait: otherwise this would show nothing.
    assert 0.5 * LOCK_TIMEOUT < record(figures, taken) < LOCK_TIMEOUT + 0.5
    figures.add("blocked_runs", 2)


CHANGES_SEVERAL = {
    "replica_identity": {"tables": TABLES, "identity": "full"},
    # As one statement, which takes one lock after the other.
    "role": {"name": "leaver", "state": "absent", "reassign_owned_to": "neondb_owner"},
}


@pytest.mark.parametrize("module", CHANGES_SEVERAL)
def test_several_tables_share_one_lock_timeout(shop: Database, run: Run, figures: Figures, module: str) -> None:
    """The first is ours, and kept from the application, while for the next ones the time is measured anew."""
    shop.sql("CREATE ROLE leaver; GRANT leaver TO neondb_owner")
    for table in ("app.customers", "app.keyless", "app.orders"):
        shop.admin(f"ALTER TABLE {table} OWNER TO leaver")
    with (
        ThreadPoolExecutor() as threads,
        held(shop, "SELECT FROM app.orders"),
        application(shop, WORK) as taken,
        contextlib.ExitStack() as for_a_while,
    ):
        for_a_while.enter_context(held(shop, "SELECT FROM app.keyless"))
        changing = threads.submit(run, module, lock_timeout=LOCK_TIMEOUT, **CHANGES_SEVERAL[module])
        eventually(lambda: shop.admin("SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"))
        time.sleep(0.75 * LOCK_TIMEOUT)
        for_a_while.close()
        failed = changing.result()
        assert failed["sqlstate"] in ("55P03", "57014"), failed
        assert "or raise lock_timeout" in failed["hint"] or "for lock_timeout at most" in failed["hint"]
    assert 0.75 * LOCK_TIMEOUT < record(figures, taken) < LOCK_TIMEOUT + 0.5
    figures.add("blocked_runs", 1)


@pytest.mark.postgres(17)
def test_the_application_goes_on_during_the_playbooks(shop: Database, figures: Figures) -> None:
    given = {
        "cdc_dsn": shop.dsn,
        "cdc_password": PASSWORD,
        "cdc_schemas": ["app", "billing"],
        "cdc_keyless_tables": "replica_identity_full",
        "cdc_lock_timeout": LOCK_TIMEOUT,
    }
    with application(shop, WORK) as taken:
        for playbook in ("setup", "teardown"):
            played = run_playbook(f"streamkap.neon.{playbook}", extra_vars=given)
            assert played.rc == 0, played.stdout
    assert record(figures, taken) < LOCK_TIMEOUT


def test_a_controller_that_is_gone_holds_no_lock_for_long(database: Database) -> None:
    connection = Connection(parse_dsn(database.dsn), None, connect_timeout=10, lock_timeout=1, statement_timeout=1)
    with connection.open() as session:
        session.send(["BEGIN", *session.settings, "ALTER TABLE app.orders REPLICA IDENTITY FULL"])
        with contextlib.closing(psycopg2.connect(database.dsn)) as application, application.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'; SELECT count(*) FROM app.orders")
