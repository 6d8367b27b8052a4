# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource grant, and how it reads its options."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources.grant import Grant
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server


def desired(**options: object) -> Grant:
    defaults = {
        "role": "reader",
        "state": "present",
        "database_privileges": None,
        "schemas": None,
        "schema_privileges": None,
        "tables": None,
        "exclude_tables": None,
        "table_privileges": None,
        "default_table_privileges": None,
        "default_privileges_for": None,
        "exclusive": False,
    }
    return Grant(**{**defaults, **options})


def server(version: int = 170011) -> Server:
    return Server(
        version=version,
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


def table(name: str, *held: str, target: bool = True, **facts: object) -> dict[str, object]:
    schema, _dot, name = name.partition(".")
    return {"schema": schema, "name": name, "target": target, "owner": "app_owner", "held": list(held), **facts}


def schema(name: str, *held: str, relations: int = 0, **facts: object) -> dict[str, object]:
    return {"schema": name, "relations": relations, "owner": "app_owner", "held": list(held), **facts}


def default(owner: str, schema: str | None, *held: str, **facts: object) -> dict[str, object]:
    return {"owner": owner, "schema": schema, "may": True, "held": list(held), **facts}


def seen(*relations: dict[str, object], **facts: object) -> dict[str, object]:
    """With a schema for each that a relation lies in, which holds one thing more than these relations."""
    schemas = sorted({row["schema"] for row in relations})
    return {
        "grantee": True,
        "database": {"owner": "admin", "held": None},
        "schemas": [schema(name, relations=len(relations) + 1) for name in schemas],
        "relations": list(relations),
        "owners": [],
        "defaults": [],
        "alike_schemas": [],
        "alike_tables": [],
        **facts,
    }


def plan(resource: Grant, looked: dict[str, object], version: int = 170011) -> Plan:
    return resource.plan(looked, server(version), {})


def statements(resource: Grant, looked: dict[str, object]) -> list[str]:
    return [str(statement) for statement in plan(resource, looked).statements]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "There is nothing to grant"),
        ({"schemas": ["app"]}, "There is nothing to grant"),
        ({"exclusive": True}, "There is nothing to grant"),
        ({"schemas": [], "schema_privileges": ["USAGE"]}, "schemas is empty"),
        ({"schemas": [], "database_privileges": ["CONNECT"], "table_privileges": ["SELECT"]}, "schemas is empty"),
        ({"schemas": [], "state": "absent"}, "schemas is empty"),
        ({"table_privileges": ["SELECT"]}, "In which schemas is not said"),
        ({"default_table_privileges": []}, "In which schemas is not said"),
        ({"database_privileges": ["CONNECT"], "exclude_tables": ["app.a"]}, "In which schemas is not said"),
        ({"schemas": ["app"], "tables": [], "table_privileges": ["SELECT"]}, "tables is empty"),
        (
            {"schemas": ["app"], "default_table_privileges": ["SELECT"], "default_privileges_for": []},
            "default_privileges_for is empty",
        ),
        ({"tables": ["app.a"], "exclude_tables": ["app.a"], "table_privileges": ["SELECT"]}, "app.a is named both"),
        ({"tables": ["app.a"], "schemas": ["b"], "table_privileges": ["SELECT"]}, "app.a is in none of the schemas b"),
        ({"exclude_tables": ["x.a"], "schemas": ["b"], "table_privileges": []}, "x.a is in none of the schemas b"),
        ({"state": "absent", "exclusive": True}, "contradict each other"),
        ({"role": "public", "database_privileges": ["CONNECT"]}, "public is no role"),
        ({"role": "", "database_privileges": ["CONNECT"]}, "The name of a role is empty"),
        ({"role": "r" * 64, "database_privileges": ["CONNECT"]}, "64 bytes"),
        ({"schemas": ["ä" * 32], "schema_privileges": ["USAGE"]}, "64 bytes"),
        ({"schemas": [""], "schema_privileges": ["USAGE"]}, "The name of a schema is empty"),
        ({"tables": ["orders"], "table_privileges": ["SELECT"]}, "'orders' is not the name of a table"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_a_remedy(options: dict[str, object], words: str) -> None:
    with pytest.raises(Failure, match=words) as failure:
        desired(**options)
    assert failure.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"schemas": [], "database_privileges": ["CONNECT"]},
        {"schemas": [], "tables": ["app.a"], "table_privileges": ["SELECT"]},
        {"state": "absent"},
        {"schemas": ["app"], "table_privileges": [], "exclusive": True},
    ],
)
def test_options_that_leave_something_out_are_taken(options: dict[str, object]) -> None:
    assert desired(**options).role == "reader"


