# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module grant on real servers."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from support.neon import OWNER, Database, quoted

pytestmark = pytest.mark.every_version

Run = Callable[..., dict[str, object]]

PASSWORD = "Reader-3-of-the-tests"

READ = {
    "role": "reading",
    "database_privileges": ["CONNECT"],
    "schemas": ["app", "billing"],
    "schema_privileges": ["USAGE"],
    "table_privileges": ["SELECT"],
    "default_table_privileges": ["SELECT"],
}

TABLES = ["app.customers", "app.order_items", "app.orders", "app.products", "billing.invoices", "billing.payments"]


@pytest.fixture(autouse=True)
def reader(database: Database) -> None:
    """The role `reading`, and `reader`, who logs in and has it."""
    database.sql(f"CREATE ROLE reading; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}' IN ROLE reading")


def as_reader(database: Database, statement: str) -> list[tuple]:
    return database.sql_as("reader", PASSWORD, statement)


def privileges(database: Database) -> list[tuple]:
    """Every access control list of the database but those of the server's own objects."""
    return database.admin(
        """
        SELECT 'database', datname::text, datacl::text FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT 'schema', nspname, nspacl::text FROM pg_namespace
        UNION ALL SELECT 'relation', oid::regclass::text, relacl::text FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT 'column', concat(attrelid::regclass, '.', attname), attacl::text FROM pg_attribute WHERE attrelid >= 16384
        UNION ALL SELECT 'default', concat(defaclrole::regrole, ' ', defaclnamespace, defaclobjtype), defaclacl::text FROM pg_default_acl
        ORDER BY 1, 2
        """
    )


def change(database: Database, run: Run, **options: object) -> dict[str, object]:
    """Runs the module in check mode, for real, and again: the three must agree."""
    before = privileges(database)
    predicted = run("grant", check=True, **options)
    assert privileges(database) == before
    changed = run("grant", **options)
    assert changed.get("changed"), changed
    assert (changed["queries"], changed["diff"]) == (predicted["queries"], predicted["diff"])
    after = privileges(database)
    again = run("grant", **options)
    assert (again["changed"], again["queries"]) == (False, [])
    assert again["diff"]["before"] == again["diff"]["after"]
    assert again["grant"] == changed["grant"]
    assert privileges(database) == after
    return changed


def refuse(database: Database, run: Run, *words: str, **options: object) -> dict[str, object]:
    """Runs the module where it must fail, in check mode and for real, for the reasons given and without a trace."""
    before = privileges(database)
    for check in (True, False):
        failed = run("grant", check=check, **options)
        assert failed.get("failed"), failed
        for word in words:
            assert word in failed["msg"]
        assert failed["hint"]
    assert privileges(database) == before
    return failed


def test_what_the_role_can_do_anyway_needs_no_grant(database: Database, run: Run) -> None:
    """By PUBLIC, as in the schema public of PostgreSQL 14, or by a role that it is a member of."""
    database.admin(
        "CREATE SCHEMA theirs; GRANT USAGE, CREATE ON SCHEMA theirs TO public;"
        "CREATE TABLE theirs.open (id int PRIMARY KEY); GRANT SELECT ON theirs.open TO public;"
        "CREATE TABLE theirs.shared (id int PRIMARY KEY); CREATE ROLE everybody; GRANT SELECT ON theirs.shared TO everybody;"
        "GRANT everybody TO reading"
    )
    options = {"schemas": ["theirs"], "schema_privileges": ["USAGE", "CREATE"], "table_privileges": ["SELECT"]}
    result = run("grant", role="reading", **options)
    assert result.get("queries") == [], result
    database.admin("REVOKE CREATE ON SCHEMA theirs FROM public; REVOKE SELECT ON theirs.open FROM public")
    refuse(
        database,
        run,
        "CREATE on schema theirs (owner cloud_admin)",
        "cdc_schema_privileges",
        "SELECT on table theirs.open",
        "cdc_exclude_tables",
        role="reading",
        **options,
    )
    # Of one kind only the option of that is named.
    schema_alone = {key: value for key, value in options.items() if key != "table_privileges"}
    failed = refuse(database, run, "schema_privileges", role="reading", **schema_alone)
    assert "exclude_tables" not in failed["msg"]


