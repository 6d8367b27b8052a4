# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The replica identity of tables: what an update or delete tells of the row that it changed.

It is a property of each table by itself: the partitions of a partitioned table have their own, and theirs count
(https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY).
"""

from __future__ import annotations

from typing import Any

from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, ident, listed, literal
from ._catalog import COLUMNS, covers, narrowing, publication_conflicts

_IDENTITIES = {"d": "default", "f": "full", "n": "nothing", "i": "index"}
_LETTERS = {identity: letter for letter, identity in _IDENTITIES.items()}

# The names are looked for without regard to case, so that a message can say which one may be meant.
_LOOK = """
WITH RECURSIVE
meant(oid) AS (
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p')
     AND ((n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({table_schemas}, {table_names}))
          OR n.nspname = ANY ({schemas}) AND c.relpersistence = 'p'
             AND NOT EXISTS (SELECT FROM pg_depend d
                              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
  UNION
  SELECT i.inhrelid FROM meant JOIN pg_inherits i ON i.inhparent = meant.oid
                               JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
SELECT json_build_object(
  'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname = ANY ({schemas})),
  'alike', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind)), '[]')
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE (lower(n.nspname::text), lower(c.relname::text)) IN (
                     SELECT lower(t.schema), lower(t.name)
                       FROM unnest({table_schemas} || {excluded_schemas}, {table_names} || {excluded_names}) t(schema, name))),
  'tables', (SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'name', c.relname,
      'ancestors', (SELECT coalesce(json_agg(json_build_object('schema', an.nspname, 'name', ac.relname)
                                             ORDER BY a.distance DESC), '[]')
                      FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS a(oid, distance)
                      JOIN pg_class ac ON ac.oid = a.oid AND ac.oid <> c.oid JOIN pg_namespace an ON an.oid = ac.relnamespace),
      'owner', pg_get_userbyid(c.relowner),
      'mine', pg_has_role(c.relowner, 'USAGE'),
      'identity', c.relreplident,
      'index', (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 WHERE i.indrelid = c.oid AND i.indisreplident),
      'has_key', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate),
      'primary_key', CASE WHEN narrow.found IS NOT NULL THEN {primary_key} END,
      'index_key', CASE WHEN narrow.found IS NOT NULL THEN {index_key} END,
      'leaf', c.relkind = 'r',
      'narrow', narrow.found,
      'published', c.relpersistence = 'p' AND {published},
      'indexes', {indexes})), '[]')
    FROM meant JOIN pg_class c ON c.oid = meant.oid JOIN pg_namespace n ON n.oid = c.relnamespace
   CROSS JOIN LATERAL (SELECT {narrow} AS found) AS narrow))"""

# The indexes of partitions have names of their own, and belong to the one of the partitioned table.
_INDEXES = """(
        SELECT coalesce(json_object_agg(x.relname, json_build_object(
                   'meant', EXISTS (
                       SELECT FROM pg_class ax JOIN pg_index ai ON ai.indexrelid = ax.oid
                                   JOIN pg_class t ON t.oid = ai.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
                        WHERE ax.oid IN (SELECT x.oid UNION ALL SELECT relid FROM pg_partition_ancestors(x.oid))
                          AND (tn.nspname, t.relname, ax.relname) = ({schema}, {table}, {index})),
                   'unique', i.indisunique, 'partial', i.indpred IS NOT NULL, 'deferrable', NOT i.indimmediate,
                   'valid', i.indisvalid, 'expression', 0 = ANY (i.indkey),
                   'columns', (SELECT json_agg(k.attname ORDER BY k.attnum) FROM pg_attribute k
                                WHERE k.attrelid = c.oid AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])),
                   'nullable', EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attnotnull
                                          AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))), '{{}}')
          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid)"""

_PUBLISHED = "EXISTS (SELECT FROM pg_publication p WHERE (p.pubupdate OR p.pubdelete) AND {covers})"

# The columns of an index i.
_INDEX_COLUMNS = """(
          SELECT json_agg(k.attname ORDER BY k.attnum) FROM pg_index i {columns} WHERE i.indrelid = c.oid AND {which})"""

_INDEX_RULES = {
    "unique": (False, "it is not unique"),
    "partial": (True, "it is partial"),
    "deferrable": (True, "it is deferrable"),
    "valid": (False, "it is not valid"),
    "expression": (True, "it has an expression"),
    "nullable": (True, "it has a column that may be NULL"),
}


class ReplicaIdentity:
    """The replica identity of tables.

    :param tables: these, and the partitions of those that are partitioned.
    :param schemas: all permanent tables of these instead, but those of extensions; with their partitions, wherever these lie.
    :param exclude_tables: but not these, nor their partitions.
    :param index: the name of the index, for the identity ``index``.
    :param only_keyless: leave tables alone whose updates can be published as it is.
    """

    key = "replica_identity"
    title = "the replica identity"

    def __init__(
        self,
        tables: list[str] | None,
        schemas: list[str] | None,
        exclude_tables: list[str] | None,
        identity: str,
        index: str | None,
        only_keyless: bool,
    ) -> None:
        for option, names in (("tables", tables), ("schemas", schemas)):
            if names == []:
                raise Failure("%s is an empty list." % option, hint="Name at least one, or leave the task out.")
        self.tables = [QualifiedName.parse(text) for text in dict.fromkeys(tables or [])]
        self.schemas = [check_name(name, "schema") for name in dict.fromkeys(schemas or [])]
        self.excluded = [QualifiedName.parse(text) for text in dict.fromkeys(exclude_tables or [])]
        self.identity = identity
        self.index = index
        self.only_keyless = only_keyless
        named = set(self.tables)
        twice = [name for name in self.excluded if name in named]
        if twice:
            raise Failure(
                "%s is named both in tables and in exclude_tables." % listed(twice), hint="Leave it out of one."
            )
        if (identity == "index") != bool(index):
            raise Failure(
                "identity: index and the option index go together.",
                hint="Give both, or leave index out for another identity.",
            )
        if index and len(self.tables) != 1:
            raise Failure("An index belongs to one table.", hint="Name exactly one table in tables.")

    def look(self, version: int) -> str:
        return _LOOK.format(
            published=_PUBLISHED.format(covers=covers(version)),
            narrow=narrowing(version),
            primary_key=_INDEX_COLUMNS.format(columns=COLUMNS, which="i.indisprimary"),
            index_key=_INDEX_COLUMNS.format(columns=COLUMNS, which="i.indisreplident"),
            table_schemas=array(name.schema for name in self.tables),
            table_names=array(name.name for name in self.tables),
            excluded_schemas=array(name.schema for name in self.excluded),
            excluded_names=array(name.name for name in self.excluded),
            schemas=array(self.schemas),
            indexes=self._look_at_indexes(),
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        self._check_exist(seen)
        chosen = self._chosen(seen)
        if self.index:
            self._check_index(chosen)
        due = {name: row for name, row in chosen.items() if self._differs(row)}
        self._check_owners(due, server)
        self._check_updates_go_on(due)
        return Plan(
            warnings=self._warnings(due),
            statements=[
                Statement(
                    "ALTER TABLE ONLY %s REPLICA IDENTITY %s" % (name.sql, self._clause(row)),
                    locks=2 if self.index else 1,
                    exclusive=True,
                )
                for name, row in due.items()
            ],
            before={str(name): _shown(row["identity"], row["index"]) for name, row in due.items()},
            after={str(name): _shown(*self._desired(row)) for name, row in due.items()},
        )

    def describe(self, seen: Any) -> dict[str, Any]:
        return {
            "tables": {str(name): _shown(row["identity"], row["index"]) for name, row in self._chosen(seen).items()}
        }

    def _look_at_indexes(self) -> str:
        if not self.index:
            return "NULL"
        (table,) = self.tables
        return _INDEXES.format(schema=literal(table.schema), table=literal(table.name), index=literal(self.index))

    def _chosen(self, seen: Any) -> dict[QualifiedName, dict[str, Any]]:
        """The tables in question.

        In the order of their names, so that two runs lock in the same order, but partitions after what they are partitions of,
        because that is how the application locks them.
        """
        lineages = {(*map(_name, row["ancestors"]), _name(row)): row for row in seen["tables"]}
        excluded = set(self.excluded)
        return {lineage[-1]: lineages[lineage] for lineage in sorted(lineages) if excluded.isdisjoint(lineage)}

    def _differs(self, row: dict[str, Any]) -> bool:
        if self.only_keyless and _tells_rows(row["identity"], row["index"], row["has_key"]):
            return False
        return (row["identity"], row["index"]) != self._desired(row)

    def _desired(self, row: dict[str, Any]) -> tuple[str, str | None]:
        """The letter that the catalog has for the identity, and the table's index, if it is one."""
        return _LETTERS[self.identity], _meant_index(row) if self.index else None

    def _clause(self, row: dict[str, Any]) -> str:
        _letter, index = self._desired(row)
        return "USING INDEX %s" % ident(index) if index else self.identity.upper()

    def _check_exist(self, seen: Any) -> None:
        existing = set(seen["schemas"])
        missing = [name for name in self.schemas if name not in existing]
        if missing:
            raise Failure(
                "No such schema in this database: %s." % listed(missing),
                hint="Check the spelling, capitals included, and the database.",
            )
        kinds = {_name(row): row["kind"] for row in seen["alike"]}
        absent = [name for name in [*self.tables, *self.excluded] if name not in kinds]
        if absent:
            wanted = {str(name).lower() for name in absent}
            alike = [name for name in kinds if str(name).lower() in wanted]
            raise Failure(
                "No such table in this database: %s." % listed(absent),
                hint="Did you mean %s?" % listed(sorted(alike))
                if alike
                else "Check the spelling, capitals included, and the database.",
            )
        others = [name for name in self.tables if kinds[name] not in "rp"]
        if others:
            raise Failure(
                "Only tables have a replica identity, and these are none: %s." % listed(others), hint="Leave them out."
            )

    def _check_owners(self, due: dict[QualifiedName, dict[str, Any]], server: Server) -> None:
        foreign = {name: row["owner"] for name, row in due.items() if not row["mine"]}
        if foreign:
            raise Failure(
                "Only its owner may change a table's replica identity: %s."
                % listed("%s of %s" % (name, owner) for name, owner in foreign.items()),
                hint="Run as a member of every owner (%s), or as a superuser."
                % server.grant_membership(*sorted(set(foreign.values()))),
            )

    def _check_updates_go_on(self, due: dict[QualifiedName, dict[str, Any]]) -> None:
        """Fail rather than have the application's updates and deletes refused."""
        stopped = [
            name
            for name, row in due.items()
            if row["published"]
            and _tells_rows(row["identity"], row["index"], row["has_key"])
            and not _tells_rows(*self._desired(row), row["has_key"])
        ]
        if stopped:
            raise Failure(
                "With this replica identity updates and deletes would fail in the application, because they are published: %s."
                % listed(stopped),
                hint="Take the tables out of the publication first, or give them a primary key.",
            )
        refused = {name: conflicts for name, row in due.items() for conflicts in [self._conflicts(row)] if conflicts}
        broken = [
            "%s (%s)" % (name, "; ".join(conflicts))
            for name, conflicts in refused.items()
            if not _current_conflicts(due[name])
        ]
        if broken:
            raise Failure(
                "With the replica identity %s updates and deletes would fail in the application: %s."
                % (self.identity, listed(broken)),
                hint="Change the publication first (streamkap.neon.publication): publish all columns or all rows of the table, or, on "
                "PostgreSQL 18, its stored generated columns (publish_generated_columns = stored); or leave the table out here.",
            )

    def _conflicts(self, row: dict[str, Any]) -> list[str]:
        """Why PostgreSQL would refuse updates of the table once it has the desired identity."""
        letter, index = self._desired(row)
        key = row["indexes"][index]["columns"] if index else row.get("primary_key")
        return _conflicts(row, letter, key)

    def _warnings(self, due: dict[QualifiedName, dict[str, Any]]) -> list[str]:
        """Tables whose updates fail already, and do so with the desired identity too."""
        failing = [
            "%s (%s)" % (name, "; ".join(conflicts))
            for name, row in due.items()
            for conflicts in [self._conflicts(row)]
            if conflicts
        ]
        if not failing:
            return []
        return [
            "Updates and deletes go on failing in the application until the publication is changed: %s."
            % listed(failing)
        ]

    def _check_index(self, chosen: dict[QualifiedName, dict[str, Any]]) -> None:
        (name,) = self.tables
        indexes = chosen[name]["indexes"]
        index = indexes.get(self.index)
        if not index:
            raise Failure(
                "The table %s has no index %s." % (name, self.index),
                hint="It has %s." % (listed(sorted(indexes)) or "none"),
            )
        broken = [words for rule, (wrong, words) in _INDEX_RULES.items() if index[rule] is wrong]
        if broken:
            raise Failure(
                "The index %s cannot be the replica identity of %s: %s." % (self.index, name, ", ".join(broken)),
                hint="It takes a valid unique index, neither partial nor deferrable, on columns that are NOT NULL.",
            )


