# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hurts: a database with odd names and kinds of tables, and how the role cdc is to be run on it."""

from __future__ import annotations

from . import neon
from .modules import run_module
from .neon import Database
from .postgres import Server

USER, PASSWORD = "streamkap_user", "Connector-3-of-the-tests"
SLOT, PUBLICATION = "streamkap_pgoutput_slot", "streamkap_pub"

ODD_SCHEMA = 'Ödd "Schema".;--'
ODD_TABLES = [
    "Capitals",
    "select",
    'dou"ble',
    "do.t",
    "semi;colon",
    " blank ",
    "naïve",
    "100%",
    "a" * 63,
    "it's",
    "back\\slash",
]

VARIABLES = {"cdc_password": PASSWORD, "cdc_schemas": ["app", "billing"]}

HURTING = f"""
CREATE TABLE app.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE app.scratch (id int PRIMARY KEY);
CREATE VIEW app.a_view AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW app.a_matview AS SELECT 1 AS one;
CREATE TABLE app.generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE app.keyless (id int);
CREATE TABLE app.guarded (id int PRIMARY KEY);
ALTER TABLE app.guarded ENABLE ROW LEVEL SECURITY;
CREATE TABLE app.of_an_extension (id int);
CREATE TABLE app.excluded (id int PRIMARY KEY);
CREATE SCHEMA private;
CREATE TABLE private.secrets (id int PRIMARY KEY);
CREATE SCHEMA {neon.quoted(ODD_SCHEMA)};
"""
FOREIGN = """
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE app.foreign_table (id int) SERVER nowhere;
ALTER FOREIGN TABLE app.foreign_table OWNER TO neondb_owner;
ALTER EXTENSION plpgsql ADD TABLE app.of_an_extension;
"""


def variables(database: Database) -> dict[str, object]:
    return {
        "cdc_dsn": database.dsn,
        "cdc_password": PASSWORD,
        "cdc_schemas": ["app", "billing", ODD_SCHEMA],
        "cdc_exclude_tables": ["app.excluded"],
        "cdc_keyless_tables": "replica_identity_full",
    }


def set_up(database: Database) -> None:
    """What the playbook `setup` does with VARIABLES, by the module that it calls, in a tenth of the time."""
    make_user_where_sql_cannot(database.server)
    schemas = VARIABLES["cdc_schemas"]
    result = run_module("prerequisites", dsn=database.dsn, connector_password=PASSWORD, schemas=schemas)
    assert result["changed"], result.get("msg")


def lay_out_what_hurts(database: Database) -> None:
    database.sql(HURTING)
    database.admin(FOREIGN)
    for table in ODD_TABLES:
        database.sql(f"CREATE TABLE {odd(table)} (id int PRIMARY KEY)")


def make_user_where_sql_cannot(server: Server) -> None:
    """On 14 and 15 only a superuser, or Neon's console, can give REPLICATION, and alter who has it."""
    if server.major < 16 and not server.sql("SELECT FROM pg_roles WHERE rolname = %s", [USER]):
        server.sql(f"CREATE ROLE {USER} LOGIN REPLICATION PASSWORD %s", [PASSWORD])


def odd(table: str) -> str:
    return f"{neon.quoted(ODD_SCHEMA)}.{neon.quoted(table)}"