def test_one_task_grants_everything_once(database: Database, run: Run) -> None:
    changed = change(database, run, **READ)
    owners = '"app_owner", "neondb_owner"'
    assert changed["queries"] == [
        f'GRANT CONNECT ON DATABASE "{database.name}" TO "reading"',
        'GRANT USAGE ON SCHEMA "app", "billing" TO "reading"',
        'GRANT SELECT ON ALL TABLES IN SCHEMA "app", "billing" TO "reading"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE {owners} IN SCHEMA "app", "billing" GRANT SELECT ON TABLES TO "reading"',
    ]
    assert changed["grant"] == {
        "role": "reading",
        "exists": True,
        "database_privileges": ["CONNECT"],
        "schemas": {"app": ["USAGE"], "billing": ["USAGE"]},
        "tables": {table: ["SELECT"] for table in TABLES},
        "default_privileges": [
            {"owner": owner, "schema": schema, "privileges": ["SELECT"]}
            for owner in ("app_owner", "neondb_owner")
            for schema in ("app", "billing")
        ],
    }
    assert "  app.orders: SELECT\n" in changed["diff"]["after"]


def test_reader_reads_tables_of_today_and_those_that_each_owner_makes_later(database: Database, run: Run) -> None:
    run("grant", **READ)
    database.sql("SET ROLE app_owner; CREATE TABLE billing.later AS SELECT 1 AS a")
    database.sql("CREATE TABLE app.later AS SELECT 1 AS a")
    for table in (*TABLES, "app.later", "billing.later"):
        assert as_reader(database, f"SELECT count(*) > 0 FROM {table}") == [(True,)]
    for table in TABLES:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_reader(database, f"DELETE FROM {table}")
    assert not run("grant", **READ)["changed"]


def test_only_what_lacks_is_granted(database: Database, run: Run) -> None:
    database.sql("GRANT USAGE ON SCHEMA app TO reading; GRANT SELECT, DELETE ON app.orders, app.customers TO reading")
    options = {"role": "reading", "schemas": ["app"], "schema_privileges": ["USAGE"], "table_privileges": ["SELECT"]}
    changed = change(database, run, **options)
    assert changed["queries"] == ['GRANT SELECT ON TABLE "app"."order_items", "app"."products" TO "reading"']
    assert changed["grant"]["tables"]["app.orders"] == ["DELETE", "SELECT"]


def test_what_comes_by_membership_from_public_or_on_columns_is_not_granted(database: Database, run: Run) -> None:
    database.sql("GRANT SELECT ON app.orders TO PUBLIC; GRANT SELECT (email) ON app.customers TO reading")
    database.admin("GRANT pg_read_all_data TO reading")
    changed = change(database, run, role="reading", schemas=["app"], table_privileges=["SELECT"])
    assert changed["queries"] == ['GRANT SELECT ON ALL TABLES IN SCHEMA "app" TO "reading"']
    assert changed["grant"]["tables"]["app.customers"] == ["SELECT", "SELECT ON COLUMNS"]


