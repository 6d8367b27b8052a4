# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A role: a login or a group, its password, attributes and memberships, or its absence.

Who may do what to a role changed in PostgreSQL 16: https://www.postgresql.org/docs/16/release-16.html (CREATEROLE).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from .. import _password
from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Secret, Statement, array, check_name, guarded, ident, idents, listed, literal
from ._catalog import pairs
from ._connector_table import SCHEMA_COMMENT

# RDS and its like have no REPLICATION to give; membership in this role serves instead.
_RDS_REPLICATION = "rds_replication"

# Of the databases of one server; those that are used most.
_ENCODINGS = (
    "utf-8",
    "latin-1",
    "iso8859-15",
    "iso8859-2",
    "cp1250",
    "cp1251",
    "cp1252",
    "koi8-r",
    "euc-jp",
    "euc-kr",
    "gb2312",
)

_SCRAM_ITERATIONS = 4096  # what servers use that do not have the setting
_MOST_CONNECTIONS = 2**31 - 1
_FIRST_OID_OF_USERS = 16384  # roles below are PostgreSQL's own

_LOOK = """
WITH RECURSIVE r AS (SELECT * FROM pg_roles WHERE rolname = {name}),
     -- Whoever is a member of the role, directly or not. pg_has_role would take every superuser for one.
     members AS (SELECT r.oid FROM r UNION
                 SELECT m.member FROM members b JOIN pg_auth_members m ON m.roleid = b.oid)
SELECT json_build_object(
  'role', (SELECT json_build_object(
      'builtin', r.oid < {first_oid},
      'current', r.rolname = current_user,
      'session', r.rolname = session_user,
      'admin', pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'),
      'superuser', r.rolsuper,
      'login', r.rolcanlogin,
      'inherit', r.rolinherit,
      'replication', r.rolreplication,
      'bypassrls', r.rolbypassrls,
      'connection_limit', r.rolconnlimit,
      'valid_until', r.rolvaliduntil,
      'expired', coalesce(r.rolvaliduntil < now(), false),
      'comment', {comment},
      'verifier', {verifier},
      'member_of', (SELECT coalesce(json_agg(json_build_object(
                        'role', g.rolname, 'admin', m.admin, 'inherit', m.inherit, 'set', m.set) ORDER BY g.rolname), '[]')
                      FROM (SELECT roleid, bool_or(admin_option) AS admin, {inherit} AS inherit, {set} AS set
                              FROM pg_auth_members WHERE member = r.oid GROUP BY roleid) m
                      JOIN pg_roles g ON g.oid = m.roleid),
      'left', {left}) FROM r),
  'groups', (SELECT coalesce(json_object_agg(g.rolname, json_build_object(
      'superuser', g.rolsuper,
      'admin', pg_has_role(g.oid, 'MEMBER WITH ADMIN OPTION'),
      'grantor', {grantor},
      'circular', g.oid IN (SELECT oid FROM members))), '{{}}') FROM pg_roles g WHERE g.rolname = ANY ({groups})),
  'scram_iterations', current_setting('scram_iterations', true)::int)"""

# Whether the current role inherits from one that may grant role {of}.
_GRANTOR = (
    "EXISTS (SELECT FROM pg_auth_members a WHERE a.roleid = {of} AND a.admin_option AND pg_has_role(a.member, 'USAGE'))"
)

