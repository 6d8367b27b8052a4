# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""readiness_info on real servers: each check fails alone, its remedy mends it, and looking changes nothing."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator

import psycopg2
import pytest
import trustme
from ansible_collections.streamkap.neon.plugins.module_utils._readiness import look

from debezium import every_type
from support import neon
from support.modules import run_module
from support.neon import Database
from support.postgres import Server
from support.readiness_cases import CASES, PASSWORD, TASKS, USER, VERSIONS, Case, Ready
from support.remedy_cases import AWKWARD

# What setup does, module by module.
STEPS: list[tuple[str, dict[str, object]]] = [
    ("role", {"name": "streamkap_role", "login": False}),
    (
        "role",
        {"name": USER, "password": "Made-up-4-of-the-tests", "replication": True, "member_of": ["streamkap_role"]},
    ),
    (
        "grant",
        {
            "role": "streamkap_role",
            "database_privileges": ["CONNECT"],
            "schemas": ["app", "billing"],
            "schema_privileges": ["USAGE", "CREATE"],
            "table_privileges": ["SELECT"],
            "default_table_privileges": ["SELECT"],
        },
    ),
    ("signal_table", {"grant_to": ["streamkap_role"]}),
    ("heartbeat_table", {"grant_to": ["streamkap_role"]}),
    (
        "publication",
        {
            "tables_from_schemas": ["app", "billing"],
            "tables": ["streamkap.streamkap_signal", "streamkap.streamkap_heartbeat"],
            "publish_via_partition_root": True,
        },
    ),
    ("slot", {"publication": "streamkap_pub"}),
]


