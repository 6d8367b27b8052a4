# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource replica_identity, and how it reads its options."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources.replica_identity import ReplicaIdentity
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server

INDEX = {
    "meant": True,
    "unique": True,
    "partial": False,
    "deferrable": False,
    "valid": True,
    "expression": False,
    "nullable": False,
    "columns": ["id"],
}


SERVER = Server(
    version=170011,
    database="neondb",
    user="admin",
    in_recovery=False,
    wal_level="logical",
    neon_project=None,
    neon_privileged=False,
    superuser=False,
    createrole=True,
    replication=True,
    bypassrls=True,
)


def desired(**options: object) -> ReplicaIdentity:
    defaults = {
        "tables": None,
        "schemas": None,
        "exclude_tables": None,
        "identity": "full",
        "index": None,
        "only_keyless": False,
    }
    return ReplicaIdentity(**{**defaults, **options})


def table(name: str, **facts: object) -> dict[str, object]:
    schema, relation = name.split(".")
    defaults = {
        "ancestors": [],
        "owner": "owner",
        "mine": True,
        "identity": "d",
        "index": None,
        "has_key": True,
        "published": False,
        "indexes": None,
    }
    return {"schema": schema, "name": relation, **defaults, **facts}


def plan(resource: ReplicaIdentity, *tables: dict[str, object], alike: list[dict[str, object]] | None = None) -> Plan:
    found = [{"schema": row["schema"], "name": row["name"], "kind": "r"} for row in tables]
    seen = {"schemas": ["app"], "alike": found if alike is None else alike, "tables": list(tables)}
    return resource.plan(seen, SERVER, {})


def changed(resource: ReplicaIdentity, *tables: dict[str, object]) -> list[str]:
    return list(plan(resource, *tables).after)


def refusal(resource: ReplicaIdentity, *tables: dict[str, object]) -> str:
    with pytest.raises(Failure) as failure:
        plan(resource, *tables)
    return failure.value.as_result()["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": []}, "tables is an empty list"),
        ({"schemas": []}, "schemas is an empty list"),
        ({"tables": ["orders"]}, "not the name of a table"),
        ({"schemas": ["s" * 64]}, "64 bytes"),
        ({"schemas": [""]}, "is empty"),
        ({"schemas": ["app"], "exclude_tables": ["x"]}, "not the name of a table"),
        ({"tables": ["a.b"], "exclude_tables": ["a.b"]}, "both in tables and in exclude_tables"),
        ({"tables": ["a.b"], "index": "i"}, "go together"),
        ({"tables": ["a.b"], "identity": "index"}, "go together"),
        ({"tables": ["a.b", "a.c"], "identity": "index", "index": "i"}, "exactly one table"),
        ({"schemas": ["app"], "identity": "index", "index": "i"}, "exactly one table"),
    ],
)
def test_options_that_do_not_fit_fail(options: dict[str, object], words: str) -> None:
    with pytest.raises(Failure) as failure:
        desired(**options)
    assert words in failure.value.as_result()["msg"]


@pytest.mark.parametrize(("version", "known"), [(140023, False), (150019, True), (180006, True)])
def test_look_names_only_what_the_version_has(version: int, known: bool) -> None:
    assert ("pg_publication_namespace" in desired(schemas=["app"]).look(version)) is known


def test_only_what_differs_is_sent_and_shown() -> None:
    made = plan(desired(schemas=["app"]), table("app.b"), table("app.a", identity="n"), table("app.c", identity="f"))
    assert [str(statement) for statement in made.statements] == [
        'ALTER TABLE ONLY "app"."a" REPLICA IDENTITY FULL',
        'ALTER TABLE ONLY "app"."b" REPLICA IDENTITY FULL',
    ]
    assert made.before == {"app.a": "nothing", "app.b": "default"}
    assert made.after == {"app.a": "full", "app.b": "full"}


def test_order_is_that_of_the_names_with_partitions_after_their_roots() -> None:
    root, branch = {"schema": "app", "name": "m"}, {"schema": "app", "name": "c"}
    tables = [
        table("app.a", ancestors=[root, branch]),
        table("app.c", ancestors=[root]),
        table("app.m"),
        table("app.n"),
        table("app.b"),
    ]
    assert changed(desired(schemas=["app"]), *tables) == ["app.b", "app.m", "app.c", "app.a", "app.n"]


def test_excluded_tables_take_their_partitions_along() -> None:
    tables = [table("app.a"), table("app.b", ancestors=[{"schema": "app", "name": "a"}]), table("app.c")]
    assert changed(desired(schemas=["app"], exclude_tables=["app.a"]), *tables) == ["app.c"]
    assert changed(desired(schemas=["app"], exclude_tables=["app.b"]), *tables) == ["app.a", "app.c"]