# What dropping the role would leave behind or take along, from the catalog that DROP ROLE itself consults.
_LEFT = """(
    WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
         -- What an earlier step will have dropped, with what goes along.
         gone_tables AS (SELECT c.oid, c.relnamespace FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                          WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({gone_tables}))),
         gone_relations AS (SELECT oid FROM gone_tables UNION
                            SELECT s.objid FROM gone_tables t JOIN pg_depend s ON s.classid = 'pg_class'::regclass
                               AND s.refclassid = 'pg_class'::regclass AND s.refobjid = t.oid AND s.deptype IN ('a', 'i')),
         gone AS (SELECT 'pg_class'::regclass::oid AS classid, oid FROM gone_relations
                  UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication WHERE pubname = ANY ({gone_publications})
                  UNION ALL SELECT 'pg_namespace'::regclass, n.oid FROM pg_namespace n
                   WHERE n.oid IN (SELECT relnamespace FROM gone_tables)
                     AND obj_description(n.oid, 'pg_namespace') = {schema_comment}
                     AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind NOT IN ('i', 'I')
                                                              AND c.oid NOT IN (SELECT oid FROM gone_relations))),
         d AS (SELECT d.*, pg_describe_object(classid, objid, objsubid) AS what
                 FROM pg_shdepend d
                WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND dbid IN (0, (SELECT oid FROM here))
                  AND (classid, objid) NOT IN (SELECT classid, oid FROM gone)),
         owned AS (SELECT d.*, (pg_identify_object(classid, objid, objsubid)).schema
                     FROM d WHERE deptype = 'o' AND classid <> 'pg_default_acl'::regclass)
    SELECT json_build_object(
      'inherited', pg_has_role(r.oid, 'USAGE'),
      'grantor', {grantor},
      'circular', pg_has_role(r.oid, quote_ident(current_user)::regrole, 'MEMBER'),
      'sessions', (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid AND s.pid <> pg_backend_pid()),
      'owned', (SELECT coalesce(json_agg(what ORDER BY what), '[]') FROM owned WHERE classid <> 'pg_user_mapping'::regclass),
      -- Each is locked when it changes hands, and so are indexes and TOAST tables.
      'relations', (SELECT count(*) FROM pg_class WHERE relowner = r.oid),
      'user_mappings', (SELECT coalesce(json_agg(what ORDER BY what), '[]')
                          FROM owned WHERE classid = 'pg_user_mapping'::regclass),
      'policies', (SELECT coalesce(json_agg(what ORDER BY what), '[]') FROM d WHERE deptype = 'r'),
      'privileges', (SELECT coalesce(json_agg(what ORDER BY what), '[]')
                       FROM d WHERE deptype IN ('a', 'i') AND classid <> 'pg_auth_members'::regclass),
      'default_privileges', (SELECT coalesce(json_agg(what ORDER BY what), '[]')
                               FROM d WHERE deptype = 'o' AND classid = 'pg_default_acl'::regclass),
      'memberships_granted', (SELECT coalesce(json_agg(what ORDER BY what), '[]')
                                FROM d WHERE classid = 'pg_auth_members'::regclass),
      'granted_by_others', (
        SELECT coalesce(json_agg(json_build_object('what', what, 'grantor', pg_get_userbyid(grantor)) ORDER BY what, grantor), '[]')
          FROM (SELECT DISTINCT d.what, a.grantor
                  FROM d, LATERAL ({acls}) o(acl, owner), LATERAL aclexplode(o.acl) a
                 WHERE d.deptype = 'a' AND a.grantee = r.oid
                   -- Who inherits from the owner revokes as the owner, and as nobody else.
                   AND CASE WHEN pg_has_role(o.owner, 'USAGE') THEN a.grantor <> o.owner
                            ELSE NOT pg_has_role(a.grantor, 'USAGE') END) g),
      'elsewhere', (
        SELECT coalesce(json_agg(json_build_object('database', e.datname, 'owned', e.owned, 'privileges', e.privileges)
                                 ORDER BY e.datname), '[]')
          FROM (SELECT b.datname, count(*) FILTER (WHERE deptype = 'o') AS owned,
                       count(*) FILTER (WHERE deptype <> 'o') AS privileges
                  FROM pg_shdepend s JOIN pg_database b ON b.oid = s.dbid
                 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND b.oid <> (SELECT oid FROM here)
                 GROUP BY 1) e),
      'heir', (SELECT json_build_object(
          'usable', pg_has_role(h.oid, 'USAGE') AND pg_has_role(h.oid, {set_role}),
          'lacks', (SELECT coalesce(json_agg(DISTINCT w), '[]') FROM (
              -- Relations and types change hands without it, and a schema does so itself.
              SELECT 'SCHEMA ' || schema FROM owned
               WHERE classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass)
                 AND NOT has_schema_privilege(h.oid, to_regnamespace(schema), 'CREATE')
                 AND to_regnamespace(schema) NOT IN (SELECT objid FROM owned WHERE classid = 'pg_namespace'::regclass)
              UNION ALL SELECT 'DATABASE ' || quote_ident(current_database()) FROM owned
               WHERE classid = 'pg_publication'::regclass
                 AND NOT has_database_privilege(h.oid, current_database(), 'CREATE')) l(w)))
        FROM pg_roles h WHERE h.rolname = {heir})))"""

