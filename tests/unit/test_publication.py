# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource publication, and how it reads its options."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources import publication
from ansible_collections.streamkap.neon.plugins.module_utils._resources.publication import Publication
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server

OIDS = itertools.count(20000)


def desired(**options: object) -> Publication:
    defaults = {
        "name": "pub",
        "state": "present",
        "all_tables": False,
        "schemas": None,
        "tables": None,
        "tables_from_schemas": None,
        "exclude_tables": None,
        "keyless_tables": "fail",
        "publish": None,
        "publish_via_partition_root": None,
        "owner": None,
        "exclusive": True,
    }
    return Publication(**{**defaults, **options})


def server(**facts: object) -> Server:
    defaults = {
        "version": 170011,
        "database": "neondb",
        "user": "owner",
        "in_recovery": False,
        "wal_level": "logical",
        "neon_project": None,
        "neon_privileged": False,
        "superuser": False,
        "createrole": True,
        "replication": True,
        "bypassrls": True,
    }
    return Server(**{**defaults, **facts})


def relation(name: str, **facts: object) -> dict[str, object]:
    schema, table = name.split(".")
    defaults = {"kind": "r", "persistence": "p", "owner": "owner", "mine": True, "key": ["id"]}
    return {"oid": next(OIDS), "schema": schema, "name": table, **defaults, **facts}


def seen(*relations: dict[str, object], published: list[object] | None = None, **facts: object) -> dict[str, object]:
    """published: relations, or dictionaries with relation, columns and where, of an existing publication"""
    existing = {
        "owner": "owner",
        "mine": True,
        "all_tables": False,
        "publish": {"insert": True, "update": True, "delete": True, "truncate": True},
        "via_root": False,
        "schemas": [],
        "tables": [
            {"columns": None, "where": None, **(table if "relation" in table else {"relation": table["oid"]})}
            for table in published or []
        ],
    }
    return {
        "publication": None if published is None else {**existing, **facts.pop("publication", {})},
        "may_create": True,
        "schemas": ["app", "billing"],
        "owner": None,
        "other_publications": False,
        "slots": [],
        "row_filters": [],
        "relations": list(relations),
        **facts,
    }


def statements(resource: Publication, looked: dict[str, object], **facts: object) -> list[str]:
    return [str(statement) for statement in resource.plan(looked, server(**facts), {}).statements]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Nothing is named"),
        ({"tables": []}, "Nothing is named"),
        ({"schemas": []}, "schemas is an empty list"),
        ({"tables_from_schemas": []}, "tables_from_schemas is an empty list"),
        ({"schemas": [""]}, "The name of a schema is empty"),
        ({"schemas": ["pg_catalog"]}, "schema pg_catalog"),
        ({"tables_from_schemas": ["information_schema"]}, "schema information_schema"),
        ({"tables": ["pg_temp_3.t"]}, "schema pg_temp_3"),
        ({"name": "p" * 64, "all_tables": True}, "64 bytes"),
        ({"all_tables": True, "tables": ["app.a"]}, "and tables something else"),
        ({"all_tables": True, "schemas": ["app"], "tables_from_schemas": ["app"]}, "schemas and tables_from_schemas"),
        ({"tables": ["app.a"], "publish": []}, "publish is an empty list"),
        ({"tables": ["app.a", "app.b", "app.a"]}, "app.a is named twice in tables, as #1 and #3"),
        ({"tables": ["app.a", {"name": '"app"."a"'}]}, "app.a is named twice"),
        ({"tables": ["a"]}, "'a' is not the name of a table"),
        ({"tables": [5]}, "Table #1 is 5"),
        ({"tables": ["app.b", {"columns": ["id"]}]}, "Table #2 is"),
        ({"tables": [{"name": "app.a", "filter": "x", "rows": 1}]}, "Table #1 has the unknown key filter, rows"),
        ({"tables": [{"name": "app.a", "columns": []}]}, "columns of app.a is []"),
        ({"tables": [{"name": "app.a", "columns": "id"}]}, "columns of app.a is 'id'"),
        ({"tables": [{"name": "app.a", "columns": ["id", ""]}]}, "The name of a column is empty"),
        ({"tables": [{"name": "app.a", "columns": ["id", "x", "id"]}]}, "column of app.a is listed twice"),
        ({"tables": [{"name": "app.a", "where": " "}]}, "where of app.a is ' '"),
        ({"tables": [{"name": "app.a", "where": True}]}, "where of app.a is True"),
        ({"tables": ["app.a"], "exclude_tables": ["app.b"]}, "only tables of tables_from_schemas can be excluded"),
        ({"tables_from_schemas": ["app"], "exclude_tables": ["billing.a"]}, "exclude_tables names billing.a"),
        (
            {"tables": ["app.a"], "tables_from_schemas": ["app"], "exclude_tables": ["app.a"]},
            "app.a is named both in tables and in exclude_tables",
        ),
        ({"schemas": ["app"], "tables": [{"name": "app.a", "where": "id > 1"}]}, "row filter of app.a would have no"),
        ({"schemas": ["app"], "tables": [{"name": "other.a", "columns": ["id"]}]}, "other.a has a column list"),
    ],
)
def test_options_that_do_not_fit_fail(options: dict[str, object], words: str) -> None:
    with pytest.raises(Failure) as failure:
        desired(**options)
    assert words in failure.value.msg
    assert failure.value.hint


