# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module prerequisites: everything at once, as the single modules would have made it, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from support.hurting import PASSWORD, USER, lay_out_what_hurts, make_user_where_sql_cannot, variables
from support.modules import run_module
from support.neon import OWNER, Database
from support.proxy import proxy

Run = Callable[..., dict[str, object]]

# The modules that the whole is made of, and what of the whole each must find done.
ROLE = {"name": "streamkap_role", "login": False}
CONNECTOR = {"name": USER, "password": PASSWORD, "replication": True, "member_of": ["streamkap_role"]}
WANTED = {"connector_password": PASSWORD, "schemas": ["app", "billing"]}


@pytest.fixture(autouse=True)
def user_where_sql_cannot(database: Database) -> None:
    make_user_where_sql_cannot(database.server)


def test_the_single_modules_find_everything_done(database: Database, run: Run) -> None:
    lay_out_what_hurts(database)
    given = variables(database)
    schemas, excluded = given["cdc_schemas"], given["cdc_exclude_tables"]
    result = run(
        "prerequisites",
        connector_password=PASSWORD,
        schemas=schemas,
        exclude_tables=excluded,
        keyless_tables="replica_identity_full",
    )
    assert result["changed"], result
    own = ["streamkap.streamkap_signal", "streamkap.streamkap_heartbeat"]
    for module, options in [
        ("role", ROLE),
        ("role", CONNECTOR),
        (
            "grant",
            {
                "role": "streamkap_role",
                "schemas": schemas,
                "exclude_tables": excluded,
                "database_privileges": ["CONNECT"],
                "schema_privileges": ["USAGE", "CREATE"],
                "table_privileges": ["SELECT"],
                "default_table_privileges": ["SELECT"],
            },
        ),
        ("signal_table", {"grant_to": ["streamkap_role"]}),
        ("heartbeat_table", {"grant_to": ["streamkap_role"]}),
        (
            "replica_identity",
            {"schemas": schemas, "exclude_tables": excluded, "identity": "full", "only_keyless": True},
        ),
        (
            "publication",
            {
                "tables_from_schemas": schemas,
                "exclude_tables": excluded,
                "tables": own,
                "publish_via_partition_root": True,
            },
        ),
        ("slot", {"publication": "streamkap_pub"}),
    ]:
        found = run(module, **options)
        assert found["changed"] is False, (module, found)


def test_a_check_shows_the_statements_that_a_run_sends(run: Run) -> None:
    planned = run("prerequisites", check=True, **WANTED)
    made = run("prerequisites", **WANTED)
    assert planned["queries"] == made["queries"]
    assert planned["diff"] == made["diff"]
    assert not [warning for warning in planned["warnings"] if "does not exist" in warning]
    again = run("prerequisites", **WANTED)
    assert (again["changed"], again["queries"], again["diff"]) == (False, [], {"before": "", "after": ""})
    assert again["prerequisites"] == made["prerequisites"] | {"slot": again["prerequisites"]["slot"]}


def test_the_signal_table_may_lie_in_a_captured_schema(run: Run) -> None:
    assert run("prerequisites", signal_schema="app", **WANTED)["changed"]
    assert run("prerequisites", signal_schema="app", **WANTED)["changed"] is False


@pytest.mark.postgres(17)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schemas": []}, "Nothing to capture: schemas and tables are both empty."),
        ({"connector_role": USER}, f"connector_user and connector_role are both {USER}."),
        ({"schemas": [], "tables": ["app.orders"], "publication_scope": "schemas"}, "and schemas is empty."),
        ({"tables": ["app.Orders"]}, "did you mean app.orders"),
        ({"slot": "Capital"}, "'Capital' cannot be the name of a slot"),
        ({"publication_scope": "all_tables"}, "may publish all tables"),
    ],
)
def test_bad_input_is_named_and_nothing_is_sent(database: Database, run: Run, given: dict, said: str) -> None:
    result = run("prerequisites", **{**WANTED, **given})
    assert said in result["msg"]
    assert database.admin("SELECT count(*) FROM pg_roles WHERE rolname ~ '^streamkap'") == [(0,)]


@pytest.mark.postgres(14, 18)
def test_the_schema_public_of_the_servers_owner_can_be_captured(database: Database, run: Run) -> None:
    """PostgreSQL 14 lets everybody use it and create tables in it; on newer ones the database's owner did so."""
    database.admin("ALTER SCHEMA public OWNER TO cloud_admin; GRANT USAGE, CREATE ON SCHEMA public TO public")
    database.sql("CREATE TABLE public.t (id int PRIMARY KEY)")
    given = {**WANTED, "schemas": ["public"]}
    assert run("prerequisites", **given).get("changed")
    assert run("prerequisites", **given)["queries"] == []
    assert run("readiness_info", connector_user=USER, connector_password=PASSWORD, schemas=["public"])["ready"]


