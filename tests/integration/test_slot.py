# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module slot: what it makes, what it refuses to take for what is wanted, and what it leaves behind when it fails."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
import psycopg2.extras
import pytest

from support.modules import run_module
from support.neon import Database
from support.waiting import eventually

pytestmark = pytest.mark.every_version

Run = Callable[..., dict[str, object]]

NAME = "streamkap_pgoutput_slot"
CREATE = [
    "SET LOCAL lock_timeout = 0",
    f"SELECT pg_create_logical_replication_slot('{NAME}', 'pgoutput')",
]


def test_slot_is_made_once(database: Database, run: Run) -> None:
    first = run("slot")
    assert first["changed"]
    assert first["queries"] == CREATE
    assert _slots(database) == [(NAME, "pgoutput", "logical", database.name, False, False)]

    second = run("slot")
    assert not second["changed"]
    assert second["queries"] == []
    assert second["diff"]["before"] == second["diff"]["after"] == first["diff"]["after"]


def test_result_tells_how_the_slot_stands(database: Database, run: Run) -> None:
    made = run("slot")["slot"]
    database.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 5000))")
    slot = run("slot")["slot"]
    restart, confirmed = database.sql("SELECT restart_lsn::text, confirmed_flush_lsn::text FROM pg_replication_slots")[
        0
    ]
    assert slot == {
        "name": NAME,
        "exists": True,
        "plugin": "pgoutput",
        "database": database.name,
        "slot_type": "logical",
        "active": False,
        "active_pid": None,
        "wal_status": "reserved",
        "invalidation_reason": None,
        "restart_lsn": restart,
        "confirmed_flush_lsn": confirmed,
        "lag_bytes": slot["lag_bytes"],
        "safe_wal_size": None,
        "failover": False if database.server.major >= 17 else None,
        "two_phase": False,
    }
    assert slot["lag_bytes"] >= made["lag_bytes"] + 5000


def test_moving_numbers_are_no_difference(database: Database, run: Run) -> None:
    run("slot")
    database.sql("INSERT INTO app.customers (email, name) VALUES ('x@x.example', 'x')")
    result = run("slot")
    assert not result["changed"]
    assert result["diff"]["after"] == f"slot: {NAME}\nplugin: pgoutput\ndatabase: {database.name}\n"


def test_check_mode_predicts_and_does_nothing(database: Database, run: Run) -> None:
    database.server.assert_writes_no_wal(lambda: run("slot", check=True))
    predicted = run("slot", check=True)
    assert predicted["changed"]
    assert not predicted["slot"]["exists"]
    assert _slots(database) == []
    made = run("slot")
    assert (predicted["queries"], predicted["diff"]) == (made["queries"], made["diff"])

    predicted = run("slot", state="absent", check=True)
    assert predicted["changed"]
    assert _slots(database) != []
    dropped = run("slot", state="absent")
    assert (predicted["queries"], predicted["diff"]) == (dropped["queries"], dropped["diff"])


def test_absent_slot_is_dropped_once(database: Database, run: Run) -> None:
    run("slot")
    result = run("slot", state="absent")
    assert result["queries"] == [f"SELECT pg_drop_replication_slot('{NAME}')"]
    assert result["diff"]["after"] == ""
    assert result["slot"] == {"name": NAME, "exists": False, **dict.fromkeys(set(result["slot"]) - {"name", "exists"})}
    assert _slots(database) == []
    again = run("slot", state="absent")
    assert not again["changed"]
    assert again["queries"] == []


def test_slot_is_not_made_before_its_publication(database: Database, run: Run) -> None:
    publication = 'Pub "1"; 50%'
    failed = run("slot", publication=publication)
    assert failed["failed"]
    assert f"The publication {publication} does not exist" in failed["msg"]
    assert _slots(database) == []

    predicted = run("slot", publication=publication, check=True)
    assert predicted["queries"] == CREATE
    assert any(f"The publication {publication} does not exist" in warning for warning in predicted["warnings"])

    database.sql(f"CREATE PUBLICATION {_quoted(publication)} FOR TABLE app.orders")
    assert run("slot", publication=publication)["queries"] == CREATE


def test_slot_that_is_older_than_its_publication_is_warned_of(database: Database, run: Run) -> None:
    run("slot")
    result = run("slot", publication="streamkap_pub")
    assert not result["changed"]
    assert any("the publication streamkap_pub does not" in warning for warning in result["warnings"])
    database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders")
    assert run("slot", publication="streamkap_pub")["warnings"] == []