def test_absence_asks_for_no_tables() -> None:
    assert statements(desired(state="absent"), seen()) == []
    assert statements(desired(state="absent"), seen(published=[])) == ['DROP PUBLICATION "pub"']


def test_only_row_filters_raise_questions() -> None:
    plain = desired(tables=["app.a", {"name": "app.b", "columns": ["id"]}])
    filtered = desired(tables=[{"name": "app.a", "where": "id > 1"}])
    assert plain.questions(170000) == filtered.questions(140000) == []
    assert len(filtered.questions(150000)) == 1
    assert "current_setting('streamkap_neon" in filtered.look(150000)
    assert "current_setting('streamkap_neon" not in plain.look(150000)


@pytest.mark.parametrize("version", [140000, 150000, 180000])
def test_look_names_only_what_the_version_has(version: int) -> None:
    look = desired(tables=["app.a"]).look(version)
    assert ("prqual" in look) == (version >= 150000)
    assert ("pg_publication_namespace" in look) == (version >= 150000)
    assert ("pubgencols" in look) == (version >= 180000)


def test_differences_are_the_fewest_statements_in_an_order_that_holds() -> None:
    a, b, c, d = (relation(f"app.{name}") for name in "abcd")
    looked = seen(a, b, c, d, published=[a, {"relation": b["oid"], "columns": ["id"]}], publication={"schemas": ["x"]})
    resource = desired(tables=["app.b", "app.c", "app.d"], publish=["insert"], publish_via_partition_root=True)
    assert statements(resource, looked) == [
        'ALTER PUBLICATION "pub" DROP TABLE "app"."a", "app"."b", TABLES IN SCHEMA "x"',
        "ALTER PUBLICATION \"pub\" SET (publish = 'insert', publish_via_partition_root = true)",
        'ALTER PUBLICATION "pub" ADD TABLE "app"."b", "app"."c", "app"."d"',
    ]


def test_order_of_tables_and_columns_and_operations_does_not_matter() -> None:
    a, b = relation("app.a", columns={"id": "", "x": ""}), relation("app.b")
    looked = seen(a, b, published=[b, {"relation": a["oid"], "columns": ["id", "x"]}])
    resource = desired(
        tables=["app.b", {"name": "app.a", "columns": ["x", "id"]}], publish=["truncate", "delete", "update", "insert"]
    )
    plan = resource.plan(looked, server(), {})
    assert plan.statements == []
    assert plan.before == plan.after


@pytest.mark.parametrize(
    ("wanted", "stored", "plans", "same"),
    [
        ("id>1", "(id > 1)", ({"Filter": "1"}, {"Filter": "1"}), True),
        ("id>1", "(id > 2)", ({"Filter": "1"}, {"Filter": "2"}), False),
        # COLLATE does not show in a plan.
        ('a collate "C" > b', '((a COLLATE "C") > b)', ({}, {}), True),
        ('a collate "C" > b', "(a > b)", ({}, {}), False),
        ('a COLLATE pg_catalog."C" > b', '((a COLLATE "C") > b)', ({}, {}), True),
        ('a COLLATE "C" > b', '((a COLLATE "POSIX") > b)', ({}, {}), False),
    ],
)
def test_row_filters_are_the_same_by_plan_and_collation(
    wanted: str, stored: str, plans: tuple[object, object], same: bool
) -> None:
    a = relation("app.a")
    answers = [
        {"relation": a["oid"], "about": about, "plan": plan}
        for about, plan in zip(("wanted", "stored"), plans, strict=True)
    ]
    looked = seen(a, published=[{"relation": a["oid"], "where": stored}], row_filters=answers)
    assert (statements(desired(tables=[{"name": "app.a", "where": wanted}]), looked) == []) == same


