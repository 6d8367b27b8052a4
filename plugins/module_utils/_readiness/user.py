# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the connector's user may do what it must, and not more."""

from __future__ import annotations

from .._sql import ident, listed
from .check import CRITICAL, PASSWORD, PASSWORD_NOTE, WARNING, Area, Outcome, failed, passed, skipped
from .subject import Subject

AREA = Area("user")

# Streaming, signalling, heartbeats and a snapshot each take a connection.
_CONNECTIONS = 4


@AREA.check("user_exists", CRITICAL, "The connector's user exists.")
def user_exists(it: Subject) -> Outcome:
    name, group = it.options.user, it.seen["group_role"]
    if it.seen["user"]:
        return passed("The role %s exists." % name)
    if it.server.major < 16 and not it.server.superuser:
        how = (
            "have it made by Neon's console or API"
            if it.server.is_neon
            else "run this as a superuser: before PostgreSQL 16 nobody else may give REPLICATION"
        )
    else:
        how = "make it, with a password of your own"
    return failed(
        "The role %s does not exist." % name,
        "Check the spelling, or %s. %s" % (how, PASSWORD_NOTE),
        sql=[
            "CREATE ROLE %s LOGIN REPLICATION PASSWORD %s%s"
            % (ident(name), PASSWORD, " IN ROLE %s" % ident(it.options.role) if group else "")
        ],
        task={
            "streamkap.neon.role": {
                "name": name,
                "password": "{{ streamkap_password }}",
                "replication": True,
                **({"member_of": [it.options.role]} if group else {}),
            }
        },
        objects=[name],
    )


@AREA.check("user_login", CRITICAL, "The connector's user is one that may log in.", needs=("user_exists",))
def user_login(it: Subject) -> Outcome:
    name = it.options.user
    if it.user["login"]:
        return passed("%s has LOGIN." % name)
    return failed(
        "%s is a role without LOGIN." % name,
        "Give it the right to log in.",
        sql=["ALTER ROLE %s LOGIN" % ident(name)],
        task={"streamkap.neon.role": {"name": name, "login": True}},
        objects=[name],
    )


@AREA.check(
    "user_replication",
    CRITICAL,
    "The connector's user has the right to replicate itself, not by a role that it is a member of.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/role-attributes.html",
)
def user_replication(it: Subject) -> Outcome:
    name = it.options.user
    if it.user["superuser"] or it.user["replication"]:
        return passed("%s has REPLICATION." % name)
    if it.user["rds_replication"]:
        return passed("%s is a member of rds_replication." % name)
    found = "%s lacks REPLICATION, which is not inherited from roles." % name
    if it.seen["rds"]:
        return failed(
            found, "Make it a member of rds_replication.", ["GRANT rds_replication TO %s" % ident(name)], objects=[name]
        )
    remedy = "Give it to the user itself."
    if it.server.major < 16:
        remedy += (
            " Before PostgreSQL 16 only a superuser may: on Neon make the user by the console or the API, which give it."
            if it.server.is_neon
            else " Before PostgreSQL 16 only a superuser may."
        )
    return failed(
        found,
        remedy,
        sql=["ALTER ROLE %s REPLICATION" % ident(name)],
        task={"streamkap.neon.role": {"name": name, "replication": True}},
        objects=[name],
    )


@AREA.check(
    "password_valid",
    CRITICAL,
    "The password of the connector's user has not expired.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/sql-createrole.html",
)
def password_valid(it: Subject) -> Outcome:
    if not it.user["expired_since"]:
        return passed("It has not expired.")
    return failed(
        "It was valid until %s." % it.user["expired_since"],
        "Let it be valid for ever, or until a date that somebody watches.",
        sql=["ALTER ROLE %s VALID UNTIL 'infinity'" % ident(it.options.user)],
        objects=[it.options.user],
    )


@AREA.check("database_connect", CRITICAL, "The connector's user may connect to the database.", needs=("user_exists",))
def database_connect(it: Subject) -> Outcome:
    if it.user["connect"] != "no":
        return passed("%s has CONNECT on %s." % (it.options.user, it.server.database))
    return failed(
        "%s lacks CONNECT on the database %s." % (it.options.user, it.server.database),
        "Grant it.",
        sql=["GRANT CONNECT ON DATABASE %s TO %s" % (ident(it.server.database), ident(it.grantee))],
        task={"streamkap.neon.grant": {"role": it.grantee, "database_privileges": ["CONNECT"]}},
        objects=[it.server.database],
    )


@AREA.check(
    "membership_inherited",
    CRITICAL,
    "The connector's user has the privileges of the roles that it is a member of.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/role-membership.html",
)
def membership_inherited(it: Subject) -> Outcome:
    """Only where it matters: what the user has in its own right it need not inherit."""
    name = it.options.user
    through = it.user["not_inherited"]
    withheld = _withheld(it)
    if not withheld:
        return passed("Whatever it needs of them it has.")
    of = [it.options.role] if it.options.role in through else through
    return failed(
        "%s is a member of %s without inheriting from it, and so lacks: %s." % (name, listed(of), listed(withheld)),
        "Let it inherit.",
        sql=[
            "GRANT %s TO %s WITH INHERIT TRUE" % (ident(role), ident(name))
            if it.server.major >= 16
            else "ALTER ROLE %s INHERIT" % ident(name)
            for role in of[: None if it.server.major >= 16 else 1]
        ],
        task={"streamkap.neon.role": {"name": name, "member_of": of}},
        objects=of,
    )


