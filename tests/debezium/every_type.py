# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table with a column of every type that PostgreSQL has for columns, and of what users and extensions make of them."""

from __future__ import annotations

# The name of the column, its type, and a value of it.
COLUMNS = [
    ("a_bool", "boolean", "true"),
    ("a_smallint", "smallint", "1"),
    ("an_int", "integer", "1"),
    ("a_bigint", "bigint", "1"),
    ("a_real", "real", "1.5"),
    ("a_double", "double precision", "1.5"),
    ("a_numeric", "numeric(10, 2)", "1.5"),
    ("an_unbounded_numeric", "numeric", "1.5"),
    ("a_money", "money", "1.50"),
    ("a_text", "text", "one"),
    ("a_varchar", "varchar(10)", "one"),
    ("a_char", "char(5)", "one"),
    ("an_internal_char", '"char"', "c"),
    ("a_name", "name", "one"),
    ("a_bytea", "bytea", "\\x00ff"),
    ("a_json", "json", '{"a": 1}'),
    ("a_jsonb", "jsonb", '{"a": 1}'),
    ("a_jsonpath", "jsonpath", "$.a"),
    ("an_xml", "xml", "<a/>"),
    ("a_uuid", "uuid", "00000000-0000-4000-8000-000000000000"),
    ("an_inet", "inet", "10.0.0.1"),
    ("a_cidr", "cidr", "10.0.0.0/8"),
    ("a_macaddr", "macaddr", "08:00:2b:01:02:03"),
    ("a_macaddr8", "macaddr8", "08:00:2b:01:02:03:04:05"),
    ("a_date", "date", "2026-01-01"),
    ("a_time", "time", "12:00"),
    ("a_timetz", "timetz", "12:00+00"),
    ("a_timestamp", "timestamp", "2026-01-01 12:00"),
    ("a_timestamptz", "timestamptz", "2026-01-01 12:00+00"),
    ("an_interval", "interval", "1 day"),
    ("a_bit", "bit(1)", "1"),
    ("bits", "bit(8)", "10101010"),
    ("a_varbit", "varbit", "101"),
    ("an_oid", "oid", "1"),
    ("a_regclass", "regclass", "pg_class"),
    ("an_xid", "xid", "1"),
    ("an_xid8", "xid8", "1"),
    ("a_tid", "tid", "(0,1)"),
    ("a_point", "point", "(1,2)"),
    ("a_line", "line", "{1,2,3}"),
    ("an_lseg", "lseg", "[(1,2),(3,4)]"),
    ("a_box", "box", "(3,4),(1,2)"),
    ("a_path", "path", "[(1,2),(3,4)]"),
    ("a_polygon", "polygon", "((1,2),(3,4),(5,6))"),
    ("a_circle", "circle", "<(1,2),3>"),
    ("a_tsvector", "tsvector", "one two"),
    ("a_tsquery", "tsquery", "one & two"),
    ("a_pg_lsn", "pg_lsn", "0/1"),
    ("a_pg_snapshot", "pg_snapshot", "10:20:10"),
    ("a_txid_snapshot", "txid_snapshot", "10:20:10"),
    ("an_int4range", "int4range", "[1,2)"),
    ("an_int8range", "int8range", "[1,2)"),
    ("a_numrange", "numrange", "[1,2)"),
    ("a_daterange", "daterange", "[2026-01-01,2026-02-01)"),
    ("a_tsrange", "tsrange", "[2026-01-01,2026-02-01)"),
    ("a_tstzrange", "tstzrange", "[2026-01-01 00:00+00,2026-02-01 00:00+00)"),
    ("an_int4multirange", "int4multirange", "{[1,2)}"),
    ("an_int8multirange", "int8multirange", "{[1,2)}"),
    ("a_nummultirange", "nummultirange", "{[1,2)}"),
    ("a_datemultirange", "datemultirange", "{[2026-01-01,2026-02-01)}"),
    ("a_tsmultirange", "tsmultirange", "{[2026-01-01,2026-02-01)}"),
    ("a_tstzmultirange", "tstzmultirange", "{[2026-01-01 00:00+00,2026-02-01 00:00+00)}"),
    ("an_enum", "app.colour", "red"),
    ("a_composite", "app.pair", "(1,one)"),
    ("a_domain", "app.short", "one"),
    ("a_domain_of_numbers", "app.positive", "1"),
    ("a_domain_of_composites", "app.some_pair", "(1,one)"),
    ("a_range_of_its_own", "app.floats", "[1,2)"),
    ("bools", "boolean[]", "{true}"),
    ("smallints", "smallint[]", "{1}"),
    ("ints", "integer[]", "{1}"),
    ("bigints", "bigint[]", "{1}"),
    ("reals", "real[]", "{1.5}"),
    ("doubles", "double precision[]", "{1.5}"),
    ("numerics", "numeric(10, 2)[]", "{1.5}"),
    ("moneys", "money[]", "{1.50}"),
    ("texts", "text[]", "{one}"),
    ("tables_of_texts", "text[][]", "{{one},{two}}"),
    ("varchars", "varchar(10)[]", "{one}"),
    ("chars", "char(5)[]", "{one}"),
    ("byteas", "bytea[]", '{"\\\\x00ff"}'),
    ("jsons", "json[]", '{"{}"}'),
    ("jsonbs", "jsonb[]", '{"{}"}'),
    ("xmls", "xml[]", "{<a/>}"),
    ("uuids", "uuid[]", "{00000000-0000-4000-8000-000000000000}"),
    ("inets", "inet[]", "{10.0.0.1}"),
    ("cidrs", "cidr[]", "{10.0.0.0/8}"),
    ("macaddrs", "macaddr[]", "{08:00:2b:01:02:03}"),
    ("macaddr8s", "macaddr8[]", "{08:00:2b:01:02:03:04:05}"),
    ("dates", "date[]", "{2026-01-01}"),
    ("times", "time[]", "{12:00}"),
    ("timetzs", "timetz[]", "{12:00+00}"),
    ("timestamps", "timestamp[]", "{2026-01-01 12:00}"),
    ("timestamptzs", "timestamptz[]", "{2026-01-01 12:00+00}"),
    ("intervals", "interval[]", "{1 day}"),
    ("bit_arrays", "bit(8)[]", "{10101010}"),
    ("varbits", "varbit[]", "{101}"),
    ("oids", "oid[]", "{1}"),
    ("points", "point[]", '{"(1,2)"}'),
    ("boxes", "box[]", "{(3,4),(1,2)}"),
    ("tsvectors", "tsvector[]", "{one}"),
    ("int4ranges", "int4range[]", '{"[1,2)"}'),
    ("int8ranges", "int8range[]", '{"[1,2)"}'),
    ("numranges", "numrange[]", '{"[1,2)"}'),
    ("dateranges", "daterange[]", '{"[2026-01-01,2026-02-01)"}'),
    ("tsranges", "tsrange[]", '{"[2026-01-01,2026-02-01)"}'),
    ("tstzranges", "tstzrange[]", '{"[2026-01-01 00:00+00,2026-02-01 00:00+00)"}'),
    ("enums", "app.colour[]", "{red}"),
    ("composites", "app.pair[]", '{"(1,one)"}'),
    ("domains", "app.short[]", "{one}"),
    ("a_citext", "citext", "One"),
    ("an_hstore", "hstore", "a=>1"),
    ("an_ltree", "ltree", "one.two"),
    ("citexts", "citext[]", "{One}"),
    ("hstores", "hstore[]", '{"a=>1"}'),
    ("ltrees", "ltree[]", "{one.two}"),
]