def test_stored_row_filter_that_cannot_be_planned_is_another() -> None:
    a = relation("app.a")
    answers = [
        {"relation": a["oid"], "about": "wanted", "plan": {}},
        {"relation": a["oid"], "about": "stored", "error": "division by zero", "sqlstate": "22012"},
    ]
    looked = seen(a, published=[{"relation": a["oid"], "where": "(id > (1 / 0))"}], row_filters=answers)
    assert len(statements(desired(tables=[{"name": "app.a", "where": "true"}]), looked)) == 2


def test_row_filter_ending_in_a_comment_does_not_swallow_its_bracket() -> None:
    looked = seen(relation("app.a"))
    assert statements(desired(tables=[{"name": "app.a", "where": "id > 1 -- one"}]), looked) == [
        'CREATE PUBLICATION "pub" FOR TABLE "app"."a" WHERE (id > 1 -- one\n)'
    ]


def test_every_problem_of_the_named_tables_is_told() -> None:
    looked = seen(relation("app.v", kind="v"), relation("app.u", persistence="u"), relation("app.p", kind="p"))
    resource = desired(tables=["app.v", "app.u", {"name": "app.p", "where": "id > 1"}])
    with pytest.raises(Failure) as failure:
        resource.plan(looked, server(), {})
    for words in ("app.v is a view.", "app.u is unlogged.", "app.p is partitioned"):
        assert words in failure.value.msg


def test_many_keyless_tables_are_counted_in_words_and_complete_in_data() -> None:
    looked = seen(*(relation(f"app.t{number:03}", key=[]) for number in range(200)))
    with pytest.raises(Failure) as failure:
        desired(tables_from_schemas=["app"]).plan(looked, server(), {})
    assert "app.t019 (it has no primary key) and 180 more" in failure.value.msg
    assert len(failure.value.details["keyless_tables"]) == 200


def test_skipping_everything_publishes_nothing_and_fails() -> None:
    plan = desired(tables=["app.a"], keyless_tables="skip").plan(seen(relation("app.a", key=[])), server(), {})
    assert "would publish no table" in plan.missing[0]


def test_what_stays_beside_the_named_tables_is_not_judged() -> None:
    keyless, keyed = relation("app.a", key=[]), relation("app.b")
    looked = seen(keyless, keyed, published=[keyless])
    assert statements(desired(tables=["app.b"], exclusive=False), looked) == [
        'ALTER PUBLICATION "pub" ADD TABLE "app"."b"'
    ]


@pytest.mark.parametrize(
    ("options", "facts", "refusal"),
    [
        ({"schemas": ["app"]}, {}, "Only a superuser may publish schemas"),
        ({"all_tables": True}, {}, "Only a superuser may publish all tables"),
        ({"schemas": ["app"]}, {"superuser": True}, None),
        ({"schemas": ["app"]}, {"neon_project": "p"}, "or a member of neon_superuser"),
        ({"schemas": ["app"]}, {"neon_project": "p", "neon_privileged": True}, None),
        ({"all_tables": True}, {"neon_project": "p", "neon_privileged": True}, None),
        ({"all_tables": True}, {"neon_privileged": True}, "Only a superuser may publish all tables"),
    ],
)
def test_who_may_publish_wholesale(options: dict[str, object], facts: dict[str, object], refusal: str | None) -> None:
    if refusal is None:
        assert len(statements(desired(**options), seen(), **facts)) == 1
        return
    with pytest.raises(Failure) as failure:
        desired(**options).plan(seen(), server(**facts), {})
    assert refusal in failure.value.msg
    assert "tables_from_schemas" in failure.value.hint


def test_owner_of_everything_must_be_a_superuser() -> None:
    owner = {"mine": True, "may_create": True, "superuser": False}
    looked = seen(published=[], owner=owner, publication={"all_tables": True})
    with pytest.raises(Failure, match="Only a superuser may own"):
        desired(all_tables=True, owner="other").plan(looked, server(), {})


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (None, None),
        ("<insufficient privilege>", None),
        ("SELECT pg_logical_slot_get_changes('s', NULL, NULL)", None),
        ("START_REPLICATION SLOT \"s\" LOGICAL 0/0 (proto_version '1', publication_names 'pub')", ["pub"]),
        (
            'START_REPLICATION SLOT s LOGICAL 0/0 ("publication_names" \'a,Pub,"Q, ""q""","it\'\'s"\', x \'1\')',
            ["a", "pub", 'Q, "q"', "it's"],
        ),
    ],
)
def test_publications_that_a_reader_asked_for(command: str | None, names: list[str] | None) -> None:
    assert publication._publication_names(command) == names