def test_new_slot_comes_with_a_warning_of_what_happens_when_it_is_unused(run: Run) -> None:
    assert ["keeps all WAL" in warning for warning in run("slot")["warnings"]] == [True]
    assert run("slot")["warnings"] == []


@pytest.mark.database(neon=True)
def test_new_slot_on_neon_comes_with_a_warning_that_it_goes_when_unused(run: Run) -> None:
    assert ["about 40 hours" in warning for warning in run("slot")["warnings"]] == [True]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_slot_of_another_kind_is_refused_and_left_alone(
    database: Database, databases: Callable[..., Database], run: Run, state: str
) -> None:
    other = databases(shop=False)
    database.admin("SELECT pg_create_logical_replication_slot('of_another_plugin', 'test_decoding')")
    database.admin("SELECT pg_create_physical_replication_slot('of_a_standby')")
    other.admin("SELECT pg_create_logical_replication_slot('of_another_database', 'pgoutput')")
    with contextlib.closing(psycopg2.connect(database.admin_dsn)) as session:
        process = session.info.backend_pid
        session.cursor().execute("SELECT pg_create_logical_replication_slot('of_a_session', 'pgoutput', true)")
        before = _slots(database)
        messages = [
            run("slot", name=name, state=state, force=True, recreate_lost=True)["msg"]
            for name in ("of_another_plugin", "of_a_standby", "of_another_database", "of_a_session")
        ]
        assert _slots(database) == before
    assert "has the plugin test_decoding, not pgoutput" in messages[0]
    assert "plugin: test_decoding" in messages[0]
    assert "is a physical one" in messages[1]
    assert f"belongs to the database {other.name}, not to {database.name}" in messages[2]
    assert f"temporary one, of the process {process}" in messages[3]


def test_slot_in_use_is_dropped_only_by_force(database: Database, run: Run) -> None:
    run("slot")
    with _consumer(database) as process:
        assert run("slot")["slot"]["active_pid"] == process
        failed = run("slot", state="absent")
        assert f"is in use by the process {process} of neondb_owner" in failed["msg"]
        assert "force: true" in failed["msg"]
        assert _slots(database) == [(NAME, "pgoutput", "logical", database.name, False, True)]

        dropped = run("slot", state="absent", force=True)
        assert len(dropped["queries"]) == 2
        assert "pg_terminate_backend" in dropped["queries"][0]
    assert _slots(database) == []


def test_consumer_that_may_not_be_disconnected_is_named(database: Database, run: Run) -> None:
    run("slot")
    database.admin("CREATE ROLE connector LOGIN REPLICATION PASSWORD 'of the connector'")
    database.admin("CREATE ROLE other LOGIN REPLICATION PASSWORD 'of the other'")
    with _consumer(database, database.dsn_as("connector", "of the connector")):
        failed = run("slot", state="absent", force=True, dsn=database.dsn_as("other", "of the other"))
        assert "a member of connector or of pg_signal_backend" in failed["msg"]
        assert len(_slots(database)) == 1
    with _consumer(database, database.admin_dsn):
        failed = run("slot", state="absent", force=True)
        assert "run as a superuser" in failed["msg"]
        assert len(_slots(database)) == 1
        database.admin("ALTER ROLE connector SUPERUSER")
        run("slot", state="absent", force=True, dsn=database.dsn_as("connector", "of the connector"))
    assert _slots(database) == []


@pytest.mark.postgres(17)  # it waits for five seconds
def test_consumer_that_does_not_go_fails_the_task(database: Database, run: Run) -> None:
    run("slot")
    with _consumer(database) as process:
        os.kill(process, signal.SIGSTOP)
        try:
            failed = run("slot", state="absent", force=True)
        finally:
            os.kill(process, signal.SIGCONT)
    assert failed["sqlstate"] == "55006"
    assert "Nothing was changed. Its consumer was told to go" in failed["msg"]
    assert len(_slots(database)) == 1


