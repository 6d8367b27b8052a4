# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What one role may do: on the database, on schemas, on their tables, and on tables not made yet.

Privileges are read from the access control lists. has_table_privilege() and its like also count what comes by membership,
from PUBLIC or from a predefined role, and none of that has been granted to this role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, ident, idents, listed, literal, portions
from ._catalog import OF_EXTENSION, pairs

# A diff shows each object of a kind by itself up to this many.
_MOST_SHOWN = 50

_MAINTAIN_SINCE = 170000  # server_version_num

# From here on GRANT and REVOKE lock what they name, but not the tables of a schema that they name.
_LOCKS_SINCE = 180000  # server_version_num

# For each schema that GRANT names by ALL TABLES IN SCHEMA it goes through all relations of the database, which is faster than a
# list of their names up to about so many relations in all.
_MOST_SCANNED = 5_000_000

# The order in which tables are told.
_BY_NAME = itemgetter("schema", "name")

# What else than the plain privilege may be held: the right to pass it on, and the privilege on single columns.
_OPTION = " WITH GRANT OPTION"
_COLUMNS = " ON COLUMNS"

# What the role g holds on an object, and what stands in the way of taking it back: REVOKE takes back what its grantor granted,
# and for its grantor PostgreSQL takes the owner wherever the current role may act as the owner.
_ACL = """
    CROSS JOIN LATERAL (
      SELECT json_agg(DISTINCT a.privilege_type) FILTER (WHERE a.grantee = g.oid) AS held,
             json_agg(DISTINCT a.privilege_type) FILTER (WHERE a.grantee = g.oid AND a.is_grantable) AS options,
             json_agg(json_build_array(a.privilege_type, a.is_grantable, pg_get_userbyid(a.grantor))) FILTER (
               WHERE a.grantee = g.oid AND NOT (
                 pg_has_role(a.grantor, 'USAGE') AND (a.grantor = {owner} OR NOT pg_has_role({owner}, 'USAGE')))) AS by_others,
             json_agg(json_build_array(a.privilege_type, coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'PUBLIC'))) FILTER (
               WHERE a.grantor = g.oid AND a.grantee <> g.oid) AS passed_on
        FROM g, aclexplode(coalesce({acl}, acldefault('{type}', {owner}))) AS a) AS x"""

_OBJECT = """
      'owner', pg_get_userbyid({owner}),
      'owned', CASE WHEN {owner} = (SELECT g.oid FROM g) THEN true END,
      'held', x.held,
      'options', x.options,
      'by_others', x.by_others,
      'passed_on', x.passed_on,
      'refused', CASE WHEN NOT pg_has_role({owner}, 'USAGE') THEN (
          SELECT json_agg(p) FROM unnest({privileges}) AS p
           WHERE NOT has_{kind}_privilege({oid}, p || ' WITH GRANT OPTION')) END,
      -- By PUBLIC, which any role is a member of, also one that is yet to be created, or by membership.
      'reached', CASE WHEN NOT pg_has_role({owner}, 'USAGE') THEN (
          SELECT json_agg(p) FROM unnest({privileges}) AS p
           WHERE has_{kind}_privilege(coalesce((SELECT g.oid FROM g), 0::oid), {oid}, p)) END"""