@pytest.fixture(scope="module")
def tuned(server: Server) -> Iterator[Server]:
    """The server with what a look finds wanting about one of the tests': encryption, and a bound for slots."""
    certificate = trustme.CA().issue_cert("localhost")
    folder = server.folder / "data"
    for name, pem in (
        ("server.crt", certificate.cert_chain_pems[0]),
        ("server.key", certificate.private_key_pem),
    ):
        server.write(folder / name, pem.bytes())
    settings = {"ssl": "on", "max_slot_wal_keep_size": "8GB"}
    tuning = Ready(Database(server, "postgres"), [])
    tuning.configure(**settings)
    yield server
    for name in settings:
        server.sql(f"ALTER SYSTEM RESET {name}")
    server.sql("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def statements(tuned: Server) -> list[tuple[str, str]]:
    """What the modules do to make a database ready, to be done again in a moment for every test."""
    done = []
    with neon.isolated(tuned):
        database = neon.fresh_database(tuned)
        for module, options in STEPS:
            # Before PostgreSQL 16 it takes a superuser to make the user.
            dsn = database.admin_dsn if tuned.major < 16 and options.get("name") == USER else database.dsn
            result = run_module(module, dsn=dsn, **options)
            assert result["changed"], result["msg"]
            done += [("admin" if dsn == database.admin_dsn else "owner", query) for query in result["queries"]]
    return [(who, query) for who, query in done if "DATABASE" not in query]


@pytest.fixture
def ready(tuned: Server, statements: list[tuple[str, str]]) -> Iterator[Ready]:
    with neon.isolated(tuned):
        database = neon.fresh_database(tuned)
        publishing = [query for _who, query in statements if query.startswith("CREATE PUBLICATION")]
        ready = Ready(database, publishing)
        ready.admin(f'GRANT CONNECT ON DATABASE "{database.name}" TO PUBLIC')
        for who in ("admin", "owner"):
            if who == "admin" and tuned.major < 16:
                # The group comes first, and its owner may add members.
                ready.owner(*(query for by, query in statements if by == "owner" and 'ROLE "streamkap_role"' in query))
            getattr(ready, who)(
                *(
                    query
                    for by, query in statements
                    if by == who and not (tuned.major < 16 and by == "owner" and 'ROLE "streamkap_role"' in query)
                )
            )
        yield ready
        tuning = Ready(Database(tuned, "postgres"), [])
        tuning.configure(ssl="on", max_slot_wal_keep_size="8GB")


def failing(result: dict[str, object]) -> dict[str, dict[str, object]]:
    return {check["id"]: check for check in result["checks"] if check["status"] == "fail"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "check" in metafunc.fixturenames:
        tasks = metafunc.function is test_the_task_of_a_remedy_mends_it_too
        parameters = [
            pytest.param(check, marks=pytest.mark.postgres(*({14, 18} & set(majors) if tasks else majors)))
            for check, majors in VERSIONS.items()
            if not tasks or check in TASKS
        ]
        metafunc.parametrize("check", parameters)


@pytest.fixture
def case(ready: Ready, check: str) -> Iterator[Case]:
    assert not failing(ready.look())
    yield from CASES[check](ready)


def test_every_check_has_a_case() -> None:
    from ansible_collections.streamkap.neon.plugins.module_utils._resources.readiness import CHECKS

    assert {check.id for check in CHECKS} == set(CASES)


def test_check_fails_alone_and_what_it_says_mends_it(ready: Ready, check: str, case: Case) -> None:
    found = failing(ready.look(**case.options))
    assert set(found) == {check} | case.also
    assert found[check]["found"]
    assert found[check]["remedy"]
    assert bool(found[check]["task"]) == (check in TASKS)
    _mend(ready, case, found[check])
    result = ready.look(**(case.options if case.mended_options is None else case.mended_options))
    assert set(failing(result)) <= case.then
    assert check in {one["id"] for one in result["checks"] if one["status"] == "pass"}


def _mend(ready: Ready, case: Case, failed: dict[str, object]) -> None:
    if case.mend:
        case.mend()
        return
    assert failed["sql"], "the remedy holds no SQL, and the case says not how else to mend it"
    password = case.options.get("connector_password", PASSWORD)
    statements = [statement.replace(":'password'", f"'{password}'") for statement in failed["sql"]]
    as_admin = case.admin or (case.admin_before_16 and ready.server.major < 16)
    (ready.admin if as_admin else ready.owner)(*statements)
    if case.after:
        case.after()


def test_the_task_of_a_remedy_mends_it_too(ready: Ready, check: str, case: Case) -> None:
    failed = failing(ready.look(**case.options))[check]
    ((name, options),) = failed["task"].items()
    password = case.options.get("connector_password", PASSWORD)
    options = {key: password if value == "{{ streamkap_password }}" else value for key, value in options.items()}
    as_admin = case.admin or (case.admin_before_16 and ready.server.major < 16)
    database = ready.database
    result = run_module(
        name.removeprefix("streamkap.neon."), dsn=database.admin_dsn if as_admin else database.dsn, **options
    )
    assert not result.get("failed"), result["msg"]
    assert check not in failing(ready.look(**case.options))


def _traces(ready: Ready) -> object:
    """What would move if anything was written."""
    ready.admin("CHECKPOINT")
    return ready.database.admin(
        "SELECT pg_current_wal_insert_lsn(), pg_current_snapshot(), (SELECT json_agg(s ORDER BY slot_name) FROM ("
        " SELECT slot_name, restart_lsn, confirmed_flush_lsn, active FROM pg_replication_slots) AS s)::text"
    )


@pytest.mark.every_version
def test_a_look_writes_nothing(ready: Ready) -> None:
    # Who reads a page first after a change notes there what is committed, and with checksums that goes into the WAL once.
    ready.look()
    before = _traces(ready)
    ready.look()

    def look_as_both() -> None:
        result = ready.look(connector_password=PASSWORD)
        assert result["connector"] == {"user": USER, "looked": True}
        assert result["changed"] is False

    ready.server.assert_writes_no_wal(look_as_both)
    assert _traces(ready)[0][1:] == before[0][1:]


def test_a_hot_standby_can_be_looked_at(ready: Ready) -> None:
    with ready.server.standby() as server:
        server.catch_up()
        result = ready.look(dsn=Database(server, ready.database.name).dsn)
        assert set(failing(result)) == {"primary_server"}


@pytest.mark.every_version
def test_any_role_may_look(ready: Ready) -> None:
    ready.admin("CREATE ROLE passer_by LOGIN PASSWORD 'Passer-by-2-of-the-tests'")
    dsn = ready.database.dsn_as("passer_by", "Passer-by-2-of-the-tests")
    result = ready.look(dsn=dsn, connector_password=None)
    assert set(failing(result)) == {"publication_owner"}
    skipped = {check["id"]: check["reason"] for check in result["checks"] if check["status"] == "skipped"}
    assert skipped["heartbeat_table_row"].startswith("The current role may not read it, somebody has locked it, or")
    assert skipped["connector_login"].startswith("connector_password was not given")
    assert ready.look(dsn=ready.database.dsn_as(USER, PASSWORD))["ready"]
    ready.owner("DROP PUBLICATION streamkap_pub")
    remedy = failing(ready.look(dsn=dsn, connector_password=None))["publication_exists"]["remedy"]
    assert (
        "The current role, passer_by, may not: it lacks CREATE on the database and is no member of app_owner" in remedy
    )


@pytest.mark.newest_version
def test_a_refused_login_has_the_remedy_of_its_reason(ready: Ready) -> None:
    """Only a wrong password is one; that is in readiness_cases.py."""
    name, database = neon.quoted(USER), neon.quoted(ready.database.name)
    hba = ready.server.folder / "data" / "pg_hba.conf"
    lines = hba.read_bytes()
    for broken, mended, remedy in (
        (
            f"ALTER ROLE {name} CONNECTION LIMIT 0",
            f"ALTER ROLE {name} CONNECTION LIMIT -1",
            "ALTER ROLE ... CONNECTION LIMIT",
        ),
        (
            f"ALTER DATABASE {database} CONNECTION LIMIT 0",
            f"ALTER DATABASE {database} CONNECTION LIMIT -1",
            "ALTER DATABASE ... CONNECTION LIMIT",
        ),
        (f"host all {USER} all reject", "", "refuses this user from here"),
        (f"host all {USER} all ident", "", "(ident)"),
        (f"local all {USER} peer", "", "(peer)"),
    ):
        if mended:
            ready.admin(broken)
        else:
            ready.server.write(hba, broken.encode() + b"\n" + lines)
            ready.admin("SELECT pg_reload_conf()")
        try:
            # The superuser is not counted in the database's limit.
            dsn = ready.database.admin_dsn + (f"?host={ready.server.folder}" if "local" in broken else "")
            found = failing(ready.look(dsn=dsn, connect_timeout=5))["connector_login"]
        finally:
            ready.server.write(hba, lines)
            ready.admin(mended or "SELECT pg_reload_conf()")
        assert remedy in found["remedy"], found
        assert not found["sql"]
        assert not found["task"]


def test_single_tables_are_looked_at_without_their_schemas(ready: Ready) -> None:
    result = ready.look(schemas=[], tables=["app.orders", "app.Orders"])
    assert [table["name"] for table in result["tables"]] == ["app.orders"]
    found = failing(result)
    assert set(found) == {"tables_exist", "no_extra_tables", "no_other_schemas"}
    assert found["tables_exist"]["objects"] == ["app.Orders"]
    assert "app.orders" not in found["no_extra_tables"]["objects"]


def test_remedies_grant_to_the_user_where_it_is_in_no_group(ready: Ready) -> None:
    ready.owner("REVOKE SELECT ON app.orders FROM streamkap_role")
    to_group = failing(ready.look())["tables_readable"]
    to_user = failing(ready.look(connector_role="of_nobody"))["tables_readable"]
    assert to_group["sql"] == ['GRANT SELECT ON TABLE "app"."orders" TO "streamkap_role"']
    assert to_user["sql"] == [f'GRANT SELECT ON TABLE "app"."orders" TO "{USER}"']
    assert to_user["task"]["streamkap.neon.grant"]["role"] == USER


@pytest.mark.every_version
def test_all_failures_come_at_once(run) -> None:
    result = run("readiness_info", schemas=["app", "nowhere"], connector_password=PASSWORD)
    assert not result["ready"]
    assert {"user_exists", "tables_exist", "publication_exists", "slot_exists", "signal_table_exists"} <= set(
        failing(result)
    )
    assert sum(result["counts"].values()) == len(result["checks"])


@pytest.mark.database(neon=True)
def test_on_neon_a_user_of_the_consoles_has_rights_that_sql_cannot_take_back(run) -> None:
    result = run(
        "readiness_info", schemas=["app"], connector_user=neon.CONSOLE_USER, connector_password=neon.CONSOLE_PASSWORD
    )
    excess = failing(result)["no_excess_rights"]
    assert "CREATEROLE, CREATEDB, a member of neon_superuser" in excess["found"]
    assert "user made by SQL" in excess["remedy"]
    assert not [statement for statement in excess["sql"] if "neon_superuser" in statement]
    # It reads everything, and has REPLICATION of its own.
    assert not {"user_replication", "replication_connection", "tables_read", "default_privileges"} & set(
        failing(result)
    )


@pytest.mark.database(neon=True)
def test_on_neon_what_the_server_lacks_is_the_projects_matter(server: Server, run) -> None:
    with server.restarted(wal_level="replica", max_wal_senders=2):
        found = failing(run("readiness_info", schemas=["app"]))
    assert "settings of the Neon project" in found["wal_level"]["remedy"]
    assert "Neon's support" in found["wal_senders_enough"]["remedy"]
    assert found["wal_level"]["sql"] == found["wal_senders_enough"]["sql"] == []


def test_a_policy_that_shows_all_rows_is_as_good_as_none(ready: Ready) -> None:
    ready.owner("ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY", "CREATE POLICY one ON app.orders USING (id = 1)")
    assert set(failing(ready.look())) == {"row_security"}
    ready.owner(f"CREATE POLICY all_rows ON app.orders FOR SELECT TO {USER} USING (true)")
    assert not failing(ready.look())
    ready.owner("CREATE POLICY but ON app.orders AS RESTRICTIVE USING (id > 5)")
    assert set(failing(ready.look())) == {"row_security"}


def test_a_locked_table_is_not_waited_for(ready: Ready) -> None:
    ready.owner(
        "CREATE TABLE app.visits (day date PRIMARY KEY) PARTITION BY RANGE (day)",
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.visits",
    )
    with contextlib.closing(psycopg2.connect(ready.database.dsn)) as session:
        session.cursor().execute("LOCK TABLE app.orders, app.visits, streamkap.streamkap_signal")
        checks = {check["id"]: check for check in ready.look()["checks"]}
    assert checks["signal_table_writable"]["reason"] == "streamkap.streamkap_signal is locked by somebody just now."
    # What is no more than a table is not opened at all.
    assert checks["tables_read"]["status"] == "skipped"
    assert checks["tables_read"]["reason"] == "Locked by somebody just now: app.visits. The others can be read."


def test_the_connectors_session_is_asked_for_its_right_to_each_table(ready: Ready) -> None:
    ready.owner("REVOKE SELECT ON app.orders FROM streamkap_role", "REVOKE USAGE ON SCHEMA billing FROM streamkap_role")
    names = ("app.customers", "app.orders", "billing.payments")
    customers, orders, payments = (
        ready.database.sql(f"SELECT '{name}'::regclass::oid::bigint")[0][0] for name in names
    )
    version = ready.server.major * 10000
    statements = look.connectors(version, [customers, orders, payments, 4294967295], [], None, None, None)
    with contextlib.closing(psycopg2.connect(ready.database.dsn_as(USER, PASSWORD))) as session:
        cursor = session.cursor()
        cursor.execute(";".join(statements))
        assert sorted(cursor.fetchone()[0]["withheld"]) == sorted([orders, payments, 4294967295])


@pytest.mark.postgres(14, 18)
def test_columns_that_debezium_leaves_out_are_named(ready: Ready) -> None:
    """What tests/debezium has measured is what is told."""
    ready.admin(every_type.TABLE, "ALTER PUBLICATION streamkap_pub ADD TABLE app.every_type")
    found = failing(ready.look())
    assert found["column_types"]["objects"] == ["app.every_type"]
    named = re.findall(r"(\w+) [^,()]+(?:\([^)]*\))?(?:\[\])*(?=[,)])", found["column_types"]["found"].split("(", 1)[1])
    assert sorted(named) == sorted(every_type.MISSING + every_type.WITHOUT_VALUE + every_type.NONSENSE)


@pytest.mark.newest_version
@pytest.mark.parametrize("whose", ["role", "database", "role in the database"])
def test_a_connector_whose_transactions_are_read_only_cannot_write(whose: str, ready: Ready) -> None:
    database = f'DATABASE "{ready.database.name}"'
    target = {"role": f"ROLE {USER}", "database": database}.get(whose, f"ROLE {USER} IN {database}")
    ready.admin(f"ALTER {target} SET default_transaction_read_only = on")
    for password in (PASSWORD, None):
        found = failing(ready.look(connector_password=password))
        assert set(found) == {"signal_table_writable", "heartbeat_table_writable"}
    ready.owner(*found["signal_table_writable"]["sql"])
    assert not failing(ready.look())


@pytest.mark.newest_version
def test_settings_of_the_administrators_are_not_the_connectors(ready: Ready) -> None:
    own = {"connect_params": {"options": "-c intervalstyle=sql_standard -c extra_float_digits=0"}}
    assert not failing(ready.look(connector_password=None, **own))
    ready.admin(f'ALTER DATABASE "{ready.database.name}" SET bytea_output = escape')
    found = failing(ready.look(connector_password=None, **own))
    assert found["value_formats"]["objects"] == ["bytea_output"]
    ready.owner(*found["value_formats"]["sql"])
    assert not failing(ready.look())


# What is published of a table (id int PRIMARY KEY, v text, w text).
PARTS = ["", " (id, v)", " (v)", " WHERE (w > 'a')", " WHERE (id > 0)", " (id, v) WHERE (v > 'a')"]


@pytest.mark.postgres(15, 18)
@pytest.mark.parametrize("via_root", [True, False])
def test_every_leaf_is_judged_as_postgresql_does(via_root: bool, ready: Ready) -> None:
    """Whatever the identities of partitions and what they are partitions of, what is called failing fails, and nothing else."""
    statements = [f"ALTER PUBLICATION streamkap_pub SET (publish_via_partition_root = {via_root})"]
    variants = itertools.product(PARTS, ("DEFAULT", "FULL", "NOTHING"), ("DEFAULT", "FULL", None))
    for number, (part, leaf, root) in enumerate(variants):
        name = f"app.t{number}"
        columns = "id int PRIMARY KEY, v text, w text"
        if root is None:
            statements += [f"CREATE TABLE {name} ({columns})", f"ALTER TABLE {name} REPLICA IDENTITY {leaf}"]
        else:
            statements += [
                f"CREATE TABLE {name} ({columns}) PARTITION BY RANGE (id)",
                f"CREATE TABLE {name}_1 PARTITION OF {name} DEFAULT",
                f"ALTER TABLE ONLY {name} REPLICA IDENTITY {root}",
                f"ALTER TABLE {name}_1 REPLICA IDENTITY {leaf}",
            ]
        # Only what is published via the root can be published in part as a whole.
        published = f"{name}_1" if root and not via_root else name
        statements.append(f"ALTER PUBLICATION streamkap_pub ADD TABLE {published}{part}")
    ready.owner(*statements)
    found = failing(ready.look())
    named = {
        name
        for check in ("replica_identity", "column_lists", "row_filters_use_key")
        for name in found.get(check, {"objects": []})["objects"]
    }
    leaves = {
        name
        for (name,) in ready.database.sql(
            "SELECT format('%s.%s', relnamespace::regnamespace, relname) FROM pg_class"
            " WHERE relnamespace IN ('app'::regnamespace, 'billing'::regnamespace) AND relkind = 'r'"
        )
    }
    assert named == leaves - _tables_that_can_be_changed(ready)
    assert len(named) > 20


def test_a_domain_over_an_enum_is_named(ready: Ready) -> None:
    ready.owner("CREATE TYPE app.colour AS ENUM ('red')", "CREATE DOMAIN billing.tint AS app.colour")
    (found,) = failing(ready.look()).values()
    assert found["id"] == "types_loadable"
    assert "billing.tint (a domain over an enum)" in found["found"]


def test_a_connector_that_is_refused_the_look_is_no_failure_of_the_task(ready: Ready) -> None:
    ready.admin("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    result = ready.look()
    assert not failing(result)
    skipped = {check["id"]: check["reason"] for check in result["checks"] if check["status"] == "skipped"}
    assert "permission denied for language plpgsql" in skipped["acts_as_itself"]
    assert "permission denied for language plpgsql" in skipped["tables_read"]


def test_no_secret_is_told(ready: Ready) -> None:
    ready.admin(f"ALTER ROLE {USER} PASSWORD 'Very-secret-8-of-the-tests'")
    for password in ("Very-secret-8-of-the-tests", "Quite-wrong-9-of-the-tests"):
        result = json.dumps(ready.look(connector_password=password))
        assert password not in result
        assert "7-of-the-tests" not in result


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_ten_thousand_tables_take_as_many_round_trips_as_one(ready: Ready) -> None:
    few = _messages(ready, schemas=["app"])
    ready.admin("CREATE EXTENSION IF NOT EXISTS plpgsql")
    for schema in range(100):
        ready.owner(
            f"CREATE SCHEMA many_{schema}",
            f"DO $$ BEGIN FOR n IN 1..100 LOOP EXECUTE format("
            f"'CREATE TABLE many_{schema}.t%s (id int PRIMARY KEY, name text, at timestamptz)', n); END LOOP; END $$",
            f"GRANT USAGE ON SCHEMA many_{schema} TO streamkap_role",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA many_{schema} TO streamkap_role",
        )
    schemas = [f"many_{schema}" for schema in range(100)]
    many = _messages(ready, schemas=schemas)
    assert many == few
    result = ready.look(schemas=schemas)
    assert len(result["tables"]) == 10000
    assert not {"tables_read", "tables_readable"} & set(failing(result))
    assert len(failing(result)["tables_published"]["objects"]) == 10000


def _messages(ready: Ready, **options: object) -> int:
    """How many messages the server got: every one is a line of its log, which writes all statements."""
    before = len(ready.server.log)
    # So long that a slow answer makes nobody ask from a second session who is in the way.
    ready.look(lock_timeout=300, statement_timeout=300, **options)
    log = ready.server.log[before:]
    return log.count("LOG:  statement: ") + log.count("LOG:  received replication command: ")


@pytest.mark.newest_version
@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(
            name,
            way,
            marks=[
                pytest.mark.postgres(*awkward.majors),
                *([pytest.mark.full] if way == "task" and name != "parts" else []),
            ],
        )
        for way in ("sql", "task")
        for name, awkward in AWKWARD.items()
    ],
)
def test_no_remedy_stops_the_applications_updates_and_deletes(name: str, way: str, ready: Ready) -> None:
    awkward = AWKWARD[name]
    (ready.admin if awkward.as_admin else ready.owner)(*awkward.statements)
    options = {**awkward.options, "read_slot": False}
    tried: set[tuple[str, str]] = set()
    for _look in range(30):
        found = failing(ready.look(**options))
        remedies = [(check, str(found[check][way])) for check in found if found[check][way]]
        due = [remedy for remedy in remedies if remedy not in tried and remedy[0] not in NO_MATTER]
        if not due:
            break
        check, _text = due[0]
        tried.add(due[0])
        going_on = _tables_that_can_be_changed(ready)
        if way == "sql":
            (ready.admin if awkward.as_admin else ready.owner)(*found[check]["sql"])
        else:
            ((module, arguments),) = found[check]["task"].items()
            dsn = ready.database.admin_dsn if awkward.as_admin else ready.database.dsn
            result = run_module(module.removeprefix("streamkap.neon."), dsn=dsn, **arguments)
            assert not result.get("failed"), (check, result["msg"])
        assert going_on <= _tables_that_can_be_changed(ready), (check, found[check][way])
    found = failing(ready.look(**options))
    if way == "task":
        return
    assert _tables_that_can_be_changed(ready) == _tables(ready)
    left = {check: set(each["objects"]) for check, each in found.items() if check not in {*NO_MATTER, *awkward.failing}}
    assert left == awkward.undecided


# That a publication was made or altered is what the remedies do, and rows that are filtered out may be meant to be.
NO_MATTER = {"slot_publication_known", "no_row_filters", "publication_owner"}


def _tables(ready: Ready) -> set[str]:
    return {
        name
        for (name,) in ready.database.admin(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('app', 'billing') AND c.relkind IN ('r', 'p')"
        )
    }


def _tables_that_can_be_changed(ready: Ready) -> set[str]:
    """Those of the application's that it can update and delete rows of."""
    changed = set()
    with contextlib.closing(psycopg2.connect(ready.database.dsn)) as application, application.cursor() as cursor:
        for table in _tables(ready):
            try:
                cursor.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                    " AND attgenerated = '' AND attidentity = '' LIMIT 1",
                    [table],
                )
                column = neon.quoted(cursor.fetchone()[0])
                cursor.execute(f"UPDATE {table} SET {column} = {column}; DELETE FROM {table} WHERE false")
                changed.add(table)
            except psycopg2.errors.Error:
                pass
            application.rollback()
    return changed
