# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What Debezium makes of the types of columns, in values and in keys.

It captures the types that it knows: those of PostgreSQL by their number, those of extensions by their name in whatever schema, enums, and
domains as what they are domains over. All others it leaves out of every event, without a word (include.unknown.datatypes is false by
default). So these are the types that it knows, and not those that it does not. Measured with Debezium 3.6 on PostgreSQL 14 to 18;
tests/debezium measures again.
"""

from __future__ import annotations

from .._sql import array

# PostgreSQL's own.
_BASE = (
    "bit",
    "bool",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "date",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int4range",
    "int8",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "macaddr",
    "macaddr8",
    "money",
    "numeric",
    "numrange",
    "oid",
    "point",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsrange",
    "tstzrange",
    "tsvector",
    "uuid",
    "varbit",
    "varchar",
    "xml",
)
# Those of extensions.
_EXTENSIONS = ("citext", "geography", "geometry", "halfvec", "hstore", "isbn", "ltree", "sparsevec", "vector")

# As elements of an array some are unknown to it, and arrays of bit have no value.
_BASE_ELEMENTS = [name for name in _BASE if name not in ("bit", "interval", "money", "point", "varbit", "xml")]
_EXTENSION_ELEMENTS = ("citext", "geography", "geometry", "hstore", "isbn", "ltree")

# Arrays to PostgreSQL, and to Debezium empty ones.
_VECTORS = ("int2vector", "oidvector")

# Debezium compares the key of a chunk of an incremental snapshot with a value of another type, which PostgreSQL refuses.
_SNAPSHOT_BREAKERS = ("bit", "money", "time", "timestamp", "timestamptz", "timetz")

# Domains, and what they are over in the end.
DOMAINS = """
domain_steps(oid, base) AS (
  SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
  UNION ALL SELECT d.oid, t.typbasetype FROM domain_steps d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd'),
domains AS (SELECT d.oid, d.base FROM domain_steps d JOIN pg_type t ON t.oid = d.base AND t.typtype <> 'd')"""

# Of a column a: its type or, where that is a domain, what it is over (t), and the elements of that, if it is an array (e).
JOIN = """JOIN pg_type declared ON declared.oid = a.atttypid
            LEFT JOIN domains ON domains.oid = a.atttypid
            JOIN pg_type t ON t.oid = coalesce(domains.base, a.atttypid)
            LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'"""

UNSUPPORTED = f"""NOT CASE
           WHEN t.oid < 16384 AND t.typname = ANY ({array(_VECTORS)}) THEN false
           WHEN e.oid IS NOT NULL THEN greatest(a.attndims, declared.typndims) <= 1 AND (
             e.typtype = 'e' OR e.oid < 16384 AND e.typname = ANY ({array(_BASE_ELEMENTS)})
             OR e.oid >= 16384 AND e.typtype = 'b' AND e.typname = ANY ({array(_EXTENSION_ELEMENTS)}))
           ELSE t.typtype = 'e' OR t.oid < 16384 AND t.typname = ANY ({array(_BASE)})
             OR t.oid >= 16384 AND t.typtype = 'b' AND t.typname = ANY ({array(_EXTENSIONS)}) END"""

# Debezium ends at the signal where it is an array or one bit.
BREAKS_SNAPSHOTS = "(e.oid IS NOT NULL OR t.oid < 16384 AND t.typname = ANY (%s))" % array(_SNAPSHOT_BREAKERS)

# The driver asks for the rows of a cursor of that name, and the snapshot ends with an error.
ENDS_SNAPSHOTS = "t.oid = 'refcursor'::regtype"