_ACLS = [
    ("pg_class", "pg_class", "relacl", "relowner"),
    ("pg_namespace", "pg_namespace", "nspacl", "nspowner"),
    ("pg_database", "pg_database", "datacl", "datdba"),
    ("pg_proc", "pg_proc", "proacl", "proowner"),
    ("pg_type", "pg_type", "typacl", "typowner"),
    ("pg_language", "pg_language", "lanacl", "lanowner"),
    ("pg_largeobject", "pg_largeobject_metadata", "lomacl", "lomowner"),
    ("pg_tablespace", "pg_tablespace", "spcacl", "spcowner"),
    ("pg_foreign_data_wrapper", "pg_foreign_data_wrapper", "fdwacl", "fdwowner"),
    ("pg_foreign_server", "pg_foreign_server", "srvacl", "srvowner"),
]
_ACL = "SELECT {acl}, {owner} FROM {catalog} WHERE d.classid = '{of}'::regclass AND oid = d.objid AND d.objsubid = 0"
_COLUMN_ACL = """
    SELECT f.attacl, c.relowner FROM pg_attribute f JOIN pg_class c ON c.oid = f.attrelid
     WHERE d.classid = 'pg_class'::regclass AND f.attrelid = d.objid AND f.attnum = d.objsubid AND d.objsubid <> 0"""

# DROP OWNED would drop what the role has come to own since the look. The SQLSTATE makes that a conflict: look again.
_OWNS_NOTHING = """BEGIN
  IF EXISTS (SELECT FROM pg_shdepend
              WHERE refclassid = 'pg_authid'::regclass AND refobjid = {role}::regrole AND deptype = 'o'
                AND classid <> 'pg_default_acl'::regclass
                AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) THEN
    RAISE serialization_failure USING MESSAGE = 'The role owns something by now.';
  END IF;
END"""

_ATTRIBUTES = ("replication", "bypassrls")  # what not everybody may give who may alter a role

_NEW = {
    "superuser": False,
    "login": False,
    "inherit": True,
    "replication": False,
    "bypassrls": False,
    "connection_limit": -1,
    "comment": None,
    "member_of": [],
}


class _Aspect(NamedTuple):
    """One thing that the options say of the role.

    :param sql: what follows CREATE ROLE or ALTER ROLE to make it so; empty when another statement does.
    """

    name: str
    before: Any
    after: Any
    sql: tuple[str | Secret, ...] = ()