def test_what_others_have_is_not_touched(database: Database, run: Run) -> None:
    database.sql(
        "CREATE ROLE other; GRANT INSERT ON app.orders TO other WITH GRANT OPTION; GRANT UPDATE (status) ON app.orders TO other;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT INSERT ON TABLES TO other;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT USAGE ON SEQUENCES TO other"
    )

    def of_other() -> set[tuple]:
        query = """
            SELECT object, a.privilege_type, a.is_grantable, a.grantor FROM (
                SELECT oid::regclass::text, relacl FROM pg_class UNION ALL
                SELECT attrelid::regclass::text, attacl FROM pg_attribute UNION ALL
                SELECT concat(defaclnamespace::regnamespace, defaclobjtype), defaclacl FROM pg_default_acl
            ) AS o(object, acl), aclexplode(acl) a WHERE a.grantee = 'other'::regrole"""
        return set(database.sql(query))

    before = of_other()
    assert len(before) == 4
    run("grant", **{**READ, "table_privileges": ["SELECT", "INSERT"]})
    run("grant", **{**READ, "table_privileges": [], "default_table_privileges": [], "exclusive": True})
    run("grant", **READ)
    run("grant", role="reading", schemas=["app", "billing"], state="absent")
    assert of_other() == before


def test_default_privileges_add_to_those_that_the_role_has(database: Database, run: Run) -> None:
    database.sql(
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT INSERT ON TABLES TO reading;"
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT USAGE ON SEQUENCES TO reading;"
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT EXECUTE ON FUNCTIONS TO reading"
    )
    options = {"role": "reading", "schemas": ["app"], "default_table_privileges": ["SELECT"]}
    changed = change(database, run, **options, default_privileges_for=["app_owner"])
    assert changed["queries"] == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "app_owner" IN SCHEMA "app" GRANT SELECT ON TABLES TO "reading"'
    ]
    kinds = database.sql(
        "SELECT defaclobjtype::text, string_agg(privilege_type, ' ' ORDER BY privilege_type)"
        " FROM pg_default_acl, aclexplode(defaclacl) WHERE grantee = 'reading'::regrole GROUP BY 1 ORDER BY 1"
    )
    assert kinds == [("S", "USAGE"), ("f", "EXECUTE"), ("r", "INSERT SELECT")]


def test_named_tables_of_every_kind_and_their_schemas(database: Database, run: Run) -> None:
    database.sql("CREATE VIEW app.v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW billing.m AS SELECT 1 AS a")
    _foreign_table(database, "app.f")
    tables = ["app.v", "billing.m", "app.f", "app.orders", "app.orders"]
    changed = change(
        database, run, role="reading", tables=tables, schema_privileges=["USAGE"], table_privileges=["SELECT"]
    )
    assert changed["queries"] == [
        'GRANT USAGE ON SCHEMA "app", "billing" TO "reading"',
        'GRANT SELECT ON TABLE "app"."f", "app"."orders", "app"."v", "billing"."m" TO "reading"',
    ]
    assert set(changed["grant"]["tables"]) == set(tables)
    assert as_reader(database, "SELECT * FROM app.v, billing.m") == [(1, 1)]
    refuse(
        database,
        run,
        "no table app.orders_pkey",
        role="reading",
        tables=["app.orders_pkey"],
        table_privileges=["SELECT"],
    )


def test_tables_of_a_schema_are_partitions_too_but_no_views_nor_what_an_extension_owns(
    database: Database, run: Run
) -> None:
    database.sql(
        "CREATE SCHEMA kinds; SET search_path = kinds; CREATE UNLOGGED TABLE u (a int); CREATE VIEW v AS SELECT 1 AS a;"
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE SEQUENCE s;"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TYPE c AS (a int)"
    )
    _foreign_table(database, "kinds.f")
    # As PostGIS does it on Neon: cloud_admin owns its table.
    database.admin("CREATE TABLE kinds.e (a int); ALTER EXTENSION plpgsql ADD TABLE kinds.e")
    changed = change(
        database,
        run,
        role="reading",
        schemas=["kinds"],
        table_privileges=["SELECT"],
        default_table_privileges=["SELECT"],
    )
    assert changed["queries"] == [
        'GRANT SELECT ON TABLE "kinds"."p", "kinds"."p1", "kinds"."u" TO "reading"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "neondb_owner" IN SCHEMA "kinds" GRANT SELECT ON TABLES TO "reading"',
    ]
    assert changed["warnings"] == []
    assert set(changed["grant"]["tables"]) == {"kinds.p", "kinds.p1", "kinds.u"}


