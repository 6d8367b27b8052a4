# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many tables and schemas: the lock table stays large enough for all, and the number of round trips the same."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from support.modules import run_module
from support.neon import OWNER, Database
from support.postgres import Server

Run = Callable[..., dict[str, object]]

# A lock table for 200 objects, of which a task may take 100. The server has more than documented, from PostgreSQL 18 on for
# about a thousand.
SMALL = {
    "max_locks_per_transaction": 10,
    "max_connections": 20,
    "max_worker_processes": 0,
    "max_parallel_workers": 0,
    "max_wal_senders": 2,
    "autovacuum_max_workers": 1,
}
TABLES = 1300
ROOM = 100

PASSWORD = "Streamkap-of-the-tests-4"


def make_tables(database: Database, schema: str, count: int) -> None:
    database.sql(f"CREATE SCHEMA {schema}")
    # In portions, because making them takes locks too.
    database.sql(
        f"DO $$ BEGIN FOR n IN 0..{count - 1} LOOP EXECUTE format("
        f"'CREATE TABLE {schema}.t%s (id int PRIMARY KEY, kind int NOT NULL)', n);"
        " IF n % 50 = 49 THEN COMMIT; END IF; END LOOP; END $$"
    )


@pytest.fixture
def small(server: Server) -> Iterator[Server]:
    with server.restarted(**SMALL):
        yield server


@pytest.fixture
def many(small: Server, databases: Callable[..., Database]) -> Database:
    """A database with many tables in the schema `much`, and fifty in `busy`, on a server with a small lock table."""
    database = databases(shop=False)
    assert database.server is small
    make_tables(database, "much", TABLES)
    make_tables(database, "busy", 50)
    return database


@pytest.fixture
def run(many: Database) -> Run:
    return lambda module, **options: run_module(module, **{"dsn": many.dsn, **options})


