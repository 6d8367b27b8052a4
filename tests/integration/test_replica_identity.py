# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module replica_identity on real servers."""

from __future__ import annotations

import contextlib
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


# What is published of app.narrow (id int PRIMARY KEY, v text, w text NOT NULL UNIQUE), and which identities its updates would fail with.
NARROW = {
    "TABLE app.narrow (id, v)": {"full": "lists_it has a column list", "index": "lists_it lacks w"},
    "TABLE app.narrow (w)": {"default": "lists_it lacks id", "full": "lists_it has a column list"},
    "TABLE app.narrow WHERE (v > 'a')": {"default": "lists_it uses v", "index": "lists_it uses v"},
    "TABLE app.narrow WHERE (id > 0)": {"index": "lists_it uses id"},
    "TABLES IN SCHEMA app": {},
}


@pytest.mark.postgres(15, 18)
@pytest.mark.parametrize("published", NARROW)
def test_what_a_column_list_or_row_filter_would_stop_is_refused(published: str, database: Database, run: Run) -> None:
    database.sql("CREATE TABLE app.narrow (id int PRIMARY KEY, v text, w text NOT NULL UNIQUE)")
    database.sql("INSERT INTO app.narrow VALUES (1, 'b', 'b')")
    database.admin(f"CREATE PUBLICATION lists_it FOR {published}")
    for identity, index in (("default", None), ("full", None), ("index", "narrow_w_key")):
        # From one with which updates go through.
        fitting = next(other for other in ("default", "full", "index") if other not in NARROW[published])
        using = "USING INDEX narrow_w_key" if fitting == "index" else fitting
        database.sql(f"ALTER TABLE app.narrow REPLICA IDENTITY {using}")
        result = run("replica_identity", tables=["app.narrow"], identity=identity, index=index)
        refusal = NARROW[published].get(identity)
        assert bool(result.get("failed")) is bool(refusal), result["msg"]
        if refusal:
            assert "app.narrow (" in result["msg"]
            assert refusal in result["msg"]
        database.sql(
            "UPDATE app.narrow SET v = 'c'; DELETE FROM app.narrow; INSERT INTO app.narrow VALUES (1, 'b', 'b')"
        )
        if refusal:
            using = f"USING INDEX {index}" if index else identity
            with pytest.raises(psycopg2.errors.InvalidColumnReference):
                database.sql(f"ALTER TABLE app.narrow REPLICA IDENTITY {using}; UPDATE app.narrow SET v = 'c'")


@pytest.mark.postgres(18)
def test_full_identity_is_refused_where_a_generated_column_is_not_published(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.sums (id int PRIMARY KEY, s int GENERATED ALWAYS AS (id + 1) STORED); INSERT INTO app.sums VALUES (1);"
        "CREATE PUBLICATION without FOR TABLE app.sums"
    )
    refused = run("replica_identity", schemas=["app"], identity="full")
    assert "app.sums (the publication without lacks its generated column s)" in refused["msg"]
    assert set(identities(database).values()) == {"d"}
    database.sql("ALTER PUBLICATION without SET (publish_generated_columns = stored)")
    assert run("replica_identity", schemas=["app"], identity="full")["changed"]
    database.sql("UPDATE app.sums SET id = 2")


@pytest.mark.postgres(15, 18)
def test_partitions_are_judged_by_what_they_are_published_with(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.m (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id);"
        "CREATE TABLE app.m1 PARTITION OF app.m DEFAULT; INSERT INTO app.m VALUES (1, 'b', 'b');"
        "CREATE PUBLICATION via_root FOR TABLE app.m (id, v) WITH (publish_via_partition_root = true)"
    )
    refused = run("replica_identity", tables=["app.m1"], identity="full")
    assert "app.m1 (the publication via_root has a column list for it)" in refused["msg"]
    # The partitioned table's own identity says nothing.
    refused = run("replica_identity", tables=["app.m"], identity="full")
    assert "app.m (" not in refused["msg"]
    assert run("replica_identity", tables=["app.m"], exclude_tables=["app.m1"], identity="full")["changed"]
    database.sql("UPDATE app.m SET v = 'c'")