TABLE = (
    """
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE TYPE app.colour AS ENUM ('red', 'blue');
CREATE TYPE app.pair AS (number int, word text);
CREATE TYPE app.floats AS RANGE (subtype = float8);
CREATE DOMAIN app.short AS text CHECK (length(VALUE) < 10);
CREATE DOMAIN app.positive AS numeric(10, 2) CHECK (VALUE > 0);
CREATE DOMAIN app.some_pair AS app.pair;
CREATE TABLE app.every_type (id int PRIMARY KEY, """
    + ", ".join(f"{name} {kind}" for name, kind, _value in COLUMNS)
    + ");"
)

VALUES = [value for _name, _kind, value in COLUMNS]
INSERT = f"INSERT INTO app.every_type VALUES (1, {', '.join(['%s'] * len(COLUMNS))})"

# Measured with Debezium 3.6.3 and include.unknown.datatypes=false, its default. The columns that no event has:
MISSING = [
    "a_jsonpath",
    "a_regclass",
    "an_xid",
    "an_xid8",
    "a_tid",
    "a_line",
    "an_lseg",
    "a_box",
    "a_path",
    "a_polygon",
    "a_circle",
    "a_tsquery",
    "a_pg_lsn",
    "a_pg_snapshot",
    "a_txid_snapshot",
    "an_int4multirange",
    "an_int8multirange",
    "a_nummultirange",
    "a_datemultirange",
    "a_tsmultirange",
    "a_tstzmultirange",
    "a_composite",
    "a_domain_of_composites",
    "a_range_of_its_own",
    "moneys",
    "xmls",
    "intervals",
    "varbits",
    "points",
    "boxes",
    "composites",
    "domains",
]
# Those that are null in every event of a change, whatever is in the table:
WITHOUT_VALUE = ["a_name", "bit_arrays"]
# Those that have a value, and not the one that is in the table: arrays of arrays.
NONSENSE = ["tables_of_texts"]