# The partitions of an excluded table are excluded with it: its rows are in them.
_LOOK = """
WITH RECURSIVE
g AS (SELECT oid FROM pg_roles WHERE rolname = {role}),
n AS (SELECT * FROM pg_namespace WHERE nspname = ANY ({schemas})),
relation AS (
  SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind, c.relnamespace, c.relowner, c.relacl,
         c.oid IN ({of_extension}) AS of_extension
    FROM n JOIN pg_class c ON c.relnamespace = n.oid
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')),
excluded(oid) AS (
  SELECT oid FROM relation WHERE (schema, name) IN (SELECT * FROM unnest({excluded}))
  UNION SELECT i.inhrelid FROM excluded JOIN pg_inherits i ON i.inhparent = excluded.oid
                                        JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
r AS (
  SELECT *, {target} AS target,
         CASE WHEN oid IN (SELECT oid FROM excluded) THEN true END AS excluded,
         (schema, name) IN (SELECT * FROM unnest({named})) AS named
    FROM relation),
o AS ({owners}),
columns AS (
  SELECT t.attrelid, json_agg(DISTINCT a.privilege_type) AS held
    FROM g, pg_attribute t, aclexplode(t.attacl) AS a
   WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND a.grantee = g.oid
   GROUP BY t.attrelid),
sizes AS (SELECT relnamespace, count(*) AS relations FROM relation GROUP BY relnamespace)
SELECT json_build_object(
  'grantee', EXISTS (SELECT FROM g),
  'database', (SELECT json_build_object({database}) FROM pg_database d {database_acl} WHERE d.datname = current_database()),
  'schemas', (SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'relations', coalesce(sizes.relations, 0),
      {schema})), '[]') FROM n LEFT JOIN sizes ON sizes.relnamespace = n.oid {schema_acl}),
  'relations', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
      'schema', r.schema,
      'name', r.name,
      'target', r.target,
      'excluded', r.excluded,
      'columns', columns.held,
      {table}))), '[]')
    FROM r {table_acl}
    LEFT JOIN columns ON columns.attrelid = r.oid
   WHERE r.target OR r.named OR x.held IS NOT NULL OR columns.held IS NOT NULL),
  'owners', (SELECT coalesce(json_agg(json_build_object(
      'name', pg_get_userbyid(o.oid), 'may', pg_has_role(o.oid, {become}))), '[]') FROM o),
  'defaults', (SELECT coalesce(json_agg(json_build_object(
      'owner', pg_get_userbyid(d.defaclrole),
      'may', pg_has_role(d.defaclrole, {become}),
      'schema', n.nspname,
      'held', x.held,
      'options', x.options)), '[]')
    FROM pg_default_acl d LEFT JOIN n ON n.oid = d.defaclnamespace {default_acl}
   WHERE d.defaclobjtype = 'r' AND (d.defaclnamespace = 0 OR n.oid IS NOT NULL) AND x.held IS NOT NULL),
  'alike_schemas', (
    SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace
     WHERE lower(nspname::text) IN (SELECT lower(s) FROM unnest({schemas}) AS s)),
  'alike_tables', (
    SELECT coalesce(json_agg(json_build_array(s.nspname, c.relname)), '[]')
      FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND (lower(s.nspname::text), lower(c.relname::text)) IN (
             SELECT lower(t.schema), lower(t.name) FROM unnest({named}) AS t(schema, name))))"""

_EVERY_TABLE = "relkind IN ('r', 'p') AND NOT of_extension AND oid NOT IN (SELECT oid FROM excluded)"
_NAMED_TABLES = "(schema, name) IN (SELECT * FROM unnest({tables}))"

_EVERY_OWNER = """
  SELECT relowner AS oid FROM relation WHERE relkind IN ('r', 'p') AND NOT of_extension
  UNION SELECT CASE n.nspowner WHEN to_regrole('pg_database_owner') THEN d.datdba ELSE n.nspowner END
          FROM n, pg_database d WHERE d.datname = current_database()
  UNION SELECT oid FROM pg_roles WHERE rolname = current_user"""
_NAMED_OWNERS = "SELECT oid FROM pg_roles WHERE rolname = ANY ({owners})"


@dataclass(frozen=True)
class _Object:
    """The database, a schema or a table, and what is to be changed about it.

    :param kind: as GRANT calls it.
    :param schema: of a table.
    :param held: what was granted to the role; a grant option, and a privilege on columns, are items of their own.
    :param seen: its row of the look.
    """

    kind: str
    name: str
    sql: str
    schema: str
    held: frozenset[str]
    lacks: frozenset[str]
    surplus: frozenset[str]
    seen: dict[str, Any]

    @property
    def group(self) -> str:
        return self.schema

    @property
    def before(self) -> frozenset[str]:
        return self.held

    @property
    def after(self) -> frozenset[str]:
        return (self.held - self.surplus) | self.lacks

    def __str__(self) -> str:
        return "%s %s" % (self.kind.lower(), self.name)


@dataclass(frozen=True)
class _Default:
    """What the role gets on the tables that an owner will make in a schema, and what is to be changed about it.

    :param held: by the owner's default privileges in this schema.
    :param beyond: by the owner's default privileges in all schemas, which add to those.
    :param may: whether the current role may alter the owner's default privileges.
    """

    owner: str
    schema: str
    held: frozenset[str]
    beyond: frozenset[str]
    lacks: frozenset[str]
    surplus: frozenset[str]
    may: bool

    @property
    def group(self) -> str:
        return self.owner

    @property
    def name(self) -> str:
        return "%s in %s" % (self.owner, self.schema)

    @property
    def before(self) -> frozenset[str]:
        return self.held | self.beyond

    @property
    def after(self) -> frozenset[str]:
        return ((self.held - self.surplus) | self.lacks if self.may else self.held) | self.beyond


