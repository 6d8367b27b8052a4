# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module publication: what is published, what it refuses for the application's sake, and what a second run leaves alone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest

from support.neon import OWNER, Database

pytestmark = pytest.mark.every_version

Run = Callable[..., dict[str, object]]

NAME = "streamkap_pub"
SHOP = [
    "app.customers",
    "app.order_items",
    "app.orders",
    "app.products",
    "billing.invoices",
    "billing.payments",
]
PUBLISHES = ["insert", "update", "delete", "truncate"]

EMPTY = pytest.mark.database(shop=False)
NEON = pytest.mark.database(neon=True)
SINCE_15 = pytest.mark.postgres(15, 16, 17, 18)

# Each with another one that means something else. The table's columns are below.
ROW_FILTERS = [
    ("amount>10", "amount>=10"),
    ("amount between 1 and 10.5", "amount between 1 and 10.6"),
    ("status IN ('a','b')", "status IN ('a','c')"),
    ("status not in ('a', 'b')", "status in ('a', 'b')"),
    ("status LIKE 'a%'", "status LIKE '_a%'"),
    ("status ilike 'a!%' escape '!'", "status ilike 'a!%'"),
    ("status similar to 'a(b|c)'", "status similar to 'a(b|d)'"),
    ("status is not null and (amount > 1 or not flag)", "(status is not null and amount > 1) or not flag"),
    ("status is distinct from 'x'", "status <> 'x'"),
    ("status = 'it''s; -- \"quoted\" 50% (\\'", "status = 'it''s; -- \"quoted\" 50% (/'"),
    ("status = E'a\\tb' -- a tab", "status = 'a\\tb' -- a backslash"),
    ("status /* which */ = $$a$b$$", "status /* which */ <> $$a$b$$"),
    ("status collate \"C\" > 'a'", "status > 'a'"),
    ("code = 'x' or code = 'y' or code = 'z'", "code = 'x' or code = 'y'"),
    ("lower(code) = 'ÄÖ'", "upper(code) = 'ÄÖ'"),
    ("substring(code from 1 for 2) = 'ab'", "substring(code from 2 for 2) = 'ab'"),
    ("coalesce(amount, 0) > 1", "coalesce(amount, 2) > 1"),
    ("amount::int % 2 = 0", "amount::int % 2 = 1"),
    ('"Cap ""Col" = 3', '"Cap ""Col" = 4'),
    ("flag", "not flag"),
    ("flag is true", "flag is not true"),
    ("id = any('{1,2}'::int[])", "id = any('{1,3}'::int[])"),
    ("(id, amount) > (1, 2)", "(id, amount) > (2, 1)"),
    ("case when flag then id > 1 else true end", "case when flag then id > 1 else false end"),
    ("extract(year from made_on) = 2020", "extract(month from made_on) = 2020"),
    ("made_on > '2020-01-01'", "made_on > '2020-01-02'"),
    ("made_at >= timestamp '2020-01-01 10:00'", "made_at >= timestamp '2020-01-01 10:01'"),
    ("seen_at > '2020-01-01 10:00+02'", "seen_at > '2020-01-01 10:00+03'"),
    ("document->>'a' = 'b'", "document->'a' = '\"b\"'"),
    ("tags @> '{a}' and 'x' = any (tags)", "tags @> '{b}' and 'x' = any (tags)"),
    ("uid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "uid = 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    ("\n  {table}.amount > 1\n  and id < 5\n", "\n  {table}.amount > 1\n  or id < 5\n"),
]
FILTERED_COLUMNS = """
    id int, amount numeric(10, 2), status text, code varchar(10), "Cap ""Col" int, flag bool, made_on date, made_at timestamp,
    seen_at timestamptz, document jsonb, tags text[], uid uuid"""


def test_publication_is_made_once(database: Database, run: Run) -> None:
    first = run("publication", tables_from_schemas=["app", "billing"])
    assert first["changed"]
    assert first["queries"] == [
        'CREATE PUBLICATION "streamkap_pub" FOR TABLE "app"."customers", "app"."order_items", "app"."orders", '
        '"app"."products", "billing"."invoices", "billing"."payments"'
    ]
    assert _tables(database) == SHOP
    assert first["publication"] == {
        "name": NAME,
        "exists": True,
        "owner": OWNER,
        "all_tables": False,
        "schemas": [],
        "tables": [{"name": name, "columns": None, "where": None} for name in SHOP],
        "publish": PUBLISHES,
        "publish_via_partition_root": False,
    }
    second = run("publication", tables_from_schemas=["app", "billing"])
    _assert_unchanged(second)
    assert second["diff"]["before"] == second["diff"]["after"] == first["diff"]["after"]
    assert second["publication"] == first["publication"]


def test_check_mode_predicts_and_does_nothing(database: Database, run: Run) -> None:
    steps = [
        {"tables_from_schemas": ["app"], "publish": ["update", "insert"]},
        {"tables": ["app.orders", "billing.payments"], "publish": ["insert"], "publish_via_partition_root": True},
        {"state": "absent"},
    ]
    for options in steps:
        stood, writers = _tables(database), _transactions(database)
        predicted = run("publication", check=True, **options)
        assert _transactions(database) == writers
        assert _tables(database) == stood
        done = run("publication", **options)
        assert predicted["changed"]
        assert (predicted["queries"], predicted["diff"]) == (done["queries"], done["diff"])
        _assert_unchanged(run("publication", **options))


@SINCE_15
def test_check_mode_judges_row_filters_on_a_standby(standby: Database, run: Run) -> None:
    run("publication", tables=[{"name": "app.orders", "where": "id>10"}])
    standby.server.catch_up()
    same = run("publication", tables=[{"name": "app.orders", "where": "id > 10"}], dsn=standby.dsn, check=True)
    _assert_unchanged(same)
    other = run("publication", tables=[{"name": "app.orders", "where": "id > 11"}], dsn=standby.dsn, check=True)
    assert other["changed"]
    assert 'where: "(id > 10)"' in other["diff"]["before"]
    assert 'where: "id > 11"' in other["diff"]["after"]


def test_absent_publication_is_dropped_once(database: Database, run: Run) -> None:
    run("publication", tables=["app.orders"])
    dropped = run("publication", state="absent")
    assert dropped["queries"] == ['DROP PUBLICATION "streamkap_pub"']
    assert dropped["diff"] == {"before": "publication: streamkap_pub\ntables:\n  - app.orders\n", "after": ""}
    assert not dropped["publication"]["exists"]
    assert database.sql("SELECT count(*) FROM pg_publication") == [(0,)]
    _assert_unchanged(run("publication", state="absent"))


def test_what_is_not_named_is_removed_only_when_exclusive(database: Database, run: Run) -> None:
    run("publication", tables=["app.orders", "app.products"])
    added = run("publication", tables=["app.customers"], exclusive=False)
    assert added["queries"] == ['ALTER PUBLICATION "streamkap_pub" ADD TABLE "app"."customers"']
    assert _tables(database) == ["app.customers", "app.orders", "app.products"]
    _assert_unchanged(run("publication", tables=["app.customers"], exclusive=False))

    replaced = run("publication", tables=["app.customers", "billing.payments"])
    assert replaced["queries"] == [
        'ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."orders", "app"."products"',
        'ALTER PUBLICATION "streamkap_pub" ADD TABLE "billing"."payments"',
    ]
    assert "- app.orders" in replaced["diff"]["before"]
    assert "- app.orders" not in replaced["diff"]["after"]
    assert _tables(database) == ["app.customers", "billing.payments"]


def test_table_that_stays_is_neither_locked_nor_needs_its_owner(database: Database, run: Run) -> None:
    run("publication", tables=["app.orders", "app.customers"])
    database.admin("CREATE ROLE stranger; ALTER TABLE app.orders OWNER TO stranger")
    with _transaction(database.admin_dsn, "LOCK TABLE app.orders IN ACCESS EXCLUSIVE MODE"):
        result = run("publication", tables=["app.orders", "app.products"], lock_timeout=1)
    assert not result.get("failed"), result["msg"]
    assert _tables(database) == ["app.orders", "app.products"]


@EMPTY
def test_names_that_hurt(database: Database, run: Run) -> None:
    name = 'Publi"cation; 50% ' + "ü" * 20
    schema = 'Sche.ma "1"; --'
    tables = ["select", "Ünï çödé", 'a.b"c', "x" * 63, "%s {0}", "back\\slash"]
    database.sql(f"CREATE SCHEMA {_quoted(schema)}")
    for table in tables:
        database.sql(f"CREATE TABLE {_quoted(schema)}.{_quoted(table)} (id int PRIMARY KEY)")
    result = run("publication", name=name, tables_from_schemas=[schema])
    assert not result.get("failed"), result["msg"]
    assert {row[0] for row in database.sql("SELECT tablename FROM pg_publication_tables")} == set(tables)
    assert database.sql("SELECT pubname::text FROM pg_publication") == [(name,)]
    named = [table["name"] for table in result["publication"]["tables"]]
    _assert_unchanged(run("publication", name=name, tables=named))
    _assert_unchanged(run("publication", name=name, tables_from_schemas=[schema]))
    assert run("publication", name=name, state="absent")["changed"]


@EMPTY
def test_tables_of_a_schema_are_those_that_can_be_published(database: Database, run: Run) -> None:
    database.sql(
        """
        CREATE SCHEMA app;
        CREATE TABLE app.plain (id int PRIMARY KEY);
        CREATE TABLE app.of_all_kinds (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
        ALTER TABLE app.of_all_kinds ENABLE ROW LEVEL SECURITY;
        CREATE UNLOGGED TABLE app.unlogged (id int PRIMARY KEY);
        CREATE VIEW app.view AS SELECT 1;
        CREATE MATERIALIZED VIEW app.materialized AS SELECT 1;
        CREATE SEQUENCE app.sequence
        """
    )
    database.admin("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w")
    database.admin("CREATE FOREIGN TABLE app.elsewhere (id int) SERVER s; CREATE EXTENSION pg_trgm SCHEMA app")
    database.admin("CREATE TABLE app.of_extension (id int); ALTER EXTENSION pg_trgm ADD TABLE app.of_extension")
    result = run("publication", tables_from_schemas=["app"])
    assert _tables(database) == ["app.of_all_kinds", "app.plain"]
    assert result["warnings"] == ["Unlogged tables cannot be published and are left out: app.unlogged."]
    _assert_unchanged(run("publication", tables_from_schemas=["app"]))
    database.sql("CREATE TABLE app.later (id int PRIMARY KEY)")
    later = run("publication", tables_from_schemas=["app"], exclude_tables=["app.plain"])
    assert later["queries"] == [
        'ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."plain"',
        'ALTER PUBLICATION "streamkap_pub" ADD TABLE "app"."later"',
    ]

    named = ["app.elsewhere", "app.materialized", "app.sequence", "app.unlogged", "app.view", "app.plain_pkey"]
    refused = run("publication", tables=["app.plain", *named])
    for words in ("a foreign table", "a materialized view", "a sequence", "unlogged", "a view", "an index"):
        assert f" is {words}." in refused["msg"]
    assert _tables(database) == ["app.later", "app.of_all_kinds"]


@EMPTY
@pytest.mark.parametrize("via_root", [None, False, True])
def test_partitioned_table_stands_for_its_partitions(database: Database, run: Run, via_root: bool | None) -> None:
    _make_partitions(database)
    options = {"tables_from_schemas": ["app"], "publish_via_partition_root": via_root}
    first = run("publication", **options)
    assert not first.get("failed"), first["msg"]
    # Its root is in a schema that is not listed: the partition is a table of its own.
    assert _tables(database) == ["app.events", "app.of_another_root"]
    published = {row[0] for row in database.sql("SELECT tablename FROM pg_publication_tables")}
    leaves = {"events_1", "events_2a", "of_another_root"}
    assert published == ({"events", "of_another_root"} if via_root else leaves)
    _assert_unchanged(run("publication", **options))
    _assert_unchanged(run("publication", **{**options, "publish_via_partition_root": None}))

    with_root = run("publication", tables_from_schemas=["app"], tables=["parts.root"])
    assert with_root["queries"] == [
        'ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."of_another_root"',
        'ALTER PUBLICATION "streamkap_pub" ADD TABLE "parts"."root"',
    ]
    _assert_unchanged(run("publication", tables=["app.events", "parts.root"], publish_via_partition_root=via_root))


@EMPTY
def test_partitions_are_excluded_with_their_root_and_not_alone(database: Database, run: Run) -> None:
    _make_partitions(database)
    run("publication", tables_from_schemas=["app"], exclude_tables=["app.events"])
    assert _tables(database) == ["app.of_another_root"]
    refused = run("publication", tables_from_schemas=["app"], exclude_tables=["app.events_1"])
    assert "app.events_1, a partition of app.events, which is published with all its partitions" in refused["msg"]
    assert _tables(database) == ["app.of_another_root"]


def test_excluding_what_does_not_exist_fails(database: Database, run: Run) -> None:
    refused = run("publication", tables_from_schemas=["app"], exclude_tables=["app.Orders", "app.none"])
    assert refused["failed"]
    assert "app.Orders, named in exclude_tables, does not exist. Did you mean app.orders?" in refused["msg"]
    assert "app.none" in refused["msg"]
    assert database.sql("SELECT count(*) FROM pg_publication") == [(0,)]


def test_parameters_are_set_on_a_difference_and_left_alone_when_not_given(database: Database, run: Run) -> None:
    run("publication", tables=["app.orders"], publish=["delete", "insert"], publish_via_partition_root=True)
    found = run("publication", tables=["app.orders"])
    _assert_unchanged(found)
    assert found["publication"]["publish"] == ["insert", "delete"]
    assert found["publication"]["publish_via_partition_root"] is True
    _assert_unchanged(
        run("publication", tables=["app.orders"], publish=["insert", "delete"], publish_via_partition_root=True)
    )
    changed = run("publication", tables=["app.orders"], publish=PUBLISHES, publish_via_partition_root=False)
    assert changed["queries"] == [
        "ALTER PUBLICATION \"streamkap_pub\" SET (publish = 'insert, update, delete, truncate', "
        "publish_via_partition_root = false)"
    ]
    parameters = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication"
    assert database.sql(parameters) == [(True, True, True, True, False)]


@pytest.mark.postgres(18)
def test_publication_of_generated_columns_is_left_alone(database: Database, run: Run) -> None:
    database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders WITH (publish_generated_columns = stored)")
    assert run("publication", tables=["app.customers"], publish=["insert"])["changed"]
    assert database.sql("SELECT pubgencols FROM pg_publication") == [("s",)]


@EMPTY
def test_inheriting_tables_are_tables_of_their_own(database: Database, run: Run) -> None:
    database.sql(
        "CREATE SCHEMA app; CREATE TABLE app.parent (id int PRIMARY KEY);"
        " CREATE TABLE app.child (PRIMARY KEY (id)) INHERITS (app.parent)"
    )
    result = run("publication", tables=["app.parent"])
    assert result["queries"] == ['CREATE PUBLICATION "streamkap_pub" FOR TABLE ONLY "app"."parent"']
    assert _tables(database) == ["app.parent"]
    _assert_unchanged(run("publication", tables=["app.parent"]))
    run("publication", tables_from_schemas=["app"])
    assert _tables(database) == ["app.child", "app.parent"]
    run("publication", tables=["app.child"])
    assert _tables(database) == ["app.child"]


@EMPTY
def test_tables_whose_updates_would_fail_are_those_of_which_postgresql_says_so(database: Database, run: Run) -> None:
    _make_identities(database)
    included = run("publication", tables_from_schemas=["app"], keyless_tables="include")
    failing = set(_failing_updates(database, "app"))
    assert len(failing) >= 6
    assert _named(included["warnings"][0]) == failing

    refused = run("publication", name="another", tables_from_schemas=["app"])
    assert refused["failed"]
    assert set(refused["keyless_tables"]) == _named(refused["msg"]) == failing
    assert "streamkap.neon.replica_identity" in refused["msg"]
    assert database.sql("SELECT pubname::text FROM pg_publication") == [(NAME,)]

    skipped = run("publication", tables_from_schemas=["app"], keyless_tables="skip")
    assert _named(skipped["warnings"][0]) == failing
    assert _failing_updates(database, "app") == []
    again = run("publication", tables_from_schemas=["app"], keyless_tables="skip")
    _assert_unchanged(again)
    assert again["warnings"] == skipped["warnings"]
    # A partitioned table is left out as a whole.
    assert "app.parted" not in _tables(database)
    assert "app.parted_well" in _tables(database)


@EMPTY
def test_keyless_tables_do_no_harm_where_only_inserts_are_published(database: Database, run: Run) -> None:
    _make_identities(database)
    result = run("publication", tables_from_schemas=["app"], publish=["insert", "truncate"])
    assert not result.get("failed"), result["msg"]
    assert result["warnings"] == []
    assert _failing_updates(database, "app") == []
    refused = run("publication", tables_from_schemas=["app"], publish=["insert", "delete"])
    assert "app.keyless (it has no primary key)" in refused["msg"]


@EMPTY
@SINCE_15
def test_keyless_tables_of_whole_schemas_cannot_be_skipped(database: Database, run: Run) -> None:
    _make_identities(database)
    options = {"schemas": ["app"], "dsn": database.admin_dsn}
    for keyless_tables in ("fail", "skip"):
        refused = run("publication", **options, keyless_tables=keyless_tables)
        assert {"app.keyless", "app.parted_2"} <= set(refused["keyless_tables"])
        assert "tables_from_schemas" in refused["msg"]
    all_tables = run("publication", all_tables=True, dsn=database.admin_dsn)
    assert all_tables["keyless_tables"] == refused["keyless_tables"]
    included = run("publication", **options, keyless_tables="include")
    assert _named(included["warnings"][0]) == set(_failing_updates(database, "app"))


@EMPTY
@SINCE_15
def test_filters_and_column_lists_that_break_updates_are_refused(database: Database, run: Run) -> None:
    database.sql(
        """
        CREATE SCHEMA app;
        CREATE TABLE app.t (id int PRIMARY KEY, x int);
        CREATE TABLE app.wide (id int, x int, PRIMARY KEY (id) INCLUDE (x));
        CREATE TABLE app.whole (id int, x int);
        ALTER TABLE app.whole REPLICA IDENTITY FULL;
        CREATE TABLE app.p (id int, k int, x int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
        CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1);
        ALTER TABLE app.p1 REPLICA IDENTITY FULL;
        CREATE TABLE app.p2 PARTITION OF app.p FOR VALUES IN (2);
        INSERT INTO app.t VALUES (1, 1); INSERT INTO app.wide TABLE app.t; INSERT INTO app.whole TABLE app.t;
        INSERT INTO app.p VALUES (1, 1, 1), (1, 2, 1)
        """
    )
    cases = [
        {"name": "app.t", "where": "x > 0"},
        {"name": "app.t", "where": "id > 0"},
        {"name": "app.t", "columns": ["x"]},
        {"name": "app.t", "columns": ["x", "id"]},
        {"name": "app.t", "columns": ["id"], "where": "x > 0"},
        {"name": "app.wide", "where": "x > 0"},
        {"name": "app.wide", "columns": ["id"]},
        {"name": "app.whole", "where": "x > 0"},
        {"name": "app.whole", "columns": ["id", "x"]},
        {"name": "app.p", "where": "x > 0"},
        {"name": "app.p", "where": "id > 0 AND k > 0"},
        {"name": "app.p", "columns": ["id", "k"]},
    ]
    refusals = []
    for number, table in enumerate(cases):
        options = {"tables": [table], "publish_via_partition_root": True}
        result = run("publication", **options)
        refusals.append(bool(result.get("failed")))
        if result.get("failed"):
            assert "updates and deletes fail in the application" in result["msg"]
            assert table["name"] in result["msg"]
            assert run("publication", **options, publish=["insert"])["changed"]
            database.sql("ALTER PUBLICATION streamkap_pub SET (publish = 'insert, update')")
        assert bool(_failing_updates(database, "app")) == refusals[-1], cases[number]
        run("publication", state="absent")
    assert refusals == [True, False, True, False, True, True, False, False, True, True, False, True]


@EMPTY
@SINCE_15
def test_row_filter_is_compared_by_its_meaning(database: Database, run: Run) -> None:
    _make_filtered_tables(database)
    tables, others = _filters(0), _filters(1)
    first = run("publication", tables=tables)
    assert not first.get("failed"), first["msg"]
    assert len(_tables(database)) == len(ROW_FILTERS)
    _assert_unchanged(run("publication", tables=tables))
    # As PostgreSQL shows it, and as it would be after a reload of that.
    shown = [{"name": table["name"], "where": table["where"]} for table in first["publication"]["tables"]]
    _assert_unchanged(run("publication", tables=shown))

    predicted = run("publication", tables=others, check=True)
    changed = run("publication", tables=others)
    assert predicted["queries"] == changed["queries"]
    dropped, added = changed["queries"]
    assert all(f'"{table["name"][-3:]}"' in dropped for table in tables), dropped
    assert added.startswith('ALTER PUBLICATION "streamkap_pub" ADD TABLE ')
    _assert_unchanged(run("publication", tables=others))


@SINCE_15
def test_row_filter_and_columns_are_changed_in_place(database: Database, run: Run) -> None:
    table = {"name": "app.orders", "columns": ["status", "id"], "where": "id > 10"}
    first = run("publication", tables=["app.customers", table])
    assert first["queries"] == [
        'CREATE PUBLICATION "streamkap_pub" FOR TABLE "app"."customers", '
        '"app"."orders" ("status", "id") WHERE (id > 10)'
    ]
    assert first["publication"]["tables"][1] == {
        "name": "app.orders",
        "columns": ["id", "status"],
        "where": "(id > 10)",
    }
    _assert_unchanged(run("publication", tables=["app.customers", {**table, "columns": ["id", "status"]}]))
    changed = run("publication", tables=["app.customers", {"name": "app.orders", "columns": ["id"]}])
    assert changed["queries"] == [
        'ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."orders"',
        'ALTER PUBLICATION "streamkap_pub" ADD TABLE "app"."orders" ("id")',
    ]
    # A table that is named is published as named, whether or not others may stay.
    plain = run("publication", tables=["app.orders"], exclusive=False)
    assert plain["publication"]["tables"][1] == {"name": "app.orders", "columns": None, "where": None}
    assert _tables(database) == ["app.customers", "app.orders"]


@SINCE_15
def test_bad_row_filter_leaves_the_publication_as_it_was(database: Database, run: Run) -> None:
    bad = {
        "idd > 1": 'column "idd" does not exist',
        "id >": "syntax error",
        "id": "type boolean",
        "count(*) > 1": "aggregate functions are not allowed",
        "id IN (SELECT 1)": "it has a subquery",
        "random() > 0.5": "the function random() is not immutable",
        "id > 1) OR (true": "syntax error",
        "true), app.products WHERE (true": "syntax error",
        "true); DROP TABLE app.products; --": "syntax error",
        "true); DROP TABLE app.products; SELECT (true": "more than one expression",
        "true); COMMIT; SELECT (true": "more than one expression",
    }
    run("publication", tables=["app.customers", {"name": "app.orders", "where": "id > 10"}])
    before = _everything(database)
    for where, words in bad.items():
        result = run("publication", tables=["app.products", {"name": "app.orders", "where": where}])
        assert result["failed"], where
        assert words in result["msg"]
        assert _everything(database) == before


@SINCE_15
def test_columns_that_cannot_be_listed_are_named(database: Database, run: Run) -> None:
    database.sql("ALTER TABLE app.orders ADD twice int GENERATED ALWAYS AS (1 + 1) STORED")
    result = run("publication", tables=[{"name": "app.orders", "columns": ["id", "Status", "none"]}])
    assert "app.orders has no column Status, none." in result["msg"]
    generated = run("publication", tables=[{"name": "app.orders", "columns": ["id", "twice"]}])
    if database.server.major >= 18:
        assert generated["publication"]["tables"][0]["columns"] == ["id", "twice"]
    else:
        assert "twice is a generated column of app.orders" in generated["msg"]


@EMPTY
@SINCE_15
def test_partitioned_table_is_filtered_only_via_its_root(database: Database, run: Run) -> None:
    _make_partitions(database)
    filtered = {"name": "app.events", "where": "id > 10"}
    refused = run("publication", tables=[filtered])
    assert "app.events is partitioned" in refused["msg"]
    assert "publish_via_partition_root: true" in refused["msg"]
    run("publication", tables=[filtered], publish_via_partition_root=True)
    _assert_unchanged(run("publication", tables=[filtered], publish_via_partition_root=True))
    plain = run("publication", tables=["app.events"], publish_via_partition_root=False)
    assert not plain.get("failed"), plain["msg"]
    back = run("publication", tables=[filtered], publish_via_partition_root=True)
    assert not back.get("failed"), back["msg"]


@pytest.mark.postgres(14)
def test_what_needs_postgresql_15_is_refused_before(run: Run) -> None:
    for options in (
        {"schemas": ["app"]},
        {"tables": [{"name": "app.orders", "where": "id > 1"}]},
        {"tables": [{"name": "app.orders", "columns": ["id"]}]},
    ):
        result = run("publication", **options)
        assert result["failed"]
        assert "PostgreSQL 15, and this server is 14" in result["msg"]
    _assert_unchanged(run("publication", state="absent"))


def test_missing_tables_fail_and_only_warn_in_check_mode(database: Database, run: Run) -> None:
    options = {"tables": ["app.Orders", "streamkap.streamkap_signal", "app.orders"]}
    predicted = run("publication", check=True, **options)
    assert predicted["queries"] == [
        'CREATE PUBLICATION "streamkap_pub" FOR TABLE "app"."Orders", "app"."orders", "streamkap"."streamkap_signal"'
    ]
    assert predicted["warnings"] == [
        "The table app.Orders, named in tables, does not exist. Did you mean app.orders?",
        "The table streamkap.streamkap_signal, named in tables, does not exist.",
    ]
    failed = run("publication", **options)
    assert all(warning in failed["msg"] for warning in predicted["warnings"])
    assert database.sql("SELECT count(*) FROM pg_publication") == [(0,)]


def test_missing_and_empty_schemas_fail(database: Database, run: Run) -> None:
    missing = run("publication", tables_from_schemas=["app", "App", "none"])
    assert "No such schema in this database: App, none." in missing["msg"]
    database.sql("CREATE SCHEMA empty")
    empty = run("publication", tables_from_schemas=["empty"])
    assert "would publish no table" in empty["msg"]
    beside = run("publication", tables_from_schemas=["empty"], tables=["app.orders"])
    assert not beside.get("failed"), beside["msg"]


def test_tables_of_other_owners_are_named_with_them(database: Database, run: Run) -> None:
    database.admin(
        "CREATE ROLE one; CREATE ROLE two;"
        " ALTER TABLE app.orders OWNER TO one; ALTER TABLE app.products OWNER TO two; ALTER TABLE app.customers OWNER TO two"
    )
    result = run("publication", tables_from_schemas=["app"])
    assert result["failed"]
    assert "app.customers of two, app.orders of one, app.products of two" in result["msg"]
    assert 'GRANT "one", "two" TO' in result["msg"]
    assert database.sql("SELECT count(*) FROM pg_publication") == [(0,)]


def test_rights_to_make_and_to_alter_are_checked_all_at_once(database: Database, run: Run) -> None:
    database.sql("CREATE ROLE visitor LOGIN PASSWORD 'Visitor-3-of-the-tests'; GRANT USAGE ON SCHEMA app TO visitor")
    dsn = database.dsn_as("visitor", "Visitor-3-of-the-tests")
    made = run("publication", tables=["app.orders"], dsn=dsn)
    assert "takes CREATE on the database" in made["msg"]
    assert "app.orders of neondb_owner" in made["msg"]
    run("publication", tables=["app.orders"])
    altered = run("publication", tables=["app.orders"], publish=["insert"], dsn=dsn)
    assert "The publication streamkap_pub belongs to neondb_owner" in altered["msg"]
    dropped = run("publication", state="absent", dsn=dsn)
    assert "may not drop the publication streamkap_pub, which neondb_owner owns" in dropped["msg"]
    _assert_unchanged(run("publication", tables=["app.orders"], dsn=dsn))
    assert database.sql("SELECT pubupdate FROM pg_publication") == [(True,)]


def test_owner_is_changed_once_and_only_to_whom_it_can_be(database: Database, run: Run) -> None:
    missing = run("publication", tables=["app.orders"], owner="none")
    assert "The role none, which is to own the publication, does not exist." in missing["msg"]
    database.sql("CREATE ROLE keeper")
    refused = run("publication", tables=["app.orders"], owner="keeper")
    assert "being able to become that role" in refused["msg"]
    assert "keeper needs CREATE on the database" in refused["msg"]
    assert database.sql("SELECT count(*) FROM pg_publication") == [(0,)]

    database.sql(f"GRANT keeper TO neondb_owner; GRANT CREATE ON DATABASE {database.name} TO keeper")
    made = run("publication", tables=["app.orders"], owner="keeper")
    assert made["queries"][1:] == ['ALTER PUBLICATION "streamkap_pub" OWNER TO "keeper"']
    assert made["publication"]["owner"] == "keeper"
    _assert_unchanged(run("publication", tables=["app.orders"], owner="keeper"))
    _assert_unchanged(run("publication", tables=["app.orders"]))
    back = run("publication", tables=["app.orders"], owner=OWNER)
    assert back["diff"]["before"].endswith("owner: keeper\n")
    assert database.sql("SELECT pg_get_userbyid(pubowner) FROM pg_publication") == [(OWNER,)]


@SINCE_15
def test_schemas_are_published_by_a_superuser(database: Database, run: Run) -> None:
    refused = run("publication", schemas=["app"])
    assert "Only a superuser may publish schemas." in refused["msg"]
    assert "tables_from_schemas" in refused["msg"]

    options = {"schemas": ["billing", "app"], "tables": ["app.orders"], "dsn": database.admin_dsn}
    made = run("publication", **options)
    assert made["queries"] == [
        'CREATE PUBLICATION "streamkap_pub" FOR TABLE "app"."orders", TABLES IN SCHEMA "app", "billing"'
    ]
    assert made["publication"]["schemas"] == ["app", "billing"]
    _assert_unchanged(run("publication", **options))
    database.sql("CREATE TABLE app.later (id int PRIMARY KEY)")
    _assert_unchanged(run("publication", **options))
    removed = run("publication", schemas=["app"], dsn=database.admin_dsn)
    assert removed["queries"] == [
        'ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."orders", TABLES IN SCHEMA "billing"'
    ]
    added = run("publication", schemas=["billing"], exclusive=False, dsn=database.admin_dsn)
    assert added["queries"] == ['ALTER PUBLICATION "streamkap_pub" ADD TABLES IN SCHEMA "billing"']


@SINCE_15
@NEON
def test_on_neon_schemas_are_published_by_its_owner_and_never_added(database: Database, run: Run) -> None:
    planned = run("publication", schemas=["app"], check=True)
    assert planned["queries"] == ['CREATE PUBLICATION "streamkap_pub" FOR TABLES IN SCHEMA "app"']
    database.admin("CREATE PUBLICATION streamkap_pub FOR TABLES IN SCHEMA app, billing")
    database.admin(f"UPDATE pg_publication SET pubowner = '{OWNER}'::regrole")
    _assert_unchanged(run("publication", schemas=["app", "billing"]))
    assert run("publication", schemas=["app"])["changed"]
    refused = run("publication", schemas=["app", "billing"])
    assert "Only a superuser may add schemas to a publication, on Neon too: billing." in refused["msg"]
    assert run("publication", schemas=["app"])["publication"]["schemas"] == ["app"]


@NEON
def test_on_neon_all_tables_are_published_by_its_owner(database: Database, run: Run) -> None:
    planned = run("publication", all_tables=True, publish=["insert"], check=True)
    assert planned["queries"] == ["CREATE PUBLICATION \"streamkap_pub\" FOR ALL TABLES WITH (publish = 'insert')"]
    database.admin("CREATE ROLE visitor LOGIN PASSWORD 'Visitor-3-of-the-tests'")
    database.sql(f"GRANT CREATE ON DATABASE {database.name} TO visitor")
    refused = run("publication", all_tables=True, dsn=database.dsn_as("visitor", "Visitor-3-of-the-tests"))
    assert "Only a superuser or a member of neon_superuser may publish all tables." in refused["msg"]


def test_all_tables_and_a_list_do_not_become_each_other(database: Database, run: Run) -> None:
    refused = run("publication", all_tables=True)
    assert "Only a superuser may publish all tables." in refused["msg"]
    made = run("publication", all_tables=True, dsn=database.admin_dsn)
    assert made["queries"] == ['CREATE PUBLICATION "streamkap_pub" FOR ALL TABLES']
    _assert_unchanged(run("publication", all_tables=True))
    for exclusive in (True, False):
        to_list = run("publication", tables=["app.orders"], exclusive=exclusive, dsn=database.admin_dsn)
        assert "streamkap_pub is FOR ALL TABLES, and PostgreSQL cannot turn it into a list" in to_list["msg"]
        assert "drop its slot" in to_list["msg"]
    run("publication", state="absent", dsn=database.admin_dsn)
    run("publication", tables=["app.orders"])
    to_all = run("publication", all_tables=True, dsn=database.admin_dsn)
    assert "streamkap_pub is a list, and PostgreSQL cannot turn it into FOR ALL TABLES" in to_all["msg"]
    assert _tables(database) == ["app.orders"]


def test_publication_under_a_slot_is_altered_and_not_dropped(database: Database, run: Run) -> None:
    run("publication", tables=["app.orders"])
    identity = "SELECT oid FROM pg_publication"
    oid = database.sql(identity)
    database.sql("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')")
    database.sql("INSERT INTO app.orders (customer_id) VALUES (1)")
    run("publication", tables=["app.customers"], publish_via_partition_root=True)
    assert database.sql(identity) == oid
    assert _decodable(database, NAME)

    refused = run("publication", state="absent")
    assert "is read through the slot the_slot" in refused["msg"]
    assert "streamkap.neon.slot, state: absent" in refused["msg"]
    assert database.sql(identity) == oid
    predicted = run("publication", state="absent", check=True)
    assert predicted["queries"] == ['DROP PUBLICATION "streamkap_pub"']
    assert "the_slot" in predicted["warnings"][0]
    database.sql("SELECT pg_drop_replication_slot('the_slot')")
    assert run("publication", state="absent")["changed"]


def test_one_of_two_publications_can_go_while_the_other_is_read(database: Database, run: Run) -> None:
    other = 'The "other", one'
    run("publication", tables=["app.orders"])
    run("publication", name=other, tables=["app.orders"])
    database.sql("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')")
    unknown = run("publication", state="absent", check=True)
    assert "Nobody can tell which publication is read through the slot the_slot" in unknown["warnings"][0]
    with _reading(database, "the_slot", other):
        read = run("publication", name=other, state="absent")
        assert read["failed"]
        assert "is read through the slot the_slot" in read["msg"]
        gone = run("publication", state="absent")
        assert gone["changed"]
        assert gone["warnings"] == []
    assert database.sql("SELECT pubname::text FROM pg_publication") == [(other,)]


def test_publication_made_after_the_slot_warns(database: Database, run: Run) -> None:
    database.sql("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')")
    result = run("publication", tables=["app.orders"])
    assert "is made after the slot the_slot" in result["warnings"][0]
    assert run("publication", tables=["app.orders"])["warnings"] == []


def _tables(database: Database, name: str = NAME) -> list[str]:
    rows = database.sql(
        """
        SELECT n.nspname || '.' || c.relname
          FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
          JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE pubname = %s ORDER BY 1""",
        [name],
    )
    return [row[0] for row in rows]


def _everything(database: Database) -> list[tuple]:
    """Every row of the catalogs of publications with its transaction, and every table."""
    catalogs = ("pg_publication", "pg_publication_rel")
    rows = " UNION ALL ".join(f"SELECT xmin::text, to_jsonb(t)::text FROM {name} t" for name in catalogs)
    return database.sql(
        f"{rows} UNION ALL SELECT relname, relkind::text FROM pg_class WHERE oid >= 16384 ORDER BY 1, 2"
    )


def _transactions(database: Database) -> list[tuple]:
    """How many transactions of the server have written anything."""
    return database.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")


def _assert_unchanged(result: dict[str, object]) -> None:
    assert not result.get("failed"), result["msg"]
    assert not result["changed"], result["queries"]
    assert result["queries"] == []


def _named(message: str) -> set[str]:
    """The tables that a message gives reasons for."""
    return set(re.findall(r"(app\.\w+) \(", message))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _make_partitions(database: Database) -> None:
    database.sql(
        """
        CREATE SCHEMA app; CREATE SCHEMA parts;
        CREATE TABLE app.events (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
        CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES IN (1);
        CREATE TABLE parts.events_2 PARTITION OF app.events FOR VALUES IN (2, 3) PARTITION BY LIST (k);
        CREATE TABLE app.events_2a PARTITION OF parts.events_2 FOR VALUES IN (2);
        CREATE TABLE parts.root (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
        CREATE TABLE app.of_another_root PARTITION OF parts.root FOR VALUES IN (1)
        """
    )


def _make_identities(database: Database) -> None:
    """Tables of one row each, with every way of having or lacking a replica identity."""
    database.sql(
        """
        CREATE SCHEMA app;
        CREATE TABLE app.keyed (id int PRIMARY KEY);
        CREATE TABLE app.keyless (id int);
        CREATE TABLE app.unique_only (id int NOT NULL UNIQUE);
        CREATE TABLE app.deferrable (id int PRIMARY KEY DEFERRABLE);
        CREATE TABLE app.nothing (id int PRIMARY KEY);
        ALTER TABLE app.nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE app.complete (id int);
        ALTER TABLE app.complete REPLICA IDENTITY FULL;
        CREATE TABLE app.by_index (id int NOT NULL);
        CREATE UNIQUE INDEX by_its_index ON app.by_index (id);
        ALTER TABLE app.by_index REPLICA IDENTITY USING INDEX by_its_index;
        CREATE TABLE app.index_gone (id int PRIMARY KEY, other int NOT NULL DEFAULT 1);
        CREATE UNIQUE INDEX the_index ON app.index_gone (other);
        ALTER TABLE app.index_gone REPLICA IDENTITY USING INDEX the_index;
        DROP INDEX app.the_index;
        CREATE TABLE app.generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
        CREATE TABLE app.generated_complete (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
        ALTER TABLE app.generated_complete REPLICA IDENTITY FULL;
        CREATE TABLE app.parted (id int, k int DEFAULT 1) PARTITION BY LIST (k);
        CREATE TABLE app.parted_1 PARTITION OF app.parted (PRIMARY KEY (id)) FOR VALUES IN (1);
        CREATE TABLE app.parted_2 PARTITION OF app.parted FOR VALUES IN (2);
        ALTER TABLE app.parted REPLICA IDENTITY FULL;
        CREATE TABLE app.parted_well (id int, k int DEFAULT 1) PARTITION BY LIST (k);
        CREATE TABLE app.parted_well_1 PARTITION OF app.parted_well FOR VALUES IN (1);
        ALTER TABLE app.parted_well_1 REPLICA IDENTITY FULL;
        """
    )
    if database.server.major >= 18:
        database.sql(
            "CREATE TABLE app.generated_virtually (id int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL);"
            " ALTER TABLE app.generated_virtually REPLICA IDENTITY FULL"
        )
    partitions = {"parted_2": ", 2"}
    rows = [
        f"INSERT INTO app.{table} VALUES (1{partitions.get(table, '')})"
        for (table,) in _ordinary_tables(database, "app")
    ]
    database.sql(";".join(rows))


def _ordinary_tables(database: Database, schema: str) -> list[tuple]:
    return database.sql(
        "SELECT relname::text FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY 1",
        [schema],
    )


def _failing_updates(database: Database, schema: str) -> list[str]:
    """The tables of which PostgreSQL refuses to update a row."""
    failing = []
    tables = _ordinary_tables(database, schema)
    with contextlib.closing(psycopg2.connect(database.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for (table,) in tables:
            try:
                cursor.execute(f"UPDATE {schema}.{table} SET id = id")
            except (psycopg2.errors.ObjectNotInPrerequisiteState, psycopg2.errors.InvalidColumnReference):
                failing.append(f"{schema}.{table}")
    return failing


def _make_filtered_tables(database: Database) -> None:
    tables = [f"CREATE TABLE app.t{number:02} ({FILTERED_COLUMNS});" for number in range(len(ROW_FILTERS))]
    identities = [f"ALTER TABLE app.t{number:02} REPLICA IDENTITY FULL;" for number in range(len(ROW_FILTERS))]
    database.sql("CREATE SCHEMA app;" + "".join(tables + identities))


def _filters(which: int) -> list[dict[str, str]]:
    names = [f"t{number:02}" for number in range(len(ROW_FILTERS))]
    return [
        {"name": f"app.{name}", "where": pair[which].replace("{table}", name)}
        for name, pair in zip(names, ROW_FILTERS, strict=True)
    ]


def _decodable(database: Database, publication: str) -> bool:
    changes = database.sql(
        "SELECT lsn FROM pg_logical_slot_peek_binary_changes("
        "'the_slot', NULL, NULL, 'proto_version', '1', 'publication_names', %s)",
        [publication],
    )
    return len(changes) > 0


@contextlib.contextmanager
def _transaction(dsn: str, statement: str) -> Iterator[None]:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        yield


@contextlib.contextmanager
def _reading(database: Database, slot: str, publication: str) -> Iterator[None]:
    factory = psycopg2.extras.LogicalReplicationConnection
    connecting = contextlib.closing(psycopg2.connect(database.dsn, connection_factory=factory))
    with connecting as connection, connection.cursor() as cursor:
        options = {"proto_version": "1", "publication_names": _quoted(publication)}
        cursor.start_replication(slot, options=options, decode=False)
        yield


@pytest.mark.postgres(15, 18)
@pytest.mark.newest_version
def test_tables_that_stay_published_are_not_broken_by_what_else_changes(database: Database, run: Run) -> None:
    database.sql(
        "CREATE TABLE app.log (line text); CREATE TABLE app.filtered (id int PRIMARY KEY, v text);"
        "CREATE PUBLICATION streamkap_pub FOR TABLE app.log, app.filtered WHERE (v > 'a') WITH (publish = 'insert')"
    )
    options = {"tables": ["app.orders"], "exclusive": False}
    refused = run("publication", publish=["insert", "update"], **options)
    assert "app.log (it has no primary key)" in refused["msg"]
    assert "app.filtered (the row filter of the publication streamkap_pub uses v)" in refused["msg"]
    assert run("publication", **options)["changed"]
    database.sql("UPDATE app.log SET line = ''; UPDATE app.filtered SET v = ''")
