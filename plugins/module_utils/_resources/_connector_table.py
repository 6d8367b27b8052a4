# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the signal table and the heartbeat table have in common: a schema, a fixed shape, and roles that may write to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, ClassVar, NamedTuple

from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, guarded, ident, idents, literal
from ._catalog import trusted

# Tells, when the last table leaves, a schema that was made here from one that somebody else may want.
SCHEMA_COMMENT = "Tables of the Streamkap connector, made by the Ansible collection streamkap.neon"

_GRANTS = """(SELECT coalesce(json_object_agg(g.grantee, g.privileges), '{{}}')
                  FROM (SELECT pg_get_userbyid(a.grantee) AS grantee, json_agg(DISTINCT a.privilege_type) AS privileges
                          FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) a WHERE a.grantee <> 0 GROUP BY 1) g)"""

_LOOK = """
WITH n AS (SELECT * FROM pg_namespace WHERE nspname = {schema}),
     t AS (SELECT c.* FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE c.relname = {name}),
     g AS (SELECT c.oid FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE c.relname = ANY ({gone})),
     s AS (SELECT s.* FROM pg_class s
            WHERE s.relkind = 'S' AND s.oid IN (
              SELECT d.refobjid FROM t JOIN pg_attrdef f ON f.adrelid = t.oid
                JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass))
SELECT json_build_object(
  'taken', (SELECT coalesce(json_agg(c.relname), '[]')
              FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE c.relname = ANY ({sequences})),
  'roles', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles WHERE rolname = ANY ({roles})),
  'may_create_schema', has_database_privilege(current_database(), 'CREATE'),
  'schema', (SELECT json_build_object(
      'owner', pg_get_userbyid(n.nspowner),
      'mine', pg_has_role(n.nspowner, 'USAGE'),
      'may_create', has_schema_privilege(n.oid, 'CREATE'),
      'made_here', coalesce(obj_description(n.oid, 'pg_namespace') = {comment}, false),
      'grants', {schema_grants},
      'holds_others', EXISTS (
        SELECT FROM pg_depend d
         WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
           AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (
             SELECT t.oid FROM t UNION ALL SELECT s.oid FROM s UNION ALL SELECT g.oid FROM g
             UNION ALL SELECT i.objid FROM g JOIN pg_depend i ON i.refobjid = g.oid AND i.deptype IN ('a', 'i'))))) FROM n),
  'table', (SELECT json_build_object(
      'kind', t.relkind,
      'persistence', t.relpersistence,
      'owner', pg_get_userbyid(t.relowner),
      'mine', pg_has_role(t.relowner, 'USAGE'),
      'trusted', {trusted},
      'grants', {table_grants},
      'columns', (SELECT coalesce(json_agg(json_build_object(
                      'name', c.attname,
                      'type', format_type(c.atttypid, c.atttypmod),
                      'base_type', format_type(c.atttypid, NULL),
                      'length', CASE WHEN c.atttypid = 'varchar'::regtype AND c.atttypmod > 4 THEN c.atttypmod - 4 END,
                      'not_null', c.attnotnull,
                      'generated', c.attgenerated <> '',
                      'default', c.atthasdef OR c.attidentity <> '') ORDER BY c.attnum), '[]')
                    FROM pg_attribute c WHERE c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped),
      'primary_key', (SELECT coalesce(json_agg(c.attname ORDER BY c.attnum), '[]')
                        FROM pg_index i JOIN pg_attribute c ON c.attrelid = i.indrelid AND c.attnum = ANY (i.indkey)
                       WHERE i.indrelid = t.oid AND i.indisprimary),
      'sequences', (SELECT coalesce(json_agg(json_build_object(
                        'schema', (SELECT o.nspname FROM pg_namespace o WHERE o.oid = s.relnamespace),
                        'name', s.relname,
                        'owner', pg_get_userbyid(s.relowner),
                        'mine', pg_has_role(s.relowner, 'USAGE'),
                        'grants', {sequence_grants})), '[]') FROM s),
      'has_rows', {has_rows} = 'true') FROM t))"""

_TRUSTED = trusted("t.relowner", "(SELECT n.nspowner FROM n)")

_KINDS = {
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
}


class Column(NamedTuple):
    """One column of a shape.

    :param types: what the column may be of.
    :param length: the least number of characters that a varchar must hold.
    """

    name: str
    types: tuple[str, ...]
    length: int = 0
    nullable: bool = False
    default: bool = False


class _Target(NamedTuple):
    """Something to grant on."""

    kind: str
    sql: str
    privileges: list[str]
    seen: dict[str, Any] | None  # None: about to be made


