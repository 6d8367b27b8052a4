# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""One Debezium signal: a row of the signal table, which the connector reads from the replication stream.

Debezium does not answer. What it cannot use it leaves out with a warning in its own log, so everything that can be
known beforehand is checked here. What it does with a signal is told in
https://debezium.io/documentation/reference/stable/configuration/signalling.html; where that is silent, in its source,
of which the classes are named below.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import QualifiedName, Statement, array, check_name, guarded, listed, literal
from . import _types as types
from ._catalog import EVENT_KEYS, pairs, trusted
from .signal_table import SignalTable

# What each type takes besides the id.
_OPTIONS = {
    "execute-snapshot": ("data_collections", "regex", "snapshot_type", "additional_conditions", "surrogate_key"),
    "stop-snapshot": ("data_collections", "regex"),
    "pause-snapshot": (),
    "resume-snapshot": (),
    "log": ("log_message",),
}

_KINDS = {"S": "a sequence", "f": "a foreign table", "m": "a materialized view", "v": "a view"}

# What a table holds that signal_table makes, for when it is not there yet.
_LENGTHS = {"id": 255, "data": 2000}

_BREAKING = "At a key of such a type Debezium breaks off all incremental snapshots of the signal, or ends"

# A table is in a publication by itself, by its schema, by all tables, or because a table that it is a partition of is.
# What it then is captured as, `covering`, is the topmost of these if the publication publishes via the root.
# A named table is looked for without regard to case, so that a message can say which one may be meant.
_LOOK = """
WITH RECURSIVE
p AS (SELECT * FROM pg_publication WHERE pubname = {publication}),
s AS (SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = {schema} AND c.relname = {table}),
base AS (
  SELECT c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE (lower(n.nspname::text), lower(c.relname::text)) IN (
           SELECT lower(w.schema), lower(w.name) FROM unnest({named}) AS w(schema, name))
      OR {every} AND c.relkind IN ('r', 'p') AND c.oid >= 16384),
up(member, oid, distance) AS (
  SELECT oid, oid, 0 FROM base
  UNION ALL SELECT up.member, i.inhparent, up.distance + 1
              FROM up JOIN pg_class c ON c.oid = up.oid AND c.relispartition JOIN pg_inherits i ON i.inhrelid = up.oid),
covering AS (
  SELECT DISTINCT ON (up.member) up.member, n.nspname, c.relname
    FROM up JOIN pg_class c ON c.oid = up.oid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
     AND (EXISTS (SELECT FROM p WHERE p.puballtables) AND c.oid >= 16384
          OR c.oid IN (SELECT r.prrelid FROM p JOIN pg_publication_rel r ON r.prpubid = p.oid)
          OR c.relnamespace IN ({published_schemas}))
   ORDER BY up.member, up.distance DESC),
{event_keys},
{domains}
SELECT json_build_object(
  'signal_table', ({signal_table}),
  'may_use', (SELECT has_schema_privilege(s.relnamespace, 'USAGE') AND has_table_privilege(s.oid, 'SELECT')
                 AND has_table_privilege(s.oid, 'INSERT') FROM s),
  'sent', (SELECT {sent} FROM s)::json,
  'publication', (SELECT json_build_object(
      'insert', p.pubinsert,
      'via_root', p.pubviaroot,
      'part_of_signals', {part_of_signals}) FROM p),
  'filters', {filters},
  'stumbling_blocks', {stumbling_blocks},
  'tables', (SELECT coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'name', c.relname,
      'kind', c.relkind,
      'covering', CASE WHEN v.member IS NOT NULL THEN json_build_array(v.nspname, v.relname) END,
      'has_key', EXISTS (
          SELECT FROM pg_index i
           WHERE i.indrelid = c.oid AND (i.indisprimary
              OR i.indisunique AND i.indisvalid AND i.indexprs IS NULL AND i.indpred IS NULL)),
      'breaking_key', (
          SELECT json_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
            FROM event_keys JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (event_keys.columns) {types}
           WHERE event_keys.indrelid = c.oid AND {breaks_snapshots}),
      'breaking_surrogate', (
          SELECT format_type(s.atttypid, s.atttypmod) FROM (SELECT a.*) AS s CROSS JOIN LATERAL (SELECT s.*) AS a {types}
           WHERE {breaks_snapshots}),
      'has_surrogate', a.attnum IS NOT NULL,
      'surrogate_unique', EXISTS (
          SELECT FROM pg_index i
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
             AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)) ORDER BY n.nspname, c.relname), '[]')
    FROM base JOIN pg_class c ON c.oid = base.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN covering v ON v.member = c.oid
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = {surrogate} AND a.attnum > 0 AND NOT a.attisdropped
   WHERE v.member IS NOT NULL OR NOT {every} OR c.oid IN (SELECT s.oid FROM s)))"""