def test_excluded_tables_and_their_partitions_get_nothing(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.secret (a int) PARTITION BY LIST (a); CREATE TABLE app.s1 PARTITION OF app.secret FOR VALUES IN (1)"
    )
    options = {"role": "reading", "schemas": ["app"], "table_privileges": ["SELECT"], "exclude_tables": ["app.secret"]}
    changed = change(database, run, **options)
    assert changed["grant"]["tables"] == {**{table: ["SELECT"] for table in TABLES[:4]}, "app.secret": []}
    database.sql("GRANT SELECT ON app.secret, app.s1 TO reading")
    assert not run("grant", **options)["changed"]
    changed = change(database, run, **options, exclusive=True)
    assert changed["queries"] == ['REVOKE SELECT ON TABLE "app"."s1", "app"."secret" FROM "reading"']


def test_names_that_hurt(database: Database, run: Run) -> None:
    schema, owner, role = 'Sch"é.;ma {x}', 'Own"er %s', "Ré'ad\"er \\"
    tables = [
        "select",
        "a.b",
        'dou"ble',
        "x" * 63,
        "100%s",
        "Big Ünion; DROP TABLE app.orders --",
        "{0}",
        "back\\slash'",
    ]
    database.sql(f"CREATE ROLE {quoted(owner)}; GRANT {quoted(owner)} TO {OWNER}; CREATE ROLE {quoted(role)}")
    database.sql(f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(owner)}; SET ROLE {quoted(owner)}" + "".join(
        f"; CREATE TABLE {quoted(schema)}.{quoted(table)} (id int)" for table in tables
    ))  # fmt: skip
    options = {"role": role, "schema_privileges": ["USAGE"], "table_privileges": ["SELECT"]}
    named = [f"{quoted(schema)}.{quoted(table)}" for table in tables[:4]]
    change(database, run, **options, tables=named)
    change(database, run, **options, schemas=[schema], default_table_privileges=["SELECT"])
    database.sql(f"SET ROLE {quoted(owner)}; CREATE TABLE {quoted(schema)}.later (id int)")
    readable = (
        "SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace AND has_table_privilege(%s, oid, 'SELECT')"
    )
    assert database.sql(readable, [quoted(schema), role]) == [(len(tables) + 1,)]
    change(database, run, role=role, schemas=[schema], state="absent")
    assert database.sql(readable, [quoted(schema), role]) == [(0,)]


def test_exclusive_leaves_exactly_what_is_given(database: Database, run: Run) -> None:
    database.sql("CREATE VIEW app.v AS SELECT 1 AS a; CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.t (a int)")
    database.sql(
        "GRANT ALL ON ALL TABLES IN SCHEMA app, billing, elsewhere TO reading WITH GRANT OPTION;"
        "GRANT ALL ON SCHEMA app, elsewhere TO reading; GRANT SELECT (id), UPDATE (id) ON app.orders TO reading;"
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT ALL ON TABLES TO reading WITH GRANT OPTION;"
        f"GRANT TEMPORARY, CREATE ON DATABASE {database.name} TO reading"
    )
    changed = change(database, run, **READ, exclusive=True)
    assert changed["grant"]["database_privileges"] == ["CONNECT"]
    assert changed["grant"]["schemas"] == {"app": ["USAGE"], "billing": ["USAGE"]}
    assert changed["grant"]["tables"] == {
        **{table: ["SELECT"] for table in TABLES},
        "app.orders": ["SELECT", "SELECT ON COLUMNS"],
    }
    assert {tuple(row["privileges"]) for row in changed["grant"]["default_privileges"]} == {("SELECT",)}
    assert database.sql("SELECT has_table_privilege('reading', 'elsewhere.t', 'DELETE WITH GRANT OPTION')") == [(True,)]
    assert database.sql("SELECT has_column_privilege('reading', 'app.orders', 'id', 'UPDATE')") == [(False,)]