@pytest.mark.postgres(14, 18)
def test_an_owner_whose_rights_are_not_inherited_is_told_with_what_helps(database: Database) -> None:
    """On PostgreSQL 16 and newer a membership WITH INHERIT FALSE, before a role that does not inherit."""
    inherit = database.server.major >= 16
    database.admin(
        "CREATE ROLE stranger; ALTER TABLE app.orders OWNER TO stranger; CREATE ROLE admin_of_app LOGIN CREATEROLE REPLICATION"
        f" PASSWORD '{PASSWORD}' {'' if inherit else 'NOINHERIT'}; GRANT {OWNER}, pg_read_all_data TO admin_of_app;"
        f"GRANT ALL ON DATABASE {database.name} TO admin_of_app;"
        f"GRANT stranger TO admin_of_app {'WITH INHERIT FALSE' if inherit else ''}"
    )
    dsn = database.dsn_as("admin_of_app", PASSWORD)
    for module, options in [
        ("publication", {"name": "p", "tables": ["app.orders"]}),
        ("replica_identity", {"tables": ["app.orders"], "identity": "full"}),
        ("grant", {"role": "stranger_too", "tables": ["app.orders"], "table_privileges": ["SELECT"]}),
    ]:
        refused = run_module(module, dsn=dsn, **options)
        remedy = re.search(
            r"GRANT [^;.)]*TO \"admin_of_app\"( WITH INHERIT TRUE|; ALTER ROLE \"admin_of_app\" INHERIT)",
            refused["msg"],
        )
        assert remedy, refused["msg"]
    assert "stranger" in remedy[0]
    database.admin(remedy[0])
    database.sql("CREATE ROLE stranger_too")
    assert run_module("grant", dsn=dsn, role="stranger_too", tables=["app.orders"], table_privileges=["SELECT"]).get(
        "changed"
    )


@pytest.mark.postgres(16, 17, 18)
@pytest.mark.newest_version
def test_a_publication_of_the_connectors_is_told_with_what_helps(database: Database, run: Run) -> None:
    """As Debezium makes one by itself."""
    assert run("prerequisites", **WANTED, publication="other")["changed"]
    database.admin(
        f"CREATE PUBLICATION streamkap_pub FOR TABLE app.orders; ALTER PUBLICATION streamkap_pub OWNER TO {USER}"
    )
    refused = run("prerequisites", **WANTED)
    assert f"The publication streamkap_pub belongs to {USER}." in refused["msg"]
    (remedy,) = re.findall(r"may, run (GRANT .* WITH INHERIT TRUE);", refused["msg"])
    # It has created the user, and so may.
    database.sql(remedy)
    assert run("prerequisites", **WANTED).get("changed")


@pytest.mark.postgres(18)
def test_a_full_identity_with_a_generated_column_is_told_with_what_helps(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);"
        "ALTER TABLE app.generated REPLICA IDENTITY FULL"
    )
    refused = run("prerequisites", **WANTED)
    assert (
        "app.generated (its replica identity has the generated column twice, which is not published)" in refused["msg"]
    )
    assert "would fail in the application once these tables are published" in refused["msg"]
    assert "identity: default" in refused["msg"]
    assert "publish_generated_columns = stored" in refused["msg"]
    assert "Give each a primary key" not in refused["msg"]
    assert run("replica_identity", tables=["app.generated"], identity="default")["changed"]
    assert run("prerequisites", **WANTED).get("changed")


@pytest.mark.newest_version
def test_names_that_debezium_does_not_match_are_warned_of(database: Database, run: Run) -> None:
    strange = ["a$b", "a+b", "price (net)", "price, net", "x|y"]
    for name in [*strange, "do.t", "with blank", "ünï", 'quo"te']:
        database.sql(f'CREATE TABLE app."{name.replace(chr(34), chr(34) * 2)}" (id int PRIMARY KEY)')
    names = [f"app.{name}" for name in strange]
    for check in (True, False, False):
        result = run("prerequisites", check=check, **WANTED)
        (warning,) = [each for each in result["warnings"] if "Debezium" in each]
        assert f"does not match by their names: {', '.join(names)}. " in warning
    assert result["prerequisites"]["captured_not_matched"] == names
    assert set(names) < set(result["prerequisites"]["captured"])
    assert run("readiness_info", connector_user=USER, schemas=["app"])["captured_not_matched"] == names