def _name(row: dict[str, Any]) -> QualifiedName:
    return QualifiedName(row["schema"], row["name"])


def _meant_index(row: dict[str, Any]) -> str:
    """A partition's own index below the one that was named. A valid one has an index in every partition."""
    return next(name for name, index in row["indexes"].items() if index["meant"])


def _tells_rows(identity: str, index: str | None, has_key: bool) -> bool:
    """Whether updates of a table can be published, because they say which row they are about."""
    if identity == "d":
        return has_key
    # The index can be dropped, and the letter stays.
    return identity == "f" or (identity == "i" and index is not None)


def _conflicts(row: dict[str, Any], identity: str, key: list[str] | None) -> list[str]:
    """Of a partitioned table the identities of the partitions count."""
    return publication_conflicts(row.get("narrow") or [], identity, key or []) if row.get("leaf", True) else []


def _current_conflicts(row: dict[str, Any]) -> list[str]:
    """Why PostgreSQL refuses updates of the table now."""
    if not _tells_rows(row["identity"], row["index"], row["has_key"]):
        return ["it says not which row is meant"]
    return _conflicts(row, row["identity"], row.get("primary_key" if row["identity"] == "d" else "index_key"))


def _shown(identity: str, index: str | None) -> str:
    return "index %s" % index if index else _IDENTITIES[identity]