def test_exclusive_leaves_kinds_alone_that_are_not_given(database: Database, run: Run) -> None:
    database.sql("GRANT ALL ON SCHEMA app TO reading; GRANT ALL ON app.orders, app.customers TO reading")
    options = {"role": "reading", "tables": ["app.orders"], "table_privileges": ["SELECT"], "exclusive": True}
    changed = change(database, run, **options)
    assert changed["grant"]["tables"] == {"app.orders": ["SELECT"]}
    assert changed["grant"]["schemas"] == {"app": ["CREATE", "USAGE"]}


def test_absent_takes_back_what_is_given(database: Database, run: Run) -> None:
    run("grant", **{**READ, "table_privileges": ["SELECT", "INSERT"]})
    options = {"role": "reading", "schemas": ["app"], "table_privileges": ["INSERT", "DELETE"], "state": "absent"}
    changed = change(database, run, **options)
    assert changed["queries"] == ['REVOKE INSERT ON ALL TABLES IN SCHEMA "app" FROM "reading"']
    assert changed["grant"]["tables"] == {table: ["SELECT"] for table in TABLES[:4]}


def test_absent_takes_back_everything_when_nothing_is_given(database: Database, run: Run) -> None:
    before = {row for row in privileges(database) if "reading" in (row[2] or "")}
    run("grant", **READ)
    database.sql(
        "CREATE VIEW app.v AS SELECT 1 AS a; GRANT ALL ON app.v TO reading; GRANT SELECT (a) ON app.v TO reading"
    )
    change(database, run, role="reading", schemas=["app", "billing"], state="absent")
    assert {row for row in privileges(database) if "reading" in (row[2] or "")} == before == set()
    database.sql("DROP ROLE reading")
    gone = run("grant", role="reading", schemas=["app", "billing"], state="absent")
    assert (gone["changed"], gone["warnings"], gone["grant"]["exists"]) == (False, [], False)


def test_absent_needs_nothing_to_be_there(run: Run) -> None:
    result = run("grant", role="reading", schemas=["gone", "App"], state="absent")
    assert (result["changed"], result["warnings"]) == (
        False,
        ["There is no schema gone, no schema App (did you mean app?): nothing to take back there."],
    )


def test_what_may_not_be_granted_is_named_with_its_owner_before_anything_changes(database: Database, run: Run) -> None:
    database.admin(
        "CREATE ROLE stranger; CREATE SCHEMA strange AUTHORIZATION stranger; ALTER TABLE app.products OWNER TO stranger;"
        "ALTER TABLE app.customers OWNER TO stranger; CREATE TABLE strange.t (a int)"
    )
    failed = refuse(
        database,
        run,
        "neondb_owner may not grant: USAGE on schema strange (owner stranger), SELECT on table app.customers (owner stranger), "
        "SELECT on table app.products (owner stranger), SELECT on table strange.t (owner cloud_admin).",
        'GRANT "cloud_admin", "stranger" TO "neondb_owner"',
        **{**READ, "schemas": ["app", "billing", "strange"]},
    )
    assert len(failed["problems"]) == 4


