# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource role, and how it reads its options."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _password
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._password import UnknownPassword
from ansible_collections.streamkap.neon.plugins.module_utils._resources.role import Role
from ansible_collections.streamkap.neon.plugins.module_utils._server import Server

PASSWORD = "Unit-Pa55word/of\\the'tests"
VERIFIER = _password.make_verifier(PASSWORD, 4096)
MD5 = "md5" + "0123456789abcdef" * 2


def desired(**options: object) -> Role:
    defaults = {
        "name": "u",
        "state": "present",
        "login": True,
        "replication": None,
        "bypassrls": None,
        "password": None,
        "update_password": "always",
        "member_of": [],
        "connection_limit": None,
        "comment": None,
        "reassign_owned_to": None,
        "used_elsewhere": "fail",
    }
    return Role(**{**defaults, **options})


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


def role(**facts: object) -> dict[str, object]:
    """An existing login, made by the current role, without anything special about it."""
    defaults = {
        "builtin": False,
        "current": False,
        "session": False,
        "admin": True,
        "superuser": False,
        "login": True,
        "inherit": True,
        "replication": False,
        "bypassrls": False,
        "connection_limit": -1,
        "valid_until": None,
        "expired": False,
        "comment": None,
        "verifier": VERIFIER,
        "member_of": [],
        "left": None,
    }
    return {**defaults, **facts}


def left(**facts: object) -> dict[str, object]:
    """What a role leaves: nothing."""
    lists = (
        "owned",
        "user_mappings",
        "policies",
        "privileges",
        "default_privileges",
        "memberships_granted",
        "granted_by_others",
        "elsewhere",
    )
    defaults = {"inherited": False, "grantor": True, "circular": False, "sessions": 0, "heir": None, "relations": 0}
    return {**{name: [] for name in lists}, **defaults, **facts}


def group(**facts: object) -> dict[str, object]:
    return {"superuser": False, "admin": True, "grantor": True, "circular": False, **facts}


def member(name: str, **options: bool) -> dict[str, object]:
    return {"role": name, "admin": False, "inherit": True, "set": True, **options}


def seen(found: dict[str, object] | None = None, **groups: dict[str, object]) -> dict[str, object]:
    return {"role": found, "groups": groups, "scram_iterations": None}


def statements(plan: Plan) -> list[str]:
    return [str(statement) for statement in plan.statements]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name of a role is empty"),
        ({"name": "ä" * 32}, "has 64 bytes"),
        ({"name": "public"}, "reserves the name public"),
        ({"name": "none"}, "reserves the name none"),
        ({"password": ""}, "is empty"),
        ({"password": "a\x00b"}, "NUL"),
        ({"password": "a\udc80b"}, "not valid UTF-8"),
        ({"password": VERIFIER}, "is a verifier"),
        ({"password": MD5}, "is a verifier"),
        ({"password": "x", "login": False}, "not to log in"),
        ({"member_of": ["g", "u"]}, "member of itself"),
        ({"member_of": ["g", ""]}, "name of a role is empty"),
        ({"connection_limit": -2}, "connection_limit is -2"),
        ({"connection_limit": 2**31}, "connection_limit is 2147483648"),
        ({"comment": "a\x00b"}, "NUL"),
        ({"state": "absent", "reassign_owned_to": "u"}, "to itself"),
        ({"state": "absent", "reassign_owned_to": ""}, "name of a role is empty"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(Failure, match=message) as failure:
        desired(**options)
    assert failure.value.hint
    assert "a\x00b" not in failure.value.msg
    assert VERIFIER not in failure.value.msg + failure.value.hint


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"login": False}, 'CREATE ROLE "u"'),
        ({}, 'CREATE ROLE "u" LOGIN'),
        ({"connection_limit": -1, "replication": False, "bypassrls": False}, 'CREATE ROLE "u" LOGIN'),
        (
            {"replication": True, "bypassrls": True, "password": PASSWORD, "connection_limit": 0},
            "CREATE ROLE \"u\" LOGIN REPLICATION BYPASSRLS PASSWORD '********' CONNECTION LIMIT 0",
        ),
    ],
)
def test_new_role_is_made_in_one_statement(options: dict[str, object], sent: str) -> None:
    assert statements(desired(**options).plan(seen(), server(), {})) == [sent]