# To stop everything Debezium (3.6, measured) reads back the names of all tables that it may capture, unpublished ones of
# schemas that are not listed among them. At white space within one, or an empty part, it fails; and from then on the
# snapshot stands still, no later signal is obeyed, and only a new start of the connector helps.
_STUMBLING_BLOCKS = """(
      SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384
         AND n.nspname || '.' || c.relname ~ '[^[:space:]][[:space:]]+[^[:space:]]|[.][.]|^[.]|[.]$')"""

_PUBLISHED_SCHEMAS = "SELECT s.pnnspid FROM p JOIN pg_publication_namespace s ON s.pnpubid = p.oid"
_PART_OF_SIGNALS = """EXISTS (
          SELECT FROM pg_publication_rel r JOIN s ON s.oid = r.prrelid
           WHERE r.prpubid = p.oid AND (r.prqual IS NOT NULL OR cardinality(r.prattrs::int2[]) < 3))"""

# The row with this id: whether it is this signal, and the beginning of it, because `guarded` brings back a short text
# only.
_SENT = """SELECT json_build_object(
    'same', type::text = {type} AND data::text IS NOT DISTINCT FROM {data},
    'type', left(type::text, 40), 'data', left(data::text, 200))::text AS found
  FROM {table} WHERE id::text = {id} LIMIT 1"""

# PostgreSQL is asked to read each filter, never to plan or execute it: planning already calls functions that are
# declared to be immutable. EXPLAIN of a CREATE TABLE IF NOT EXISTS whose table exists ends when the query has been read
# (ExplainOneUtility, since PostgreSQL 14), and EXECUTE in a loop takes no second statement. A filter stands in brackets
# of two kinds, one after the other, so that it cannot close the one that it stands in. What says nothing about the
# filter, a lock that was not to be had or a schema that may not be used, is passed on.
_QUESTIONS = """
DECLARE
  question record;
  line text;
  answers jsonb := '[]';
BEGIN
  FOR question IN
    SELECT w.number, 'EXPLAIN CREATE TABLE IF NOT EXISTS pg_catalog.pg_class AS ' || q.query AS query
      FROM unnest({tables}, {filters}) WITH ORDINALITY AS w(schema, name, filter, number)
      JOIN pg_namespace n ON n.nspname = w.schema
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
     CROSS JOIN LATERAL (VALUES {queries}) AS q(query)
     ORDER BY w.number
  LOOP
    BEGIN
      FOR line IN EXECUTE question.query LOOP
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE IN ('42501', '55P03') THEN
        RAISE;
      END IF;
      answers := answers || jsonb_build_object('number', question.number, 'error', SQLERRM, 'sqlstate', SQLSTATE);
    END;
  END LOOP;
  PERFORM set_config('streamkap_neon.filters', answers::text, true);
END"""

# As the connector puts them together (JdbcConnection.buildSelectWithRowLimits).
_CONDITION_QUERIES = """
  (format('SELECT * FROM %I.%I WHERE (%s) ORDER BY 1 LIMIT 1', w.schema, w.name, w.filter)),
  (format('SELECT * FROM %I.%I WHERE (ARRAY[%s])[1]', w.schema, w.name, w.filter))"""
# In a subquery nothing can be written to; alone, there is no bracket to close.
_SELECT_QUERIES = "(format('SELECT * FROM (%s) AS snapshot', w.filter)), (w.filter)"

_SEVERAL_STATEMENTS = "42P11"  # invalid_cursor_definition