def test_a_role_without_rights_is_told_all_that_it_lacks(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE nobody LOGIN PASSWORD 'Nobody-1-of-the-tests'")
    failed = refuse(
        database,
        run,
        # CONNECT is PUBLIC's.
        "nobody may not grant: USAGE on schema app (owner app_owner)",
        "SELECT on table billing.payments (owner neondb_owner).",
        "nobody may not alter the default privileges of: app_owner in app, app_owner in billing.",
        **{**READ, "default_privileges_for": ["app_owner"]},
        dsn=database.dsn_as("nobody", "Nobody-1-of-the-tests"),
    )
    assert len(failed["problems"]) == 2 + 6 + 2


def test_what_has_been_granted_already_never_fails(database: Database, run: Run) -> None:
    database.admin(
        "CREATE ROLE stranger; ALTER TABLE app.products OWNER TO stranger; GRANT SELECT ON app.products TO reading"
    )
    options = {"role": "reading", "schemas": ["app"], "table_privileges": ["SELECT"]}
    assert change(database, run, **options)["grant"]["tables"]["app.products"] == ["SELECT"]


def test_a_grant_option_is_enough_to_grant_and_to_take_back(database: Database, run: Run) -> None:
    """On Neon neon_superuser has it on the tables that cloud_admin makes in public, those of extensions above all."""
    database.admin("CREATE TABLE public.geometry (a int)")
    options = {"role": "reading", "schemas": ["public"], "table_privileges": ["SELECT"]}
    assert change(database, run, **options)["queries"] == ['GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO "reading"']
    change(database, run, **options, state="absent")


def test_an_owner_whose_future_tables_cannot_be_covered_is_a_warning(database: Database, run: Run) -> None:
    database.admin(
        "CREATE ROLE stranger; ALTER TABLE app.products OWNER TO stranger; GRANT SELECT ON app.products TO reading;"
        "CREATE TABLE app.system (a int); GRANT SELECT ON app.system TO reading"
    )
    result = run("grant", **READ)
    assert result["changed"]
    assert [warning.split(" and may not")[0] for warning in result["warnings"]] == [
        f"reading will lack SELECT on tables that {owner} makes in app, billing: neondb_owner does not have the rights of {owner}"
        for owner in ("cloud_admin", "stranger")
    ]
    assert (
        'Run this task as stranger (session_role), or let a role that may run GRANT "stranger" TO "neondb_owner"'
        in result["warnings"][1]
    )
    refuse(
        database,
        run,
        "neondb_owner may not alter the default privileges of: stranger in app, stranger in billing.",
        **{**READ, "default_privileges_for": ["stranger"]},
    )
    # The remedy helps.
    database.admin("GRANT stranger TO neondb_owner")
    assert len(run("grant", **READ)["warnings"]) == 1


@pytest.mark.parametrize("version", [pytest.param("old", marks=pytest.mark.postgres(14, 15)),
                                     pytest.param("new", marks=pytest.mark.postgres(16, 17, 18))])  # fmt: skip
def test_an_owner_that_is_not_inherited_from_can_be_covered_up_to_15_only(
    database: Database, run: Run, version: str
) -> None:
    database.admin(
        "CREATE ROLE maker; CREATE ROLE idle LOGIN PASSWORD 'Idle-1-of-the-tests' NOINHERIT; GRANT maker TO idle"
    )
    options = {"role": "reading", "schemas": ["app"], "default_table_privileges": ["SELECT"]}
    options.update(default_privileges_for=["maker"], dsn=database.dsn_as("idle", "Idle-1-of-the-tests"))
    if version == "old":
        change(database, run, **options)
    else:
        refuse(database, run, "idle may not alter the default privileges of: maker in app", **options)
        change(database, run, **options, session_role="maker")


def test_default_privileges_in_all_schemas_cover_too(database: Database, run: Run) -> None:
    database.sql("ALTER DEFAULT PRIVILEGES FOR ROLE app_owner, neondb_owner GRANT SELECT ON TABLES TO reading")
    result = run("grant", **READ)
    assert not any("DEFAULT" in query for query in result["queries"])
    database.sql("SET ROLE app_owner; CREATE TABLE app.later AS SELECT 1 AS a")
    assert as_reader(database, "SELECT * FROM app.later") == [(1,)]
    absent = run("grant", role="reading", schemas=["app", "billing"], state="absent")
    assert [warning.split(",")[0] for warning in absent["warnings"]] == [
        f"The default privileges of {owner} in all schemas give SELECT to reading" for owner in ("app_owner", OWNER)
    ]


@pytest.mark.database(shop=False)
def test_the_owner_of_the_database_stands_for_pg_database_owner(database: Database, run: Run) -> None:
    changed = change(database, run, role="reading", schemas=["public"], default_table_privileges=["SELECT"])
    assert changed["queries"] == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "neondb_owner" IN SCHEMA "public" GRANT SELECT ON TABLES TO "reading"'
    ]


