# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the catalogs tell of a table, and of the columns by which its rows are found, for all who ask them for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from .._sql import QualifiedName, array, listed

# Of an index i, the columns that it is over; columns that it merely includes, and expressions, are none.
COLUMNS = "JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])"

# Whether an update or delete finds its row by an index i of a table c. By a deferrable primary key it does not.
_IDENTIFIES = """i.indisvalid AND i.indimmediate
     AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END"""

# The columns by which an update or delete finds its row, of a table c.
KEY = """
    FROM pg_index i %s
   WHERE i.indrelid = c.oid AND %s""" % (COLUMNS, _IDENTIFIES)

# A table of these columns, and more about the primary key, for all that a query is about, which a CTE names by oid.
KEYS = """
keys AS (
  SELECT i.indrelid,
         json_agg(k.attname) FILTER (WHERE %s) AS key,
         json_agg(k.attname) FILTER (WHERE i.indisprimary AND i.indimmediate AND c.relreplident <> 'd') AS primary_key,
         json_agg(k.attname || ' ' || format_type(k.atttypid, k.atttypmod))
           FILTER (WHERE i.indisprimary AND k.atttypid IN ('bytea'::regtype, 'jsonb'::regtype, 'tsvector'::regtype)) AS poor,
         bool_or(i.indisprimary AND NOT i.indimmediate) AS deferrable
    FROM {of} AS base JOIN pg_class c ON c.oid = base.oid JOIN pg_index i ON i.indrelid = c.oid %s
   GROUP BY i.indrelid)""" % (_IDENTIFIES, COLUMNS)

# The columns by whose values Debezium tells rows apart (JdbcConnection.readTable): the primary key, otherwise the first unique index by
# name that is over columns, be it a partial one. For all tables that a query is about, which a CTE names by oid.
EVENT_KEYS = """
event_keys AS (
  SELECT DISTINCT ON (i.indrelid) i.indrelid, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns,
         i.indpred IS NOT NULL AS partial
    FROM {of} AS base JOIN pg_index i ON i.indrelid = base.oid JOIN pg_class x ON x.oid = i.indexrelid
   WHERE i.indisprimary OR i.indisunique AND i.indisvalid AND i.indexprs IS NULL
   ORDER BY i.indrelid, i.indisprimary DESC, x.relname)"""

# The columns that a row filter {qual} of the table {table} uses. PostgreSQL takes neither system columns nor the whole row there.
FILTER_COLUMNS = """(SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                         WHERE a.attrelid = {table} AND a.attnum IN (
                           SELECT (m[1])::int FROM regexp_matches({qual}::text, ':varattno ([0-9]+)', 'g') AS m))"""

# Whether a publication p holds a table c, by itself, its schema, or with all others; partitions with what they are partitions of.
_COVERS = """(p.puballtables OR EXISTS (
                  SELECT FROM pg_class l
                   WHERE l.oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_ancestors(c.oid))
                     AND (EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = l.oid){in_schema})))"""
_IN_SCHEMA = """
                          OR EXISTS (SELECT FROM pg_publication_namespace s
                                      WHERE s.pnpubid = p.oid AND s.pnnspid = l.relnamespace)"""