# What is not itself in a regular expression, and the comma, at which Debezium splits (Strings.RegExSplitter).
_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{},\x00-\x20]")

# Debezium reads the name of a table back from the text schema.table (TableIdParser), and loses these on the way: parts
# in quotation marks, empty parts, white space, quotation marks in pairs.
_LOST = re.compile(
    r"""(?:^|\.)["'`]|^\.|\.(?=\.|$)|''|""|``"""
    r"|[\t-\r\x1c-\x20\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]"
)

# Python's regular expressions and Java's have nearly everything in common that table names ask for. What they do not
# share is refused, as far as it can be told by its looks.
_SHARED_ESCAPE = re.compile(r"\\(?:[^A-Za-z0-9]|[dDwWsSbBtnrf]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", re.DOTALL)
_NOT_SHARED = re.compile(
    r"\\"  # other escapes
    r"|\(\?(?![:=!]|<[=!]|i\))"  # named groups, conditions and most flags
    r"|\{(?!\d+(?:,\d*)?\})"
    r"|[*+?}]\+"
    r"|\[[^\]]*(?:\[|&&)"  # classes in classes
)


@dataclass(frozen=True)
class _Table:
    """What a signal needs to know of a relation.

    :param kind: pg_class.relkind.
    :param covering: the topmost table by which it is in the publication, itself or one that it is a partition of.
    :param has_key: whether Debezium finds a key: a primary key, else a unique index over columns.
    :param breaking_key: columns of that key, with their types, at which an incremental snapshot breaks off or ends the connector.
    :param has_surrogate: whether it has the column that is to be the surrogate key, and ``breaking_surrogate`` the type of that, if it is
        such a one.
    """

    name: QualifiedName
    kind: str
    covering: QualifiedName | None
    has_key: bool
    has_surrogate: bool
    surrogate_unique: bool
    breaking_key: list[str] | None = None
    breaking_surrogate: str | None = None

    @classmethod
    def from_seen(cls, row: dict[str, Any]) -> _Table:
        covering = row["covering"] and QualifiedName(*row["covering"])
        others = {key: value for key, value in row.items() if key not in ("schema", "name", "covering")}
        return cls(name=QualifiedName(row["schema"], row["name"]), covering=covering, **others)

    def is_captured(self, via_root: bool) -> bool:
        """Whether changes come under its own name."""
        return self.covering is not None and (self.covering == self.name if via_root else self.kind == "r")


@dataclass(frozen=True)
class _Condition:
    table: QualifiedName
    filter: str


