# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A publication: which tables' changes a logical slot gives, and what of them.

It is read from pg_publication, pg_publication_rel and pg_publication_namespace. The view pg_publication_tables shows
what is published in effect (partitions, the tables of schemas), not what the publication was told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .._engine import Logins, Plan
from .._errors import Failure, combine_failures
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, ident, idents, listed, literal, portions
from . import _row_filter
from ._catalog import (
    BY_NAME,
    FILTER_COLUMNS,
    KEY,
    KEYS,
    OF_EXTENSION,
    UNPUBLISHED,
    UNPUBLISHED_IN_FULL,
    Relation,
    pairs,
    publication_conflicts,
)

# As PostgreSQL orders them, and all of them is its default.
_ACTIONS = ("insert", "update", "delete", "truncate")

_KINDS = {
    "S": "a sequence",
    "c": "a composite type",
    "f": "a foreign table",
    "i": "an index",
    "I": "an index",
    "m": "a materialized view",
    "v": "a view",
}

# A named table is looked for without regard to case, so that a message can say which one may be meant.
_LOOK = """
WITH RECURSIVE
p AS (SELECT * FROM pg_publication WHERE pubname = {name}),
m AS (SELECT r.* FROM p JOIN pg_publication_rel r ON r.prpubid = p.oid),
base AS (
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE (lower(n.nspname::text), lower(c.relname::text)) IN (
           SELECT lower(t.schema), lower(t.name) FROM unnest({named}) AS t(schema, name))
      OR c.relkind IN ('r', 'p') AND (n.nspname = ANY ({schemas}) OR {all_tables} AND c.oid >= 16384)
      OR c.oid IN (SELECT prrelid FROM m)),
up(oid) AS (
  SELECT oid FROM base
  UNION SELECT i.inhparent FROM up JOIN pg_class c ON c.oid = up.oid AND c.relispartition
                                   JOIN pg_inherits i ON i.inhrelid = up.oid),
down(oid) AS (
  SELECT oid FROM base
  UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid
                                    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition),
meant(oid) AS (SELECT oid FROM up UNION SELECT oid FROM down),
{keys}
SELECT json_build_object(
  'publication', (SELECT json_build_object(
      'owner', pg_get_userbyid(p.pubowner),
      'mine', pg_has_role(p.pubowner, 'USAGE'),
      'all_tables', p.puballtables,
      'publish', json_build_object('insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
                                   'truncate', p.pubtruncate),
      'via_root', p.pubviaroot,
      'schemas', {published_schemas},
      'tables', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
                     'relation', m.prrelid::bigint,
                     'columns', {published_columns},
                     'filter_columns', {filter_columns},
                     'where', {published_where}))), '[]') FROM m)) FROM p),
  'may_create', has_database_privilege(current_database(), 'CREATE'),
  'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname = ANY ({schemas})),
  'owner', (SELECT json_build_object(
      'mine', pg_has_role(r.oid, '{become}'),
      'may_create', has_database_privilege(r.oid, current_database(), 'CREATE'),
      'superuser', r.rolsuper) FROM pg_roles r WHERE r.rolname = {owner}),
  'other_publications', EXISTS (SELECT FROM pg_publication WHERE pubname <> {name}),
  'slots', (SELECT coalesce(json_agg(json_build_object(
                'name', s.slot_name, 'command', a.query) ORDER BY s.slot_name), '[]')
              FROM pg_replication_slots s
              LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid AND a.backend_type = 'walsender'
             WHERE s.database = current_database() AND s.plugin = 'pgoutput' AND s.wal_status IS DISTINCT FROM 'lost'),
  'row_filters', {row_filters},
  'row_filter_rules', {row_filter_rules},
  'relations', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
      'oid', c.oid::bigint,
      'schema', n.nspname,
      'name', c.relname,
      'owner', pg_get_userbyid(c.relowner),
      'kind', nullif(c.relkind, 'r'),
      'persistence', nullif(c.relpersistence, 'p'),
      'mine', nullif(pg_has_role(c.relowner, 'USAGE'), true),
      'parent', CASE WHEN c.relispartition THEN (
          SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid) END,
      'inherited', nullif(c.relkind = 'r' AND c.relhassubclass, false),
      'of_extension', nullif(c.oid IN ({of_extension}), false),
      'identity', nullif(c.relreplident, 'd'),
      'key', keys.key,
      'deferrable', nullif(keys.deferrable, false),
      'unpublished', {unpublished},
      'unpublished_in_full', {unpublished_in_full},
      'columns', CASE WHEN (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest({with_columns})) THEN (
          SELECT json_object_agg(a.attname, a.attgenerated)
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END))), '[]')
    FROM meant JOIN pg_class c ON c.oid = meant.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN keys ON keys.indrelid = c.oid))"""

_PUBLISHED_SINCE_15 = {
    "published_schemas": """(
          SELECT coalesce(json_agg(n.nspname), '[]')
            FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid)""",
    "published_columns": """CASE WHEN m.prattrs IS NOT NULL THEN (
                         SELECT json_agg(a.attname ORDER BY a.attnum)
                           FROM pg_attribute a WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs)) END""",
    "published_where": "pg_get_expr(m.prqual, m.prrelid)",
    "filter_columns": FILTER_COLUMNS.format(qual="m.prqual", table="m.prrelid"),
}