def _withheld(it: Subject) -> list[str]:
    """What only roles have that the user does not inherit from."""
    withheld = ["CONNECT"] if it.user["connect"] == "not inherited" else []
    withheld += [
        "USAGE on the schema %s" % schema["name"]
        for schema in it.seen["table_schemas"]
        if schema["usage"] == "not inherited"
    ]
    withheld += ["SELECT on %s" % table.name for table in it.captured if table.readable == "not inherited"]
    withheld += [
        "SELECT on tables to be made in %s" % schema["name"]
        for schema in it.seen["schemas"]
        if any(owner["covered"] == "not inherited" for owner in schema["owners"])
    ]
    for name, table in (
        (it.options.signal_table, it.seen["signal"]),
        (it.options.heartbeat_table, it.seen["heartbeat"]),
    ):
        if name and table["shape"]["table"]:
            withheld += ["USAGE on the schema %s" % name.schema] if table["usage"] == "not inherited" else []
            withheld += [
                "%s on %s" % (privilege, name)
                for privilege, held in table["privileges"].items()
                if held == "not inherited"
            ]
    return list(dict.fromkeys(withheld))


@AREA.check(
    "connection_limit", WARNING, "The connector may open as many connections as it needs.", needs=("user_exists",)
)
def connection_limit(it: Subject) -> Outcome:
    of_user, of_database = it.user["connection_limit"], it.seen["database"]["connection_limit"]
    user, database = ident(it.options.user), ident(it.server.database)
    low = {
        "ALTER ROLE %s CONNECTION LIMIT -1" % user: of_user,
        "ALTER DATABASE %s CONNECTION LIMIT -1" % database: of_database,
    }
    sql = [statement for statement, limit in low.items() if 0 <= limit < _CONNECTIONS]
    found = "The limit is %s for the user and %s for the database." % (_limit(of_user), _limit(of_database))
    if sql:
        return failed(found, "Let there be at least %d, or no limit." % _CONNECTIONS, sql)
    return passed(found)


def _limit(connections: int) -> str:
    return "none" if connections < 0 else str(connections)


@AREA.check(
    "no_excess_rights",
    WARNING,
    "The connector's user has no rights that capturing does not need.",
    needs=("user_exists",),
)
def no_excess_rights(it: Subject) -> Outcome:
    name = ident(it.options.user)
    attributes = [word for word in ("superuser", "createrole", "createdb") if it.user[word]]
    roles = it.user["privileged"]
    if not attributes and not roles:
        return passed("It is no superuser, makes no roles or databases, and is in no privileged role.")
    words = [word.upper() for word in attributes] + ["a member of %s" % role for role in roles]
    sql = ["ALTER ROLE %s %s" % (name, " ".join("NO" + word.upper() for word in attributes))] if attributes else []
    remedy = "Take it away."
    if "neon_superuser" in roles:
        remedy = (
            "Neon gives this to every role that its console or API makes, and only its support can take it back. "
            "From PostgreSQL 16 on, use a user made by SQL."
        )
    return failed(
        "%s is %s." % (it.options.user, listed(words)),
        remedy,
        sql + ["REVOKE %s FROM %s" % (ident(role), name) for role in roles if role != "neon_superuser"],
        objects=[it.options.user],
    )


@AREA.check(
    "no_other_schemas",
    WARNING,
    "The group role has no privileges in schemas of which nothing is captured.",
)
def no_other_schemas(it: Subject) -> Outcome:
    """Schemas that were captured once stay readable until somebody takes that back."""
    options = it.options
    captured = {*options.schemas, *(table.schema for table in options.tables)}
    if not captured:
        return skipped("What is to be captured was not said.")
    own = {table.schema for table in (options.signal_table, options.heartbeat_table) if table}
    # The schema of the connector's own tables is named or not, and not known where none of them is.
    rows = [row for row in it.seen["group_schemas"] if row["schema"] not in captured | own] if own else []
    if not rows:
        return passed("%s has privileges in no other schema." % options.role)
    role, names = ident(options.role), [row["schema"] for row in rows]
    on_tables = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    on_tables += ["MAINTAIN"] * (it.server.major >= 17)
    sql = []
    for row in rows:
        schema = ident(row["schema"])
        sql += [
            "ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %s REVOKE ALL ON TABLES FROM %s"
            % (ident(owner), schema, role)
            for owner in row["owners"]
        ]
        sql += [
            "REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM %s" % (schema, role),
            "REVOKE ALL ON SCHEMA %s FROM %s" % (schema, role),
        ]
    return failed(
        "%s has privileges in schemas of which nothing is captured: %s." % (options.role, listed(names)),
        "Take them back where nobody needs them.",
        sql=sql,
        # Without any privilege, those on the database would go too.
        task={
            "streamkap.neon.grant": {
                "role": options.role,
                "schemas": names,
                "schema_privileges": ["USAGE", "CREATE"],
                "table_privileges": on_tables,
                "default_table_privileges": on_tables,
                "state": "absent",
            }
        },
        objects=names,
    )


@AREA.check(
    "group_role_without_login",
    WARNING,
    "The group role has neither a password nor the right to log in.",
    source="https://neon.com/docs/manage/roles",
)
def group_role_without_login(it: Subject) -> Outcome:
    """Neon's control plane may give LOGIN back to a role that has a password."""
    role, group = it.options.role, it.seen["group_role"]
    if not group:
        return skipped("There is no role %s." % role)
    has = ["LOGIN"] * group["login"] + ["a password"] * bool(group["password"])
    if has:
        return failed(
            "%s has %s, and only its members are to log in." % (role, " and ".join(has)),
            "Take it away.",
            sql=["ALTER ROLE %s NOLOGIN PASSWORD NULL" % ident(role)],
            objects=[role],
        )
    return passed("%s has none of it that may be seen." % role)