def test_tables_that_lack_the_same_share_a_statement() -> None:
    looked = seen(table("app.c"), table("app.b", "INSERT"), table("app.a"), table("app.d", "INSERT", "SELECT"))
    assert statements(desired(schemas=["app"], table_privileges=["SELECT", "INSERT"]), looked) == [
        'GRANT INSERT, SELECT ON TABLE "app"."a", "app"."c" TO "reader"',
        'GRANT SELECT ON TABLE "app"."b" TO "reader"',
    ]


def test_schemas_that_lack_the_same_share_a_statement() -> None:
    looked = seen(schemas=[schema("z"), schema("b", "USAGE"), schema("a")])
    options = {"database_privileges": ["CREATE", "CONNECT"], "schemas": ["z", "b", "a"]}
    assert statements(desired(schema_privileges=["USAGE", "CREATE"], **options), looked) == [
        'GRANT CONNECT, CREATE ON DATABASE "neondb" TO "reader"',
        'GRANT CREATE, USAGE ON SCHEMA "a", "z" TO "reader"',
        'GRANT CREATE ON SCHEMA "b" TO "reader"',
    ]


def test_all_that_schemas_hold_is_named_by_the_schemas() -> None:
    tables = [table("a.one"), table("a.two"), table("b.one"), table("b.view", target=False), table("c.one")]
    looked = seen(
        *tables, schemas=[schema("a", relations=2), schema("b", relations=2), schema("c", relations=1), schema("d")]
    )
    assert statements(desired(schemas=list("abcd"), table_privileges=["SELECT"]), looked) == [
        'GRANT SELECT ON ALL TABLES IN SCHEMA "a", "c" TO "reader"',
        'GRANT SELECT ON TABLE "b"."one" TO "reader"',
    ]


def test_named_tables_are_never_granted_by_the_schema() -> None:
    looked = seen(table("app.a"), schemas=[schema("app", relations=1)])
    assert statements(desired(tables=["app.a"], table_privileges=["SELECT"]), looked) == [
        'GRANT SELECT ON TABLE "app"."a" TO "reader"'
    ]


def test_default_privileges_cover_what_lacks_and_nothing_else() -> None:
    defaults = [default("one", "a", "SELECT"), default("two", None, "SELECT"), default("three", "b", "INSERT")]
    owners = [{"name": name, "may": True} for name in ("one", "two", "three", "four", "reader")]
    looked = seen(schemas=[schema("a"), schema("b")], owners=owners, defaults=defaults)
    assert statements(desired(schemas=["a", "b"], default_table_privileges=["SELECT"]), looked) == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "four", "three" IN SCHEMA "a", "b" GRANT SELECT ON TABLES TO "reader"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "one" IN SCHEMA "b" GRANT SELECT ON TABLES TO "reader"',
    ]


def test_exclusive_takes_back_the_rest_of_the_kinds_that_are_given() -> None:
    looked = seen(
        table("app.a", "SELECT", "UPDATE"),
        table("app.b", "SELECT", options=["SELECT"]),
        table("app.c", "SELECT", columns=["SELECT", "INSERT"]),
        table("app.excluded", "DELETE", target=False, excluded=True, options=["DELETE"]),
        schemas=[schema("app", "CREATE", "USAGE", relations=4)],
        database={"owner": "admin", "held": ["CREATE"]},
        defaults=[default("one", "app", "INSERT", "SELECT"), default("two", "app", "INSERT")],
        owners=[{"name": "one", "may": True}],
    )
    options = {"schema_privileges": [], "table_privileges": ["SELECT"], "default_table_privileges": ["SELECT"]}
    assert statements(desired(schemas=["app"], exclusive=True, **options), looked) == [
        'REVOKE CREATE, USAGE ON SCHEMA "app" FROM "reader"',
        'REVOKE UPDATE ON TABLE "app"."a" FROM "reader"',
        'REVOKE GRANT OPTION FOR SELECT ON TABLE "app"."b" FROM "reader"',
        'REVOKE INSERT ON TABLE "app"."c" FROM "reader"',
        'REVOKE DELETE ON TABLE "app"."excluded" FROM "reader"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "one", "two" IN SCHEMA "app" REVOKE INSERT ON TABLES FROM "reader"',
    ]