class Grant:
    """The privileges of one role in the current database.

    :param role: the grantee.
    :param state: absent takes back the given privileges, or all that the role has been granted when none are given.
    :param schemas: when there are none, those of the tables.
    :param tables: None: all ordinary and partitioned tables of the schemas, partitions among them.
    :param exclude_tables: but not these.
    :param default_privileges_for: the owners whose future tables are meant; None: every owner.
    :param exclusive: take back what is not given, of each kind of privilege of which any are given.
    """

    key = "grant"

    def __init__(
        self,
        role: str,
        state: str,
        database_privileges: list[str] | None,
        schemas: list[str] | None,
        schema_privileges: list[str] | None,
        tables: list[str] | None,
        exclude_tables: list[str] | None,
        table_privileges: list[str] | None,
        default_table_privileges: list[str] | None,
        default_privileges_for: list[str] | None,
        exclusive: bool,
    ) -> None:
        self.role = check_name(role, "role")
        self.title = "the privileges of %s" % role
        self.state = state
        self.given = {
            "DATABASE": database_privileges,
            "SCHEMA": schema_privileges,
            "TABLE": table_privileges,
            "DEFAULT": default_table_privileges,
        }
        self.everything = state == "absent" and all(given is None for given in self.given.values())
        self.tables = None if tables is None else [QualifiedName.parse(text) for text in dict.fromkeys(tables)]
        self.exclude_tables = [QualifiedName.parse(text) for text in dict.fromkeys(exclude_tables or [])]
        self.named_tables = [*(self.tables or []), *self.exclude_tables]
        self.named_schemas = [check_name(schema, "schema") for schema in dict.fromkeys(schemas or [])]
        self.schemas = self.named_schemas or list(dict.fromkeys(table.schema for table in self.tables or []))
        self.owners = default_privileges_for and [check_name(owner, "role") for owner in default_privileges_for]
        self.exclusive = exclusive
        self._check_options(empty_schemas=schemas == [])

    def _check_options(self, empty_schemas: bool) -> None:
        if self.role == "public":
            raise Failure(
                "public is no role: it is PostgreSQL's word for everybody.",
                hint="Name the role that is to have the privileges.",
            )
        if self.exclusive and self.state == "absent":
            raise Failure(
                "exclusive and state: absent contradict each other.",
                hint="Leave exclusive out: absent takes back what is given, or everything when no privileges are given.",
            )
        if self.state == "present" and all(given is None for given in self.given.values()):
            raise Failure(
                "There is nothing to grant.",
                hint="Give database_privileges, schema_privileges, table_privileges or default_table_privileges.",
            )
        if self.tables == []:
            raise Failure("tables is empty.", hint="Name tables, or leave it out for all tables of the schemas.")
        if self.owners == []:
            raise Failure(
                "default_privileges_for is empty.",
                hint="Name the roles that will make tables, or leave it out for every owner.",
            )
        within_schemas = self.exclude_tables or any(
            self.given[kind] is not None for kind in ("SCHEMA", "TABLE", "DEFAULT")
        )
        if not self.schemas and (within_schemas or (self.everything and empty_schemas)):
            raise Failure(
                "schemas is empty." if empty_schemas else "In which schemas is not said.",
                hint="Name the schemas in schemas, or single tables in tables.",
            )
        named = set(self.tables or [])
        twice = [table for table in self.exclude_tables if table in named]
        if twice:
            raise Failure(
                "%s is named both in tables and in exclude_tables." % listed(twice), hint="Leave it out of one."
            )
        schemas = set(self.schemas)
        strangers = [table for table in self.named_tables if table.schema not in schemas]
        if strangers:
            raise Failure(
                "%s is in none of the schemas %s." % (listed(strangers), listed(self.schemas)),
                hint="Name its schema in schemas too, or give it a task of its own.",
            )

    def look(self, version: int) -> str:
        every_table, every_owner = self.tables is None, self.owners is None
        return _LOOK.format(
            of_extension=OF_EXTENSION,
            role=literal(self.role),
            schemas=array(self.schemas),
            named=pairs(self.named_tables),
            excluded=pairs(self.exclude_tables),
            target=_EVERY_TABLE if every_table else _NAMED_TABLES.format(tables=pairs(self.tables)),
            owners=_EVERY_OWNER if every_owner else _NAMED_OWNERS.format(owners=array(self.owners)),
            # Up to 15, being able to become the owner is enough.
            become="'USAGE'" if version >= 160000 else "'MEMBER'",
            database=self._object_look("DATABASE", "d", "d.datdba", version),
            database_acl=_ACL.format(acl="d.datacl", type="d", owner="d.datdba"),
            schema=self._object_look("SCHEMA", "n", "n.nspowner", version),
            schema_acl=_ACL.format(acl="n.nspacl", type="n", owner="n.nspowner"),
            table=self._object_look("TABLE", "r", "r.relowner", version),
            table_acl=_ACL.format(acl="r.relacl", type="r", owner="r.relowner"),
            default_acl=_ACL.format(acl="d.defaclacl", type="r", owner="d.defaclrole"),
        )

    def _object_look(self, kind: str, alias: str, owner: str, version: int) -> str:
        known = [each for each in self._wanted(kind) if each != "MAINTAIN" or version >= _MAINTAIN_SINCE]
        return _OBJECT.format(kind=kind.lower(), oid=alias + ".oid", owner=owner, privileges=array(known))

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        if server.version < _MAINTAIN_SINCE and any("MAINTAIN" in (given or []) for given in self.given.values()):
            raise Failure(
                "The privilege MAINTAIN came with PostgreSQL 17, and the server is %d." % server.major,
                hint="Leave it out.",
            )
        if self.state == "absent" and not seen["grantee"]:
            return Plan()
        absent = self._absent(seen)
        if absent and self.state == "present":
            raise Failure(
                "There is %s." % listed(absent), hint="Make what is missing, or correct its name.", problems=absent
            )
        objects, defaults = self._objects(seen, server), self._defaults(seen)
        self._check_rights(objects, defaults, server)
        plan = Plan()
        plan.statements = [
            *self._object_statements(objects, seen, server),
            *self._default_statements(defaults, server),
        ]
        plan.missing = list(self._missing(seen))
        plan.warnings = [*self._uncovered(defaults, server), *self._out_of_reach(seen)]
        if absent:
            plan.warnings.append("There is %s: nothing to take back there." % listed(absent))
        sections = {
            "database": [each for each in objects if each.kind == "DATABASE"],
            "schemas": [each for each in objects if each.kind == "SCHEMA"],
            "tables": [each for each in objects if each.kind == "TABLE"],
            "default_privileges": defaults,
        }
        for section, entries in sections.items():
            if entries:
                plan.before[section], plan.after[section] = _folded(entries)
        return plan

    def describe(self, seen: Any) -> dict[str, Any]:
        defaults = [
            {"owner": row["owner"], "schema": row["schema"], "privileges": sorted(_held(row))}
            for row in seen["defaults"]
        ]
        return {
            "role": self.role,
            "exists": seen["grantee"],
            "database_privileges": sorted(_held(seen["database"])),
            "schemas": {row["schema"]: sorted(_held(row)) for row in _by_schema(seen["schemas"])},
            "tables": {str(_name(row)): sorted(_held(row)) for row in sorted(seen["relations"], key=_BY_NAME)},
            "default_privileges": sorted(defaults, key=lambda row: (row["owner"], row["schema"] or "")),
        }

    def _wanted(self, kind: str) -> list[str]:
        return self.given[kind] or [] if self.state == "present" else []

    def _speaks_of(self, kind: str) -> bool:
        return self.everything or self.given[kind] is not None

    def _absent(self, seen: Any) -> list[str]:
        """The named schemas and tables that do not exist."""
        schemas = {row["schema"] for row in seen["schemas"]}
        tables = {_name(row) for row in seen["relations"]}
        alike_schemas = _alike(seen["alike_schemas"])
        alike_tables = _alike(QualifiedName(*pair) for pair in seen["alike_tables"])
        return [
            "no schema %s%s" % (schema, _meant(schema, alike_schemas))
            for schema in self.named_schemas
            if schema not in schemas
        ] + [
            "no table %s%s" % (table, _meant(table, alike_tables))
            for table in self.named_tables
            if table not in tables and (table.schema in schemas or not self.named_schemas)
        ]

    def _missing(self, seen: Any) -> Iterator[str]:
        if self.state == "absent":
            return
        if not seen["grantee"]:
            yield "The role %s does not exist." % self.role
        found = [owner["name"] for owner in seen["owners"]]
        for owner in self.owners or []:
            if owner not in found:
                yield "The role %s, named in default_privileges_for, does not exist." % owner

    def _objects(self, seen: Any, server: Server) -> list[_Object]:
        """What the options speak of, as far as the role has something there or is to have it."""
        found = [self._object("DATABASE", server.database, ident(server.database), "", seen["database"])]
        for row in _by_schema(seen["schemas"]):
            found.append(self._object("SCHEMA", row["schema"], ident(row["schema"]), "", row))
        for row in sorted(seen["relations"], key=_BY_NAME):
            name = _name(row)
            # To take something back, a view or an extension's table is as good as any other.
            meant = row["target"] or (self.state == "absent" and self.tables is None and not row.get("excluded"))
            found.append(self._object("TABLE", str(name), name.sql, name.schema, row, meant))
        return [each for each in found if each]

    def _object(
        self, kind: str, name: str, sql: str, schema: str, row: dict[str, Any], meant: bool = True
    ) -> _Object | None:
        held = _held(row)
        lacks = surplus = frozenset()
        # Its owner may do anything with it, and was not granted that.
        if not row.get("owned"):
            lacks, surplus = self._difference(kind, held, held, meant)
            # What cannot be granted need not be, where the role has it anyway.
            lacks -= frozenset(row.get("refused") or ()) & frozenset(row.get("reached") or ())
        if self._speaks_of(kind) and (lacks or surplus or (held and meant)):
            return _Object(kind, name, sql, schema, held, lacks, surplus, row)
        return None

    def _defaults(self, seen: Any) -> list[_Default]:
        """For each owner and schema of which the options speak, as far as the role gets something or is to get it."""
        if not self._speaks_of("DEFAULT"):
            return []
        held = {(row["owner"], row["schema"]): _held(row) for row in seen["defaults"]}
        # A role that an earlier task is about to make may be anybody's.
        may = dict.fromkeys(self.owners or [], True)
        may.update({row["owner"]: row["may"] for row in seen["defaults"]})
        may.update({row["name"]: row["may"] for row in seen["owners"]})
        owners = self.owners or [row["name"] for row in seen["owners"]]
        # What is to go may also be there for owners that make no tables any more.
        places = {(owner, schema) for owner, schema in held if schema and owner in (self.owners or may)}
        if self.state == "present":
            places.update((owner, row["schema"]) for owner in owners for row in seen["schemas"])
        found = []
        for owner, schema in sorted(places):
            here, beyond = held.get((owner, schema), frozenset()), held.get((owner, None), frozenset())
            lacks, surplus = self._difference("DEFAULT", here, here | beyond)
            if owner not in owners:
                lacks = frozenset()
            # The owner of a table needs no privileges on it.
            if owner != self.role:
                found.append(_Default(owner, schema, here, beyond, lacks, surplus, may[owner]))
        return found

    def _difference(
        self, kind: str, held: frozenset[str], reach: frozenset[str], meant: bool = True
    ) -> tuple[frozenset[str], frozenset[str]]:
        """What is to be granted, and what is to be taken back.

        :param reach: what is held, and what comes from elsewhere with the same effect.
        :param meant: whether the given privileges are meant for this object.
        """
        if self.state == "absent":
            given = self.given[kind] or []
            taken = [item for item in held if self.everything or _privilege(item) in given]
            return frozenset(), frozenset(taken if meant else [])
        wanted = frozenset(self._wanted(kind) if meant else [])
        surplus = [item for item in held if item not in wanted and item not in [each + _COLUMNS for each in wanted]]
        return wanted - reach, frozenset(surplus if self.exclusive else [])

    def _check_rights(self, objects: list[_Object], defaults: list[_Default], server: Server) -> None:
        """Fail for all that PostgreSQL would refuse or, as it does mostly, only warn of."""
        obstacles = [
            (
                "%s may not grant" % server.user,
                [text for each in objects for text in _ungrantable(each)],
                "Run as the owner (session_role), or let a role that may run %s, or have the owner GRANT the privilege to %s "
                "WITH GRANT OPTION, or leave it out: %s."
                % (
                    server.grant_membership(
                        *sorted({each.seen["owner"] for each in objects if any(_ungrantable(each))})
                    ),
                    server.user,
                    _ways_to_leave_out(objects),
                ),
            ),
            (
                "%s may not alter the default privileges of" % server.user,
                [each.name for each in defaults if not each.may and (each.surplus or (each.lacks and self.owners))],
                "Run as that owner (session_role), or let a role that may run %s."
                % server.grant_membership(*sorted({each.owner for each in defaults if not each.may})),
            ),
            (
                "Only its grantor can take back",
                [text for each in objects for text in _granted_by_others(each)],
                "Run as the grantor (session_role).",
            ),
            (
                "%s has passed on" % self.role,
                [text for each in objects for text in _passed_on(each)],
                "REVOKE that first, as %s (session_role)." % self.role,
            ),
        ]
        found = [(what, names, hint) for what, names, hint in obstacles if names]
        if found:
            raise Failure(
                " ".join("%s: %s." % (what, listed(names)) for what, names, _hint in found),
                hint=" ".join(hint for _what, _names, hint in found),
                problems=["%s: %s" % (what, name) for what, names, _hint in found for name in names],
            )

    def _uncovered(self, defaults: list[_Default], server: Server) -> Iterator[str]:
        """Owners whose future tables the role will not have the privileges on."""
        uncovered: dict[str, list[_Default]] = {}
        for default in defaults:
            if default.lacks and not default.may:
                uncovered.setdefault(default.owner, []).append(default)
        for owner, places in uncovered.items():
            yield (
                "%s will lack %s on tables that %s makes in %s: %s does not have the rights of %s and may not alter its default "
                "privileges. Run this task as %s (session_role), or let a role that may run %s."
            ) % (
                self.role,
                ", ".join(sorted(frozenset().union(*(place.lacks for place in places)))),
                owner,
                listed(place.schema for place in places),
                server.user,
                owner,
                owner,
                server.grant_membership(owner),
            )

    def _out_of_reach(self, seen: Any) -> Iterator[str]:
        """Default privileges that should go, and are not those of single schemas."""
        if not self._speaks_of("DEFAULT"):
            return
        for row in sorted(seen["defaults"], key=lambda row: row["owner"]):
            owner, held = row["owner"], _held(row)
            _lacks, surplus = self._difference("DEFAULT", held, held)
            if surplus and not row["schema"] and owner != self.role and owner in (self.owners or [owner]):
                yield (
                    "The default privileges of %s in all schemas give %s to %s, and stay: this task is about single schemas."
                ) % (owner, ", ".join(sorted(surplus)), self.role)

    def _object_statements(self, objects: list[_Object], seen: Any, server: Server) -> Iterator[Statement]:
        changes: dict[tuple[str, str, str], list[_Object]] = {}
        for each in objects:
            for verb, privileges in _changes(each):
                changes.setdefault((each.kind, verb, privileges), []).append(each)
        sizes = {row["schema"]: row["relations"] for row in seen["schemas"]}
        for (kind, verb, privileges), those in changes.items():
            for where, locks in self._where(kind, those, sizes, server):
                yield Statement("%s %s ON %s %s" % (verb, privileges, where, self._whom(verb)), locks=locks)

    def _where(
        self, kind: str, objects: list[_Object], sizes: dict[str, int], server: Server
    ) -> Iterator[tuple[str, int]]:
        """Names the objects, and says how many locks that takes; where these are all that a schema holds, by the schema."""
        whole: dict[str, None] = {}
        if kind == "TABLE" and self.tables is None:
            counts = Counter(each.schema for each in objects)
            whole = {schema: None for schema, count in counts.items() if count == sizes[schema]}
        if len(whole) * sum(sizes.values()) > _MOST_SCANNED:
            whole = {}
        if whole:
            yield "ALL TABLES IN SCHEMA %s" % idents(whole), 0
        named = [each.sql for each in objects if each.schema not in whole]
        locking = server.version >= _LOCKS_SINCE
        for some in portions(named, server.lock_room if locking else len(named)):
            yield "%s %s" % (kind, ", ".join(some)), len(some) if locking else 0

    def _default_statements(self, defaults: list[_Default], server: Server) -> Iterator[Statement]:
        schemas: dict[tuple[str, str, str], list[str]] = {}
        for each in defaults:
            for verb, privileges in _changes(each) if each.may else []:
                schemas.setdefault((verb, privileges, each.owner), []).append(each.schema)
        owners: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        for (verb, privileges, owner), those in schemas.items():
            owners.setdefault((verb, privileges, tuple(those)), []).append(owner)
        for (verb, privileges, those), whose in owners.items():
            for some in portions(those, server.lock_room):
                yield Statement(
                    "ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %s %s %s ON TABLES %s"
                    % (idents(whose), idents(some), verb, privileges, self._whom(verb)),
                    locks=len(some),
                )

    def _whom(self, verb: str) -> str:
        return "%s %s" % ("TO" if verb == "GRANT" else "FROM", ident(self.role))


