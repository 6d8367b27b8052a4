# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The types of columns that Debezium makes nothing of, in values and in keys.

Measured with Debezium 3.6 on PostgreSQL 14 to 18; tests/debezium measures again.
"""

from __future__ import annotations

from .._sql import array

# Left out of every change and snapshot, or without their values.
UNSUPPORTED_TYPES = (
    "box",
    "circle",
    "jsonpath",
    "line",
    "lseg",
    "name",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "polygon",
    "regclass",
    "tid",
    "tsquery",
    "txid_snapshot",
    "xid",
    "xid8",
)
# The same, in arrays only.
UNSUPPORTED_ELEMENTS = ("bit", "interval", "money", "point", "varbit", "xml")

# Debezium compares the key of a chunk of an incremental snapshot with a value of another type, which PostgreSQL refuses.
SNAPSHOT_BREAKERS = ("bit", "money", "time", "timestamp", "timestamptz", "timetz")

# Of a type t, b, the one that it is made of: the base type of a domain, the element type of an array.
BASE_TYPE = """JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype
                                           WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END"""
# The same of a column a and its type t.
JOIN = "JOIN pg_type t ON t.oid = a.atttypid\n            %s" % BASE_TYPE

UNSUPPORTED = """(b.typtype IN ('c', 'm') OR b.typtype = 'r' AND b.oid >= 16384
          OR b.oid < 16384 AND b.typname = ANY (%s)
          OR t.typcategory = 'A' AND (b.oid < 16384 AND b.typname = ANY (%s) OR b.typtype = 'd' OR a.attndims > 1))""" % (
    array(UNSUPPORTED_TYPES),
    array(UNSUPPORTED_ELEMENTS),
)

# Debezium ends at the signal where it is an array.
BREAKS_SNAPSHOTS = "(b.oid < 16384 AND b.typname = ANY (%s) OR t.typcategory = 'A')" % array(SNAPSHOT_BREAKERS)