@pytest.mark.parametrize(
    ("options", "revoked"),
    [
        ({}, ["CONNECT ON DATABASE", "USAGE ON SCHEMA", "INSERT, SELECT ON TABLE"]),
        ({"table_privileges": ["SELECT", "UPDATE"]}, ["SELECT ON TABLE"]),
        ({"table_privileges": []}, []),
        ({"database_privileges": ["CREATE"], "schema_privileges": ["USAGE"]}, ["USAGE ON SCHEMA"]),
    ],
)
def test_absent_takes_back_what_is_given_or_everything(options: dict[str, object], revoked: list[str]) -> None:
    looked = seen(
        table("app.a", "INSERT", "SELECT", options=["SELECT"], target=False),
        table("app.excluded", "SELECT", target=False, excluded=True),
        schemas=[schema("app", "USAGE", relations=2)],
        database={"owner": "admin", "held": ["CONNECT"]},
    )
    found = statements(desired(state="absent", schemas=["app"], exclude_tables=["app.excluded"], **options), looked)
    assert [statement.removeprefix("REVOKE ").split(' "')[0] for statement in found] == revoked


def test_what_the_role_owns_is_neither_granted_nor_taken_back() -> None:
    looked = seen(table("app.a", "SELECT", "DELETE", owned=True), table("app.b", owned=True))
    for options in ({"exclusive": True}, {"state": "absent"}):
        assert not statements(desired(schemas=["app"], table_privileges=["SELECT"], **options), looked)


def test_everything_in_the_way_is_named_at_once() -> None:
    looked = seen(
        table("app.a", refused=["SELECT"], owner="one"),
        table("app.b", "UPDATE", by_others=[["UPDATE", False, "two"]]),
        table("app.c", "SELECT", "UPDATE", passed_on=[["SELECT", "three"], ["UPDATE", "four"]]),
        table("app.d", "SELECT", refused=["SELECT"], by_others=[["SELECT", True, "two"]]),
        schemas=[schema("app", refused=["USAGE"])],
        owners=[{"name": "five", "may": False}],
    )
    options = {"schema_privileges": ["USAGE"], "table_privileges": ["SELECT"], "default_table_privileges": ["SELECT"]}
    with pytest.raises(Failure) as failure:
        plan(desired(schemas=["app"], exclusive=True, default_privileges_for=["five"], **options), looked)
    assert failure.value.msg == (
        "admin may not grant: USAGE on schema app (owner app_owner), SELECT on table app.a (owner one). "
        "admin may not alter the default privileges of: five in app. "
        "Only its grantor can take back: UPDATE on table app.b (granted by two). "
        "reader has passed on: UPDATE on table app.c (to four)."
    )
    assert failure.value.details["problems"] == [
        "admin may not grant: USAGE on schema app (owner app_owner)",
        "admin may not grant: SELECT on table app.a (owner one)",
        "admin may not alter the default privileges of: five in app",
        "Only its grantor can take back: UPDATE on table app.b (granted by two)",
        "reader has passed on: UPDATE on table app.c (to four)",
    ]


def test_an_owner_that_was_not_named_and_cannot_be_covered_is_a_warning() -> None:
    looked = seen(schemas=[schema("a"), schema("b")], owners=[{"name": "Five", "may": False}])
    options = {"schemas": ["a", "b"], "default_table_privileges": ["SELECT", "INSERT"]}
    found = plan(desired(**options), looked)
    assert found.statements == []
    assert found.warnings == [
        "reader will lack INSERT, SELECT on tables that Five makes in a, b: admin does not have the rights of Five and may "
        "not alter its default privileges. Run this task as Five (session_role), or let a role that may run "
        'GRANT "Five" TO "admin" WITH INHERIT TRUE.'
    ]
    assert found.after == {"default_privileges": {"Five in a": "nothing", "Five in b": "nothing"}}


def test_an_owner_that_covers_its_tables_itself_is_no_warning() -> None:
    defaults = [default("five", "a", "SELECT", may=False)]
    looked = seen(schemas=[schema("a")], owners=[{"name": "five", "may": False}], defaults=defaults)
    assert plan(desired(schemas=["a"], default_table_privileges=["SELECT"]), looked).warnings == []