@contextlib.contextmanager
def application(database: Database) -> Iterator[list[str]]:
    """An application that takes fifty locks again and again; what it was refused is in the list at the end."""
    refused: list[str] = []
    over = threading.Event()
    begun = threading.Event()

    def work() -> None:
        with contextlib.closing(psycopg2.connect(database.dsn)) as connection:
            # Not the tables that a task locks: their locks would be waited for.
            relations = ", ".join(f"busy.t{number}" for number in range(50))
            while not over.is_set():
                with connection.cursor() as cursor:
                    try:
                        cursor.execute(f"LOCK TABLE {relations} IN SHARE MODE")
                    except psycopg2.Error as error:
                        refused.append(str(error))
                connection.rollback()
                begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(10)
        yield refused
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    with contextlib.closing(psycopg2.connect(database.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def converge(many: Database, run: Run, module: str, parts: int, **options: object) -> dict[str, object]:
    """Runs it while an application works, and again: it is done in so many transactions, and then nothing is left to do."""
    planned = run(module, check=True, **options)
    with application(many) as refused:
        result = run(module, **options)
    assert result.get("changed"), result["msg"]
    assert refused == []
    assert result["queries"] == planned["queries"]
    for each in (planned, result):
        (warning,) = (text for text in each["warnings"] if "transactions" in text)
        assert f"it is done in {parts} transactions." in warning
        assert f"a transaction may take {ROOM}, half of what the server has room for" in warning
        assert "(max_locks_per_transaction = 10)" in warning
    assert not run(module, **options)["changed"]
    return result


def published(database: Database) -> int:
    return database.sql("SELECT count(*) FROM pg_publication_rel")[0][0]


def too_much_at_once(database: Database, statement: str) -> None:
    with pytest.raises(psycopg2.errors.OutOfMemory):
        database.sql(statement)


PUBLISH = {"tables_from_schemas": ["much"]}


@pytest.mark.postgres(14, 16, 18)
def test_a_large_publication_is_made_filled_emptied_and_dropped_in_parts(many: Database, run: Run) -> None:
    names = [f"much.t{number}" for number in range(TABLES)]
    too_much_at_once(many, "CREATE PUBLICATION p FOR TABLE " + ", ".join(names))
    result = converge(many, run, "publication", TABLES // ROOM, name="made", **PUBLISH)
    assert result["queries"][0].startswith('CREATE PUBLICATION "made" FOR TABLE "much"."t0", ')
    assert len(result["queries"]) == TABLES // ROOM
    assert published(many) == TABLES
    # A table takes two locks to leave.
    result = converge(many, run, "publication", 2 * (TABLES - 100) // ROOM, name="made", tables=names[:100])
    assert published(many) == 100
    result = converge(many, run, "publication", (TABLES - 100) // ROOM, name="made", **PUBLISH)
    assert published(many) == TABLES
    result = converge(many, run, "publication", 2 * (TABLES - 100) // ROOM + 1, name="made", state="absent")
    assert result["queries"][-1] == 'DROP PUBLICATION "made"'


@pytest.mark.postgres(16, 18)
def test_a_table_is_never_missed_while_its_row_filter_changes(many: Database, run: Run) -> None:
    names = [f"much.t{number}" for number in range(400)]
    many.sql("CREATE PUBLICATION made FOR TABLE %s" % ", ".join(names[:90]))
    many.sql("ALTER PUBLICATION made ADD TABLE %s" % ", ".join(names[90:180]))
    changed = [{"name": name, "where": "id > 0"} for name in names[50:180]]
    result = converge(many, run, "publication", 7, name="made", tables=[*changed, *names[180:400]])
    verbs = [query.split()[3] for query in result["queries"]]
    # What is new, what changes, and only then what leaves.
    assert verbs == ["ADD"] * 3 + ["DROP", "ADD"] * 3 + ["DROP"]
    for leaves, comes in zip(result["queries"][3:8:2], result["queries"][4:9:2], strict=True):
        assert leaves.count('"much".') == comes.count('"much".') == comes.count("WHERE") <= ROOM // 2
    assert published(many) == 350


@pytest.mark.postgres(18)
def test_what_cannot_be_cut_is_refused_before_it_starts(many: Database, run: Run) -> None:
    names = [f"much.t{number}" for number in range(80)]
    many.sql("CREATE PUBLICATION made FOR TABLE %s" % ", ".join(names))
    options = {
        "name": "made",
        "tables": [{"name": name, "where": "id > 0"} for name in names],
        "publish_via_partition_root": True,
    }
    for check in (True, False):
        failed = run("publication", check=check, **options)
        assert "This cannot be cut and takes about 160 locks, but a transaction may take 100" in failed["msg"]
        assert "Nothing was changed. Raise max_locks_per_transaction to 16" in failed["msg"]
    # One after the other is fine.
    assert run("publication", name="made", tables=options["tables"])["changed"]
    assert run("publication", **options)["changed"]


@pytest.mark.postgres(18)
def test_a_role_that_owns_more_than_can_change_hands_at_once_is_refused(many: Database, run: Run) -> None:
    many.sql("CREATE ROLE leaving; GRANT leaving TO CURRENT_USER; GRANT CREATE ON SCHEMA much TO leaving")
    for number in range(60):
        many.sql(f"ALTER TABLE much.t{number} OWNER TO leaving")
    failed = run("role", name="leaving", state="absent", reassign_owned_to=OWNER)
    assert "takes about 120 locks, but a transaction may take 100" in failed["msg"]
    assert 'REASSIGN OWNED BY "leaving"' in failed["msg"]
    assert "Raise max_locks_per_transaction to 12" in failed["msg"]


@pytest.mark.postgres(14, 16, 18)
def test_privileges_on_many_named_tables_are_given_and_taken(many: Database, run: Run) -> None:
    many.sql("CREATE ROLE reading")
    options = {
        "role": "reading",
        "schemas": ["much"],
        "schema_privileges": ["USAGE"],
        "exclude_tables": ["much.t7"],
        "table_privileges": ["SELECT"],
    }
    if many.server.major < 18:  # GRANT locks no tables there
        result = run("grant", **options)
        assert len(result["queries"]) == 2
        assert not run("grant", **options)["changed"]
        return
    too_much_at_once(
        many, "GRANT SELECT ON TABLE %s TO reading" % ", ".join(f"much.t{number}" for number in range(TABLES))
    )
    converge(many, run, "grant", 14, **options)
    granted = "SELECT count(*) FROM pg_class WHERE relacl::text LIKE '%%reading=r/%%'"
    assert many.sql(granted) == [(TABLES - 1,)]
    converge(many, run, "grant", 14, **options, state="absent")
    assert many.sql(granted) == [(0,)]


@pytest.mark.postgres(18)
def test_default_privileges_in_many_schemas_are_given(many: Database, run: Run) -> None:
    many.sql("CREATE ROLE reading")
    schemas = [f"s{number}" for number in range(150)]
    for start in range(0, 150, 50):
        many.sql("; ".join(f"CREATE SCHEMA {name}" for name in schemas[start : start + 50]))
    result = converge(many, run, "grant", 2, role="reading", schemas=schemas, default_table_privileges=["SELECT"])
    assert len(result["queries"]) == 2
    assert many.sql("SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE '%%reading=r/%%'") == [(150,)]


@pytest.mark.postgres(14, 18)
def test_replica_identities_of_many_tables_are_set(many: Database, run: Run) -> None:
    too_much_at_once(many, "; ".join(f"ALTER TABLE much.t{number} REPLICA IDENTITY FULL" for number in range(TABLES)))
    converge(many, run, "replica_identity", 13, schemas=["much"], identity="full")
    full = "SELECT count(*) FROM pg_class WHERE relnamespace = 'much'::regnamespace AND relreplident = 'f'"
    assert many.sql(full) == [(TABLES,)]


@pytest.mark.postgres(14, 18)
def test_a_failure_in_the_middle_says_what_stays_and_the_next_run_does_the_rest(many: Database, run: Run) -> None:
    names = sorted(f"much.t{number}" for number in range(250))
    options = {"name": "made", "tables": names}
    with locked(many, names[-1]):
        failed = run("publication", lock_timeout=1, **options)
    assert failed["failed"]
    assert failed["sqlstate"] == "55P03"
    assert (
        'A part was done and stays; running again does the rest: ALTER PUBLICATION "made" ADD TABLE "much".'
        in failed["msg"]
    )
    assert len(failed["msg"]) < 1500
    assert published(many) == 200
    rest = run("publication", **options)
    assert rest["changed"]
    assert rest["warnings"] == []
    assert published(many) == 250
    assert not run("publication", **options)["changed"]
    # In the first of several everything is rolled back as ever.
    with locked(many, names[0]):
        failed = run("replica_identity", lock_timeout=1, tables=names, identity="full")
    assert "Nothing was changed." in failed["msg"]


@pytest.mark.postgres(18)
def test_what_somebody_drops_meanwhile_is_left_out_of_the_rest(many: Database, run: Run) -> None:
    names = sorted(f"much.t{number}" for number in range(TABLES))
    # Who waits for the lock finds the table gone.
    with contextlib.closing(psycopg2.connect(many.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {names[-1]}")
        timer = threading.Timer(1, connection.commit)
        timer.start()
        result = run("publication", name="made", **PUBLISH)
        timer.join()
    assert result["changed"], result["msg"]
    assert published(many) == TABLES - 1
    (creation,) = (query for query in result["queries"] if query.startswith("CREATE"))
    assert creation == result["queries"][0]
    assert sum(query.count('"much".') for query in result["queries"]) == TABLES - 1


CONNECTOR = {"connector_user": "streamkap_user", "connector_password": PASSWORD}


def tasks(schemas: list[str]) -> dict[str, tuple[str, dict[str, object]]]:
    """A task of every module, in the order in which they make a database ready."""
    return {
        "role": ("role", {"name": "streamkap_role", "login": False}),
        "user": (
            "role",
            {"name": "streamkap_user", "password": PASSWORD, "replication": True, "member_of": ["streamkap_role"]},
        ),
        "grant": (
            "grant",
            {
                "role": "streamkap_role",
                "schemas": schemas,
                "schema_privileges": ["USAGE"],
                "table_privileges": ["SELECT"],
                "default_table_privileges": ["SELECT"],
            },
        ),
        "signal_table": ("signal_table", {"grant_to": ["streamkap_role"]}),
        "heartbeat_table": ("heartbeat_table", {"grant_to": ["streamkap_role"]}),
        "replica_identity": ("replica_identity", {"schemas": schemas, "identity": "full"}),
        "publication": ("publication", {"name": "streamkap_pub", "tables_from_schemas": [*schemas, "streamkap"]}),
        "slot": ("slot", {"name": "streamkap_pgoutput_slot"}),
        "readiness_info": ("readiness_info", {**CONNECTOR, "schemas": schemas}),
        "dropping": ("publication", {"name": "streamkap_pub", "state": "absent"}),
        "leaving": ("role", {"name": "streamkap_role", "state": "absent", "reassign_owned_to": OWNER}),
    }


def messages(database: Database, schemas: int, tables: int) -> dict[str, list[int]]:
    """How many messages each task sends that finds something to do, and that finds nothing: a line each of the server's log."""
    names = [f"s{number}" for number in range(schemas)]
    for name in names:
        make_tables(database, name, tables // schemas)
    counts = {}
    for task, (module, options) in tasks(names).items():
        if task == "dropping":
            database.sql("SELECT pg_drop_replication_slot('streamkap_pgoutput_slot')")
        counts[task] = []
        for changed in (module != "readiness_info", False):
            before = len(database.server.log)
            result = run_module(module, dsn=database.dsn, **options)
            assert result.get("changed") == changed, (task, result.get("msg"))
            log = database.server.log[before:]
            counts[task].append(log.count("LOG:  statement: ") + log.count("LOG:  received replication command: "))
    return counts


@pytest.mark.postgres(18)
def test_every_module_sends_as_many_messages_for_a_thousand_tables_as_for_ten(
    databases: Callable[..., Database],
) -> None:
    # One after the other, because roles belong to the whole server.
    few, many, spread = (
        messages(databases(shop=False), schemas, tables) for schemas, tables in ((1, 10), (1, 1000), (50, 1000))
    )
    assert few == many == spread
    assert all(unchanged == 1 for task, (_first, unchanged) in few.items() if task not in ("user", "readiness_info"))