def test_what_another_role_granted_is_taken_back_as_that_role_or_not_at_all(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE deputy; GRANT deputy TO neondb_owner; GRANT USAGE ON SCHEMA app TO deputy")
    database.sql("GRANT SELECT, INSERT ON app.orders TO deputy WITH GRANT OPTION")
    database.sql("SET ROLE deputy; GRANT SELECT, INSERT ON app.orders TO reading")
    options = {"role": "reading", "tables": ["app.orders"], "table_privileges": ["INSERT"]}
    words = "Only its grantor can take back: INSERT on table app.orders (granted by deputy)."
    refuse(database, run, words, **options, state="absent")
    refuse(database, run, words, **{**options, "table_privileges": ["SELECT"]}, exclusive=True)
    assert not run("grant", **options)["changed"]
    change(database, run, **options, state="absent", session_role="deputy")


def test_what_has_been_passed_on_is_never_taken_from_the_others(database: Database, run: Run) -> None:
    database.sql("GRANT USAGE ON SCHEMA app TO reading; GRANT SELECT ON app.orders TO reading WITH GRANT OPTION")
    as_reader(database, "SET ROLE reading; GRANT SELECT ON app.orders TO PUBLIC")
    options = {"role": "reading", "tables": ["app.orders"], "table_privileges": ["SELECT"]}
    words = "reading has passed on: SELECT on table app.orders (to PUBLIC)."
    refuse(database, run, words, **options, state="absent")
    refuse(database, run, words, **options, exclusive=True)
    assert not run("grant", **options)["changed"]


def test_what_the_role_owns_is_left_alone(database: Database, run: Run) -> None:
    database.admin("ALTER TABLE app.products OWNER TO reading")
    changed = change(database, run, role="reading", schemas=["app"], table_privileges=["SELECT"], exclusive=True)
    assert changed["queries"] == [
        'GRANT SELECT ON TABLE "app"."customers", "app"."order_items", "app"."orders" TO "reading"'
    ]
    change(database, run, role="reading", schemas=["app"], state="absent")
    assert database.sql("SELECT has_table_privilege('reading', 'app.products', 'DELETE')") == [(True,)]


def test_a_role_that_is_missing_is_a_warning_in_check_mode_only(database: Database, run: Run) -> None:
    options = {**READ, "role": "soon", "default_privileges_for": ["app_owner", "later"]}
    predicted = run("grant", check=True, **options)
    assert len(predicted["queries"]) == 4
    assert not predicted["grant"]["exists"]
    words = ["The role soon does not exist.", "The role later, named in default_privileges_for, does not exist."]
    assert predicted["warnings"] == words
    before = privileges(database)
    failed = run("grant", **options)
    assert failed["msg"] == f"{' '.join(words)} Nothing was changed."
    assert privileges(database) == before
    database.sql("CREATE ROLE soon; CREATE ROLE later; GRANT later TO neondb_owner")
    assert run("grant", **options)["queries"] == predicted["queries"]


def test_schemas_and_tables_that_do_not_exist_are_named_with_what_may_be_meant(database: Database, run: Run) -> None:
    tables = ["app.Orders", "Billing.Payments", "app.none", "app.orders"]
    refuse(
        database,
        run,
        "There is no table app.Orders (did you mean app.orders?), no table Billing.Payments (did you mean billing.payments?), "
        "no table app.none.",
        role="reading",
        tables=tables,
        table_privileges=["SELECT"],
    )
    refuse(database, run, "There is no schema APP (did you mean app?).", **{**READ, "schemas": ["APP", "billing"]})
    refuse(database, run, "There is no table app.typo.", **READ, exclude_tables=["app.typo"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schemas": [], "table_privileges": ["SELECT"]}, "schemas is empty."),
        ({"database_privileges": ["SELECT"]}, "must be one or more of: CONNECT, CREATE, TEMPORARY"),
        ({"role": "public", "database_privileges": ["CONNECT"]}, "public is no role"),
    ],
)
def test_bad_input_is_one_clear_sentence(database: Database, run: Run, options: dict[str, object], words: str) -> None:
    before = privileges(database)
    failed = run("grant", **{"role": "reading", **options})
    assert words in failed["msg"]
    assert privileges(database) == before


@pytest.mark.postgres(14, 15, 16)
def test_maintain_is_refused_where_it_does_not_exist(database: Database, run: Run) -> None:
    words = f"MAINTAIN came with PostgreSQL 17, and the server is {database.server.major}."
    refuse(database, run, words, role="reading", schemas=["app"], table_privileges=["MAINTAIN", "SELECT"])


@pytest.mark.postgres(17, 18)
def test_maintain_is_granted_where_it_exists(database: Database, run: Run) -> None:
    change(database, run, role="reading", schemas=["app"], schema_privileges=["USAGE"], table_privileges=["MAINTAIN"])
    as_reader(database, "ANALYZE app.orders")


def test_an_unchanged_run_and_a_check_write_no_wal(database: Database, run: Run) -> None:
    run("grant", **READ)

    def succeed(**options: object) -> None:
        assert not run("grant", **{**READ, **options}).get("failed")

    for options in ({}, {"check": True, "table_privileges": ["UPDATE"]}, {"check": True, "state": "absent"}):
        database.server.assert_writes_no_wal(functools.partial(succeed, **options))


def test_a_check_runs_on_a_standby(standby: Database, run: Run) -> None:
    standby.server.catch_up()
    predicted = run("grant", **READ, dsn=standby.dsn, check=True)
    assert predicted["queries"] == run("grant", **READ)["queries"] != []
    assert run("grant", **{**READ, "role": "reader"}, dsn=standby.dsn)["sqlstate"] == "25006"


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("CREATE TABLE app.made (a int)", [*TABLES[:4], "app.made", "app.old"]),
        ("DROP TABLE app.old", TABLES[:4]),
    ],
)
def test_what_the_application_does_meanwhile_is_no_failure(
    database: Database, run: Run, statement: str, tables: list[str]
) -> None:
    database.sql("CREATE TABLE app.old (a int); CREATE VIEW app.v AS SELECT 1 AS a")
    with psycopg2.connect(database.dsn) as application, ThreadPoolExecutor() as executor:
        with application.cursor() as cursor:
            # Runs of this collection wait for each other by this lock, after they have looked.
            cursor.execute("SELECT pg_advisory_xact_lock(7236273141)")
            result = executor.submit(run, "grant", role="reading", schemas=["app"], table_privileges=["SELECT"])
            deadline = time.monotonic() + 10
            while database.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == []:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            cursor.execute(statement)
        application.commit()
        assert result.result()["grant"]["tables"] == {table: ["SELECT"] for table in tables}


def test_many_tables_are_one_statement_and_a_short_diff(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA many; DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE many.t%s (a int)', i); END LOOP; END $$;"
        "CREATE VIEW many.v AS SELECT 1 AS a; GRANT SELECT ON many.t1 TO reading"
    )
    changed = change(database, run, role="reading", schemas=["many"], table_privileges=["SELECT"])
    assert len(changed["queries"]) == 1
    assert changed["queries"][0].count('"many".') == 299
    assert changed["diff"]["before"] == 'tables:\n  many.t1: SELECT\n  "many.t10 and 298 more": nothing\n'
    assert changed["diff"]["after"] == 'tables:\n  many.t1: SELECT\n  "many.t10 and 298 more": SELECT\n'
    assert len(changed["grant"]["tables"]) == 300


def _foreign_table(database: Database, name: str) -> None:
    database.admin(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        f"CREATE FOREIGN TABLE {name} (a int) SERVER s; ALTER FOREIGN TABLE {name} OWNER TO {OWNER}"
    )