@pytest.mark.parametrize(
    ("options", "found", "sent"),
    [
        ({}, {}, []),
        ({"login": False}, {}, ['ALTER ROLE "u" NOLOGIN']),
        ({"replication": True}, {}, ['ALTER ROLE "u" REPLICATION']),
        ({"replication": True}, {"replication": True}, []),
        ({}, {"replication": True, "bypassrls": True, "connection_limit": 3, "comment": "theirs"}, []),
        ({"replication": False}, {"replication": True}, ['ALTER ROLE "u" NOREPLICATION']),
        ({"bypassrls": False}, {"bypassrls": True, "login": False}, ['ALTER ROLE "u" LOGIN NOBYPASSRLS']),
        ({"connection_limit": -1}, {"connection_limit": 3}, ['ALTER ROLE "u" CONNECTION LIMIT -1']),
        ({"password": PASSWORD}, {}, []),
        ({"password": PASSWORD + " "}, {}, ["ALTER ROLE \"u\" PASSWORD '********'"]),
        ({"password": PASSWORD}, {"verifier": "none"}, ["ALTER ROLE \"u\" PASSWORD '********'"]),
        ({"password": "x", "update_password": "on_create"}, {}, []),
        ({"comment": "it's \\ ours"}, {}, ["COMMENT ON ROLE \"u\" IS E'it''s \\\\ ours'"]),
        ({"comment": ""}, {"comment": "theirs"}, ['COMMENT ON ROLE "u" IS NULL']),
        ({"comment": ""}, {}, []),
    ],
)
def test_only_what_differs_is_altered(options: dict[str, object], found: dict[str, object], sent: list[str]) -> None:
    plan = desired(**options).plan(seen(role(**found)), server(), {})
    assert statements(plan) == sent
    assert (plan.before != plan.after) == bool(sent)


@pytest.mark.parametrize("project", [None, "cool-cloud-12345678"])
def test_password_is_plain_on_neon_and_nowhere_else(project: str | None) -> None:
    plan = desired(password=PASSWORD).plan(seen(), server(neon_project=project), {})
    (statement,) = plan.statements
    assert ("the''tests" in statement.sql) == bool(project)
    assert ("SCRAM-SHA-256$4096:" in statement.sql) != bool(project)
    assert PASSWORD not in repr(plan)
    assert "SCRAM" not in repr(plan)


def test_verifier_has_the_iterations_of_the_server() -> None:
    found = {**seen(), "scram_iterations": 12345}
    (statement,) = desired(password=PASSWORD).plan(found, server(), {}).statements
    assert "SCRAM-SHA-256$12345:" in statement.sql


def test_weak_password_is_refused_only_where_neon_would_get_it() -> None:
    weak = _password.make_verifier("weak", 1)
    with pytest.raises(Failure, match="too weak for Neon"):
        desired(password="weak").plan(seen(), server(neon_project="p"), {})
    assert not desired(password="weak").plan(seen(role(verifier=weak)), server(neon_project="p"), {}).statements
    assert desired(password="weak").plan(seen(), server(), {}).statements


@pytest.mark.parametrize(
    ("options", "found", "tried"),
    [
        ({"password": PASSWORD}, {"verifier": None}, [("u", PASSWORD)]),
        ({"password": PASSWORD}, {}, []),
        ({"password": PASSWORD}, {"verifier": "none"}, []),
        ({"password": PASSWORD}, {"verifier": None, "login": False}, []),
        ({"password": PASSWORD}, {"verifier": None, "expired": True}, []),
        ({"password": PASSWORD, "update_password": "on_create"}, {"verifier": None}, []),
        ({}, {"verifier": None}, []),
    ],
)
def test_login_is_tried_only_when_nothing_else_tells(
    options: dict[str, object], found: dict[str, object], tried: list[tuple[str, str]]
) -> None:
    assert desired(**options).logins(seen(role(**found))) == tried
    assert desired(**options).logins(seen()) == []