@pytest.mark.parametrize(
    ("facts", "touched"),
    [
        ({"identity": "d", "has_key": True}, False),
        ({"identity": "d", "has_key": False}, True),
        ({"identity": "n", "has_key": True}, True),
        ({"identity": "n", "has_key": False}, True),
        ({"identity": "i", "index": "i", "has_key": False}, False),
        ({"identity": "i", "index": None, "has_key": True}, True),
        ({"identity": "f", "has_key": False}, False),
    ],
)
def test_keyless_are_tables_whose_updates_cannot_be_published(facts: dict[str, object], touched: bool) -> None:
    assert bool(changed(desired(schemas=["app"], only_keyless=True), table("app.a", **facts))) is touched


@pytest.mark.parametrize(
    ("identity", "facts", "stopped"),
    [
        ("default", {"identity": "f", "has_key": False}, True),
        ("default", {"identity": "f", "has_key": True}, False),
        ("nothing", {"identity": "f", "has_key": True}, True),
        ("nothing", {"identity": "d", "has_key": True}, True),
        ("nothing", {"identity": "d", "has_key": True, "published": False}, False),
        # They fail already.
        ("nothing", {"identity": "d", "has_key": False}, False),
        ("default", {"identity": "n", "has_key": False}, False),
    ],
)
def test_updates_that_go_through_now_go_through_afterwards(
    identity: str, facts: dict[str, object], stopped: bool
) -> None:
    resource, found = desired(tables=["app.a"], identity=identity), table("app.a", **{"published": True, **facts})
    if stopped:
        assert "because they are published: app.a." in refusal(resource, found)
    else:
        assert changed(resource, found) == ["app.a"]


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        ("unique", False, "it is not unique"),
        ("partial", True, "it is partial"),
        ("deferrable", True, "it is deferrable"),
        ("valid", False, "it is not valid"),
        ("expression", True, "it has an expression"),
        ("nullable", True, "it has a column that may be NULL"),
    ],
)
def test_rule_that_an_index_breaks_is_named(rule: str, value: bool, words: str) -> None:
    resource = desired(tables=["app.a"], identity="index", index="i")
    assert words in refusal(resource, table("app.a", indexes={"i": {**INDEX, rule: value}}))


def test_index_that_does_not_exist_is_told_with_those_that_do() -> None:
    resource = desired(tables=["app.a"], identity="index", index="i")
    words = refusal(resource, table("app.a", indexes={"k": {**INDEX, "meant": False}}))
    assert "The table app.a has no index i. It has k." in words


def test_partitions_get_their_own_index() -> None:
    resource = desired(tables=["app.a"], identity="index", index='we"ird')
    root = table("app.a", indexes={'we"ird': INDEX}, identity="i", index="other", published=True)
    leaf = table(
        "app.b", ancestors=[{"schema": "app", "name": "a"}], indexes={"b": INDEX, "c": {**INDEX, "meant": False}}
    )
    made = plan(resource, root, leaf)
    assert [str(statement) for statement in made.statements] == [
        'ALTER TABLE ONLY "app"."a" REPLICA IDENTITY USING INDEX "we""ird"',
        'ALTER TABLE ONLY "app"."b" REPLICA IDENTITY USING INDEX "b"',
    ]
    assert made.before == {"app.a": "index other", "app.b": "default"}
    assert made.after == {"app.a": 'index we"ird', "app.b": "index b"}
    assert changed(resource, {**root, "index": 'we"ird'}, {**leaf, "identity": "i", "index": "b"}) == []


def test_tables_of_others_are_named_all_and_only_if_they_differ() -> None:
    tables = [
        table("app.a", mine=False, owner="one"),
        table("app.b", mine=False, owner="two"),
        table("app.c", mine=False, owner="three", identity="f"),
    ]
    words = refusal(desired(schemas=["app"]), *tables)
    assert (
        'app.a of one, app.b of two. Run as a member of every owner (GRANT "one", "two" TO "admin" WITH INHERIT TRUE)'
        in words
    )
    assert "three" not in words


def test_what_does_not_exist_is_named_all_with_what_may_be_meant() -> None:
    alike = [{"schema": "app", "name": "Orders", "kind": "r"}]
    with pytest.raises(Failure) as failure:
        plan(desired(tables=["app.orders", "app.x"], exclude_tables=["app.y"]), alike=alike)
    assert failure.value.msg == "No such table in this database: app.orders, app.x, app.y."
    assert failure.value.hint == "Did you mean app.Orders?"
    assert "No such schema in this database: a, b." in refusal(desired(schemas=["a", "app", "b"]))


def test_what_is_no_table_is_named() -> None:
    alike = [{"schema": "app", "name": name, "kind": kind} for name, kind in (("v", "v"), ("f", "f"), ("t", "p"))]
    with pytest.raises(Failure, match=r"these are none: app\.v, app\.f"):
        plan(desired(tables=["app.v", "app.f", "app.t"]), alike=alike)