def test_lost_slot_is_made_anew_only_on_request(database: Database, run: Run) -> None:
    run("slot", two_phase=True)
    database.server.lose_slots()
    lost = database.sql("SELECT wal_status, two_phase FROM pg_replication_slots")
    assert lost == [("lost", True)]

    failed = run("slot")
    assert "is lost (wal_removed)" in failed["msg"]
    assert "recreate_lost: true" in failed["msg"]
    assert "new snapshot" in failed["msg"]

    predicted = run("slot", recreate_lost=True, check=True)
    assert database.sql("SELECT wal_status, two_phase FROM pg_replication_slots") == lost
    made = run("slot", recreate_lost=True)
    assert (predicted["queries"], predicted["diff"]) == (made["queries"], made["diff"])
    assert "lost: wal_removed" in made["diff"]["before"]
    assert any("take a new snapshot" in warning for warning in made["warnings"])
    assert made["slot"]["wal_status"] == "reserved"
    assert made["slot"]["two_phase"]
    assert not run("slot", recreate_lost=True)["changed"]


def test_lost_slot_that_cannot_be_made_anew_yet_is_gone_and_the_message_says_so(database: Database, run: Run) -> None:
    run("slot")
    database.server.lose_slots()
    with _writer(database):
        failed = run("slot", recreate_lost=True, statement_timeout=1)
    assert failed["sqlstate"] == "57014"
    assert f"A part was done and stays; still to be done: {', '.join(CREATE)}." in failed["msg"]
    assert _slots(database) == []
    assert run("slot")["changed"]


def test_lost_slot_is_dropped(database: Database, run: Run) -> None:
    run("slot")
    database.server.lose_slots()
    assert run("slot", state="absent")["changed"]
    assert _slots(database) == []


def test_creation_behind_a_long_transaction_names_it_and_leaves_nothing(database: Database, run: Run) -> None:
    with _writer(database) as process:
        started = time.monotonic()
        # Only statement_timeout counts: who waits for a slot blocks nobody.
        failed = run("slot", lock_timeout=1, statement_timeout=2)
        assert 1.9 < time.monotonic() - started < 4
        assert failed["sqlstate"] == "57014"
        assert re.search(
            rf"It waited behind the process {process} of neondb_owner in {database.name} "
            r"\(transaction open for \d+ s, idle in transaction for \d+ s\)\. Nothing was changed\.",
            failed["msg"],
        )
        assert _slots(database) == []
    assert run("slot")["changed"]


@pytest.mark.postgres(14, 18)
def test_creation_behind_another_database_names_it_to_who_may_see_less(
    database: Database, databases: Callable[..., Database], run: Run
) -> None:
    other = databases(shop=False)
    database.admin("CREATE ROLE connector LOGIN REPLICATION PASSWORD 'of the connector'")
    with _writer(other) as process:
        failed = run("slot", statement_timeout=1, dsn=database.dsn_as("connector", "of the connector"))
    assert (
        f"behind the process {process} of neondb_owner in {other.name} (since when is for members of" in failed["msg"]
    )