@pytest.mark.parametrize(
    ("found", "logins", "changes"),
    [
        ({}, {"u": True}, False),
        ({}, {"u": False}, True),
        ({}, None, False),  # the second look
        ({"login": False}, {}, True),  # it could not be tried
        ({"expired": True, "valid_until": "2020-01-01"}, {}, False),
    ],
)
def test_login_decides_where_the_verifier_cannot_be_read(
    found: dict[str, object], logins: dict[str, bool] | None, changes: bool
) -> None:
    plan = desired(password=PASSWORD).plan(seen(role(**{"verifier": None, **found})), server(), logins)
    assert any("PASSWORD" in statement for statement in statements(plan)) == changes


@pytest.mark.parametrize(
    ("version", "found", "sent"),
    [
        (170011, [], ['GRANT "g" TO "u" WITH INHERIT TRUE, SET TRUE']),
        (170011, [member("g")], []),
        (170011, [member("g", admin=True)], []),
        (170011, [member("g", inherit=False)], ['GRANT "g" TO "u" WITH INHERIT TRUE, SET TRUE']),
        (170011, [member("g", set=False)], ['GRANT "g" TO "u" WITH INHERIT TRUE, SET TRUE']),
        (150019, [], ['GRANT "g" TO "u"']),
        (150019, [member("g"), member("other")], []),
    ],
)
def test_membership_must_work(version: int, found: list[dict[str, object]], sent: list[str]) -> None:
    plan = desired(member_of=["g"]).plan(seen(role(member_of=found), g=group()), server(version=version), {})
    assert statements(plan) == sent


def test_before_16_a_member_that_does_not_inherit_is_made_to() -> None:
    found = role(inherit=False, member_of=[member("g", inherit=False)])
    plan = desired(member_of=["g"]).plan(seen(found, g=group()), server(version=140023), {})
    assert statements(plan) == ['ALTER ROLE "u" INHERIT']
    assert (plan.before["inherit"], plan.after["inherit"]) == (False, True)
    assert not desired().plan(seen(found, g=group()), server(version=140023), {}).statements
    assert (
        not desired(member_of=["g"])
        .plan(seen(role(inherit=False, member_of=[member("g")]), g=group()), server(), {})
        .statements
    )


def test_memberships_are_granted_at_once_and_missing_roles_are_named() -> None:
    plan = desired(member_of=["h", "g", "i", "g"]).plan(seen(g=group(), i=group()), server(), {})
    assert statements(plan) == ['CREATE ROLE "u" LOGIN', 'GRANT "g", "h", "i" TO "u" WITH INHERIT TRUE, SET TRUE']
    assert plan.missing == ["The role h does not exist."]