@pytest.mark.newest_version
@pytest.mark.postgres(15, 16, 17, 18)
def test_an_identity_of_tables_whose_updates_fail_already_is_set_with_a_warning(database: Database, run: Run) -> None:
    database.sql("CREATE TABLE app.keyless (id int, v text); CREATE PUBLICATION lists_it FOR TABLE app.keyless (id)")
    result = run("replica_identity", tables=["app.keyless"], identity="full")
    assert result["changed"]
    assert "go on failing in the application until the publication is changed: app.keyless (" in result["warnings"][0]


def test_partitions_of_a_named_table_change_along(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA parts; CREATE TABLE app.events (id int) PARTITION BY LIST (id);"
        "CREATE TABLE parts.one PARTITION OF app.events FOR VALUES IN (1) PARTITION BY LIST (id);"
        "CREATE TABLE parts.leaf PARTITION OF parts.one FOR VALUES IN (1)"
    )
    changed = run("replica_identity", tables=["app.events"], identity="full")
    assert changed["replica_identity"]["tables"] == {"app.events": "full", "parts.leaf": "full", "parts.one": "full"}
    assert not run("replica_identity", tables=["app.events"], identity="full")["changed"]


def test_index_of_a_partitioned_table_means_those_of_its_partitions(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA parts; CREATE TABLE app.events (id int NOT NULL, at int NOT NULL) PARTITION BY RANGE (at);"
        "CREATE TABLE parts.low PARTITION OF app.events FOR VALUES FROM (0) TO (10);"
        # Of the same name as the one that is meant.
        "CREATE INDEX events_key ON parts.low (id);"
        "CREATE UNIQUE INDEX events_key ON app.events (id, at)"
    )
    options = {"tables": ["app.events"], "identity": "index", "index": "events_key"}
    assert run("replica_identity", **options)["replica_identity"]["tables"] == {
        "app.events": "index events_key",
        "parts.low": "index low_id_at_idx",
    }
    assert not run("replica_identity", **options)["changed"]


def test_an_excluded_table_is_left_alone_with_its_partitions(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.events (id int) PARTITION BY LIST (id);"
        "CREATE TABLE app.a_leaf PARTITION OF app.events FOR VALUES IN (1);"
        "CREATE TABLE app.b_leaf PARTITION OF app.events FOR VALUES IN (2)"
    )
    run("replica_identity", schemas=["app"], exclude_tables=["app.events", "app.orders"], identity="full")
    left_alone = {name for name, identity in identities(database).items() if identity == "d"}
    assert left_alone == {"events", "a_leaf", "b_leaf", "orders"}
    changed = run("replica_identity", tables=["app.events"], exclude_tables=["app.a_leaf"], identity="full")
    assert list(changed["replica_identity"]["tables"]) == ["app.events", "app.b_leaf"]


def test_partitions_are_locked_after_what_they_are_partitions_of(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.z_root (id int) PARTITION BY LIST (id);"
        "CREATE TABLE app.a_leaf PARTITION OF app.z_root FOR VALUES IN (1)"
    )
    queries = run("replica_identity", schemas=["app"], identity="full", check=True)["queries"]
    assert ['"z_root"' in query for query in queries] == [False, False, False, False, True, False]
    assert '"a_leaf"' in queries[-1]


def test_unlogged_table_is_changed_when_it_is_named(database: Database, run: Run) -> None:
    database.sql("CREATE UNLOGGED TABLE app.scratch (id int)")
    assert run("replica_identity", tables=["app.scratch"], identity="full")["changed"]
    assert identities(database)["scratch"] == "f"


@pytest.mark.postgres(15, 16, 17, 18)
def test_partition_is_published_by_the_schema_of_what_it_is_a_partition_of(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA parts; CREATE TABLE app.events (id int) PARTITION BY LIST (id);"
        "CREATE TABLE parts.leaf PARTITION OF app.events FOR VALUES IN (1);"
        "ALTER TABLE parts.leaf REPLICA IDENTITY FULL"
    )
    database.admin("CREATE PUBLICATION of_app FOR TABLES IN SCHEMA app")
    assert "published: parts.leaf." in run("replica_identity", tables=["parts.leaf"], identity="default")["msg"]
    database.sql("UPDATE app.events SET id = 1")