def _changes(each: _Object | _Default) -> Iterator[tuple[str, str]]:
    """Verbs, and the privileges that they are for. With a privilege its grant option goes."""
    revoked = {_privilege(item) for item in each.surplus if not item.endswith(_OPTION)}
    options = {_privilege(item) for item in each.surplus} - revoked
    for verb, privileges in (("GRANT", each.lacks), ("REVOKE", revoked), ("REVOKE GRANT OPTION FOR", options)):
        if privileges:
            yield verb, ", ".join(sorted(privileges))


def _ungrantable(each: _Object) -> Iterator[str]:
    refused = each.lacks.intersection(each.seen.get("refused") or [])
    if refused:
        yield "%s on %s (owner %s)" % (", ".join(sorted(refused)), each, each.seen["owner"])


def _ways_to_leave_out(objects: list[_Object]) -> str:
    """The options that do not ask for it, as the modules and the role cdc call them."""
    options = {
        "DATABASE": "a privilege by database_privileges (in the role cdc cdc_database_privileges)",
        "SCHEMA": "a privilege by schema_privileges (in the role cdc cdc_schema_privileges)",
        "TABLE": "a table by exclude_tables (in the role cdc cdc_exclude_tables)",
    }
    kinds = {each.kind for each in objects if any(_ungrantable(each))}
    return listed(words for kind, words in options.items() if kind in kinds)