class Role:
    key = "role"

    def __init__(
        self,
        name: str,
        state: str,
        login: bool,
        replication: bool | None,
        bypassrls: bool | None,
        password: str | None,
        update_password: str,
        member_of: list[str] | None,
        connection_limit: int | None,
        comment: str | None,
        reassign_owned_to: str | None,
        used_elsewhere: str,
        if_own: str = "refuse",
        dropped_before: dict[str, Any] | None = None,
    ) -> None:
        """See the module's documentation. None is what was not given.

        :raises Failure: for options that contradict each other or that PostgreSQL cannot take.
        """
        self.name = check_name(name, "role")
        self.title = "the role %s" % name
        self.state = state
        self.login = login
        self.replication = replication
        self.bypassrls = bypassrls
        self.password = password
        self.always = update_password != "on_create"
        self.sets_unknown = update_password == "force"
        self.member_of = [check_name(group, "role") for group in sorted(set(member_of or []))]
        self.connection_limit = connection_limit
        self.comment = comment
        self.heir = reassign_owned_to if reassign_owned_to is None else check_name(reassign_owned_to, "role")
        self.keeps_used_elsewhere = used_elsewhere == "keep"
        self.may_be_own = if_own == "allow"
        gone = dropped_before or {}
        self.gone_publications = [check_name(name, "publication") for name in gone.get("publications") or []]
        self.gone_tables = [QualifiedName.parse(name) for name in gone.get("tables") or []]
        self._check_options()

    def _check_options(self) -> None:
        if self.name in ("public", "none"):
            raise Failure("PostgreSQL reserves the name %s." % self.name, hint="Choose another name for the role.")
        if self.password is not None:
            self._check_password(self.password)
        if self.name in self.member_of:
            raise Failure("The role %s cannot be a member of itself." % self.name, hint="Take it out of member_of.")
        if self.heir == self.name:
            raise Failure(
                "What %s owns cannot be reassigned to itself." % self.name,
                hint="Name another role in reassign_owned_to.",
            )
        if self.connection_limit is not None and not -1 <= self.connection_limit <= _MOST_CONNECTIONS:
            raise Failure(
                "connection_limit is %d." % self.connection_limit,
                hint="Give a number of connections from 0 to %d, or -1 for no limit." % _MOST_CONNECTIONS,
            )
        if "\x00" in (self.comment or ""):
            raise Failure("The comment holds a NUL character, which PostgreSQL cannot store.", hint="Take it out.")

    def _check_password(self, password: str) -> None:
        if not self.login:
            raise Failure(
                "A password is given for the role %s, which is not to log in." % self.name,
                hint="Leave password out, or let it log in (login: true).",
            )
        if not password:
            raise Failure("The password of the role %s is empty." % self.name, hint="Give one, or leave password out.")
        if "\x00" in password:
            raise Failure(
                "The password of the role %s holds a NUL character, which PostgreSQL cannot take." % self.name,
                hint="Choose one without.",
            )
        try:
            password.encode()
        except UnicodeEncodeError:
            raise Failure(
                "The password of the role %s is not valid UTF-8." % self.name, hint="Choose another one."
            ) from None
        if _password.is_verifier(password):
            raise Failure(
                "What is given for the password of the role %s is a verifier, from which no password can be told."
                % self.name,
                hint="Give the password itself: where the server can take a verifier, one is made of it before anything is sent.",
            )

    def look(self, version: int) -> str:
        readable = " AND ".join(
            "has_column_privilege('pg_authid', '%s', 'SELECT')" % column for column in ("rolname", "rolpassword")
        )
        name = literal(self.name)
        verifier = "SELECT coalesce(rolpassword, 'none') AS verifier FROM pg_authid WHERE rolname = %s" % name
        # Before 16 a membership always lets SET ROLE, and whether it inherits is the member's own attribute.
        has_options = version >= 160000
        return _LOOK.format(
            name=name,
            first_oid=_FIRST_OID_OF_USERS,
            comment=self._look_comment(),
            verifier=guarded(readable, literal(verifier), "verifier"),
            inherit="bool_or(inherit_option)" if has_options else "r.rolinherit",
            set="bool_or(set_option)" if has_options else "true",
            grantor=_GRANTOR.format(of="g.oid"),
            groups=array([*self.member_of, _RDS_REPLICATION]),
            left=self._look_left(has_options) if self.state == "absent" else "NULL",
        )

    def _look_comment(self) -> str:
        """The comment is shared by all databases, in the encoding of that from which it was written; md5 is of its bytes."""
        found = "shobj_description(r.oid, 'pg_authid')"
        if not self.comment or self.comment.isascii():
            return found
        encoded = {_encode(self.comment, encoding) for encoding in _ENCODINGS} - {None}
        sums = array(sorted(hashlib.md5(text, usedforsecurity=False).hexdigest() for text in encoded))
        return "CASE WHEN md5(%s) = ANY (%s) THEN %s ELSE %s END" % (found, sums, literal(self.comment), found)

    def _look_left(self, has_options: bool) -> str:
        acls = [_ACL.format(of=of, catalog=catalog, acl=acl, owner=owner) for of, catalog, acl, owner in _ACLS]
        return _LEFT.format(
            grantor=_GRANTOR.format(of="r.oid"),
            acls=" UNION ALL ".join([*acls, _COLUMN_ACL]),
            set_role="'SET'" if has_options else "'MEMBER'",
            heir="NULL" if self.heir is None else literal(self.heir),
            gone_tables=pairs(self.gone_tables),
            gone_publications=array(self.gone_publications),
            schema_comment=literal(SCHEMA_COMMENT),
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        role = seen["role"]
        if self.password is None or not (role and self.always and role["login"]):
            return []
        # An expired password is refused whether it is right or not.
        return [] if role["verifier"] or role["expired"] else [(self.name, self.password)]

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        if self.state == "present":
            return self._plan_present(seen, server, logins)
        return self._plan_absent(seen["role"], server) if seen["role"] else Plan()

    def describe(self, seen: Any) -> dict[str, Any]:
        role = seen["role"]
        shown = ("login", "replication", "bypassrls", "superuser", "connection_limit", "comment", "valid_until")
        return {
            "name": self.name,
            "exists": bool(role),
            **{aspect: role and role[aspect] for aspect in shown},
            "password_set": role["verifier"] != "none" if role and role["verifier"] else None,
            "member_of": role["member_of"] if role else [],
        }

    def _plan_present(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        role = seen["role"]
        aspects = list(self._aspects(seen, server, logins))
        changing = {aspect.name: aspect for aspect in aspects if aspect.before != aspect.after}
        memberships = changing.get("member_of")
        lacking = [group for group in memberships.after if group not in memberships.before] if memberships else []
        refusals = [*self._refusals(role, changing, server), *self._grant_refusals(lacking, seen["groups"], server)]
        if refusals:
            _refuse(refusals)
        plan = Plan(
            before={"name": self.name, **{aspect.name: aspect.before for aspect in aspects}} if role else {},
            after={"name": self.name, **{aspect.name: aspect.after for aspect in aspects}},
            missing=["The role %s does not exist." % group for group in self.member_of if group not in seen["groups"]],
        )
        words = [word for aspect in changing.values() for word in aspect.sql]
        if words or not role:
            plan.statements.append(Statement("%s ROLE %s" % ("ALTER" if role else "CREATE", ident(self.name)), *words))
        if lacking:
            options = " WITH INHERIT TRUE, SET TRUE" if server.major >= 16 else ""
            plan.statements.append(Statement("GRANT %s TO %s%s" % (idents(lacking), ident(self.name), options)))
        if "comment" in changing:
            comment = literal(self.comment) if self.comment else "NULL"
            plan.statements.append(Statement("COMMENT ON ROLE %s IS %s" % (ident(self.name), comment)))
        if role and self.password is not None:
            plan.warnings += self._password_warnings(role, logins)
        if role and role["expired"] and self.login:
            plan.warnings.append(
                "The password of the role %s expired at %s: nobody can log in with it. ALTER ROLE %s VALID UNTIL 'infinity' ends that."
                % (self.name, role["valid_until"], ident(self.name))
            )
        return plan

    def _aspects(self, seen: Any, server: Server, logins: Logins | None) -> Iterator[_Aspect]:
        """What the options speak of, as it is and as it is to be."""
        role = seen["role"] or _NEW
        # Before 16 whether it inherits is no matter of a membership, but of the role.
        groups = {
            group["role"] for group in role["member_of"] if server.major < 16 or (group["inherit"] and group["set"])
        }
        wanted = set(self.member_of)
        yield _Aspect("login", role["login"], self.login, (" LOGIN" if self.login else " NOLOGIN",))
        if self.replication and not role["replication"] and self._needs_rds_replication(seen, server):
            wanted.add(_RDS_REPLICATION)
        elif self.replication is not None:
            word = " REPLICATION" if self.replication else " NOREPLICATION"
            yield _Aspect("replication", role["replication"], self.replication, (word,))
        if self.bypassrls is not None:
            word = " BYPASSRLS" if self.bypassrls else " NOBYPASSRLS"
            yield _Aspect("bypassrls", role["bypassrls"], self.bypassrls, (word,))
        if self.password is not None:
            fits = self._password_fits(seen["role"], logins)
            if isinstance(fits, _password.UnknownPassword) and not self.sets_unknown:
                yield _Aspect("password", "not known", "not known")
            elif fits is True:
                yield _Aspect("password", "as given", "as given")
            else:
                secret = self._password_to_send(self.password, seen, server)
                yield _Aspect("password", "another or none", "as given", (" PASSWORD ", secret))
        if self.connection_limit is not None:
            limit = " CONNECTION LIMIT %d" % self.connection_limit
            yield _Aspect("connection_limit", role["connection_limit"], self.connection_limit, (limit,))
        if wanted and server.major < 16 and not role["inherit"]:
            yield _Aspect("inherit", role["inherit"], True, (" INHERIT",))
        if wanted:
            yield _Aspect("member_of", sorted(groups & wanted), sorted(wanted))
        if self.comment is not None:
            yield _Aspect("comment", role["comment"], self.comment or None)

    def _needs_rds_replication(self, seen: Any, server: Server) -> bool:
        role = seen["role"]
        may_set = _may_set("replication", server) and (not role or _may_alter(role, server))
        return _RDS_REPLICATION in seen["groups"] and not may_set

    def _password_fits(self, role: dict[str, Any] | None, logins: Logins | None) -> bool | _password.UnknownPassword:
        if not role:
            return False
        if not self.always:
            return True
        if role["verifier"]:
            return _password.verify(self.password or "", role["verifier"], self.name)
        return logins is None or role["expired"] or logins.get(self.name, False)

    def _password_warnings(self, role: dict[str, Any], logins: Logins | None) -> Iterator[str]:
        fits = self._password_fits(role, logins)
        if isinstance(fits, _password.UnknownPassword) and not self.sets_unknown:
            yield (
                "Whether the password of the role %s is the given one is not known, and it stays as it is: its verifier may not be read, "
                "and %s%s Run as a role that may read pg_authid to have it compared, or set it in any case: update_password: force, or "
                "the playbook rotate_password."
            ) % (self.name, fits.reason, " %s" % fits.hint if fits.hint else "")

    def _password_to_send(self, password: str, seen: Any, server: Server) -> Secret:
        if server.is_neon:  # it refuses verifiers
            return Secret(password)
        return Secret(_password.make_verifier(password, seen["scram_iterations"] or _SCRAM_ITERATIONS))

    def _refusals(self, role: dict[str, Any] | None, changing: dict[str, _Aspect], server: Server) -> Iterator[Failure]:
        """What the current role may not do, or Neon would not take."""
        altering = [aspect.name for aspect in changing.values() if aspect.sql]
        if role and role["session"] and not self.may_be_own and not {"password", "login"}.isdisjoint(changing):
            yield Failure(
                "The role %s is the one that this task logs in as: with another password, or without LOGIN, the next task could not."
                % self.name,
                hint="Name another role, or log in as another one. Where its own password is what is to be changed, set if_own: allow.",
            )
        if not role:
            yield from self._creation_refusals(server)
        elif altering and not _may_alter(role, server) and not _is_own_password(role, altering, server):
            yield Failure(
                "The current role %s may not alter the role %s (%s)." % (server.user, self.name, ", ".join(altering)),
                hint=self._administration_hint(role, server),
            )
        elif "comment" in changing and not _may_administer(role, server):
            yield Failure(
                "The current role %s may not comment on the role %s." % (server.user, self.name),
                hint=self._administration_hint(role, server),
            )
        attributes = [changing[name] for name in _ATTRIBUTES if name in changing and not _may_set(name, server)]
        if attributes:
            yield self._attribute_refusal(role, attributes, server)
        if "password" in changing and server.is_neon and _is_weak(self.password):
            yield Failure(
                "The password of the role %s is too weak for Neon, which wants %d bits of entropy."
                % (self.name, _password.STRONG_ENOUGH_FOR_NEON),
                hint="Use a longer one with capitals, digits and other characters, without runs (abc, 123, qwerty) and repeats.",
            )

    def _creation_refusals(self, server: Server) -> Iterator[Failure]:
        if self.name.startswith("pg_"):
            yield Failure(
                "PostgreSQL reserves names that begin with pg_: %s." % self.name,
                hint="Choose another name for the role.",
            )
        if not (server.superuser or server.createrole):
            yield Failure(
                "The role %s does not exist, and the current role %s may not create roles." % (self.name, server.user),
                hint="Run as a role with CREATEROLE.",
            )

    def _attribute_refusal(self, role: dict[str, Any] | None, attributes: list[_Aspect], server: Server) -> Failure:
        words = "".join(str(word) for aspect in attributes for word in aspect.sql)
        if server.major >= 16:
            why = (
                "only a superuser may do that, or a role that has it itself, and the current role %s is neither"
                % server.user
            )
        else:
            why = "before PostgreSQL 16 only a superuser may do that"
        command = (
            "ALTER ROLE %s" % ident(self.name)
            if role
            else "CREATE ROLE %s%s" % (ident(self.name), " LOGIN" * self.login)
        )
        hint = "Let a superuser run %s%s, then run this again." % (command, words)
        if server.is_neon and server.major < 16:
            hint = (
                "%s it in Neon's console or by its API, where roles get REPLICATION and BYPASSRLS, then run this again."
                % ("Drop the role (state: absent) and make" if role else "Make")
            )
        return Failure("The role %s cannot be made%s: %s." % (self.name, words, why), hint=hint)

    def _administration_hint(self, role: dict[str, Any], server: Server) -> str:
        if role["superuser"]:
            return "It is a superuser: run as one."
        if not server.createrole:
            return "Run as a role with CREATEROLE."
        if server.is_neon:
            return "It was made in Neon's console or API, or by another role: change it there, or as that role."
        if server.major < 16:
            return "It has REPLICATION, and before PostgreSQL 16 only a superuser may alter such a role: run as one."
        return "Run as a role that may, or let one run GRANT %s TO %s WITH ADMIN OPTION." % (
            ident(self.name),
            ident(server.user),
        )

    def _grant_refusals(self, lacking: list[str], groups: dict[str, Any], server: Server) -> Iterator[Failure]:
        for name in lacking:
            group = groups.get(name)
            if not group:
                continue
            if group["circular"]:
                yield Failure(
                    "The role %s cannot become a member of %s, which is a member of %s." % (self.name, name, self.name),
                    hint="Take %s out of member_of, or REVOKE %s FROM it." % (name, ident(self.name)),
                )
            elif not _may_grant(group, server):
                yield Failure(
                    "The current role %s may not grant the role %s." % (server.user, name),
                    hint="Run as a superuser."
                    if group["superuser"]
                    else "Run as a role that may, or let one run GRANT %s TO %s WITH ADMIN OPTION."
                    % (ident(name), ident(server.user)),
                )

    def _plan_absent(self, role: dict[str, Any], server: Server) -> Plan:
        self._check_droppable(role, server)
        left, name = role["left"], ident(self.name)
        if left["elsewhere"] and self.keeps_used_elsewhere:
            stays = {"name": self.name}
            others = listed(other["database"] for other in left["elsewhere"])
            warning = "The role %s stays as it is, because it has privileges or objects in other databases: %s."
            return Plan(before=stays, after=stays, warnings=[warning % (self.name, others)])
        privileges = left["privileges"] + left["default_privileges"] + left["memberships_granted"]
        must_inherit = bool(left["owned"] or privileges) and not left["inherited"]
        obstacles = [
            *self._obstacles(left, server),
            *(self._membership_obstacles(left, server) if must_inherit else []),
        ]
        if obstacles:
            _refuse(obstacles)
        plan = Plan(before={"name": self.name})
        if self.heir is not None and not left["heir"]:
            plan.missing.append("The role %s, who is to get what %s owns, does not exist." % (self.heir, self.name))
        if must_inherit:
            inherit = " WITH INHERIT TRUE" if server.major >= 16 else ""
            plan.statements.append(Statement("GRANT %s TO CURRENT_USER%s" % (name, inherit)))
        if left["owned"] and self.heir is not None:
            plan.before["owns"] = left["owned"]
            plan.after = {"owned by %s" % self.heir: left["owned"]}
            plan.statements.append(
                Statement(
                    "REASSIGN OWNED BY %s TO %s" % (name, ident(self.heir)), locks=left["relations"], exclusive=True
                )
            )
            plan.hints["57014"] = (
                "What changes hands is kept from everybody else meanwhile, for lock_timeout at most: run again later, or raise that."
            )
        if privileges:
            plan.before["privileges"] = privileges
            plan.statements += [
                Statement("DO %s" % literal(_OWNS_NOTHING.format(role=literal(name)))),
                Statement("DROP OWNED BY %s" % name),
            ]
        plan.statements.append(Statement("DROP ROLE %s" % name))
        if left["sessions"]:
            plan.warnings.append(
                "Sessions that are logged in as %s: %d. They lose its privileges, and stay connected until they end."
                % (self.name, left["sessions"])
            )
        if left["memberships_granted"]:
            plan.warnings.append(
                "With the role %s goes what it granted: %s." % (self.name, listed(left["memberships_granted"]))
            )
        return plan

    def _check_droppable(self, role: dict[str, Any], server: Server) -> None:
        if role["builtin"]:
            raise Failure(
                "The role %s is PostgreSQL's own and cannot be dropped." % self.name, hint="Name another one."
            )
        if role["current"] or role["session"]:
            raise Failure(
                "The role %s is the one that this task runs as." % self.name, hint="Connect as another role to drop it."
            )
        if not _may_administer(role, server):
            raise Failure(
                "The current role %s may not drop the role %s." % (server.user, self.name),
                hint=self._administration_hint(role, server),
            )

    def _obstacles(self, left: dict[str, Any], server: Server) -> Iterator[Failure]:
        """What stands in the way of dropping the role, each with its remedy."""
        name = ident(self.name)
        if left["owned"] and self.heir is None:
            yield Failure(
                "The role %s owns %s." % (self.name, listed(left["owned"])),
                hint="Say in reassign_owned_to who gets what it owns.",
            )
        if left["owned"] and self.heir is not None and left["heir"]:
            yield from _heir_obstacles(self.heir, left["heir"], server)
        if left["user_mappings"]:
            yield Failure("There is %s." % listed(left["user_mappings"]), hint="DROP USER MAPPING FOR %s." % name)
        if left["policies"]:
            yield Failure(
                "Row-level security names the role %s: %s." % (self.name, listed(left["policies"])),
                hint="ALTER POLICY ... TO other roles, or DROP POLICY.",
            )
        for other in left["elsewhere"]:
            yield Failure(
                "In the database %s the role %s owns %d objects and is named by %d privileges or policies."
                % (other["database"], self.name, other["owned"], other["privileges"]),
                hint="Connect to each such database and remove what the role has there: "
                "REASSIGN OWNED BY %s TO another role; DROP OWNED BY %s." % (name, name),
            )
        for grant in left["granted_by_others"]:
            yield Failure(
                "Privileges of %s on %s were granted by %s, as whom the current role %s cannot revoke them."
                % (self.name, grant["what"], grant["grantor"], server.user),
                hint="Let each grantor, or a member of it, REVOKE them.",
            )

    def _membership_obstacles(self, left: dict[str, Any], server: Server) -> Iterator[Failure]:
        """Only who inherits from the role may take away what it has; who does not must be able to become a member."""
        if left["circular"]:
            yield Failure(
                "The role %s is a member of the current role %s, which so cannot take away what it has."
                % (self.name, server.user),
                hint="REVOKE %s FROM %s first." % (ident(server.user), ident(self.name)),
            )
        elif server.major >= 16 and not left["grantor"]:
            yield Failure(
                "The current role %s may not become a member of %s, which it must to take away what that has."
                % (server.user, self.name),
                hint="Let a role that may run GRANT %s TO %s." % (ident(self.name), ident(server.user)),
            )


def _heir_obstacles(name: str, heir: dict[str, Any], server: Server) -> Iterator[Failure]:
    if not heir["usable"]:
        yield Failure(
            "The current role %s may not give anything to %s: it is no member of it." % (server.user, name),
            hint="Let a role that may run GRANT %s TO %s." % (ident(name), ident(server.user)),
        )
    if heir["lacks"] and not server.superuser:
        yield Failure(
            "The role %s may not own what it is to get: it has no CREATE on %s." % (name, ", ".join(heir["lacks"])),
            hint="; ".join("GRANT CREATE ON %s TO %s" % (what, ident(name)) for what in heir["lacks"]) + ".",
        )


def _encode(text: str, encoding: str) -> bytes | None:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return None


def _may_set(attribute: str, server: Server) -> bool:
    """Whether the current role may give and take REPLICATION or BYPASSRLS at all."""
    return server.superuser or (server.major >= 16 and getattr(server, attribute))


def _may_alter(role: dict[str, Any], server: Server) -> bool:
    before_16_out_of_reach = server.major < 16 and role["replication"] and not server.superuser
    return _may_administer(role, server) and not before_16_out_of_reach


def _may_administer(role: dict[str, Any], server: Server) -> bool:
    """Whether the current role may drop a role and comment on it."""
    if server.superuser or role["superuser"]:
        return server.superuser
    return server.createrole and (server.major < 16 or role["admin"])


def _is_own_password(role: dict[str, Any], altering: list[str], server: Server) -> bool:
    return role["current"] and altering == ["password"] and (server.major >= 16 or not role["replication"])


def _may_grant(group: dict[str, Any], server: Server) -> bool:
    if server.superuser or group["superuser"]:
        return server.superuser
    return group["grantor"] if server.major >= 16 else server.createrole or group["admin"]


def _is_weak(password: str | None) -> bool:
    return _password.entropy(password or "") < _password.STRONG_ENOUGH_FOR_NEON


def _refuse(failures: list[Failure]) -> NoReturn:
    """All at once, each remedy once."""
    raise Failure(
        " ".join(failure.msg for failure in failures),
        hint=" ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint)),
    )