@pytest.mark.newest_version
@pytest.mark.postgres(16, 17, 18)
def test_names_with_two_quotes_are_quoted_once(database: Database, run: Run) -> None:
    name = """o''n""e$$l\\%s"""
    quoted = '"%s"' % name.replace('"', '""')
    database.sql(f"CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} (id int PRIMARY KEY)")
    own = {"connector_user": f"{name} user", "connector_role": f"{name} role", "publication": name}
    given = {**WANTED, **own, "schemas": [name]}
    assert run("prerequisites", **given, signal_schema=name)["changed"]
    assert run("prerequisites", **given, signal_schema=name)["queries"] == []
    tables = {
        table: f"{quoted}.streamkap_{table.removesuffix('_table')}" for table in ("signal_table", "heartbeat_table")
    }
    looked = run("readiness_info", **given, **tables)
    assert looked["ready"], looked


@pytest.mark.newest_version
@pytest.mark.parametrize("option", ["connector_user", "connector_role"])
def test_the_administrators_own_role_is_refused_first(database: Database, run: Run, option: str) -> None:
    with_login = "SELECT oid, rolpassword, rolcanlogin, rolreplication FROM pg_authid ORDER BY 1"
    before = database.admin(with_login)
    for given in ({}, {"session_role": "app_owner"}, {"schemas": ["no_such_schema"]}):
        for check in (True, False):
            result = run("prerequisites", check=check, **{**WANTED, option: OWNER, **given})
            assert f"{OWNER} cannot be the connector's" in result["msg"]
            assert "Nothing was changed." in result["msg"]
    assert database.admin(with_login) == before


def test_nothing_stays_when_the_last_of_the_transaction_is_refused(database: Database, run: Run) -> None:
    """Not even the roles, which come first and belong to the whole server."""
    database.admin(
        """
        CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE PUBLICATION') EXECUTE FUNCTION public.refuse()
        """
    )
    roles = database.admin("SELECT rolname, rolreplication FROM pg_roles ORDER BY 1")
    result = run("prerequisites", **WANTED)
    assert "not today" in result["msg"]
    assert "Nothing was changed." in result["msg"]
    assert database.admin("SELECT rolname, rolreplication FROM pg_roles ORDER BY 1") == roles
    assert database.admin("SELECT count(*) FROM pg_namespace WHERE nspname = 'streamkap'") == [(0,)]
    database.admin("DROP EVENT TRIGGER refuse")
    assert run("prerequisites", **WANTED)["changed"]


def test_what_was_done_before_a_refusal_in_a_later_transaction_stays_and_is_said(database: Database, run: Run) -> None:
    database.sql("BEGIN; CREATE TABLE app.keyless (id int); COMMIT")
    with database.server.restarted(max_replication_slots=1):
        # Whoever takes the last slot meanwhile: the look found one free.
        database.admin(
            """
            CREATE FUNCTION public.take() RETURNS event_trigger LANGUAGE plpgsql AS $$
              BEGIN PERFORM pg_create_physical_replication_slot('taken'); END $$;
            CREATE EVENT TRIGGER take ON ddl_command_end WHEN TAG IN ('CREATE PUBLICATION') EXECUTE FUNCTION public.take();
            ALTER FUNCTION public.take() SECURITY DEFINER
            """
        )
        result = run("prerequisites", keyless_tables="replica_identity_full", **WANTED)
        assert "What was done before it stays: " in result["msg"]
        assert "all replication slots are in use" in result["msg"]
        assert database.admin("SELECT pubname FROM pg_publication") == [("streamkap_pub",)]
        database.admin("DROP EVENT TRIGGER take; SELECT pg_drop_replication_slot('taken')")
        again = run("prerequisites", keyless_tables="replica_identity_full", **WANTED)
        assert [query.split("(")[0] for query in again["queries"]][-1] == "SELECT pg_create_logical_replication_slot"
        assert len(again["queries"]) == 2
        database.admin("SELECT pg_drop_replication_slot('streamkap_pgoutput_slot')")