@pytest.mark.parametrize(
    ("facts", "found", "options", "words"),
    [
        ({"createrole": False}, None, {}, ["may not create roles", "CREATEROLE"]),
        ({"createrole": False}, {}, {"login": False}, ["may not alter the role u (login)", "CREATEROLE"]),
        ({}, {"admin": False}, {"login": False}, ["may not alter", 'GRANT "u" TO "owner" WITH ADMIN OPTION']),
        ({}, {"admin": False}, {"comment": "x"}, ["may not comment", "WITH ADMIN OPTION"]),
        ({"neon_project": "p"}, {"admin": False}, {"login": False}, ["may not alter", "Neon's console"]),
        ({}, {"superuser": True}, {"login": False}, ["may not alter", "superuser"]),
        ({"version": 150019}, {"replication": True}, {"login": False}, ["may not alter", "It has REPLICATION"]),
        ({"version": 150019}, {}, {"replication": True}, ['ALTER ROLE "u" REPLICATION', "before PostgreSQL 16"]),
        ({"version": 150019}, None, {"replication": True}, ['CREATE ROLE "u" LOGIN REPLICATION']),
        ({"version": 150019}, None, {"bypassrls": True, "login": False}, ['CREATE ROLE "u" BYPASSRLS']),
        ({"version": 150019, "neon_project": "p"}, None, {"replication": True}, ["Make it in Neon's console"]),
        ({"version": 150019, "neon_project": "p"}, {}, {"replication": True}, ["Drop the role", "Neon's console"]),
        ({"replication": False}, {}, {"replication": True}, ['ALTER ROLE "u" REPLICATION', "owner is neither"]),
        ({"bypassrls": False}, {"bypassrls": True}, {"bypassrls": False}, ['ALTER ROLE "u" NOBYPASSRLS']),
        ({}, None, {"name": "pg_u"}, ["begin with pg_"]),
    ],
)
def test_what_the_current_role_may_not_do_is_refused_with_the_remedy(
    facts: dict[str, object], found: dict[str, object] | None, options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(Failure) as failure:
        desired(**options).plan(seen(None if found is None else role(**found)), server(**facts), {})
    told = failure.value.as_result()["msg"]
    assert all(word in told for word in words), told
    if "superuser" not in facts and options.get("name") != "pg_u":
        desired(**options).plan(seen(None if found is None else role(**found)), server(**facts, superuser=True), {})


@pytest.mark.parametrize("version", [150019, 170011])
def test_what_fits_needs_no_right(version: int) -> None:
    found = role(admin=False, superuser=True, replication=True, bypassrls=True, comment="c", member_of=[member("g")])
    options = {"replication": True, "bypassrls": True, "password": PASSWORD, "comment": "c", "member_of": ["g"]}
    powerless = server(version=version, createrole=False, replication=False, bypassrls=False)
    assert not desired(**options).plan(seen(found, g=group(admin=False, grantor=False)), powerless, {}).statements


def test_current_role_may_change_its_own_password() -> None:
    found = role(current=True, session=True, admin=False, verifier="none")
    powerless = server(createrole=False, replication=False)
    assert statements(desired(password="x", if_own="allow").plan(seen(found), powerless, {})) == [
        "ALTER ROLE \"u\" PASSWORD '********'"
    ]
    with pytest.raises(Failure, match="may not alter"):
        desired(password="x", connection_limit=1, if_own="allow").plan(seen(found), powerless, {})


@pytest.mark.parametrize("options", [{"password": "x"}, {"login": False}])
def test_role_that_the_task_logs_in_as_keeps_its_login(options: dict[str, object]) -> None:
    found = role(session=True, verifier="none")
    with pytest.raises(Failure, match="the one that this task logs in as") as refused:
        desired(**options).plan(seen(found), server(), {})
    assert "if_own: allow" in refused.value.hint
    assert not desired(connection_limit=found["connection_limit"]).plan(seen(found), server(), {}).statements


def test_password_that_is_not_known_stays_unless_forced() -> None:
    found, logins = role(verifier=None), {"u": UnknownPassword("the server says so.", "Change that.")}
    kept = desired(password="x").plan(seen(found), server(), logins)
    assert not kept.statements
    (warning,) = kept.warnings
    assert "not known" in warning
    assert "the server says so. Change that." in warning
    forced = desired(password="x", update_password="force").plan(seen(found), server(), logins)
    assert statements(forced) == ["ALTER ROLE \"u\" PASSWORD '********'"]
    assert not forced.warnings
    assert not desired(password="x", update_password="force").plan(seen(found), server(), {"u": True}).statements


@pytest.mark.parametrize(
    ("version", "facts", "refused"),
    [
        (170011, {"grantor": False}, "may not grant the role g"),
        (170011, {"superuser": True}, "may not grant the role g"),
        (170011, {"circular": True}, "cannot become a member of g, which is a member of u"),
        (150019, {"grantor": False, "admin": False}, None),
        (150019, {"superuser": True}, "may not grant the role g"),
    ],
)
def test_who_may_grant(version: int, facts: dict[str, object], refused: str | None) -> None:
    def plan() -> Plan:
        return desired(member_of=["g"]).plan(seen(g=group(**facts)), server(version=version), {})

    if refused:
        with pytest.raises(Failure, match=refused):
            plan()
    else:
        assert plan().statements


def test_all_refusals_come_at_once_and_each_remedy_once() -> None:
    options = {"login": False, "replication": True, "member_of": ["g", "h"]}
    groups = {"g": group(grantor=False), "h": group(grantor=False)}
    with pytest.raises(Failure) as failure:
        desired(**options).plan(seen(role(admin=False), **groups), server(replication=False), {})
    for told in (
        "may not alter the role u (login, replication)",
        "made REPLICATION",
        "grant the role g",
        "grant the role h",
    ):
        assert told in failure.value.msg
    assert failure.value.hint.count('GRANT "u" TO "owner"') == 1


@pytest.mark.parametrize(
    ("facts", "found", "sent"),
    [
        ({"replication": False}, {}, ['GRANT "rds_replication" TO "u" WITH INHERIT TRUE, SET TRUE']),
        ({"replication": False}, {"member_of": [member("rds_replication")]}, []),
        ({"replication": False}, {"replication": True}, []),
        ({}, {"admin": False}, ['GRANT "rds_replication" TO "u" WITH INHERIT TRUE, SET TRUE']),
        ({}, {}, ['ALTER ROLE "u" REPLICATION']),
        ({"version": 150019}, {}, ['GRANT "rds_replication" TO "u"']),
    ],
)
def test_rds_replication_serves_where_the_attribute_cannot_be_given(
    facts: dict[str, object], found: dict[str, object], sent: list[str]
) -> None:
    plan = desired(replication=True).plan(seen(role(**found), rds_replication=group()), server(**facts), {})
    assert statements(plan) == sent


def test_expired_password_is_a_warning() -> None:
    found = role(expired=True, valid_until="2020-01-01T00:00:00+00:00")
    (warning,) = desired().plan(seen(found), server(), {}).warnings
    assert "expired at 2020-01-01T00:00:00+00:00" in warning
    assert "VALID UNTIL 'infinity'" in warning


def test_description_holds_no_verifier() -> None:
    for verifier, known in ((VERIFIER, True), ("none", False), (None, None)):
        description = desired().describe(seen(role(verifier=verifier)))
        assert description["password_set"] is known
        assert VERIFIER not in repr(description)


def absent(**options: object) -> Role:
    return desired(state="absent", **options)


def test_role_that_has_nothing_is_just_dropped() -> None:
    assert statements(absent().plan(seen(role(left=left())), server(), {})) == ['DROP ROLE "u"']
    assert statements(absent().plan(seen(), server(), {})) == []


@pytest.mark.parametrize(("version", "inherit"), [(150019, ""), (170011, " WITH INHERIT TRUE")])
def test_privileges_go_with_the_role(version: int, inherit: str) -> None:
    found = role(left=left(privileges=["table app.orders"], default_privileges=["default privileges on ..."]))
    plan = absent().plan(seen(found), server(version=version), {})
    grant, guard, *rest = statements(plan)
    assert grant == f'GRANT "u" TO CURRENT_USER{inherit}'
    assert guard.startswith("DO ")
    assert rest == ['DROP OWNED BY "u"', 'DROP ROLE "u"']
    assert plan.before["privileges"] == ["table app.orders", "default privileges on ..."]


def test_what_is_owned_goes_to_the_heir_before_privileges_are_dropped() -> None:
    heir = {"usable": True, "lacks": []}
    found = role(left=left(inherited=True, owned=["table app.t"], privileges=["schema app"], heir=heir))
    plan = absent(reassign_owned_to="y").plan(seen(found), server(), {})
    reassign, guard, drop_owned, drop = statements(plan)
    assert reassign == 'REASSIGN OWNED BY "u" TO "y"'
    assert guard.startswith("DO ")
    assert (drop_owned, drop) == ('DROP OWNED BY "u"', 'DROP ROLE "u"')
    assert plan.after == {"owned by y": ["table app.t"]}


def test_heir_that_does_not_exist_is_missing() -> None:
    plan = absent(reassign_owned_to="y").plan(seen(role(left=left(owned=["table app.t"]))), server(), {})
    assert plan.missing == ["The role y, who is to get what u owns, does not exist."]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"owned": ["table app.t", "schema s"]}, ["owns table app.t, schema s", "reassign_owned_to"]),
        ({"user_mappings": ["user mapping for u on server s"]}, ["user mapping for u", 'DROP USER MAPPING FOR "u"']),
        ({"policies": ["policy p on table app.t"]}, ["policy p on table app.t", "DROP POLICY"]),
        (
            {"elsewhere": [{"database": "d1", "owned": 2, "privileges": 3}]},
            ["database d1", "owns 2 objects", "3 privileges", 'DROP OWNED BY "u"'],
        ),
        (
            {"granted_by_others": [{"what": "table app.t", "grantor": "g"}], "inherited": True},
            ["table app.t were granted by g", "REVOKE"],
        ),
        (
            {"privileges": ["schema s"], "circular": True},
            ["is a member of the current role", 'REVOKE "owner" FROM "u"'],
        ),
        ({"privileges": ["schema s"], "grantor": False}, ["may not become a member of u", 'GRANT "u" TO "owner"']),
    ],
)
def test_what_stands_in_the_way_of_dropping_is_named(facts: dict[str, object], words: list[str]) -> None:
    with pytest.raises(Failure) as failure:
        absent().plan(seen(role(left=left(**facts))), server(), {})
    told = failure.value.as_result()["msg"]
    assert all(word in told for word in words), told