def _granted_by_others(each: _Object) -> Iterator[str]:
    for privilege, is_grantable, grantor in each.seen.get("by_others") or []:
        if privilege in each.surplus or (is_grantable and privilege + _OPTION in each.surplus):
            yield "%s on %s (granted by %s)" % (privilege, each, grantor)


def _passed_on(each: _Object) -> Iterator[str]:
    taken = {_privilege(item) for item in each.surplus}
    for privilege, grantee in each.seen.get("passed_on") or []:
        if privilege in taken:
            yield "%s on %s (to %s)" % (privilege, each, grantee)


def _folded(entries: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Before and after by name. Where there are many, those of a group that have and get the same are one."""
    alike: dict[Any, list[Any]] = {}
    for each in entries:
        fold = (each.group, each.before, each.after) if len(entries) > _MOST_SHOWN else each.name
        alike.setdefault(fold, []).append(each)
    before, after = {}, {}
    for first, *others in alike.values():
        name = "%s and %d more" % (first.name, len(others)) if others else first.name
        before[name], after[name] = (", ".join(sorted(items)) or "nothing" for items in (first.before, first.after))
    return before, after


def _held(row: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        [
            *(row.get("held") or []),
            *(privilege + _OPTION for privilege in row.get("options") or []),
            *(privilege + _COLUMNS for privilege in row.get("columns") or []),
        ]
    )


def _privilege(item: str) -> str:
    return item.split(" ", 1)[0]


def _name(row: dict[str, Any]) -> QualifiedName:
    return QualifiedName(row["schema"], row["name"])


def _by_schema(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=itemgetter("schema"))


def _alike(names: Iterable[object]) -> dict[str, list[object]]:
    """By what they are without regard to case."""
    found: dict[str, list[object]] = {}
    for name in names:
        found.setdefault(str(name).lower(), []).append(name)
    return found


def _meant(name: object, alike: dict[str, list[object]]) -> str:
    meant = alike.get(str(name).lower())
    return " (did you mean %s?)" % listed(meant) if meant else ""
