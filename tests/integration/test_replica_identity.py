# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module replica_identity on real servers."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest

from support.neon import Database, quoted

Run = Callable[..., dict[str, object]]


def identities(database: Database) -> dict[str, str]:
    return dict(
        database.sql(
            "SELECT relname, relreplident::text FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p')"
        )
    )


def test_tables_of_several_owners_change_once(database: Database, run: Run) -> None:
    options = {"tables": ["app.orders", "app.customers"], "identity": "full"}
    predicted = run("replica_identity", check=True, **options)
    assert set(identities(database).values()) == {"d"}
    first = run("replica_identity", **options)
    assert first["queries"] == [
        'ALTER TABLE ONLY "app"."customers" REPLICA IDENTITY FULL',
        'ALTER TABLE ONLY "app"."orders" REPLICA IDENTITY FULL',
    ]
    assert (predicted["queries"], predicted["diff"]) == (first["queries"], first["diff"])
    assert identities(database) == {"customers": "f", "orders": "f", "products": "d", "order_items": "d"}
    second = run("replica_identity", **options)
    assert (second["changed"], second["queries"]) == (False, [])
    assert second["replica_identity"]["tables"] == {"app.customers": "full", "app.orders": "full"}


def test_a_keyless_table_can_be_updated_once_its_identity_is_full(database: Database, run: Run) -> None:
    database.sql("CREATE TABLE app.keyless (id int); INSERT INTO app.keyless VALUES (1)")
    database.sql("CREATE PUBLICATION everything FOR TABLE app.keyless")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        database.sql("UPDATE app.keyless SET id = 2")
    changed = run("replica_identity", schemas=["app", "billing"], identity="full", only_keyless=True)
    assert changed["queries"] == ['ALTER TABLE ONLY "app"."keyless" REPLICA IDENTITY FULL']
    database.sql("UPDATE app.keyless SET id = 2")
    assert not run("replica_identity", schemas=["app", "billing"], identity="full", only_keyless=True)["changed"]


def test_what_would_stop_the_applications_updates_is_refused_by_name(database: Database, run: Run) -> None:
    database.sql("CREATE TABLE app.keyless (id int); ALTER TABLE app.keyless REPLICA IDENTITY FULL")
    database.sql("CREATE PUBLICATION everything FOR TABLE app.keyless, app.orders")
    for identity, named in (("default", "app.keyless"), ("nothing", "app.keyless, app.orders")):
        failed = run("replica_identity", tables=["app.keyless", "app.orders", "app.products"], identity=identity)
        assert failed["failed"]
        assert f"published: {named}." in failed["msg"]
    assert identities(database)["keyless"] == "f"
    assert not run("replica_identity", tables=["app.products"], identity="nothing").get("failed")


def test_partitions_of_a_named_table_change_along(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA parts; CREATE TABLE app.events (id int) PARTITION BY LIST (id);"
        "CREATE TABLE parts.one PARTITION OF app.events FOR VALUES IN (1) PARTITION BY LIST (id);"
        "CREATE TABLE parts.leaf PARTITION OF parts.one FOR VALUES IN (1)"
    )
    changed = run("replica_identity", tables=["app.events"], identity="full")
    assert changed["replica_identity"]["tables"] == {"app.events": "full", "parts.leaf": "full", "parts.one": "full"}
    assert not run("replica_identity", tables=["app.events"], identity="full")["changed"]


def test_unlogged_tables_views_and_tables_of_extensions_are_left_alone(database: Database, run: Run) -> None:
    database.sql(
        "CREATE UNLOGGED TABLE app.scratch (id int); CREATE VIEW app.v AS SELECT 1 AS one; CREATE TABLE app.e (id int)"
    )
    database.admin("ALTER EXTENSION plpgsql ADD TABLE app.e")
    looked = run("replica_identity", schemas=["app"], identity="full", exclude_tables=["app.orders"], check=True)
    assert set(looked["replica_identity"]["tables"]) == {"app.customers", "app.order_items", "app.products"}


def test_an_index_serves_when_it_follows_the_rules(database: Database, run: Run) -> None:
    database.sql("CREATE UNIQUE INDEX by_email ON app.customers (email); CREATE INDEX plain ON app.customers (name)")
    database.sql("CREATE UNIQUE INDEX partly ON app.customers (email) WHERE id > 0")
    for index, why in (("plain", "it is not unique"), ("partly", "it is partial"), ("none", "has no index none")):
        failed = run("replica_identity", tables=["app.customers"], identity="index", index=index)
        assert why in failed["msg"]
    assert run("replica_identity", tables=["app.customers"], identity="index", index="by_email")["changed"]
    again = run("replica_identity", tables=["app.customers"], identity="index", index="by_email")
    assert (again["changed"], again["replica_identity"]["tables"]) == (False, {"app.customers": "index by_email"})


def test_tables_of_others_are_named_with_their_owners(database: Database, run: Run) -> None:
    database.admin(
        "CREATE ROLE stranger; ALTER TABLE app.products OWNER TO stranger; ALTER TABLE app.customers OWNER TO stranger"
    )
    before = identities(database)
    failed = run("replica_identity", schemas=["app"], identity="full")
    assert "app.customers of stranger, app.products of stranger" in failed["msg"]
    assert identities(database) == before


def test_names_that_hurt(database: Database, run: Run) -> None:
    schema = 'Sch"é.;ma'
    tables = ["select", "a.b", 'dou"ble', "x" * 63, "100%s"]
    database.sql(f"CREATE SCHEMA {quoted(schema)}")
    for table in tables:
        database.sql(f"CREATE TABLE {quoted(schema)}.{quoted(table)} (id int)")
    named = [f"{quoted(schema)}.{quoted(table)}" for table in tables]
    assert len(run("replica_identity", tables=named, identity="full")["queries"]) == len(tables)
    assert not run("replica_identity", schemas=[schema], identity="full")["changed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tables": []}, "tables is an empty list"),
        ({"schemas": []}, "schemas is an empty list"),
        ({"tables": ["app.Orders"]}, "Did you mean app.orders?"),
        ({"schemas": ["app", "nowhere"]}, "No such schema in this database: nowhere."),
        ({"tables": ["orders"]}, "is not the name of a table"),
        ({"tables": ["app.a_view"]}, "app.a_view is none"),
        ({"schemas": ["app"], "index": "i"}, "go together"),
        ({"schemas": ["app"], "tables": ["app.orders"]}, "mutually exclusive"),
    ],
)
def test_bad_input_says_what_is_wrong(database: Database, run: Run, options: dict, said: str) -> None:
    database.sql("CREATE VIEW app.a_view AS SELECT 1 AS one")
    failed = run("replica_identity", **{"identity": "full", **options})
    assert failed["failed"]
    assert said in failed["msg"]


def test_it_does_not_wait_for_a_lock_longer_than_it_may(database: Database, run: Run) -> None:
    with psycopg2.connect(database.dsn) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM app.orders")
        failed = run("replica_identity", tables=["app.customers", "app.orders"], identity="full", lock_timeout=1)
    assert (failed["sqlstate"], "lock_timeout" in failed["msg"]) == ("55P03", True)
    assert set(identities(database).values()) == {"d"}