@pytest.mark.postgres(17, 18)
def test_a_table_that_full_replica_identity_does_not_help_is_found_first(database: Database, run: Run) -> None:
    """From 18 on the generated column would have to be published for that."""
    database.sql("CREATE TABLE app.keyless (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    result = run("prerequisites", keyless_tables="replica_identity_full", **WANTED)
    if database.server.major < 18:
        assert result["changed"]
        return
    assert "app.keyless (its replica identity has the generated column twice" in result["msg"]
    assert database.admin("SELECT relreplident FROM pg_class WHERE relname = 'keyless'") == [("d",)]
    assert database.admin("SELECT count(*) FROM pg_roles WHERE rolname ~ '^streamkap'") == [(0,)]


@pytest.mark.postgres(14, 18)
@pytest.mark.parametrize("tables", [10, 1000])
def test_as_many_round_trips_for_any_number_of_tables(database: Database, tables: int) -> None:
    schemas = 1 if tables == 10 else 50
    for schema in range(schemas):
        database.sql(f"CREATE SCHEMA s{schema}")
        database.sql(
            "DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE s%d.t%%s (id int PRIMARY KEY)', i); END LOOP; END $$"
            % (tables // schemas, schema)
        )
    wanted = {"connector_password": PASSWORD, "schemas": [f"s{schema}" for schema in range(schemas)]}
    counts = []
    with proxy(database.server.port) as through:
        for _run in range(2):
            through.reset()
            assert "msg" not in run_module("prerequisites", dsn=through.dsn(database.dsn), **wanted)
            counts.append((through.counts.connections, through.counts.queries))
    # One to look; and where something differs two for the transaction, and two for the slot.
    assert counts == [(1, 5), (1, 1)]


@pytest.mark.parametrize("wanted", [{"tables": ["app.m"]}, {"schemas": ["app"]}], ids=["table", "schema"])
def test_partitions_that_come_under_their_own_names_are_granted_and_listed(
    wanted: dict[str, list[str]], database: Database, run: Run
) -> None:
    database.sql(
        "CREATE SCHEMA parts; CREATE TABLE app.m (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        "CREATE TABLE parts.m1 PARTITION OF app.m FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE parts.m1a PARTITION OF parts.m1 DEFAULT;"
        "CREATE TABLE app.m2 PARTITION OF app.m DEFAULT"
    )
    options = {"connector_password": PASSWORD, "publish_via_partition_root": False, **wanted}
    predicted = run("prerequisites", check=True, **options)
    result = run("prerequisites", **options)
    assert predicted["queries"] == result["queries"]
    assert 'GRANT USAGE ON SCHEMA "parts" TO "streamkap_role"' in result["queries"]
    assert not run("prerequisites", **options)["changed"]
    look = run("readiness_info", connector_password=PASSWORD, **wanted)
    assert look["ready"], look["checks"]
    assert {"app.m2", "parts.m1a"} <= set(look["captured"])
    assert not {"app.m", "parts.m1"} & set(look["captured"])
    assert database.sql_as(USER, PASSWORD, "SELECT count(*) FROM parts.m1a") == [(0,)]
    database.sql("REVOKE SELECT ON parts.m1a FROM streamkap_role")
    assert "parts.m1a" in str(run("readiness_info", connector_password=PASSWORD, **wanted)["checks"])
    assert run("prerequisites", **options)["queries"] == ['GRANT SELECT ON TABLE "parts"."m1a" TO "streamkap_role"']


@pytest.mark.newest_version
def test_a_failure_tells_all_problems_and_what_else_differs(database: Database, run: Run) -> None:
    assert run("prerequisites", **WANTED)["changed"]
    database.sql(
        "CREATE TABLE app.log (line text); REVOKE SELECT ON app.orders FROM streamkap_role;"
        f"REVOKE streamkap_role FROM {USER}; CREATE TABLE billing.lines (v text)"
    )
    database.admin("CREATE TABLE app.of_another (id int PRIMARY KEY); ALTER TABLE app.of_another OWNER TO cloud_admin")
    for check in (True, False):
        failed = run("prerequisites", check=check, **WANTED)
        assert failed["failed"]
        # What keeps it from its work, of all kinds.
        assert failed["keyless_tables"] == ["app.log", "billing.lines"]
        assert "Adding a table takes its owner: app.of_another of cloud_admin" in failed["msg"]
        assert "may not grant: SELECT on table app.of_another" in failed["msg"]
        # And what differs besides.
        assert "member" in " ".join(failed["drift"])
        assert "Besides, and left as it is: " in failed["msg"]
        assert failed["msg"].count("Nothing was changed.") <= 1
    database.admin("DROP TABLE app.of_another")
    differences = run("prerequisites", **WANTED)["drift"]
    assert any("app.orders" in sentence for sentence in differences)