class Signal:
    """A signal that is to have been sent.

    :param schema: of the signal table.
    :param data_collections: names of tables, or with ``regex`` regular expressions; None where a type takes none.
    :param additional_conditions: dicts with ``data_collection``, always a name, and ``filter``.
    :param id: None makes one up, so that there is no such signal yet.
    :param publication: what the connector reads.
    """

    key = "signal"

    def __init__(
        self,
        schema: str,
        table: str,
        type: str,
        data_collections: list[str] | None,
        regex: bool,
        snapshot_type: str,
        additional_conditions: list[dict[str, str]] | None,
        surrogate_key: str | None,
        log_message: str | None,
        id: str | None,
        publication: str,
    ) -> None:
        self.signal_table = SignalTable(schema, table, [], "present")
        self.table = self.signal_table.table
        self.type = type
        self.id = str(uuid.uuid4()) if id is None else _check_id(id)
        self.publication = check_name(publication, "publication")
        self.title = "the signal %s" % self.id
        given = {
            "data_collections": data_collections is not None,
            "regex": regex,
            "snapshot_type": snapshot_type != "incremental",
            "additional_conditions": bool(additional_conditions),
            "surrogate_key": surrogate_key is not None,
            "log_message": log_message is not None,
        }
        _check_options(type, [option for option, is_given in given.items() if is_given])
        self.log_message = log_message
        self.blocking = snapshot_type == "blocking"
        self.surrogate_key = None if surrogate_key is None else check_name(surrogate_key, "column")
        self.names: list[QualifiedName] = []
        self.regexes: dict[str, re.Pattern[str]] = {}
        if regex:
            self.regexes = {text: _compiled(text, self.blocking) for text in _stripped(data_collections or [])}
        else:
            self.names = [QualifiedName.parse(text) for text in data_collections or []]
            self.names = list(dict.fromkeys(self.names))
        self.conditions = [
            _Condition(QualifiedName.parse(condition["data_collection"]), condition["filter"].strip())
            for condition in additional_conditions or []
        ]
        self._check_payload(data_collections)
        self.collections = list(self.regexes) or [java_regex(name) for name in self.names]
        self.payload = self._payload(self.collections)
        self.data = _as_json(self.payload)

    def questions(self, version: int) -> list[str]:
        if not self.conditions:
            return []
        body = _QUESTIONS.format(
            tables=pairs(condition.table for condition in self.conditions),
            filters=array(condition.filter for condition in self.conditions),
            queries=_SELECT_QUERIES if self.blocking else _CONDITION_QUERIES,
        )
        return ["DO %s" % literal(body)]

    def look(self, version: int) -> str:
        sent = _SENT.format(type=literal(self.type), data=literal(self.data), table=self.table.sql, id=literal(self.id))
        readable = (
            "s.relkind = 'r' AND has_schema_privilege(s.relnamespace, 'USAGE') AND has_table_privilege(s.oid, 'SELECT')"
            " AND 3 = (SELECT count(*) FROM pg_attribute c"
            " WHERE c.attrelid = s.oid AND c.attname IN ('id', 'type', 'data') AND NOT c.attisdropped)"
            " AND " + trusted("s.relowner", "(SELECT n.nspowner FROM pg_namespace n WHERE n.oid = s.relnamespace)")
        )
        return _LOOK.format(
            publication=literal(self.publication),
            schema=literal(self.table.schema),
            table=literal(self.table.name),
            named=pairs([self.table, *self.names, *(condition.table for condition in self.conditions)]),
            every="true" if self.regexes else "false",
            published_schemas=_PUBLISHED_SCHEMAS if version >= 150000 else "NULL",
            part_of_signals=_PART_OF_SIGNALS if version >= 150000 else "false",
            signal_table=self.signal_table.look(version),
            sent=guarded(readable, literal(sent), "found"),
            filters="current_setting('streamkap_neon.filters')::json" if self.conditions else "'[]'::json",
            stumbling_blocks=_STUMBLING_BLOCKS
            if self.type == "stop-snapshot" and not self.collections
            else "'[]'::json",
            event_keys=EVENT_KEYS.format(of="base"),
            domains=types.DOMAINS,
            types=types.JOIN,
            breaks_snapshots=types.BREAKS_SNAPSHOTS,
            surrogate="NULL" if self.surrogate_key is None else literal(self.surrogate_key),
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        self._check_signal_table(seen, server)
        shown = {"id": self.id, "type": self.type, "data": self.payload}
        if seen["sent"]:
            self._check_same(seen["sent"])
            return Plan(before=shown, after=shown)
        plan = Plan(after=shown)
        tables = {table.name: table for table in map(_Table.from_seen, seen["tables"])}
        self._check_lengths(seen["signal_table"]["table"])
        self._check_stumbling_blocks(seen["stumbling_blocks"])
        plan.missing = list(self._missing(seen, tables))
        self._check_tables(self._matched(seen, tables), tables, plan)
        self._check_conditions(seen, tables)
        plan.statements.append(
            Statement(
                "INSERT INTO %s (id, type, data) VALUES (%s, %s, %s)"
                % (self.table.sql, literal(self.id), literal(self.type), literal(self.data))
            )
        )
        return plan

    def describe(self, seen: Any) -> dict[str, Any]:
        tables = {table.name: table for table in map(_Table.from_seen, seen["tables"])}
        return {
            "id": self.id,
            "type": self.type,
            "data": self.data,
            "payload": self.payload,
            "tables": [str(table.name) for table in self._matched(seen, tables)],
            "sent": bool(seen["sent"]),
        }

    def _payload(self, collections: list[str]) -> dict[str, Any]:
        """What Debezium is told, under its names (AbstractSnapshotSignal)."""
        if self.type == "log":
            return {"message": self.log_message}
        if self.type not in ("execute-snapshot", "stop-snapshot"):
            return {}
        payload: dict[str, Any] = {"data-collections": collections} if collections else {}
        payload["type"] = "blocking" if self.blocking else "incremental"
        conditions = [
            {"data-collection": self._condition_key(condition.table), "filter": condition.filter}
            for condition in self.conditions
            if self.regexes or java_regex(condition.table) in collections
        ]
        if conditions:
            payload["additional-conditions"] = conditions
        if self.surrogate_key is not None:
            payload["surrogate-key"] = self.surrogate_key
        return payload

    def _condition_key(self, table: QualifiedName) -> str:
        """How a condition names its table.

        In an incremental snapshot Debezium takes it as a regular expression without regard to case, and the first
        condition that matches (ExecuteSnapshot.buildAdditionalCondition,
        AbstractIncrementalSnapshotContext.buildDataCollection). In a blocking one it compiles the same expression, but
        then reads its text as a name (RelationalSnapshotChangeEventSource.getBlockingSnapshottingTask), so that nothing
        may be escaped there.
        """
        if self.blocking:
            return _identifier(table) if _is_read_back(table) else table.sql
        alike = [name for name in self.names if _folded(name) == _folded(table)]
        return "%s%s" % ("(?-i)" if self.regexes or len(alike) > 1 else "", java_regex(table))

    def _check_payload(self, data_collections: list[str] | None) -> None:
        """Fail for what makes no signal, whatever the database holds."""
        if self.type == "log" and not self.log_message:
            raise Failure("A log signal needs a message, and it has none.", hint="Give log_message.")
        if self.type == "execute-snapshot" and not data_collections:
            raise Failure(
                "Debezium ignores an execute-snapshot without data collections.",
                hint="Name the tables in data_collections.",
            )
        if data_collections == []:
            raise Failure(
                "data_collections is an empty list.",
                hint="Name the tables whose snapshot is to stop, or leave data_collections out to stop everything.",
            )
        if self.surrogate_key is not None and self.blocking:
            raise Failure("A blocking snapshot takes no surrogate_key.", hint="Leave surrogate_key out.")
        tables = [condition.table for condition in self.conditions]
        twice = sorted({name for name in tables if tables.count(name) > 1})
        if twice:
            raise Failure(
                "additional_conditions has more than one condition for %s, and Debezium takes one." % listed(twice),
                hint="Join them into one filter.",
            )
        strangers = [name for name in tables if not self.regexes and name not in self.names]
        if strangers:
            raise Failure(
                "additional_conditions names %s, which data_collections does not." % listed(strangers),
                hint="Name it there too, or leave its condition out.",
            )
        empty = [condition.table for condition in self.conditions if not condition.filter]
        if empty:
            raise Failure("The filter of %s is empty." % listed(empty), hint="Write one, or leave the condition out.")
        unstorable = [condition.table for condition in self.conditions if "\x00" in condition.filter]
        if unstorable:
            raise Failure("The filter of %s holds a NUL character." % listed(unstorable), hint="Leave it out.")
        hidden = [name for name in tables if self.blocking and not _can_have_a_select(name)]
        if hidden:
            raise Failure(
                "Debezium cannot take a condition for %s in a blocking snapshot: it does not read such a name back."
                % listed(hidden),
                hint="Leave the condition out, and send a signal of its own for the other tables.",
            )

    def _check_signal_table(self, seen: Any, server: Server) -> None:
        if not seen["signal_table"]["table"]:
            return
        # It plans nothing for a table that is there, but fails for one of another shape.
        self.signal_table.plan(seen["signal_table"], server, None)
        if not seen["may_use"]:
            raise Failure(
                "The current role may not write to the signal table %s and read it." % self.table,
                hint="Run as its owner, %s, or GRANT USAGE on its schema, INSERT and SELECT on it, to the current role."
                % seen["signal_table"]["table"]["owner"],
            )
        self.signal_table.check_trusted(seen["signal_table"])

    def _check_same(self, sent: dict[str, Any]) -> None:
        if not sent["same"]:
            raise Failure(
                "A signal with the id %s has been sent already, and it is another one: %s with the data %s."
                % (self.id, sent["type"], sent["data"] or "NULL"),
                hint="Choose another id, or leave id out to send this one. Nothing was changed.",
            )

    def _check_stumbling_blocks(self, names: list[list[str]]) -> None:
        if names:
            raise Failure(
                "Debezium cannot stop everything while there is a table with such a name: %s. It would hang instead."
                % listed(QualifiedName(*name) for name in names),
                hint="Name the tables whose snapshot is to stop in data_collections.",
            )

    def _check_lengths(self, table: dict[str, Any] | None) -> None:
        lengths = {column["name"]: column["length"] for column in table["columns"]} if table else _LENGTHS
        if lengths["id"] is not None and len(self.id) > lengths["id"]:
            raise Failure(
                "The id has %d characters, and %s holds %d." % (len(self.id), self.table, lengths["id"]),
                hint="Choose a shorter id.",
            )
        most = lengths["data"]
        if most is None or len(self.data) <= most:
            return
        fitting = 0
        while fitting < len(self.collections) and len(_as_json(self._payload(self.collections[: fitting + 1]))) <= most:
            fitting += 1
        raise Failure(
            "The data of the signal has %d characters, and %s holds %d%s."
            % (
                len(self.data),
                self.table,
                most,
                ": the first %d of the %d data collections fit" % (fitting, len(self.collections)) if fitting else "",
            ),
            hint="Send several signals, or name the tables by a regular expression (regex: true)."
            if fitting
            else "Write less.",
        )

    def _missing(self, seen: Any, tables: dict[QualifiedName, _Table]) -> Iterator[str]:
        """What must be there for the signal to arrive and to do something."""
        if not seen["signal_table"]["table"]:
            yield "The signal table %s does not exist: make it with streamkap.neon.signal_table." % self.table
        publication = seen["publication"]
        if not publication:
            yield "The publication %s does not exist: make it with streamkap.neon.publication." % self.publication
            return
        if not publication["insert"]:
            yield "The publication %s does not publish inserts, so that no signal is seen." % self.publication
        signal_table = tables.get(self.table)
        if signal_table and not signal_table.covering:
            yield "The signal table %s is not in the publication %s, so that no signal is seen: add it." % (
                self.table,
                self.publication,
            )
        if publication["part_of_signals"]:
            yield "The publication %s has a column list or a row filter for the signal table %s: leave them out." % (
                self.publication,
                self.table,
            )
        yield from self._missing_tables(publication["via_root"], tables)
        for text, regex in self.regexes.items():
            if not any(self._matches(regex, table) for table in self._captured(seen, tables)):
                yield "The regular expression %s matches no table of the publication %s." % (text, self.publication)

    def _missing_tables(self, via_root: bool, tables: dict[QualifiedName, _Table]) -> Iterator[str]:
        outside = []
        for name in self.names:
            table = tables.get(name)
            if not table:
                alike = [
                    other for other in tables if str(other).lower() == str(name).lower() and tables[other].kind in "rp"
                ]
                meant = " Did you mean %s?" % listed(alike) if alike else ""
                yield "The table %s, named in data_collections, does not exist.%s" % (name, meant)
            elif table.kind not in "rp":
                yield "%s, named in data_collections, is %s and no table." % (
                    name,
                    _KINDS.get(table.kind, "something else"),
                )
            elif not table.covering:
                outside.append(name)
            elif via_root and table.covering != name:
                yield "%s is captured as %s, of which it is a partition: name that." % (name, table.covering)
            elif not table.is_captured(via_root):
                yield (
                    "%s is partitioned, and the publication %s publishes its partitions under their own names: name "
                    "these, or set publish_via_partition_root." % (name, self.publication)
                )
        if outside:
            yield "Not in the publication %s, so that Debezium does not capture it: %s." % (
                self.publication,
                listed(outside),
            )

    def _captured(self, seen: Any, tables: dict[QualifiedName, _Table]) -> list[_Table]:
        publication = seen["publication"]
        return [table for table in tables.values() if publication and table.is_captured(publication["via_root"])]

    def _matched(self, seen: Any, tables: dict[QualifiedName, _Table]) -> list[_Table]:
        """The tables that Debezium will find."""
        return [
            table
            for table in self._captured(seen, tables)
            if table.name in self.names or any(self._matches(regex, table) for regex in self.regexes.values())
        ]

    def _matches(self, regex: re.Pattern[str], table: _Table) -> bool:
        """As Debezium matches, on the whole name; in a blocking snapshot on the quoted one too."""
        return bool(regex.fullmatch(_identifier(table.name)) or (self.blocking and regex.fullmatch(table.name.sql)))

    def _check_tables(self, matched: list[_Table], tables: dict[QualifiedName, _Table], plan: Plan) -> None:
        if self.blocking:
            self._check_case(tables)
            return
        lost = [table.name for table in matched if not _is_read_back(table.name)]
        if lost:
            raise Failure(
                "Debezium skips these tables in an incremental snapshot, because it does not read their names back: %s."
                % listed(lost),
                hint="Take a blocking snapshot of them (snapshot_type: blocking)."
                if self.type == "execute-snapshot"
                else "Leave them out: no such snapshot is running.",
            )
        if self.type == "execute-snapshot":
            self._check_keys(matched, plan)

    def _check_case(self, tables: dict[QualifiedName, _Table]) -> None:
        """Fail where a blocking snapshot would take more than is named: it matches names without regard to case
        (AbstractSnapshotChangeEventSource.getDataCollectionPattern)."""
        named = {_folded(name) for name in self.names}
        others = [
            table.name
            for table in tables.values()
            if _folded(table.name) in named and table.name not in self.names and table.covering
        ]
        if others:
            raise Failure(
                "A blocking snapshot does not regard case, and would take %s too." % listed(others),
                hint="Name it too, or take an incremental snapshot.",
            )

    def _check_keys(self, matched: list[_Table], plan: Plan) -> None:
        keyless = [table.name for table in matched if not table.has_key]
        if self.surrogate_key is None:
            if keyless:
                raise Failure(
                    "Debezium skips tables without a primary key or unique index in an incremental snapshot: %s."
                    % listed(keyless),
                    hint="Take a blocking snapshot of them (snapshot_type: blocking), or give them a primary key.",
                )
            breaking = {table.name: ", ".join(table.breaking_key) for table in matched if table.breaking_key}
            if breaking:
                raise Failure(
                    "%s: %s." % (_BREAKING, listed("%s (%s)" % each for each in breaking.items())),
                    hint="Take a blocking snapshot of them (snapshot_type: blocking), or order it by a unique column of another type "
                    "(surrogate_key).",
                )
            return
        without = [table.name for table in matched if not table.has_surrogate]
        if without:
            raise Failure(
                "The surrogate key %s is no column of %s." % (self.surrogate_key, listed(without)),
                hint="Correct the name, capitals included, or send a signal of its own for the tables that have it.",
            )
        breaking = [table for table in matched if table.breaking_surrogate]
        if breaking:
            raise Failure(
                "%s, and the surrogate key %s is one: %s."
                % (
                    _BREAKING,
                    self.surrogate_key,
                    listed("%s (%s)" % (table.name, table.breaking_surrogate) for table in breaking),
                ),
                hint="Name another column, or take a blocking snapshot (snapshot_type: blocking).",
            )
        # Of a window of rows Debezium keeps one by key
        # (AbstractIncrementalSnapshotChangeEventSource.createDataEventsForTable).
        if keyless:
            plan.warnings.append(
                "Debezium tells rows apart by their table's key even with a surrogate key, and these have none: %s. "
                "Unless the connector's message.key.columns gives them one, most rows will not arrive; a blocking "
                "snapshot brings all." % listed(keyless)
            )
        repeating = [table.name for table in matched if not table.surrogate_unique]
        if repeating:
            plan.warnings.append(
                "No unique index says that %s is unique in %s: of rows that share a value some may be left out."
                % (self.surrogate_key, listed(repeating))
            )

    def _check_conditions(self, seen: Any, tables: dict[QualifiedName, _Table]) -> None:
        matched = {table.name for table in self._matched(seen, tables)}
        strangers = [condition.table for condition in self.conditions if condition.table not in matched]
        if self.regexes and seen["publication"] and strangers:
            raise Failure(
                "additional_conditions names %s, which is no table that data_collections matches." % listed(strangers),
                hint="Correct the name, capitals included, or leave its condition out.",
            )
        wanted = "a whole SELECT statement" if self.blocking else "a condition on the columns of its table"
        for answer in seen["filters"]:
            condition = self.conditions[answer["number"] - 1]
            several = answer["sqlstate"] == _SEVERAL_STATEMENTS
            raise Failure(
                "The filter of %s is not %s: %s."
                % (condition.table, wanted, "it is more than one statement" if several else answer["error"]),
                hint="For a blocking snapshot write a SELECT without a semicolon, for an incremental one the condition "
                "of a WHERE alone.",
            )


def java_regex(name: QualifiedName) -> str:
    """The regular expression that matches this table only, as Debezium names it: schema.table, without quotes.

    A name without a dot or another special character stays as it is. A dot that stands for any character can only be
    the one between schema and table then; and a table that the connector does not know yet, because it is newer than
    the connector's start, Debezium looks up by the text itself
    (AbstractIncrementalSnapshotChangeEventSource.expandAndDedupeDataCollectionIds).
    """
    if not _SPECIAL.search(name.schema + name.name):
        return _identifier(name)
    return _SPECIAL.sub(_escaped, _identifier(name))


def _escaped(special: re.Match[str]) -> str:
    # Debezium trims the expression.
    return "\\x%02x" % ord(special[0]) if special[0] <= " " else "\\" + special[0]


def _identifier(name: QualifiedName) -> str:
    """As Debezium names a table (TableId)."""
    return "%s.%s" % (name.schema, name.name)


def _folded(name: QualifiedName) -> str:
    return _identifier(name).lower()


def _is_read_back(name: QualifiedName) -> bool:
    # It reads three parts, the first for a catalog that PostgreSQL has none of, and compares their text.
    return not _LOST.search(_identifier(name)) and _identifier(name).count(".") <= 2


def _can_have_a_select(name: QualifiedName) -> bool:
    """Whether Debezium both compiles the name as a regular expression and reads it as a name, in quotes if need be."""
    text = _identifier(name)
    return not re.search(r"[\\()\[\]{}*+?]", text) and (_is_read_back(name) or not re.search("''|``", text))


def _as_json(payload: dict[str, Any]) -> str:
    """Without blanks, because the column is short."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _check_id(id: str) -> str:
    if not id or "\x00" in id:
        raise Failure("%r is no id of a signal." % id, hint="Give it a text, or leave id out.")
    return id


def _check_options(type: str, given: list[str]) -> None:
    strange = [option for option in given if option not in _OPTIONS[type]]
    if strange:
        raise Failure(
            "%s takes no %s%s."
            % (type, " and no ".join(strange), ": blocking" if strange == ["snapshot_type"] else ""),
            hint="Leave it out. Besides id, %s takes %s." % (type, listed(_OPTIONS[type]) or "nothing"),
        )


def _stripped(texts: list[str]) -> list[str]:
    """As Debezium trims them."""
    stripped = list(dict.fromkeys(text.strip() for text in texts))
    if "" in stripped:
        raise Failure("A regular expression in data_collections is empty.", hint="Write one, or leave it out.")
    return stripped


def _compiled(text: str, blocking: bool) -> re.Pattern[str]:
    """A regular expression as Debezium compiles it."""
    if blocking and "," in re.sub(r"\\.", "", text, flags=re.DOTALL):
        raise Failure(
            "Debezium splits the regular expression %s at its comma in a blocking snapshot." % text,
            hint="Write \\, for a comma.",
        )
    compiled = text.replace("\\,", ",") if blocking else text
    strange = _NOT_SHARED.search(_SHARED_ESCAPE.sub("x", compiled))
    try:
        if strange:
            raise re.error("%s is not understood alike" % strange[0])
        return re.compile(compiled, re.ASCII | (re.IGNORECASE if blocking else 0))
    except (re.error, OverflowError) as error:
        raise Failure(
            "%s is no regular expression that Java and Python both understand: %s." % (text, error),
            hint="Write it simpler, or name the tables without regex.",
        ) from None