@pytest.mark.parametrize(
    ("slots", "others", "missing", "warned"),
    [
        ([], False, 0, 0),
        ([{"name": "s", "command": None}], False, 1, 0),
        ([{"name": "s", "command": None}], True, 0, 1),
        ([{"name": "s", "command": "publication_names 'pub'"}], True, 1, 0),
        ([{"name": "s", "command": "publication_names 'another'"}], True, 0, 0),
        ([{"name": "s", "command": "publication_names 'another'"}, {"name": "t", "command": None}], True, 0, 1),
    ],
)
def test_publication_that_is_read_for_sure_does_not_go(
    slots: list[dict[str, object]], others: bool, missing: int, warned: int
) -> None:
    plan = desired(state="absent").plan(seen(published=[], slots=slots, other_publications=others), server(), {})
    assert (len(plan.missing), len(plan.warnings)) == (missing, warned)
    assert len(plan.statements) == 1


SMALL = {"max_locks_per_transaction": 1, "lock_holders": 8}  # room for four locks


def cut(resource: Publication, looked: dict[str, object]) -> list[tuple[str, int]]:
    planned = resource.plan(looked, server(**SMALL), {}).statements
    return [
        (str(statement).rsplit('PUBLICATION "pub"', maxsplit=1)[-1].strip(), statement.locks) for statement in planned
    ]


def some(*names: str) -> list[dict[str, object]]:
    return [relation("app.%s" % name) for name in names]


def test_creation_is_cut_to_what_the_lock_table_takes() -> None:
    tables = some(*"abcdefghi")
    resource = desired(tables_from_schemas=["app"], owner="heir")
    heir = {"mine": True, "may_create": True, "superuser": False}
    assert cut(resource, seen(*tables, owner=heir)) == [
        ('FOR TABLE "app"."a", "app"."b", "app"."c", "app"."d"', 4),
        ('ADD TABLE "app"."e", "app"."f", "app"."g", "app"."h"', 4),
        ('ADD TABLE "app"."i"', 1),
        ('OWNER TO "heir"', 0),
    ]


def test_what_comes_is_there_before_something_else_leaves() -> None:
    tables = some(*"abcdef")
    resource = desired(tables=["app.d", "app.e", "app.f"])
    assert cut(resource, seen(*tables, published=tables[:3])) == [
        ('ADD TABLE "app"."d", "app"."e", "app"."f"', 3),
        ('DROP TABLE "app"."a", "app"."b"', 4),
        ('DROP TABLE "app"."c"', 2),
    ]


def test_what_is_published_differently_leaves_and_comes_in_one_transaction() -> None:
    tables = some(*"abc")
    published = [{"relation": table["oid"], "columns": ["id"]} for table in tables]
    resource = desired(tables=["app.a", "app.b", "app.c"])
    assert cut(resource, seen(*tables, published=published)) == [
        ('DROP TABLE "app"."a", "app"."b"', 4),
        ('ADD TABLE "app"."a", "app"."b"', 0),
        ('DROP TABLE "app"."c"', 2),
        ('ADD TABLE "app"."c"', 0),
    ]


def test_parameters_stand_between_what_leaves_and_what_comes_even_where_that_is_too_much() -> None:
    tables = some(*"abc")
    published = [{"relation": table["oid"], "columns": ["id"]} for table in tables]
    resource = desired(tables=["app.a", "app.b", "app.c"], publish=["insert"])
    assert cut(resource, seen(*tables, published=published)) == [
        ('DROP TABLE "app"."a", "app"."b", "app"."c"', 6),
        ("SET (publish = 'insert')", 0),
        ('ADD TABLE "app"."a", "app"."b", "app"."c"', 0),
    ]


def test_schemas_leave_after_the_tables_that_stand_for_them_came() -> None:
    tables = some(*"abcdef")
    resource = desired(tables_from_schemas=["app"])
    assert cut(resource, seen(*tables, published=[], publication={"schemas": ["app"]})) == [
        ('ADD TABLE "app"."a", "app"."b", "app"."c", "app"."d"', 4),
        ('ADD TABLE "app"."e", "app"."f"', 2),
        ('DROP TABLES IN SCHEMA "app"', 2),
    ]


def test_schemas_are_locked_while_their_publication_is_dropped() -> None:
    tables = some(*"ab")
    current = seen(*tables, published=tables, publication={"schemas": ["app", "billing"]})
    (statement,) = desired(state="absent").plan(current, server(), {}).statements
    assert statement.locks == len(tables) + 2


def test_a_large_publication_is_emptied_before_it_is_dropped() -> None:
    tables = some(*"abcdef")
    planned = desired(state="absent").plan(seen(*tables, published=tables), server(**SMALL), {}).statements
    assert [(str(statement), statement.locks) for statement in planned] == [
        ('ALTER PUBLICATION "pub" DROP TABLE "app"."e", "app"."f"', 4),
        ('DROP PUBLICATION "pub"', 4),
    ]