# PostgreSQL keeps a row filter as a parse tree and shows it in words of its own, so texts cannot be compared. But it plans
# two filters that mean the same in the same way, and EXPLAIN shows how without executing anything, on a standby too. In
# place of the table stands its row type, for which nobody needs the right to read rows. A filter is in the replica identity
# when it can be planned without the other columns. EXECUTE in a loop takes no second statement.
_QUESTIONS = """
DECLARE
  question record;
  plan jsonb;
  answers jsonb[] := '{{}}';
BEGIN
  FOR question IN
    WITH RECURSIVE
    f AS (
      SELECT c.oid, n.nspname, c.relname, w.wanted, '(' || pg_get_expr(r.prqual, r.prrelid) || ')' AS stored
        FROM unnest({tables}, {filters}) AS w(schema, name, wanted)
        JOIN pg_namespace n ON n.nspname = w.schema
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
        LEFT JOIN pg_publication p ON p.pubname = {name}
        LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid),
    down(root, oid) AS (
      SELECT oid, oid FROM f
      UNION SELECT down.root, i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid
                                                   JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
    SELECT f.oid::bigint AS relation, q.about, format(
        'EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) '
        'SELECT FROM (SELECT %s FROM (SELECT (NULL::%I.%I).*) AS r OFFSET 0) AS %I WHERE %s',
        q.columns, f.nspname, f.relname, f.relname, q.filter) AS query
      FROM f
     CROSS JOIN LATERAL (
      SELECT coalesce(string_agg(format('r.%I', a.attname), ', '), '') AS identity
        FROM pg_attribute a
       WHERE a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (
          SELECT FROM down JOIN pg_class c ON c.oid = down.oid
           WHERE down.root = f.oid AND c.relkind = 'r' AND c.relreplident <> 'f'
             AND EXISTS (SELECT {key}) AND a.attname NOT IN (SELECT k.attname {key}))) AS key
     CROSS JOIN LATERAL (
      VALUES ('wanted', 'r.*', f.wanted), ('stored', 'r.*', f.stored), ('in_identity', key.identity, f.wanted)
     ) AS q(about, columns, filter)
     WHERE q.filter IS NOT NULL
  LOOP
    BEGIN
      FOR plan IN EXECUTE question.query LOOP
        answers := answers || jsonb_build_object(
          'relation', question.relation, 'about', question.about, 'plan', (plan -> 0 -> 'Plan') - 'Plans');
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      answers := answers || jsonb_build_object(
        'relation', question.relation, 'about', question.about, 'error', SQLERRM, 'sqlstate', SQLSTATE);
    END;
  END LOOP;
  PERFORM set_config('streamkap_neon.row_filters', to_jsonb(answers)::text, true);
END"""

# The table, and its entry in the publication.
_LOCKS_TO_DROP = 2

_SEVERAL_STATEMENTS = "42P11"  # invalid_cursor_definition

# The one thing that makes a difference to a filter and not to its plan.
_COLLATION = re.compile(r'\bcollate\s+(?:pg_catalog\s*\.\s*)?"?([^\s"()]+)', re.IGNORECASE)

_PUBLICATION_NAMES = re.compile(r"""publication_names"?\s+'((?:[^']|'')*)'""", re.IGNORECASE)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')

_FROM_TABLES = "Publish the tables that the schemas hold now with tables_from_schemas, and run it again for new ones"


@dataclass(frozen=True)
class _Table:
    """One table as it is published.

    :param columns: in PostgreSQL's order where it is published already; None is all columns, those to come too.
    :param where: the row filter without the outer brackets.
    :param filter_columns: what it uses, where it is published already.
    """

    name: QualifiedName
    columns: tuple[str, ...] | None = None
    where: str | None = None
    filter_columns: tuple[str, ...] = field(default=(), compare=False)

    @property
    def condition(self) -> str:
        """The row filter in brackets, which a comment at its end must not swallow."""
        return ("(%s\n)" if "--" in self.where else "(%s)") % self.where

    def shown(self) -> str | dict[str, Any]:
        """As the option ``tables`` takes it."""
        details = {"columns": self.columns and list(self.columns), "where": self.where}
        given = {key: value for key, value in details.items() if value is not None}
        return {"name": str(self.name), **given} if given else str(self.name)


@dataclass(frozen=True)
class _Published:
    """A publication, as it is or as it will be."""

    owner: str | None
    all_tables: bool
    schemas: frozenset[str]
    tables: dict[QualifiedName, _Table]
    publish: tuple[str, ...]
    via_root: bool


@dataclass(frozen=True)
class _Keyless:
    """A table whose updates and deletes PostgreSQL refuses while they are published.

    :param covering: of it and the partitioned tables above it those that are to be published.
    """

    relation: Relation
    reason: str
    covering: list[Relation]

    def __str__(self) -> str:
        root = self.covering[-1]
        return "%s (%s%s)" % (
            self.relation.name,
            "" if root is self.relation else "a partition of %s: " % root.name,
            self.reason,
        )


class _Catalog:
    """What was seen, in order.

    :param answers: what PostgreSQL makes of the row filters, by relation and question.
    """

    def __init__(self, seen: dict[str, Any]) -> None:
        relations = [
            Relation(
                name=QualifiedName(row["schema"], row["name"]),
                **{key: value for key, value in row.items() if key not in ("schema", "name", "unpublished_in_full")},
            )
            for row in seen["relations"]
        ]
        self.relations = sorted(relations, key=BY_NAME)
        self.by_oid = {relation.oid: relation for relation in relations}
        self.by_name = {relation.name: relation for relation in relations}
        self.answers = {(answer["relation"], answer["about"]): answer for answer in seen["row_filters"]}
        rules = seen.get("row_filter_rules")
        self.rules = _row_filter.RowFilterRules(rules) if rules else None
        self.publication = self._publication(seen["publication"]) if seen["publication"] else None

    def _publication(self, row: dict[str, Any]) -> _Published:
        tables = [
            _Table(
                self.by_oid[table["relation"]].name,
                tuple(table["columns"]) if table.get("columns") else None,
                table.get("where"),
                tuple(table.get("filter_columns") or ()),
            )
            for table in row["tables"]
        ]
        return _Published(
            owner=row["owner"],
            all_tables=row["all_tables"],
            schemas=frozenset(row["schemas"]),
            tables={table.name: table for table in tables},
            publish=tuple(action for action in _ACTIONS if row["publish"][action]),
            via_root=row["via_root"],
        )

    def lineage(self, relation: Relation) -> list[Relation]:
        """The relation, the partitioned table that it is a partition of, and so on to the root."""
        lineage = [relation]
        while lineage[-1].parent is not None:
            lineage.append(self.by_oid[lineage[-1].parent])
        return lineage

    @cached_property
    def _alike(self) -> dict[str, list[QualifiedName]]:
        found: dict[str, list[QualifiedName]] = {}
        for relation in self.relations:
            if relation.kind in "rp":
                found.setdefault(str(relation.name).lower(), []).append(relation.name)
        return found

    def absence(self, name: QualifiedName, option: str) -> str:
        """A sentence for a table that is not there."""
        alike = self._alike.get(str(name).lower(), [])
        meant = " Did you mean %s?" % " or ".join(map(str, alike)) if alike else ""
        return "The table %s, named in %s, does not exist.%s" % (name, option, meant)