def test_slot_that_somebody_is_still_making_is_no_slot_yet(database: Database, run: Run) -> None:
    with _writer(database):
        maker = threading.Thread(
            target=database.sql, args=["SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [NAME]]
        )
        maker.start()
        eventually(lambda: bool(_slots(database)))
        failed = run("slot")
        predicted = run("slot", check=True)
    maker.join()
    assert "is still being made, by the process" in failed["msg"]
    assert any("is still being made" in warning for warning in predicted["warnings"])
    assert not run("slot")["changed"]


def test_unknown_plugin_leaves_nothing(database: Database, run: Run) -> None:
    failed = run("slot", plugin="no_such_plugin")
    assert "no_such_plugin" in failed["msg"]
    assert "Nothing was changed." in failed["msg"]
    assert _slots(database) == []


def test_server_without_logical_wal_is_refused(
    database: Database, databases: Callable[..., Database], run: Run
) -> None:
    on_neon = databases(neon=True)
    with database.server.restarted(wal_level="replica"):
        failed = run("slot")
        assert "its wal_level is replica. Set wal_level = logical" in failed["msg"]
        failed = run("slot", dsn=on_neon.dsn)
        assert "Enable logical replication in the settings of the Neon project" in failed["msg"]
        assert not run("slot", state="absent")["changed"]


def test_server_without_a_free_slot_is_refused(database: Database, run: Run) -> None:
    database.admin("SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1, 10) AS n")
    failed = run("slot")
    assert "All slots of the server are taken: 10 of max_replication_slots = 10." in failed["msg"]


def test_role_without_replication_is_refused(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE plain LOGIN PASSWORD 'of the plain one'")
    plain = {"dsn": database.dsn_as("plain", "of the plain one")}
    failed = run("slot", **plain)
    assert "The current role plain may not make or drop a slot: it lacks REPLICATION." in failed["msg"]
    assert _slots(database) == []
    run("slot")
    assert not run("slot", **plain)["changed"]
    assert "lacks REPLICATION" in run("slot", state="absent", **plain)["msg"]
    assert len(_slots(database)) == 1


@pytest.mark.postgres(14, 15, 16)
def test_failover_is_refused_before_17(database: Database, run: Run) -> None:
    assert "Failover slots need PostgreSQL 17" in run("slot", failover=True)["msg"]
    assert _slots(database) == []
    assert run("slot", failover=False)["changed"]
    assert not run("slot", failover=False)["changed"]


@pytest.mark.postgres(17, 18)
def test_failover_is_set_when_the_slot_is_made(database: Database, run: Run) -> None:
    assert run("slot", failover=True, two_phase=True)["slot"]["failover"]
    assert database.sql("SELECT failover, two_phase FROM pg_replication_slots") == [(True, True)]
    assert not run("slot", failover=True)["changed"]
    assert not run("slot")["changed"]


def test_what_sql_cannot_change_is_refused_with_what_can(database: Database, run: Run) -> None:
    run("slot")
    for option, since in (("failover", 17), ("two_phase", 18)):
        failed = run("slot", **{option: True})
        assert f"has {option} off, and SQL cannot turn it on" in failed["msg"]
        command = re.search(r"ALTER_REPLICATION_SLOT [^)]*\)", failed["msg"])
        assert bool(command) == (database.server.major >= since)
        if command:
            _replication_command(database, command[0])
            assert not run("slot", **{option: True})["changed"]


def test_connector_reads_changes_through_publication_and_slot(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE streamkap_user LOGIN REPLICATION PASSWORD 'of streamkap'")
    database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders")
    run("slot", publication="streamkap_pub")
    database.sql("UPDATE app.orders SET status = 'shipped' WHERE id = 1")
    with contextlib.closing(_replication(database.dsn_as("streamkap_user", "of streamkap"))) as connection:
        cursor = connection.cursor()
        _start(cursor)
        kinds = [_payload(cursor)[:1] for _message in range(4)]
    assert kinds == [b"B", b"R", b"U", b"C"]


def test_standby_serves_for_a_check_and_refuses_a_run(standby: Database) -> None:
    assert run_module("slot", dsn=standby.dsn, check=True)["queries"] == CREATE
    failed = run_module("slot", dsn=standby.dsn)
    assert "read-only standby" in failed["msg"]
    assert "Connect to the primary." in failed["msg"]


def test_right_is_that_of_the_session_role(database: Database, run: Run) -> None:
    database.admin("CREATE ROLE plain; GRANT plain TO neondb_owner")
    assert "The current role plain" in run("slot", session_role="plain")["msg"]
    assert _slots(database) == []


def _slots(database: Database) -> list[tuple]:
    return database.admin(
        "SELECT slot_name::text, plugin::text, slot_type, database::text, temporary, active"
        " FROM pg_replication_slots ORDER BY 1"
    )


@contextlib.contextmanager
def _writer(database: Database) -> Iterator[int]:
    """A transaction that has written and stays open; gives its process."""
    with contextlib.closing(psycopg2.connect(database.dsn)) as session:
        session.cursor().execute("SELECT pg_current_xact_id()")
        yield session.info.backend_pid


@contextlib.contextmanager
def _consumer(database: Database, dsn: str | None = None) -> Iterator[int]:
    """Somebody who reads from the slot; gives the server's process."""
    with contextlib.closing(_replication(dsn or database.dsn)) as connection:
        _start(connection.cursor())
        eventually(lambda: _slots(database)[0][-1])
        yield connection.info.backend_pid


def _replication(dsn: str) -> psycopg2.extras.LogicalReplicationConnection:
    return psycopg2.connect(dsn, connection_factory=psycopg2.extras.LogicalReplicationConnection)


def _replication_command(database: Database, command: str) -> None:
    with contextlib.closing(_replication(database.dsn)) as connection:
        connection.cursor().execute(command)


def _start(cursor: psycopg2.extras.ReplicationCursor) -> None:
    cursor.start_replication(
        slot_name=NAME, decode=False, options={"proto_version": "1", "publication_names": "streamkap_pub"}
    )


def _payload(cursor: psycopg2.extras.ReplicationCursor) -> bytes:
    deadline = time.monotonic() + 10
    while not (message := cursor.read_message()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return message.payload


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