@pytest.mark.parametrize(
    "options",
    [
        {"default_table_privileges": ["SELECT"], "exclusive": True},
        {"default_table_privileges": ["INSERT"], "state": "absent"},
        {"state": "absent"},
    ],
)
def test_default_privileges_in_all_schemas_stay_with_a_warning(options: dict[str, object]) -> None:
    looked = seen(schemas=[schema("a")], defaults=[default("five", None, "INSERT")])
    found = plan(desired(schemas=["a"], **options), looked)
    assert found.statements == []
    assert found.warnings == [
        "The default privileges of five in all schemas give INSERT to reader, and stay: this task is about single schemas."
    ]


def test_many_tables_are_few_lines_of_a_diff() -> None:
    tables = [table(f"app.t{number:03}") for number in range(100)] + [table("app.x", "SELECT"), table("b.t", "SELECT")]
    found = plan(desired(schemas=["app", "b"], table_privileges=["SELECT"]), seen(*tables))
    assert found.before["tables"] == {"app.t000 and 99 more": "nothing", "app.x": "SELECT", "b.t": "SELECT"}
    assert found.after["tables"] == {"app.t000 and 99 more": "SELECT", "app.x": "SELECT", "b.t": "SELECT"}


def test_few_tables_are_shown_one_by_one() -> None:
    tables = [table(f"app.t{number:03}") for number in range(50)]
    found = plan(desired(schemas=["app"], table_privileges=["SELECT"]), seen(*tables))
    assert found.before["tables"] == {f"app.t{number:03}": "nothing" for number in range(50)}


def test_what_does_not_exist_is_named_at_once_and_what_may_be_meant() -> None:
    looked = seen(
        table("app.orders"), alike_schemas=["billing", "app"], alike_tables=[["app", "orders"], ["app", "Items"]]
    )
    options = {"schemas": ["app", "Billing", "none"], "tables": ["app.orders", "app.Orders", "app.items", "app.none"]}
    with pytest.raises(Failure) as failure:
        plan(desired(table_privileges=["SELECT"], **options), looked)
    assert failure.value.msg == (
        "There is no schema Billing (did you mean billing?), no schema none, no table app.Orders (did you mean app.orders?), "
        "no table app.items (did you mean app.Items?), no table app.none."
    )


def test_what_does_not_exist_needs_nothing_taken_back() -> None:
    looked = seen(schemas=[])
    found = plan(desired(state="absent", tables=["app.none"], table_privileges=["SELECT"]), looked)
    assert (found.statements, found.warnings) == ([], ["There is no table app.none: nothing to take back there."])


def test_roles_that_do_not_exist_are_missing() -> None:
    looked = seen(schemas=[schema("a")], grantee=False)
    options = {"schemas": ["a"], "default_table_privileges": ["SELECT"], "default_privileges_for": ["maker"]}
    found = plan(desired(**options), looked)
    assert found.missing == [
        "The role reader does not exist.",
        "The role maker, named in default_privileges_for, does not exist.",
    ]
    assert len(found.statements) == 1
    assert plan(desired(state="absent", **options), looked) == Plan()


def test_maintain_needs_postgresql_17() -> None:
    looked = seen(table("app.a"))
    resource = desired(schemas=["app"], table_privileges=["MAINTAIN"])
    with pytest.raises(Failure, match="MAINTAIN came with PostgreSQL 17, and the server is 16"):
        plan(resource, looked, version=160015)
    assert len(plan(resource, looked, version=170000).statements) == 1
    assert "ARRAY['MAINTAIN']" in resource.look(170000)
    assert "MAINTAIN" not in resource.look(160015)


def test_from_postgresql_18_on_named_tables_are_cut_to_what_the_lock_table_takes() -> None:
    names = ["app.%s" % letter for letter in "abcdef"]
    looked = seen(*(table(name) for name in names))
    resource = desired(schemas=["app"], table_privileges=["SELECT"])

    def cut(version: int) -> list[tuple[int, int]]:
        small = replace(server(version), max_locks_per_transaction=1, lock_holders=8)
        statements = resource.plan(looked, small, {}).statements
        return [(str(statement).count('"app".'), statement.locks) for statement in statements]

    assert cut(170011) == [(6, 0)]
    assert cut(180001) == [(4, 4), (2, 2)]