def test_publication_of_inserts_alone_stops_nobody(database: Database, run: Run) -> None:
    database.sql("CREATE PUBLICATION inserts FOR TABLE app.orders WITH (publish = 'insert')")
    assert run("replica_identity", tables=["app.orders"], identity="nothing")["changed"]
    database.sql("UPDATE app.orders SET status = 'paid'")


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
    database.sql("CREATE UNIQUE INDEX expressed ON app.customers (lower(email))")
    database.sql("ALTER TABLE app.customers ADD nick text CONSTRAINT nullable UNIQUE, ADD n int NOT NULL DEFAULT 0")
    database.sql("ALTER TABLE app.customers ADD CONSTRAINT deferred UNIQUE (n, id) DEFERRABLE")
    database.sql("CREATE PUBLICATION everything FOR TABLE app.customers")
    for index, why in (
        ("plain", "it is not unique"),
        ("partly", "it is partial"),
        ("expressed", "it has an expression"),
        ("nullable", "it has a column that may be NULL"),
        ("deferred", "it is deferrable"),
        ("none", "has no index none"),
        ("orders_pkey", "has no index orders_pkey"),
    ):
        failed = run("replica_identity", tables=["app.customers"], identity="index", index=index)
        assert why in failed["msg"]
        assert failed["sqlstate"] is None
    assert run("replica_identity", tables=["app.customers"], identity="index", index="by_email")["changed"]
    again = run("replica_identity", tables=["app.customers"], identity="index", index="by_email")
    assert (again["changed"], again["replica_identity"]["tables"]) == (False, {"app.customers": "index by_email"})
    database.sql("UPDATE app.customers SET name = 'new'")


def test_identity_whose_index_was_dropped_counts_as_none(database: Database, run: Run) -> None:
    database.sql("CREATE UNIQUE INDEX by_email ON app.customers (email)")
    run("replica_identity", tables=["app.customers"], identity="index", index="by_email")
    database.sql("DROP INDEX app.by_email; CREATE PUBLICATION everything FOR TABLE app.customers")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        database.sql("UPDATE app.customers SET name = 'new'")
    changed = run("replica_identity", schemas=["app"], identity="full", only_keyless=True)
    assert changed["queries"] == ['ALTER TABLE ONLY "app"."customers" REPLICA IDENTITY FULL']
    assert changed["diff"]["before"] == "app.customers: index\n"
    database.sql("UPDATE app.customers SET name = 'new'")


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
        ({"tables": ["app.a_view", "app.a_copy", "app.orders"]}, "these are none: app.a_view, app.a_copy."),
        ({"schemas": ["app"], "exclude_tables": ["app.nowhere"]}, "No such table in this database: app.nowhere."),
        ({"tables": ["app.orders"], "exclude_tables": ["app.orders"]}, "both in tables and in exclude_tables"),
        ({"schemas": ["app"], "index": "i"}, "go together"),
        ({"schemas": ["app"], "tables": ["app.orders"]}, "mutually exclusive"),
    ],
)
def test_bad_input_says_what_is_wrong(database: Database, run: Run, options: dict, said: str) -> None:
    database.sql("CREATE VIEW app.a_view AS SELECT 1 AS one; CREATE MATERIALIZED VIEW app.a_copy AS SELECT 1 AS one")
    failed = run("replica_identity", **{"identity": "full", **options})
    assert failed["failed"]
    assert said in failed["msg"]


def test_it_does_not_wait_for_a_lock_longer_than_it_may(database: Database, run: Run) -> None:
    with contextlib.closing(psycopg2.connect(database.dsn)) as reader:
        reader.cursor().execute("SELECT count(*) FROM app.orders")
        failed = run("replica_identity", tables=["app.customers", "app.orders"], identity="full", lock_timeout=1)
    assert (failed["sqlstate"], "lock_timeout" in failed["msg"]) == ("55P03", True)
    assert set(identities(database).values()) == {"d"}