class Publication:
    """One publication of the current database.

    :param schemas: all tables that they hold, now or later.
    :param tables: names, or dicts with ``name``, ``columns`` and ``where``.
    :param tables_from_schemas: the tables that they hold now.
    :param exclude_tables: but not these.
    :param keyless_tables: what to do about tables whose updates PostgreSQL would refuse: fail, skip or include.
    :param publish: None leaves it as it is.
    :param publish_via_partition_root: likewise.
    :param owner: likewise.
    :param exclusive: publish nothing else.
    :param dropped_before: slots that are to be gone by the time that this one goes.
    """

    key = "publication"

    def __init__(
        self,
        name: str,
        state: str,
        all_tables: bool,
        schemas: list[str] | None,
        tables: list[Any] | None,
        tables_from_schemas: list[str] | None,
        exclude_tables: list[str] | None,
        keyless_tables: str,
        publish: list[str] | None,
        publish_via_partition_root: bool | None,
        owner: str | None,
        exclusive: bool,
        dropped_before: list[str] | None = None,
    ) -> None:
        self._read: tuple[Any, _Catalog] | None = None
        self.name = check_name(name, "publication")
        self.title = "the publication %s" % name
        self.state = state
        self.all_tables = all_tables
        self.schemas = _schemas(schemas, "schemas")
        self.tables = _tables(tables or [])
        # Dictionaries where order matters and there are thousands to be found in.
        self.tables_from_schemas = dict.fromkeys(_schemas(tables_from_schemas, "tables_from_schemas"))
        self.exclude_tables = dict.fromkeys(QualifiedName.parse(text) for text in exclude_tables or [])
        self.keyless_tables = keyless_tables
        self.publish = None if publish is None else tuple(action for action in _ACTIONS if action in publish)
        self.via_root = publish_via_partition_root
        self.owner = None if owner is None else check_name(owner, "role")
        self.exclusive = exclusive
        self.gone_slots = dropped_before or []
        if state == "present":
            self._check_options()

    def questions(self, version: int) -> list[str]:
        filtered = self._filtered
        if not filtered or version < 150000:
            return []
        body = _QUESTIONS.format(
            name=literal(self.name),
            tables=pairs(table.name for table in filtered),
            filters=array(table.condition for table in filtered),
            key=KEY,
        )
        return ["DO %s" % literal(body)]

    @property
    def _filtered(self) -> list[_Table]:
        return [table for table in self.tables.values() if table.where is not None]

    def look(self, version: int) -> str:
        self._read = None
        # Before PostgreSQL 15 a publication holds whole tables only.
        by_version = {
            "published_schemas": "'[]'::json",
            "published_columns": "NULL",
            "published_where": "NULL",
            "filter_columns": "NULL",
            "unpublished": "NULL",
            "unpublished_in_full": "NULL",
        }
        if version >= 150000:
            by_version.update(_PUBLISHED_SINCE_15)
        if version >= 180000:
            by_version.update(unpublished=UNPUBLISHED, unpublished_in_full=UNPUBLISHED_IN_FULL)
        return _LOOK.format(
            name=literal(self.name),
            named=pairs([*self.tables, *self.exclude_tables]),
            with_columns=pairs(name for name, table in self.tables.items() if table.columns is not None),
            schemas=array([*self.schemas, *self.tables_from_schemas]),
            all_tables="true" if self.all_tables else "false",
            owner="NULL" if self.owner is None else literal(self.owner),
            become="SET" if version >= 160000 else "MEMBER",
            row_filters="current_setting('streamkap_neon.row_filters')::json"
            if self.questions(version)
            else "'[]'::json",
            row_filter_rules=_row_filter.LOOK.format(
                functions=array(_row_filter.function_names([table.condition for table in self._filtered])),
                tables=pairs(table.name for table in self._filtered),
            )
            if self.questions(version)
            else "NULL::json",
            keys=KEYS.format(of="meant"),
            of_extension=OF_EXTENSION,
            **by_version,
        )

    def _catalog(self, seen: Any) -> _Catalog:
        """Kept until the next look, because what is planned from is mostly what is described afterwards."""
        if self._read is None or self._read[0] is not seen:
            self._read = (seen, _Catalog(seen))
        return self._read[1]

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        catalog = self._catalog(seen)
        current = catalog.publication
        if self.state == "absent":
            return self._plan_absent(catalog, seen, server) if current else Plan()
        self._check_server(server)
        self._check_schemas_exist(set(seen["schemas"]))
        if current and current.all_tables != self.all_tables:
            raise self._other_kind(current)
        plan = Plan()
        failures: list[Failure] = []
        target = self._target(catalog, server, plan, failures)
        if self.owner and not seen["owner"]:
            plan.missing.append("The role %s, which is to own the publication, does not exist." % self.owner)
        failures += self._check_rights(target, catalog, seen, server)
        if failures:
            raise combine_failures(failures)
        plan.before = self._shown(current) if current else {}
        plan.after = self._shown(target)
        plan.statements = list(self._statements(target, catalog, server))
        if self._filtered:
            plan.hints["0A000"] = "It is about the row filter of %s." % " or ".join(
                str(table.name) for table in self._filtered
            )
        readers, _unknown = self._readers(seen)
        if readers and not current:
            plan.warnings.append(
                "The publication %s is made after the slot %s. If a connector is to read it through that, make the slot "
                "anew: at the first change from before the publication reading fails, or from PostgreSQL 18 on skips it."
                % (self.name, listed(readers))
            )
        return plan

    def describe(self, seen: Any) -> dict[str, Any]:
        tables = [
            {"name": str(table.name), "columns": table.columns and list(table.columns), "where": table.where}
            for table in _by_name(self._published(seen))
        ]
        return {**self.describe_without_tables(seen), "tables": tables}

    def describe_without_tables(self, seen: Any) -> dict[str, Any]:
        found = self._catalog(seen).publication
        if not found:
            nothing = {"owner": None, "all_tables": None, "schemas": [], "publish": []}
            return {"name": self.name, "exists": False, **nothing, "publish_via_partition_root": None}
        return {
            "name": self.name,
            "exists": True,
            "owner": found.owner,
            "all_tables": found.all_tables,
            "schemas": sorted(found.schemas),
            "publish": list(found.publish),
            "publish_via_partition_root": found.via_root,
        }

    def names(self, seen: Any) -> list[QualifiedName]:
        """Of the tables that are published by themselves."""
        return [table.name for table in self._published(seen)]

    def _published(self, seen: Any) -> Iterable[_Table]:
        found = self._catalog(seen).publication
        return found.tables.values() if found else ()

    def _check_options(self) -> None:
        """Fail for options that contradict each other or ask for nothing."""
        options = {"schemas": self.schemas, "tables": self.tables, "tables_from_schemas": self.tables_from_schemas}
        given = [option for option, value in options.items() if value]
        if self.all_tables and given:
            raise Failure(
                "all_tables publishes everything, and %s something else." % " and ".join(given),
                hint="Give all_tables: true alone, or leave it out.",
            )
        if not (self.all_tables or given):
            raise Failure(
                "Nothing is named that the publication %s is to publish." % self.name,
                hint="Give tables, tables_from_schemas, schemas or all_tables, or set state: absent.",
            )
        if self.publish == ():
            raise Failure(
                "publish is an empty list, so that the publication %s would publish nothing." % self.name,
                hint="List some of %s, or leave publish out." % ", ".join(_ACTIONS),
            )
        strangers = [name for name in self.exclude_tables if name.schema not in self.tables_from_schemas]
        if strangers:
            raise Failure(
                "exclude_tables names %s, but only tables of tables_from_schemas can be excluded." % listed(strangers),
                hint="Leave them out, or name their schemas in tables_from_schemas.",
            )
        both = [name for name in self.exclude_tables if name in self.tables]
        if both:
            raise Failure(
                "%s is named both in tables and in exclude_tables." % listed(both), hint="Leave it out of one."
            )
        filtered = [name for name, table in self.tables.items() if table.where and name.schema in self.schemas]
        if filtered:
            raise Failure(
                "The row filter of %s would have no effect: its whole schema is published." % listed(filtered),
                hint="Leave out the row filter, or the schema from schemas.",
            )
        narrowed = [name for name, table in self.tables.items() if table.columns is not None]
        if narrowed and self.schemas:
            raise Failure(
                "%s has a column list, and PostgreSQL takes none in a publication of schemas." % listed(narrowed),
                hint="Leave out the column list, or use tables_from_schemas in place of schemas.",
            )

    def _check_server(self, server: Server) -> None:
        if server.major >= 15:
            return
        if self.schemas:
            raise Failure(
                "Publishing schemas needs PostgreSQL 15, and this server is %d." % server.major,
                hint="%s." % _FROM_TABLES,
            )
        special = [name for name, table in self.tables.items() if table != _Table(name)]
        if special:
            raise Failure(
                "Row filters and column lists need PostgreSQL 15, and this server is %d: %s has one."
                % (server.major, listed(special)),
                hint="Leave out where and columns.",
            )

    def _check_schemas_exist(self, existing: set[str]) -> None:
        missing = [name for name in dict.fromkeys([*self.schemas, *self.tables_from_schemas]) if name not in existing]
        if missing:
            raise Failure(
                "No such schema in this database: %s." % listed(missing),
                hint="Check the spelling, capitals included, and the database.",
            )

    def _other_kind(self, current: _Published) -> Failure:
        stands, wanted = ("FOR ALL TABLES", "a list") if current.all_tables else ("a list", "FOR ALL TABLES")
        return Failure(
            "The publication %s is %s, and PostgreSQL cannot turn it into %s." % (self.name, stands, wanted),
            hint="Choose another name; or stop the connector, drop its slot and then the publication (state: absent of "
            "both modules), make both again, and take a new snapshot.",
        )

    def _target(self, catalog: _Catalog, server: Server, plan: Plan, failures: list[Failure]) -> _Published:
        """What the publication is to be; adds to the plan what is missing and what to know, and to the failures what cannot be."""
        standing = catalog.publication or _Published(server.user, self.all_tables, frozenset(), {}, _ACTIONS, False)
        target = replace(
            standing,
            owner=self.owner or standing.owner,
            schemas=frozenset(self.schemas),
            tables={**self._tables_of_schemas(catalog), **self.tables},
            publish=self.publish or standing.publish,
            via_root=standing.via_root if self.via_root is None else self.via_root,
        )
        plan.missing += [catalog.absence(name, "tables") for name in self.tables if name not in catalog.by_name]
        failures += self._check_tables(target, catalog, server)
        self._warn_of_unlogged(target, catalog, plan)
        target = self._with_identities(target, catalog, plan, failures)
        if not (self.all_tables or target.schemas or target.tables):
            plan.missing.append(
                "The publication %s would publish no table: nothing of what is named is there and may be published."
                % self.name
            )
        tables = {
            name: standing.tables[name] if _is_same(table, standing.tables.get(name), catalog) else table
            for name, table in target.tables.items()
        }
        if self.exclusive:
            return replace(target, tables=tables)
        merged = replace(target, schemas=target.schemas | standing.schemas, tables={**standing.tables, **tables})
        failures += self._check_standing_tables(standing, target, merged, catalog)
        return merged

    def _check_standing_tables(
        self, standing: _Published, target: _Published, merged: _Published, catalog: _Catalog
    ) -> Iterator[Failure]:
        """Yield a failure for tables that stay published, and whose updates would fail by what else changes."""
        changes = {"update", "delete"}
        added = changes & set(merged.publish) - set(standing.publish)
        if not added and (standing.via_root == merged.via_root or not changes & set(merged.publish)):
            return
        broken = []
        for relation in catalog.relations:
            covering = self._covering(relation, merged, catalog)
            is_leaf = relation.kind == "r" and relation.persistence == "p"
            if not is_leaf or not covering or self._covering(relation, target, catalog):
                continue
            governing = covering[-1] if merged.via_root else relation
            table = merged.tables.get(governing.name, _Table(governing.name))
            part: dict[str, Any] = {"publication": self.name, "filter_columns": table.filter_columns}
            if table.columns is not None:
                part["columns"] = table.columns
            why = [relation.lacks_identity(table.columns or ())]
            why += publication_conflicts([part], relation.identity, relation.key)
            reasons = [reason for reason in why if reason]
            if reasons:
                broken.append("%s (%s)" % (relation.name, reasons[0]))
        if broken:
            yield Failure(
                "Published like this, updates and deletes fail in the application, in tables that are published already: %s."
                % listed(broken),
                hint="Give each a primary key or a replica identity that fits (streamkap.neon.replica_identity), take them out first, or "
                "leave publish and publish_via_partition_root as they are.",
            )

    def _tables_of_schemas(self, catalog: _Catalog) -> dict[QualifiedName, _Table]:
        """The tables of tables_from_schemas; of partitioned ones the root, which stands for its partitions."""
        absent = [name for name in self.exclude_tables if name not in catalog.by_name]
        if absent:
            raise Failure(
                " ".join(catalog.absence(name, "exclude_tables") for name in absent),
                hint="What is to stay unpublished must be spelled right: correct it or leave it out.",
            )
        taken = {}
        for relation in catalog.relations:
            lineage = catalog.lineage(relation)
            excluded = [member for member in lineage if member.name in self.exclude_tables]
            higher = [above for above in lineage[1:] if self._is_offered(above) or above.name in self.tables]
            if higher and excluded == [relation]:
                raise Failure(
                    "exclude_tables names %s, a partition of %s, which is published with all its partitions."
                    % (relation.name, higher[-1].name),
                    hint="Exclude %s, and name the other partitions in tables." % higher[-1].name,
                )
            if self._is_offered(relation) and not higher and not excluded:
                taken[relation.name] = _Table(relation.name)
        return taken

    def _is_offered(self, relation: Relation) -> bool:
        """Whether it is a table for tables_from_schemas, partition or not."""
        in_schema = relation.name.schema in self.tables_from_schemas
        return in_schema and relation.is_permanent_table and not relation.of_extension

    def _check_tables(self, target: _Published, catalog: _Catalog, server: Server) -> Iterator[Failure]:
        """Yield a failure for named tables that cannot be published as they are to be."""
        wrong = [misfit for table in self.tables.values() for misfit in self._misfits(table, target, catalog, server)]
        if wrong:
            yield Failure(
                "Not everything can be published as named. %s" % " ".join(wrong),
                hint="Only permanent tables can be published, and a row filter is one SQL expression over the table's columns, of types, "
                "operators and immutable functions that are PostgreSQL's own.",
            )

    def _misfits(self, table: _Table, target: _Published, catalog: _Catalog, server: Server) -> Iterator[str]:
        relation = catalog.by_name.get(table.name)
        if not relation:
            return
        if not relation.is_permanent_table:
            what = _KINDS.get(relation.kind) or ("unlogged" if relation.persistence == "u" else "temporary")
            yield "%s is %s." % (table.name, what)
            return
        if relation.kind == "p" and table != _Table(table.name) and not target.via_root:
            yield (
                "%s is partitioned, and takes a row filter or a column list only with publish_via_partition_root: true."
                % table.name
            )
        if table.columns is not None:
            publishable = ("", "s") if server.major >= 18 else ("",)
            unknown = [column for column in table.columns if column not in relation.columns]
            generated = [column for column in table.columns if relation.columns.get(column, "") not in publishable]
            if unknown:
                yield "%s has no column %s." % (table.name, listed(unknown))
            if generated:
                yield "%s is a generated column of %s and cannot be listed." % (listed(generated), table.name)
        answer = catalog.answers.get((relation.oid, "wanted"), {})
        if answer.get("sqlstate") == _SEVERAL_STATEMENTS:
            yield "The row filter of %s is more than one expression." % table.name
        elif "error" in answer:
            yield "The row filter of %s is refused: %s." % (table.name, answer["error"])
        elif "plan" in answer and catalog.rules:
            published = catalog.publication and catalog.publication.tables.get(table.name)
            refusal = catalog.rules.find_refusal(table.condition, answer["plan"], table.name.schema, table.name.name)
            if refusal and not _is_same(
                replace(table, columns=None), published and replace(published, columns=None), catalog
            ):
                yield "The row filter of %s is refused: %s." % (table.name, refusal)

    def _with_identities(
        self, target: _Published, catalog: _Catalog, plan: Plan, failures: list[Failure]
    ) -> _Published:
        """The target without the tables that are to be skipped.

        PostgreSQL refuses to update or delete a row of a table unless its replica identity is there and published, and
        holds all that the row filter uses. Of a partitioned table the identities of the partitions count.
        (https://www.postgresql.org/docs/current/logical-replication-publication.html,
        https://www.postgresql.org/docs/current/logical-replication-row-filter.html)
        """
        if not {"update", "delete"} & set(target.publish):
            return target
        keyless: list[_Keyless] = []
        narrow: list[str] = []
        for relation in catalog.relations:
            covering = self._covering(relation, target, catalog)
            if relation.kind != "r" or relation.persistence != "p" or not covering:
                continue
            governing = covering[-1] if target.via_root else relation
            table = target.tables.get(governing.name, _Table(governing.name))
            reason = relation.lacks_identity(table.columns or ())
            if reason:
                keyless.append(_Keyless(relation, reason, covering))
            else:
                narrow += _narrowness(table, governing, relation, catalog)
        if narrow:
            failures.append(
                Failure(
                    "Published like this, updates and deletes fail in the application. %s"
                    % " ".join(dict.fromkeys(narrow)),
                    hint="Publish more columns, filter by columns of the replica identity, change that "
                    "(streamkap.neon.replica_identity), or leave update and delete out of publish.",
                )
            )
        return self._without_keyless(target, keyless, plan, failures) if keyless else target

    def _without_keyless(
        self, target: _Published, keyless: list[_Keyless], plan: Plan, failures: list[Failure]
    ) -> _Published:
        """What keyless_tables says about tables whose updates would fail."""
        failing = "updates and deletes would fail in the application once these tables are published"
        if self.keyless_tables == "include":
            plan.warnings.append(
                "As asked for, updates and deletes fail in the application while these tables are published: %s."
                % listed(keyless)
            )
            return target
        wholesale = [
            table
            for table in keyless
            if self.all_tables or any(member.name.schema in target.schemas for member in table.covering)
        ]
        if self.keyless_tables == "fail" or wholesale:
            problem = "For want of a replica identity, %s: %s." % (failing, listed(keyless))
            if self.keyless_tables == "skip":
                option = "all_tables" if self.all_tables else "schemas"
                problem = "keyless_tables: skip can leave no table out of %s: %s." % (option, listed(wholesale))
            failures.append(
                Failure(
                    problem,
                    hint=" ".join(
                        [
                            *_identity_remedies(keyless, self.name),
                            "%s." % _FROM_TABLES if wholesale else "Or leave them out with keyless_tables: skip.",
                        ]
                    ),
                    keyless_tables=[str(table.relation.name) for table in keyless],
                )
            )
            return target
        plan.warnings.append("Left out, because %s: %s." % (failing, listed(keyless)))
        skipped = {member.name for table in keyless for member in table.covering}
        return replace(target, tables={name: table for name, table in target.tables.items() if name not in skipped})

    def _covering(self, relation: Relation, target: _Published, catalog: _Catalog) -> list[Relation]:
        """Of the relation and the partitioned tables above it those that are to be published."""
        return [
            member
            for member in catalog.lineage(relation)
            if self.all_tables or member.name.schema in target.schemas or member.name in target.tables
        ]

    def _warn_of_unlogged(self, target: _Published, catalog: _Catalog, plan: Plan) -> None:
        unlogged = [
            relation
            for relation in catalog.relations
            if relation.kind in "rp" and relation.persistence == "u" and relation.name not in self.exclude_tables
        ]
        left_out = [
            relation.name
            for relation in unlogged
            if relation.name.schema in self.tables_from_schemas or self._covering(relation, target, catalog)
        ]
        if left_out:
            plan.warnings.append("Unlogged tables cannot be published and are left out: %s." % listed(left_out))

    def _check_rights(self, target: _Published, catalog: _Catalog, seen: Any, server: Server) -> Iterator[Failure]:
        """Yield a failure for what PostgreSQL would refuse the current role, all at once."""
        refusals = [] if server.superuser else list(self._refusals(target, catalog, seen, server))
        if refusals:
            yield Failure(
                "The current role %s may not do this. %s" % (server.user, " ".join(why for why, _remedy in refusals)),
                hint=" ".join(dict.fromkeys(remedy for _why, remedy in refusals)),
            )

    def _refusals(self, target: _Published, catalog: _Catalog, seen: Any, server: Server) -> Iterator[tuple[str, str]]:
        """What PostgreSQL refuses a role that is no superuser, and what to do about each."""
        current = catalog.publication
        if not current and not seen["may_create"]:
            yield (
                "Making a publication takes CREATE on the database %s." % server.database,
                "Run as the database's owner, or GRANT CREATE ON DATABASE to the current role.",
            )
        if current and current != target and not seen["publication"]["mine"]:
            yield (
                "The publication %s belongs to %s." % (self.name, current.owner),
                self._owner_remedy(current.owner, server),
            )
        yield from self._superuser_refusals(current, target, server)
        standing = current.tables if current else {}
        foreign = [
            catalog.by_name[name]
            for name, table in sorted(target.tables.items())
            if table != standing.get(name) and name in catalog.by_name and not catalog.by_name[name].mine
        ]
        if foreign:
            yield (
                "Adding a table takes its owner: %s."
                % listed("%s of %s" % (table.name, table.owner) for table in foreign),
                "Let a role that may run %s, or run as a superuser."
                % server.grant_membership(*sorted({table.owner for table in foreign})),
            )
        if seen["owner"] and target.owner != (current.owner if current else server.user):
            yield from self._owner_refusals(target, seen["owner"], server)

    def _owner_remedy(self, owner: str, server: Server) -> str:
        """Also for one that belongs to the connector's user, because Debezium has created it."""
        return (
            "Let %s, or a superuser, run ALTER PUBLICATION %s OWNER TO %s; or let a role that may, as the one that has created %s may, run "
            "%s; or run as %s."
        ) % (owner, ident(self.name), ident(server.user), owner, server.grant_membership(owner), owner)

    def _superuser_refusals(
        self, current: _Published | None, target: _Published, server: Server
    ) -> Iterator[tuple[str, str]]:
        """Neon lets the members of neon_superuser make such publications, but not add schemas to one."""
        if current:
            added = sorted(target.schemas - current.schemas)
            if added:
                neon = ", on Neon too" if server.is_neon else ""
                yield (
                    "Only a superuser may add schemas to a publication%s: %s." % (neon, listed(added)),
                    "%s; or drop the slot, then the publication, and make both again." % _FROM_TABLES,
                )
        elif (self.all_tables or target.schemas) and not (server.is_neon and server.neon_privileged):
            neon = " or a member of neon_superuser" if server.is_neon else ""
            what = "all tables" if self.all_tables else "schemas"
            yield "Only a superuser%s may publish %s." % (neon, what), "%s." % _FROM_TABLES

    def _owner_refusals(self, target: _Published, owner: dict[str, Any], server: Server) -> Iterator[tuple[str, str]]:
        if not owner["mine"]:
            yield (
                "Giving it to %s takes being able to become that role." % self.owner,
                "GRANT %s TO the current role%s." % (ident(self.owner), " WITH SET TRUE" if server.major >= 16 else ""),
            )
        if not owner["may_create"]:
            yield (
                "Its owner %s needs CREATE on the database %s." % (self.owner, server.database),
                "GRANT CREATE ON DATABASE %s TO %s." % (ident(server.database), ident(self.owner)),
            )
        if (target.all_tables or target.schemas) and not owner["superuser"] and not server.is_neon:
            yield (
                "Only a superuser may own a publication of schemas or of all tables, and %s is none." % self.owner,
                "Leave owner out.",
            )

    def _statements(self, target: _Published, catalog: _Catalog, server: Server) -> Iterator[Statement]:
        current = catalog.publication
        if current:
            yield from self._alterations(current, target, catalog, server)
        else:
            yield from self._creation(target, catalog, server)
        if target.owner != (current.owner if current else server.user):
            yield self._alter("OWNER TO %s" % ident(target.owner))

    def _creation(self, target: _Published, catalog: _Catalog, server: Server) -> Iterator[Statement]:
        room = server.lock_room - len(target.schemas)
        first, *more = portions(_by_name(target.tables.values()), room) or [[]]
        objects = "ALL TABLES" if self.all_tables else _objects(first, target.schemas, catalog)
        parameters = self._parameters(None, target)
        words = ["CREATE PUBLICATION", ident(self.name)]
        words += ["FOR", objects] if objects else []
        words += ["WITH (%s)" % parameters] if parameters else []
        yield Statement(" ".join(words), locks=len(first) + len(target.schemas))
        for some in more:
            yield self._add(some, (), catalog)

    def _alterations(
        self, current: _Published, target: _Published, catalog: _Catalog, server: Server
    ) -> Iterator[Statement]:
        """What differs only: SET would lock all tables, and take the ownership of all.

        Tables leave first and come last, because partitioned ones are filtered only while published via their root.
        """
        leaving = _by_name(table for name, table in current.tables.items() if table != target.tables.get(name))
        coming = _by_name(table for name, table in target.tables.items() if table != current.tables.get(name))
        schemas = (current.schemas - target.schemas, target.schemas - current.schemas)
        parameters = self._parameters(current, target)
        whole = []
        if leaving or schemas[0]:
            whole.append(self._drop(leaving, schemas[0], catalog))
        if parameters:
            whole.append(self._alter("SET (%s)" % parameters))
        if coming or schemas[1]:
            # What has just left is locked already.
            whole.append(self._add(coming, schemas[1], catalog, locked=leaving))
        locks = sum(statement.locks for statement in whole)
        # In no other order than that can all be had that PostgreSQL checks.
        rigid = any(schemas) and any(table.columns is not None for table in [*current.tables.values(), *coming])
        if locks <= server.lock_room:
            yield from whole
        elif rigid or (parameters and (any(schemas) or (leaving and coming))):
            yield from self._at_once(whole, locks)
        else:
            if schemas[1]:
                yield self._add([], schemas[1], catalog)
            if parameters and not leaving:
                yield self._alter("SET (%s)" % parameters)
            yield from self._in_portions(leaving, coming, catalog, server.lock_room)
            if parameters and leaving:
                yield self._alter("SET (%s)" % parameters)
            if schemas[0]:
                yield self._drop([], schemas[0], catalog)

    def _in_portions(
        self, leaving: list[_Table], coming: list[_Table], catalog: _Catalog, room: int
    ) -> Iterator[Statement]:
        """Each may be committed by itself, and no change of a table that stays published is lost in between.

        What comes may stand for what leaves, as a partition does for its root, and so is there first. What is only published
        differently leaves and comes at once.
        """
        names = {table.name for table in leaving}
        changed = {table.name for table in coming if table.name in names}
        for some in portions((table for table in coming if table.name not in changed), room):
            yield self._add(some, (), catalog)
        for some in portions((table for table in coming if table.name in changed), room // _LOCKS_TO_DROP):
            yield self._drop(some, (), catalog)
            yield self._add(some, (), catalog, locked=some)
        for some in portions((table for table in leaving if table.name not in changed), room // _LOCKS_TO_DROP):
            yield self._drop(some, (), catalog)

    @staticmethod
    def _at_once(statements: list[Statement], locks: int) -> Iterator[Statement]:
        """All locks with the first, so that the others stay with it."""
        for number, statement in enumerate(statements):
            yield Statement(statement.sql, locks=0 if number else locks)

    def _drop(self, tables: list[_Table], schemas: Iterable[str], catalog: _Catalog) -> Statement:
        schemas = list(schemas)
        return self._alter(
            "DROP %s" % _objects([_Table(table.name) for table in tables], schemas, catalog),
            locks=_LOCKS_TO_DROP * (len(tables) + len(schemas)),
        )

    def _add(
        self, tables: list[_Table], schemas: Iterable[str], catalog: _Catalog, locked: Iterable[_Table] = ()
    ) -> Statement:
        schemas = list(schemas)
        names = {table.name for table in locked}
        return self._alter(
            "ADD %s" % _objects(tables, schemas, catalog),
            locks=sum(table.name not in names for table in tables) + len(schemas),
        )

    def _parameters(self, current: _Published | None, target: _Published) -> str:
        """The parameters that are asked for and differ."""
        parameters = []
        if self.publish is not None and not (current and current.publish == target.publish):
            parameters.append("publish = %s" % literal(", ".join(target.publish)))
        if self.via_root is not None and not (current and current.via_root == target.via_root):
            parameters.append("publish_via_partition_root = %s" % ("true" if target.via_root else "false"))
        return ", ".join(parameters)

    def _alter(self, action: str, locks: int = 0) -> Statement:
        return Statement("ALTER PUBLICATION %s %s" % (ident(self.name), action), locks=locks)

    def _plan_absent(self, catalog: _Catalog, seen: Any, server: Server) -> Plan:
        current = catalog.publication
        if not seen["publication"]["mine"]:
            raise Failure(
                "The current role may not drop the publication %s, which %s owns." % (self.name, current.owner),
                hint=self._owner_remedy(current.owner, server),
            )
        # To drop it locks its entries, which can only be fewer.
        room = max(server.lock_room - len(current.schemas), 0)
        tables = _by_name(current.tables.values())
        surplus = tables[room:]
        plan = Plan(before=self._shown(current))
        plan.statements = [
            self._drop(some, (), catalog) for some in portions(surplus, server.lock_room // _LOCKS_TO_DROP)
        ]
        plan.statements.append(
            Statement(
                "DROP PUBLICATION %s" % ident(self.name),
                locks=len(tables) - len(surplus) + len(current.schemas),
            )
        )
        readers, unknown = self._readers(seen)
        if readers:
            plan.missing.append(
                "The publication %s is read through the slot %s. Without it reading fails, and making it again is no "
                "cure: drop the slot first (streamkap.neon.slot, state: absent)." % (self.name, listed(readers))
            )
        elif unknown:
            plan.warnings.append(
                "Nobody can tell which publication is read through the slot %s. If it is %s, reading fails from now on: "
                "drop the slot too (streamkap.neon.slot, state: absent)." % (listed(unknown), self.name)
            )
        return plan

    def _readers(self, seen: Any) -> tuple[list[str], list[str]]:
        """The slots of this database through which the publication is read for sure, and perhaps.

        A slot does not know its publication; its reader tells when it starts. If there is only one, it can only be that.
        """
        sure: list[str] = []
        perhaps: list[str] = []
        for slot in seen["slots"]:
            if slot["name"] in self.gone_slots:
                continue
            names = _publication_names(slot["command"])
            if names is None:
                (perhaps if seen["other_publications"] else sure).append(slot["name"])
            elif self.name in names:
                sure.append(slot["name"])
        return sure, perhaps

    def _shown(self, published: _Published) -> dict[str, Any]:
        """What a diff shows."""
        shown: dict[str, Any] = {"publication": self.name}
        if published.all_tables:
            shown["all_tables"] = True
        if published.schemas:
            shown["schemas"] = sorted(published.schemas)
        if published.tables:
            shown["tables"] = [table.shown() for _name, table in sorted(published.tables.items())]
        if self.publish is not None:
            shown["publish"] = list(published.publish)
        if self.via_root is not None:
            shown["publish_via_partition_root"] = published.via_root
        if self.owner is not None:
            shown["owner"] = published.owner
        return shown


def with_full_identity(seen: Any, tables: Iterable[str]) -> Any:
    """What would be seen if these tables had their full replica identity already."""
    full = set(tables)
    return {
        **seen,
        "relations": [
            {**row, "identity": "f", "key": [], "unpublished": row.get("unpublished_in_full", [])}
            if str(QualifiedName(row["schema"], row["name"])) in full
            else row
            for row in seen["relations"]
        ],
    }


def _schemas(names: list[str] | None, option: str) -> list[str]:
    if names == []:
        raise Failure("%s is an empty list." % option, hint="Name at least one schema, or leave %s out." % option)
    return [_user_schema(check_name(name, "schema"), option) for name in dict.fromkeys(names or [])]


def _user_schema(name: str, option: str) -> str:
    if name.startswith("pg_") or name == "information_schema":
        raise Failure(
            "%s names the schema %s, which is PostgreSQL's own or temporary and cannot be published." % (option, name),
            hint="Leave it out.",
        )
    return name


def _tables(elements: list[Any]) -> dict[QualifiedName, _Table]:
    tables: dict[QualifiedName, _Table] = {}
    numbers: dict[QualifiedName, int] = {}
    for number, element in enumerate(elements, 1):
        table = _table(element, number)
        if table.name in tables:
            raise Failure(
                "%s is named twice in tables, as #%d and #%d." % (table.name, numbers[table.name], number),
                hint="Name it once.",
            )
        tables[table.name] = table
        numbers[table.name] = number
    return tables


def _table(element: Any, number: int) -> _Table:
    """Read one element of the option ``tables``."""
    options = {"name": element} if isinstance(element, str) else element
    if not isinstance(options, dict) or not isinstance(options.get("name"), str):
        raise Failure(
            "Table #%d is %r." % (number, element),
            hint="Write schema.table, or a dictionary with name and, if wanted, columns and where.",
        )
    unknown = sorted(str(key) for key in set(options) - {"name", "columns", "where"})
    if unknown:
        raise Failure(
            "Table #%d has the unknown key %s." % (number, listed(unknown)), hint="There are name, columns and where."
        )
    name = QualifiedName.parse(options["name"])
    _user_schema(name.schema, "tables")
    return _Table(name, _columns(options.get("columns"), name), _where(options.get("where"), name))


def _columns(columns: Any, name: QualifiedName) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if not isinstance(columns, list) or not columns or not all(isinstance(column, str) for column in columns):
        raise Failure(
            "columns of %s is %r." % (name, columns),
            hint="List the names of some columns, or leave columns out to publish all.",
        )
    if len(set(columns)) < len(columns):
        raise Failure("A column of %s is listed twice: %s." % (name, ", ".join(columns)), hint="List it once.")
    return tuple(check_name(column, "column") for column in columns)


def _where(where: Any, name: QualifiedName) -> str | None:
    if where is None:
        return None
    if not isinstance(where, str) or not where.strip():
        raise Failure(
            "where of %s is %r." % (name, where),
            hint="Write an SQL expression in quotes, or leave where out to publish all rows.",
        )
    return where.strip()


def _is_same(wanted: _Table, stands: _Table | None, catalog: _Catalog) -> bool:
    """Whether a table is published as wanted, in whatever words its row filter is written."""
    if not stands or (wanted.columns and set(wanted.columns)) != (stands.columns and set(stands.columns)):
        return False
    if wanted.where is None or stands.where is None:
        return wanted.where == stands.where
    oid = catalog.by_name[wanted.name].oid
    plans = [catalog.answers[oid, about].get("plan") for about in ("wanted", "stored")]
    return plans[0] == plans[1] and _collations(wanted.where) == _collations(stands.where)


def _collations(where: str) -> list[str]:
    return sorted(_COLLATION.findall(where))


def _narrowness(table: _Table, governing: Relation, relation: Relation, catalog: _Catalog) -> Iterator[str]:
    """Why too little is published of a table for updates and deletes of a relation that it governs."""
    if table.columns is not None and relation.identity == "f":
        yield "%s has a column list, and the replica identity of %s is FULL." % (table.name, relation.name)
    elif table.columns is not None:
        omitted = [column for column in relation.key if column not in table.columns]
        if omitted:
            whose = "its replica identity" if governing is relation else "the replica identity of %s" % relation.name
            yield "The columns of %s omit %s of %s." % (table.name, listed(omitted), whose)
    if table.where is not None and "error" in catalog.answers.get((governing.oid, "in_identity"), {}):
        whose = "its replica identity (%s)" % listed(relation.key)
        if governing is not relation:
            whose = "the replica identity of every partition"
        yield "The row filter of %s uses columns that are not in %s." % (table.name, whose)


def _identity_remedies(keyless: list[_Keyless], publication: str) -> list[str]:
    """What helps, by what is wrong with the tables' identities."""
    hidden = [table.relation for table in keyless if table.relation.unpublished]
    remedies = []
    if len(hidden) < len(keyless):
        remedies.append("Give each a primary key or a replica identity (streamkap.neon.replica_identity).")
    full = [relation.name for relation in hidden if relation.identity == "f"]
    if full:
        remedies.append(
            "%s: with a primary key without a generated column take that as the replica identity (streamkap.neon.replica_identity, "
            "identity: default), or else a unique index without one (identity: index)." % listed(full)
        )
    if len(full) < len(hidden):
        remedies.append(
            "A replica identity with a generated column needs another index (streamkap.neon.replica_identity, identity: index)."
        )
    if hidden:
        remedies.append(
            "Stored generated columns can be published: ALTER PUBLICATION %s SET (publish_generated_columns = stored)."
            % ident(publication)
        )
    return remedies


def _by_name(tables: Iterable[_Table]) -> list[_Table]:
    return sorted(tables, key=BY_NAME)


def _objects(tables: Iterable[_Table], schemas: Iterable[str], catalog: _Catalog) -> str:
    """Tables and schemas as CREATE and ALTER PUBLICATION take them."""
    objects = []
    specifications = [_specification(table, catalog) for table in _by_name(tables)]
    if specifications:
        objects.append("TABLE %s" % ", ".join(specifications))
    if schemas:
        objects.append("TABLES IN SCHEMA %s" % idents(sorted(schemas)))
    return ", ".join(objects)


def _specification(table: _Table, catalog: _Catalog) -> str:
    relation = catalog.by_name.get(table.name)
    words = [relation.sql if relation else table.name.sql]
    if table.columns is not None:
        words.append("(%s)" % idents(table.columns))
    if table.where is not None:
        words.append("WHERE %s" % table.condition)
    return " ".join(words)


def _publication_names(command: str | None) -> list[str] | None:
    """The publications that a walsender was told to read, or None when its command does not tell."""
    found = _PUBLICATION_NAMES.search(command or "")
    if not found:
        return None
    parts = _NAME.findall(found.group(1).replace("''", "'"))
    return [quoted.replace('""', '"') or plain.lower() for quoted, plain in parts]