# The publications that publish a table c in part. A partition is published by the list and filter of its topmost published ancestor
# where the publication publishes via the root, otherwise by its own, as pub_rf_contains_invalid_column and its neighbour in PostgreSQL
# have it. It is looked for only of tables that may have one, and by LIMIT through indexes, because there may be thousands.
_NARROWING = """CASE WHEN c.oid IN (
          WITH RECURSIVE narrowed(oid) AS (
            SELECT prrelid FROM pg_publication_rel WHERE prattrs IS NOT NULL OR prqual IS NOT NULL
            UNION SELECT i.inhrelid FROM narrowed JOIN pg_inherits i ON i.inhparent = narrowed.oid
                                                  JOIN pg_class k ON k.oid = i.inhrelid AND k.relispartition)
          SELECT oid FROM narrowed){or_generated} THEN (
        SELECT json_agg(json_strip_nulls(json_build_object(
                   'publication', p.pubname,
                   'columns', CASE WHEN g.prattrs IS NOT NULL THEN (
                       SELECT json_agg(a.attname ORDER BY a.attnum)
                         FROM pg_attribute a WHERE a.attrelid = g.oid AND a.attnum = ANY (g.prattrs)) END,
                   'filter_columns', CASE WHEN g.prqual IS NOT NULL THEN {filter_columns} END,
                   'generated', {generated})) ORDER BY p.pubname)
          FROM pg_publication p
          LEFT JOIN LATERAL (
            SELECT m.oid, r.prattrs, r.prqual
              FROM (SELECT c.oid, 0::bigint
                    UNION ALL
                    SELECT relid, ordinality FROM pg_partition_ancestors(c.oid) WITH ORDINALITY
                     WHERE p.pubviaroot) AS m(oid, distance)
              LEFT JOIN LATERAL (
                SELECT true AS listed, r.prattrs, r.prqual FROM pg_publication_rel r
                 WHERE r.prpubid = p.oid AND r.prrelid = m.oid LIMIT 1) AS r ON true
             WHERE r.listed OR EXISTS (
                     SELECT FROM pg_publication_namespace s
                      WHERE s.pnpubid = p.oid AND s.pnnspid = (SELECT l.relnamespace FROM pg_class l WHERE l.oid = m.oid))
             ORDER BY m.distance DESC LIMIT 1) AS g ON true
         WHERE (p.pubupdate OR p.pubdelete{also})
           AND {covers} AND (g.prattrs IS NOT NULL OR g.prqual IS NOT NULL OR {generated} IS NOT NULL)) END"""

# From PostgreSQL 18 on updates fail when a generated column of the replica identity is not published.
_HAS_GENERATED = """
              OR c.oid IN (SELECT a.attrelid FROM pg_attribute a WHERE a.attgenerated <> '' AND NOT a.attisdropped)"""
_GENERATED = """(
                       SELECT json_agg(a.attname ORDER BY a.attnum)
                         FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND NOT a.attisdropped
                          AND (a.attgenerated = 'v' OR a.attgenerated = 's' AND p.pubgencols <> 's'))"""

# What belongs to an extension, which is the extension's business.
OF_EXTENSION = "SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e'"

# From PostgreSQL 18 on, updates fail when the replica identity has a generated column that is not published.
_UNPUBLISHED = """(
          SELECT json_agg(g.attname)
            FROM pg_attribute g
           WHERE g.attrelid = c.oid AND NOT g.attisdropped
             AND (g.attgenerated = 'v' OR g.attgenerated = 's' AND NOT EXISTS (SELECT FROM p WHERE p.pubgencols = 's'))%s)"""
UNPUBLISHED = _UNPUBLISHED % (" AND (c.relreplident = 'f' OR g.attname IN (SELECT k.attname %s))" % KEY)
UNPUBLISHED_IN_FULL = _UNPUBLISHED % ""

# Triggers, defaults, policies, and already to plan a query the expressions of an index, run with the rights of who reads or writes a
# table; and such code can undo SET ROLE. Before PostgreSQL 16 who has CREATEROLE can become every role that is no superuser.
_TRUSTED = """NOT EXISTS (
          SELECT FROM unnest(ARRAY[{owners}]) AS w(owner)
            JOIN pg_database d ON d.datname = current_database()
            JOIN pg_roles o ON o.oid = CASE w.owner WHEN to_regrole('pg_database_owner') THEN d.datdba ELSE w.owner END
            JOIN pg_roles m ON m.rolname = session_user
           WHERE NOT (pg_has_role(o.oid, m.oid, 'MEMBER')
                      OR o.rolcreaterole AND NOT m.rolsuper AND current_setting('server_version_num')::int < 160000))"""


