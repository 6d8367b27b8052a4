# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What a role needs to read partitions under their own names.

A privilege on a partitioned table is none on its partitions, which may lie in schemas that nobody has named. A connector reads them by
themselves where the publication does not publish via their root.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._engine import Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, ident, idents, listed, literal, portions, relations
from ._catalog import OF_EXTENSION, pairs

# From here on GRANT locks what it names.
_LOCKS_SINCE = 180000  # server_version_num

# The partitions of an excluded table are excluded with it. Those in the schemas have their privileges with all tables of these.
_LOOK = """
WITH RECURSIVE
g AS (SELECT oid FROM pg_roles WHERE rolname = {role}),
excluded(oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({excluded}))
  UNION SELECT i.inhrelid FROM excluded JOIN pg_inherits i ON i.inhparent = excluded.oid
                                        JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
down(oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'p' AND (n.nspname = ANY ({schemas}) AND c.oid NOT IN ({of_extension})
                              OR (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({tables})))
  UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid
                                    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
partitions AS (
  SELECT c.oid, c.relname, c.relowner, c.relnamespace, n.nspname
    FROM down JOIN pg_class c ON c.oid = down.oid AND c.relkind = 'r' AND c.relispartition
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname <> ALL ({schemas}) AND c.oid NOT IN (SELECT oid FROM excluded))
SELECT json_build_object(
  'schemas', (SELECT coalesce(json_agg(json_build_object(
      'name', n.nspname,
      'owner', pg_get_userbyid(n.nspowner),
      'held', coalesce((SELECT has_schema_privilege(g.oid, n.oid, 'USAGE') FROM g), false),
      'may_grant', has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION')) ORDER BY n.nspname), '[]')
    FROM pg_namespace n WHERE n.oid IN (SELECT relnamespace FROM partitions)),
  'tables', (SELECT coalesce(json_agg(json_build_object(
      'schema', p.nspname,
      'name', p.relname,
      'owner', pg_get_userbyid(p.relowner),
      'held', coalesce((SELECT has_table_privilege(g.oid, p.oid, 'SELECT') FROM g), false),
      'may_grant', has_table_privilege(p.oid, 'SELECT WITH GRANT OPTION')) ORDER BY p.nspname, p.relname), '[]')
    FROM partitions p))"""


class PartitionGrant:
    """SELECT on the partitions of tables, and USAGE on their schemas.

    :param schemas: the partitioned tables of these, and the single ``tables``, but not ``exclude_tables``.
    """

    key = "partition_grant"

    def __init__(self, role: str, schemas: list[str], tables: list[str], exclude_tables: list[str]) -> None:
        self.role = check_name(role, "role")
        self.title = "the privileges of %s on partitions" % role
        self.schemas = [check_name(name, "schema") for name in schemas]
        self.tables = [QualifiedName.parse(text) for text in tables]
        self.excluded = [QualifiedName.parse(text) for text in exclude_tables]

    def look(self, version: int) -> str:
        return _LOOK.format(
            role=literal(self.role),
            schemas=array(self.schemas),
            tables=pairs(self.tables),
            excluded=pairs(self.excluded),
            of_extension=OF_EXTENSION,
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: dict[str, bool] | None) -> Plan:
        # Those of the named tables have theirs with these.
        named = {table.schema for table in self.tables}
        schemas = [row for row in seen["schemas"] if not row["held"] and row["name"] not in named]
        tables = [row for row in seen["tables"] if not row["held"]]
        refused = [
            "USAGE on schema %s (owner %s)" % (row["name"], row["owner"]) for row in schemas if not row["may_grant"]
        ]
        refused += [
            "SELECT on table %s (owner %s)" % (_name(row), row["owner"]) for row in tables if not row["may_grant"]
        ]
        if refused:
            raise Failure(
                "%s may not grant what it takes to read partitions: %s." % (server.user, listed(refused)),
                hint="Run as a member of their owners, or publish partitions as their root (publish_via_partition_root: true).",
            )
        return Plan(
            statements=list(self._statements(schemas, tables, server)),
            before={**{row["name"]: "nothing" for row in schemas}, **{str(_name(row)): "nothing" for row in tables}},
            after={**{row["name"]: "USAGE" for row in schemas}, **{str(_name(row)): "SELECT" for row in tables}},
        )

    def describe(self, seen: Any) -> dict[str, Any]:
        return {
            "role": self.role,
            "tables": {str(_name(row)): ["SELECT"] if row["held"] else [] for row in seen["tables"]},
        }

    def _statements(
        self, schemas: list[dict[str, Any]], tables: list[dict[str, Any]], server: Server
    ) -> Iterator[Statement]:
        if schemas:
            names = [row["name"] for row in schemas]
            locks = len(names) if server.version >= _LOCKS_SINCE else 0
            yield Statement("GRANT USAGE ON SCHEMA %s TO %s" % (idents(names), ident(self.role)), locks=locks)
        locking = server.version >= _LOCKS_SINCE
        for some in portions([_name(row) for row in tables], server.lock_room if locking else max(len(tables), 1)):
            yield Statement(
                "GRANT SELECT ON TABLE %s TO %s" % (relations(some), ident(self.role)),
                locks=len(some) if locking else 0,
            )


def _name(row: dict[str, Any]) -> QualifiedName:
    return QualifiedName(row["schema"], row["name"])