def test_role_that_other_databases_use_is_kept_on_request() -> None:
    used = left(elsewhere=[{"database": "d1", "owned": 0, "privileges": 1}], privileges=["schema app"])
    plan = absent(used_elsewhere="keep").plan(seen(role(left=used)), server(), {})
    assert not plan.statements
    assert plan.before == plan.after
    assert "d1" in plan.warnings[0]
    assert absent(used_elsewhere="keep").plan(seen(role(left=left())), server(), {}).statements


@pytest.mark.parametrize(
    ("heir", "words"),
    [
        ({"usable": False, "lacks": []}, ["may not give anything to y", 'GRANT "y" TO "owner"']),
        ({"usable": True, "lacks": ["SCHEMA app"]}, ["no CREATE on SCHEMA app", 'GRANT CREATE ON SCHEMA app TO "y"']),
    ],
)
def test_heir_must_be_able_to_inherit(heir: dict[str, object], words: list[str]) -> None:
    with pytest.raises(Failure) as failure:
        absent(reassign_owned_to="y").plan(seen(role(left=left(owned=["table app.t"], heir=heir))), server(), {})
    told = failure.value.as_result()["msg"]
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    ("found", "facts", "told"),
    [
        ({"builtin": True}, {"superuser": True}, "PostgreSQL's own"),
        ({"current": True}, {"superuser": True}, "the one that this task runs as"),
        ({"session": True}, {"superuser": True}, "the one that this task runs as"),
        ({"superuser": True}, {}, "may not drop the role u"),
        ({"admin": False}, {}, "may not drop the role u"),
        ({}, {"createrole": False}, "may not drop the role u"),
    ],
)
def test_who_must_not_be_dropped(found: dict[str, object], facts: dict[str, object], told: str) -> None:
    with pytest.raises(Failure, match=told) as failure:
        absent().plan(seen(role(**found, left=left())), server(**facts), {})
    assert failure.value.hint


def test_what_else_goes_with_the_role_is_a_warning() -> None:
    found = role(left=left(inherited=True, sessions=2, memberships_granted=["membership of role a in role b"]))
    sessions, memberships = absent().plan(seen(found), server(), {}).warnings
    assert "logged in as u: 2" in sessions
    assert "membership of role a in role b" in memberships