# Not frozen, which makes ten thousand of them three times as slow to build.
@dataclass(eq=False)
class Relation:
    """What the catalogs know of a relation. Nobody changes one. A look leaves out what is as it mostly is.

    :param kind: pg_class.relkind.
    :param persistence: pg_class.relpersistence.
    :param parent: oid of the partitioned table that it is a partition of.
    :param inherited: whether other tables may inherit from it, in the way that is not partitioning.
    :param identity: pg_class.relreplident.
    :param key: the columns of the index that is the replica identity.
    :param primary_key: where that is another one, the columns of the primary key, unless it is deferrable.
    :param unpublished: generated columns of the replica identity that are not published.
    :param columns: attgenerated by name, for a table that a column list is wanted for.
    """

    oid: int
    name: QualifiedName
    owner: str
    kind: str = "r"
    persistence: str = "p"
    mine: bool = True
    parent: int | None = None
    inherited: bool = False
    of_extension: bool = False
    identity: str = "d"
    key: list[str] = field(default_factory=list)
    primary_key: list[str] = field(default_factory=list)
    deferrable: bool = False
    unpublished: list[str] = field(default_factory=list)
    columns: dict[str, str] | None = None

    @property
    def is_permanent_table(self) -> bool:
        return self.kind in "rp" and self.persistence == "p"

    @property
    def sql(self) -> str:
        """Tables that inherit from it are tables of their own, and without ONLY they would come along."""
        return "%s%s" % ("ONLY " if self.inherited else "", self.name.sql)

    def lacks_identity(self, columns: Iterable[str]) -> str | None:
        """Why PostgreSQL would refuse updates and deletes once they are published, or None."""
        if self.identity == "n":
            return "its replica identity is NOTHING"
        if self.identity == "i" and not self.key:
            return "the index of its replica identity is gone"
        if self.identity == "d" and not self.key:
            return "its primary key is deferrable" if self.deferrable else "it has no primary key"
        hidden = [column for column in self.unpublished if column not in columns]
        if hidden:
            return "its replica identity has the generated column %s, which is not published" % listed(hidden)
        return None


# What means something else in a list of regular expressions with commas between them, as Debezium's table.include.list is.
_NOT_LITERAL = re.compile(r"[\\^$|?*+()\[\]{},]|^\s|\s$")

# The order of what has a qualified name.
BY_NAME = attrgetter("name.schema", "name.name")


def trusted(*owners: str) -> str:
    """An expression for whether these could act as the current user anyway, so that what is theirs may be read and written.

    :param owners: expressions for the oids of roles: a table's owner, and its schema's, who can put another table in its place.
    """
    return _TRUSTED.format(owners=", ".join(owners))


def names_not_matched(names: Iterable[str]) -> list[str]:
    """The tables that Debezium's include list does not match by their names as they stand (Strings.setOfRegex, Predicates.includes)."""
    return [name for name in names if _NOT_LITERAL.search(name)]


def covers(version: int) -> str:
    """An expression for whether a publication p holds a table c."""
    return _COVERS.format(in_schema=_IN_SCHEMA if version >= 150000 else "")


def narrowing(version: int, also: str = "") -> str:
    """An expression for the publications of a table c that publish a part of it, each with that part.

    :param also: SQL that adds publications p of neither updates nor deletes.
    """
    if version < 150000:
        # A publication holds whole tables only.
        return "NULL::json"
    return _NARROWING.format(
        covers=covers(version),
        filter_columns=FILTER_COLUMNS.format(qual="g.prqual", table="g.oid"),
        generated=_GENERATED if version >= 180000 else "NULL::json",
        or_generated=_HAS_GENERATED if version >= 180000 else "",
        also=also,
    )


def publication_conflicts(narrow: Iterable[dict[str, Any]], identity: str, key: Collection[str]) -> list[str]:
    """Why PostgreSQL would refuse the updates of a table that is no partitioned one, in words.

    :param narrow: what `narrowing` has found.
    :param identity: pg_class.relreplident as it is, or as it is to be.
    :param key: the columns of the index that it is, if it is one.
    """
    conflicts = []
    for part in narrow:
        publication, columns = part["publication"], part.get("columns")
        hidden = [column for column in part.get("generated") or [] if column not in (columns or [])]
        if identity == "f":
            if columns is not None:
                conflicts.append("the publication %s has a column list for it" % publication)
            if hidden:
                conflicts.append("the publication %s lacks its generated column %s" % (publication, listed(hidden)))
            continue
        omitted = [column for column in key if column in hidden or (columns is not None and column not in columns)]
        if omitted:
            conflicts.append("the publication %s lacks %s" % (publication, listed(omitted)))
        used = [column for column in part.get("filter_columns") or [] if column not in key]
        if used:
            conflicts.append("the row filter of the publication %s uses %s" % (publication, listed(used)))
    return conflicts


def pairs(names: Iterable[QualifiedName]) -> str:
    """Arguments for unnest."""
    names = list(names)
    return "%s, %s" % (array(name.schema for name in names), array(name.name for name in names))