class ConnectorTable(ABC):
    """A table that the connector writes to.

    :param schema: where it lies; made when it does not exist.
    :param grant_to: roles that get USAGE on the schema and on the sequence, and INSERT, SELECT and UPDATE on the table.
    :param dropped_before: tables of the schema that are to be gone by the time that this one goes.
    """

    key: ClassVar[str]
    what: ClassVar[str]  # "signal table"
    shape: ClassVar[tuple[Column, ...]]
    why_shape: ClassVar[str]

    def __init__(
        self,
        schema: str,
        name: str,
        grant_to: list[str] | None,
        state: str,
        dropped_before: list[str] | None = None,
    ) -> None:
        self.table = QualifiedName(check_name(schema, "schema"), check_name(name, "table"))
        self.title = "the %s %s" % (self.what, self.table)
        self.grant_to = [check_name(role, "role") for role in dict.fromkeys(grant_to or [])]
        self.state = state
        self.gone = [check_name(table, "table") for table in dropped_before or []]

    @abstractmethod
    def create(self) -> str:
        """The statement that makes the table."""

    def sequence_names(self) -> list[str]:
        """The names of which the sequence that the statement creates along gets the first that is free."""
        return []

    def created_sequences(self, taken: Collection[str]) -> list[QualifiedName]:
        """The sequences that the statement creates along.

        :param taken: names of relations that the schema has.
        """
        free = [name for name in self.sequence_names() if name not in taken]
        return [QualifiedName(self.table.schema, name) for name in free[:1]]

    def first_row(self) -> str | None:
        """The statement for a table that must not be empty."""
        return None

    def look(self, version: int) -> str:
        readable = (
            "t.relkind = 'r' AND has_schema_privilege(t.relnamespace, 'USAGE') AND has_table_privilege(t.oid, 'SELECT')"
        )
        rows = literal("SELECT EXISTS (SELECT FROM %s) AS found" % self.table.sql)
        # Of a table that is better not read its size tells, unless all rows were deleted just now.
        return self._look(
            "CASE WHEN NOT ({readable}) THEN NULL WHEN {trusted} THEN {rows} ELSE (pg_relation_size(t.oid) > 0)::text END".format(
                readable=readable, trusted=_TRUSTED, rows=guarded(readable, rows, "found")
            )
        )

    def look_at_shape(self) -> str:
        """The look without the table's rows, which takes no lock on it."""
        return self._look("NULL")

    def _look(self, has_rows: str) -> str:
        return _LOOK.format(
            schema=literal(self.table.schema),
            name=literal(self.table.name),
            comment=literal(SCHEMA_COMMENT),
            roles=array(self.grant_to),
            gone=array(self.gone),
            sequences=array(self.sequence_names()),
            schema_grants=_GRANTS.format(acl="n.nspacl", kind="n", owner="n.nspowner"),
            table_grants=_GRANTS.format(acl="t.relacl", kind="r", owner="t.relowner"),
            sequence_grants=_GRANTS.format(acl="s.relacl", kind="s", owner="s.relowner"),
            trusted=_TRUSTED,
            has_rows=has_rows,
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        if seen["table"]:
            self._check_shape(seen["table"])
        return self._plan_absent(seen, server) if self.state == "absent" else self._plan_present(seen, server)

    def describe(self, seen: Any) -> dict[str, Any]:
        table = seen["table"]
        return {
            "schema": self.table.schema,
            "name": self.table.name,
            "exists": bool(table),
            "owner": table and table["owner"],
            "grants": {role: sorted(privileges) for role, privileges in sorted(table["grants"].items())}
            if table
            else {},
        }

    def _plan_absent(self, seen: Any, server: Server) -> Plan:
        plan = Plan()
        table, schema = seen["table"], seen["schema"]
        if table:
            _check_owner(table, "drop the table %s" % self.table, server)
            plan.before["table"] = str(self.table)
            plan.statements.append(Statement("DROP TABLE %s" % self.table.sql))
        if schema and schema["made_here"] and schema["mine"] and not schema["holds_others"]:
            plan.before["schema"] = self.table.schema
            plan.statements.append(Statement("DROP SCHEMA %s" % ident(self.table.schema)))
        return plan

    def _plan_present(self, seen: Any, server: Server) -> Plan:
        table, schema = seen["table"], seen["schema"]
        plan = Plan()
        plan.missing = ["The role %s does not exist." % role for role in self.grant_to if role not in seen["roles"]]
        if schema:
            plan.before["schema"] = self.table.schema
        elif not seen["may_create_schema"]:
            raise Failure(
                "The schema %s does not exist, and the current role may not make one in this database."
                % self.table.schema,
                hint="Run as the database's owner, or GRANT CREATE ON DATABASE to the current role.",
            )
        else:
            plan.statements += [
                Statement("CREATE SCHEMA %s" % ident(self.table.schema)),
                Statement("COMMENT ON SCHEMA %s IS %s" % (ident(self.table.schema), literal(SCHEMA_COMMENT))),
            ]
        if table:
            plan.before["table"] = str(self.table)
        elif schema and not schema["may_create"]:
            raise Failure(
                "The current role may not make a table in the schema %s, which %s owns."
                % (self.table.schema, schema["owner"]),
                hint="Run as its owner, or GRANT CREATE ON SCHEMA to the current role.",
            )
        else:
            plan.statements.append(Statement(self.create()))
        plan.after = {"schema": self.table.schema, "table": str(self.table)}
        if self.grant_to:
            plan.before["grants"], plan.after["grants"] = {}, {}
        for target in self._targets(seen):
            self._plan_grants(plan, target, server)
        first_row = self.first_row()
        if first_row and table and table["has_rows"] is None:
            raise Failure(
                "Whether %s has a row cannot be told: the current role may not read it." % self.table,
                hint="Run as its owner, %s, or GRANT SELECT to the current role." % table["owner"],
            )
        if first_row and not (table and table["has_rows"]):
            if table:
                self.check_trusted(seen)
            plan.statements.append(Statement(first_row))
        if first_row:
            plan.before["has_rows"], plan.after["has_rows"] = bool(table and table["has_rows"]), True
        return plan

    def _targets(self, seen: Any) -> Iterator[_Target]:
        table = seen["table"]
        yield _Target("SCHEMA", ident(self.table.schema), ["USAGE"], seen["schema"])
        yield _Target("TABLE", self.table.sql, ["INSERT", "SELECT", "UPDATE"], table)
        if table:
            for sequence in table["sequences"]:
                yield _Target("SEQUENCE", QualifiedName(sequence["schema"], sequence["name"]).sql, ["USAGE"], sequence)
        else:
            for name in self.created_sequences(seen["taken"]):
                yield _Target("SEQUENCE", name.sql, ["USAGE"], None)

    def _plan_grants(self, plan: Plan, target: _Target, server: Server) -> None:
        """One GRANT for all roles that lack the same."""
        granted = target.seen["grants"] if target.seen else {}
        lacking: dict[tuple[str, ...], list[str]] = {}
        for role in self.grant_to:
            has = granted.get(role, [])
            lacks = tuple(privilege for privilege in target.privileges if privilege not in has)
            if lacks:
                lacking.setdefault(lacks, []).append(role)
            on = "%s to %s" % (target.kind.lower(), role)
            plan.before["grants"][on] = [privilege for privilege in target.privileges if privilege in has]
            plan.after["grants"][on] = target.privileges
        for privileges, roles in lacking.items():
            if target.seen:
                _check_owner(target.seen, "grant on the %s %s" % (target.kind.lower(), target.sql), server)
            plan.statements.append(
                Statement("GRANT %s ON %s %s TO %s" % (", ".join(privileges), target.kind, target.sql, idents(roles)))
            )

    def _check_shape(self, table: dict[str, Any]) -> None:
        """Fail, with every difference, for a table that the connector could not use. It is never altered."""
        differences = list(self.differences(table))
        if differences:
            raise Failure(
                "%s exists with another shape than a %s: %s." % (self.table, self.what, "; ".join(differences)),
                hint="%s Rename that table, or choose another schema or name. It was not touched." % self.why_shape,
                differences=differences,
            )

    def check_trusted(self, seen: Any) -> None:
        """Fail for a table that is not to be written to, because code of somebody else's may hang on it."""
        owners = dict.fromkeys((seen["table"]["owner"], seen["schema"]["owner"]))
        if not seen["table"]["trusted"]:
            raise Failure(
                "Nothing is written to %s, which is in the hands of %s: their triggers and functions would run with the rights of the "
                "current user." % (self.table, " and ".join(owners)),
                hint="Log in as its owner. Or where its owner, and its schema's, may act as the current user anyway, grant that role to "
                "them. Nothing was changed.",
            )

    def differences(self, table: dict[str, Any]) -> Iterator[str]:
        """In words, what of a table that is there is not of the shape."""
        if table["kind"] != "r":
            yield "it is %s" % _KINDS.get(table["kind"], "no table")
            return
        if table["persistence"] != "p":
            yield "it is unlogged, so nothing of it reaches the slot"
        names = [column["name"] for column in table["columns"]]
        wanted = [column.name for column in self.shape]
        if names != wanted:
            yield "its columns are %s, not %s" % (", ".join(names) or "none", ", ".join(wanted))
            return
        for column, found in zip(self.shape, table["columns"]):
            yield from _column_differences(column, found)
        if table["primary_key"] != wanted[:1]:
            yield "its primary key is (%s), not (%s)" % (", ".join(table["primary_key"]), wanted[0])


def _column_differences(column: Column, found: dict[str, Any]) -> Iterator[str]:
    if found["base_type"] not in column.types:
        yield "%s is %s, not %s" % (column.name, found["type"], " or ".join(column.types))
    elif found["length"] is not None and found["length"] < column.length:
        yield "%s holds %d characters, and %d are needed" % (column.name, found["length"], column.length)
    if column.nullable and found["not_null"]:
        yield "%s is NOT NULL" % column.name
    if found["generated"]:
        yield "%s is generated" % column.name
    if column.default and not found["default"]:
        yield "%s has no default" % column.name


def _check_owner(seen: dict[str, Any], what: str, server: Server) -> None:
    if not seen["mine"]:
        raise Failure(
            "The current role may not %s: it is no member of its owner %s, or does not inherit from it."
            % (what, seen["owner"]),
            hint="Run as the owner (session_role), or let a role that may run %s."
            % server.grant_membership(seen["owner"]),
        )
