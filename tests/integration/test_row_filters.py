# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Row filters: check mode refuses what PostgreSQL refuses, by the table's name, and nothing else."""

from __future__ import annotations

import psycopg2
import pytest

from support.modules import run_module
from support.neon import Database

pytestmark = [pytest.mark.database(shop=False), pytest.mark.postgres(15, 16, 17, 18)]

TABLE = """
CREATE SCHEMA f;
CREATE TYPE f.mood AS ENUM ('x', 'y');
CREATE DOMAIN f.percent AS int;
CREATE FUNCTION f.fn(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION f.eq(int, int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR f.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = f.eq);
CREATE COLLATION f.coll FROM "C";
CREATE TABLE f."Ty.ped" (id int PRIMARY KEY, m f.mood, ms f.mood[], at timestamptz, ts timestamp, day date, j jsonb, name text, tags text[],
  d f.percent, v varchar(5), c char(3), b bigint, n numeric(10, 2), u uuid, f float8, how_long interval, ok bool, "Od""d (x)" int,
  bits bytea, sorted text COLLATE f.coll, inner_one f.percent[]);
ALTER TABLE f."Ty.ped" REPLICA IDENTITY FULL
"""
FILTERS = [
    "m = 'x'",
    "m IS NULL",
    "ms IS NOT NULL",
    "d > 3",
    "sorted = 'a'",
    "at > now()",
    "at > 'now'",
    "at > now() - interval '1 day'",
    "at > CURRENT_TIMESTAMP",
    "day = CURRENT_DATE",
    "name = current_user",
    "random() > 0.5",
    "clock_timestamp() > at",
    "(j->>'k')::int = 3",
    "(j->>'k') = '3'",
    "(j->'k')::int = 3",
    "j #>> '{a,b}' = 'x'",
    "j @> '{}'",
    "j ? 'k'",
    "id::text = '3'",
    "name::int = 3",
    "at::text LIKE '2026%'",
    "u::text = 'x'",
    "u = '00000000-0000-0000-0000-000000000001'",
    "b::int = 3",
    "id::numeric(5,1) > 1.5",
    "n > 1.5 AND n < 1e3",
    "f > 1",
    "v::text = 'a' AND c = 'abc' AND v = 'b'",
    "name::varchar(3) = 'abc'",
    "at > '2026-01-01'::date",
    "at > '2026-01-01'",
    "at > '2026-01-01'::timestamptz(3)",
    "ts > at",
    "ts > '2026-01-01'::timestamp(0)",
    "ts > day",
    "at::date = '2026-01-01'",
    "ts::date = '2026-01-01'",
    "date_trunc('day', at) > '2020-01-01'",
    "date_trunc('day', ts) > '2020-01-01'",
    "extract(year from at) = 2020",
    "extract(year from ts) = 2020",
    "at + interval '1 day' > '2020-01-01'",
    "ts + interval '1 day' > '2020-01-01'",
    "at AT TIME ZONE 'UTC' > '2020-01-01'",
    "to_char(at, 'YYYY') = '2020'",
    "age(at) > '1 day'",
    "how_long > '1 day' AND how_long < interval '5' day",
    "f.fn(id) = 1",
    "id OPERATOR(f.===) 1",
    "id OPERATOR(pg_catalog.=) 1",
    "name = 'a' COLLATE f.coll",
    "name = 'a' COLLATE \"C\"",
    "tags[1] = 'a'",
    "tags && ARRAY['x']",
    "'a' = ANY (tags)",
    "EXISTS (SELECT 1)",
    "id IN (SELECT 1)",
    "id = (SELECT 1)",
    "id IN (VALUES (1))",
    'name = \'(select\' AND name <> $a$ (SELECT \'x $a$ AND "Od""d (x)" /* (select */ = 1 -- (VALUES',
    "true",
    "1 = 1",
    "id = 1 AND false",
    "id IN (1, 2) OR b NOT IN (3, 4)",
    "lower(name) = 'a' AND length(name) > 3",
    "name LIKE 'a%' AND name ~ 'x' AND name NOT ILIKE 'y'",
    "name || 'x' = 'ax'",
    "id || 'x' = '1x'",
    "v || name = 'ax'",
    "concat(name, 'x') = 'ax'",
    "coalesce(name, 'x') = 'y' AND nullif(id, 1) = 2 AND greatest(id, 3) > 1",
    "CASE WHEN id = 1 THEN true ELSE ok END",
    "ok AND NOT (name IS DISTINCT FROM 'x') AND ok IS NOT TRUE",
    "(id, b) = (1, 2)",
    "id BETWEEN 1 AND 5 AND abs(id) > 1 AND mod(id, 2) = 0",
    "id % 2 = 0 AND id & 1 = 0 AND -id < 5 AND f ^ 2 > 1",
    '"Od""d (x)" = 1 AND "Ty.ped".id = 2',
    "name = 'it''s now() ::f.mood (SELECT' AND name <> 'back\\slash'",
    "bits <> '\\x00ff' AND name <> E'a\\'b'",
    "ctid = '(0,1)'",
    "count(*) > 1",
    "md5(name) = 'x' AND substring(name from 2) = 'b' AND position('a' in name) > 0",
    "j IS JSON",
]


def why_postgresql_refuses(database: Database, table: str, condition: str) -> str | None:
    """Its SQLSTATE."""
    try:
        database.sql(f"CREATE PUBLICATION p FOR TABLE {table} WHERE ({condition}\n)")
    except psycopg2.Error as error:
        return error.pgcode
    database.sql("DROP PUBLICATION p")
    return None


def test_check_mode_agrees_with_postgresql(database: Database) -> None:
    database.sql(TABLE)
    tables = {f'f."Ty.ped{number}"': condition for number, condition in enumerate(FILTERS)}
    for table in tables:
        database.sql(f'CREATE TABLE {table} (LIKE f."Ty.ped"); ALTER TABLE {table} REPLICA IDENTITY FULL')
    wanted = [{"name": table, "where": condition} for table, condition in tables.items()]
    foretold = run_module("publication", dsn=database.dsn, name="filtered", tables=wanted, check=True)["msg"]
    assert "Not everything can be published as named." in foretold
    refused = {table: why_postgresql_refuses(database, table, condition) for table, condition in tables.items()}
    said = {table for table in tables if f"The row filter of {table} is refused: " in foretold}
    assert said == {table for table, sqlstate in refused.items() if sqlstate}, (tables, refused, foretold)


def test_what_check_mode_does_not_tell_is_told_by_name(database: Database) -> None:
    """A user's function of constants alone is gone by the time that a plan is made."""
    database.sql(TABLE)
    tables = [{"name": 'f."Ty.ped"', "where": "id > f.fn(1)"}]
    refused = run_module("publication", dsn=database.dsn, name="filtered", tables=tables)
    assert 'It is about the row filter of f."Ty.ped".' in refused["msg"]
    assert "Nothing was changed." in refused["msg"]
