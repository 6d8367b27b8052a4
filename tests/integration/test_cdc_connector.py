# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role cdc on a database full of what hurts: set up once for each server, then looked at as the connector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
import pytest

from support import neon
from support.hurting import (
    ODD_SCHEMA,
    ODD_TABLES,
    PASSWORD,
    PUBLICATION,
    SLOT,
    USER,
    lay_out_what_hurts,
    make_user_where_sql_cannot,
    odd,
    variables,
)
from support.modules import PlaybookRun, run_playbook
from support.neon import Database
from support.pgoutput import changes
from support.postgres import Server


@dataclass(frozen=True)
class Prepared:
    """A database that the role was run on twice, and what was there before."""

    database: Database
    first: PlaybookRun
    second: PlaybookRun

    def as_connector(self, statement: str, parameters: object = None) -> list[tuple]:
        return self.database.sql_as(USER, PASSWORD, statement, parameters)


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[Prepared]:
    with neon.isolated(server):
        database = neon.fresh_database(server)
        lay_out_what_hurts(database)
        # Without this, or BYPASSRLS for the connector, a snapshot of the table is empty and the role says so.
        database.sql("CREATE POLICY all_rows ON app.guarded FOR SELECT USING (true)")
        make_user_where_sql_cannot(server)
        first = run_playbook("streamkap.neon.setup", extra_vars=variables(database), diff=True)
        second = run_playbook("streamkap.neon.setup", extra_vars=variables(database), diff=True)
        yield Prepared(database, first, second)


@pytest.mark.every_version
def test_the_first_run_changes_and_the_second_changes_nothing(prepared: Prepared) -> None:
    assert prepared.first.rc == 0, prepared.first.stdout
    assert prepared.first.changed == 1, prepared.first.stdout
    assert prepared.second.rc == 0, prepared.second.stdout
    assert prepared.second.changed == 0, prepared.second.stdout


def test_it_ends_with_a_look_at_what_the_connector_will_meet(prepared: Prepared) -> None:
    shown = prepared.second.stdout
    assert f"{prepared.database.name} on 127.0.0.1 is ready to be captured" in shown
    assert "0 critical failures" in shown
    assert "NOT ready" not in prepared.first.stdout + shown
    # Shown as text, not as JSON with escaped ends of lines.
    assert "\\n" not in shown


def test_it_shows_what_the_connectors_form_asks_for_without_the_password(prepared: Prepared) -> None:
    form = prepared.second.stdout
    server = prepared.database.server
    for field, value in {
        "Name": prepared.database.name,
        "Hostname": "127.0.0.1",
        "Port": server.port,
        "Username": USER,
        "Password": "(that of cdc_password)",
        "Heartbeat": "on",
        "Signal Table Schema": "streamkap",
        "Database Name": prepared.database.name,
        "Replication Slot Name": SLOT,
        "Publication Name": PUBLICATION,
        "Connect via SSH Tunnel": "off",
        "Represent Binary Data As": "bytes",
    }.items():
        assert re.search(rf"^  {field} +{re.escape(str(value))}$", form, re.MULTILINE), field
    assert PASSWORD not in prepared.first.stdout + form


def test_the_connector_reads_every_table_of_the_schemas(prepared: Prepared) -> None:
    tables = prepared.database.admin(
        """
        SELECT format('%%I.%%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p')
          AND c.relname NOT IN ('excluded', 'of_an_extension')
        """,
        [["app", "billing", ODD_SCHEMA]],
    )
    assert len(tables) > 20
    for (table,) in tables:
        prepared.as_connector(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("owner", ["neondb_owner", "app_owner"])
def test_the_connector_reads_tables_that_any_owner_makes_afterwards(prepared: Prepared, owner: str) -> None:
    prepared.database.sql(f"SET ROLE {owner}; CREATE TABLE billing.later_{owner} AS SELECT 7 AS id")
    assert prepared.as_connector(f"SELECT id FROM billing.later_{owner}") == [(7,)]


def test_the_connector_writes_to_the_signal_table_and_the_heartbeat_table(prepared: Prepared) -> None:
    prepared.as_connector("INSERT INTO streamkap.streamkap_signal VALUES ('s-1', 'log', '{}')")
    prepared.as_connector("UPDATE streamkap.streamkap_signal SET data = '{\"message\": \"\"}' WHERE id = 's-1'")
    assert prepared.as_connector("SELECT type FROM streamkap.streamkap_signal WHERE id = 's-1'") == [("log",)]
    prepared.as_connector("INSERT INTO streamkap.streamkap_heartbeat (text) VALUES ('beat')")
    prepared.as_connector("UPDATE streamkap.streamkap_heartbeat SET last_update = now() WHERE text = 'test_heartbeat'")
    assert prepared.as_connector("SELECT text FROM streamkap.streamkap_heartbeat ORDER BY id") == [
        ("test_heartbeat",),
        ("beat",),
    ]


@pytest.mark.every_version
def test_the_connector_reads_changes_from_the_slot_by_the_replication_protocol(prepared: Prepared) -> None:
    database = prepared.database
    read = {"slot": SLOT, "publication": PUBLICATION}
    database.sql("DELETE FROM streamkap.streamkap_signal; DELETE FROM app.events; DELETE FROM app.keyless")
    database.sql("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [SLOT])
    database.sql("INSERT INTO app.events VALUES (1, '2025-06-01'), (2, '2026-06-01')")
    database.sql("INSERT INTO app.keyless VALUES (1)")
    database.sql("UPDATE app.keyless SET id = 2")
    database.sql(f"INSERT INTO {odd('do.t')} VALUES (3)")
    database.sql("INSERT INTO private.secrets VALUES (4); INSERT INTO app.excluded VALUES (5)")
    prepared.as_connector("INSERT INTO streamkap.streamkap_signal VALUES ('s-2', 'log', '{}')")
    prepared.as_connector("UPDATE streamkap.streamkap_heartbeat SET text = 'still here' WHERE id = 1")
    received = changes(database.dsn_as(USER, PASSWORD), count=7, **read)
    assert [(change.kind, change.table) for change in received] == [
        ("insert", "app.events"),
        ("insert", "app.events"),
        ("insert", "app.keyless"),
        ("update", "app.keyless"),
        ("insert", f"{ODD_SCHEMA}.do.t"),
        ("insert", "streamkap.streamkap_signal"),
        ("update", "streamkap.streamkap_heartbeat"),
    ]
    assert received[3].row == {"id": "2"}


def test_the_connector_can_do_nothing_else(prepared: Prepared) -> None:
    refused = [
        "UPDATE app.orders SET status = 'paid'",
        "DELETE FROM billing.payments",
        "TRUNCATE app.products",
        "SELECT * FROM private.secrets",
        "SELECT * FROM app.excluded",
        "SELECT * FROM app.a_view",
        "SELECT * FROM app.of_an_extension",
        "DELETE FROM streamkap.streamkap_heartbeat",
        "CREATE TABLE streamkap.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE another",
        "ALTER PUBLICATION streamkap_pub SET (publish = 'insert')",
        "SELECT rolpassword FROM pg_authid",
        "SET ROLE neondb_owner",
        "SET ROLE app_owner",
    ]
    for statement in refused:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            prepared.as_connector(statement)
    assert prepared.as_connector(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication FROM pg_roles WHERE rolname = %s",
        [USER],
    ) == [(False, False, False, False, True)]
    # Nothing is held by the user itself, and nothing by its group but what is listed here.
    assert set(prepared.database.admin(HELD_DIRECTLY, [USER])) == set()
    assert set(prepared.database.admin(HELD_DIRECTLY, ["streamkap_role"])) == {
        ("database", "CONNECT"),
        ("schema", "CREATE"),
        ("schema", "USAGE"),
        ("r", "SELECT"),
        ("p", "SELECT"),
        ("r", "INSERT"),
        ("r", "UPDATE"),
        ("S", "USAGE"),
    }
    assert prepared.database.admin(
        "SELECT DISTINCT r.rolname FROM pg_auth_members JOIN pg_roles r ON r.oid = roleid WHERE member = %s::regrole",
        [USER],
    ) == [("streamkap_role",)]
    assert prepared.database.admin("SELECT count(*) FROM pg_auth_members WHERE member = 'streamkap_role'::regrole") == [
        (0,)
    ]


HELD_DIRECTLY = """
SELECT DISTINCT kind, privilege_type FROM (
    SELECT 'database' AS kind, (aclexplode(datacl)).* FROM pg_database
    UNION ALL SELECT 'schema', (aclexplode(nspacl)).* FROM pg_namespace
    UNION ALL SELECT relkind::text, (aclexplode(relacl)).* FROM pg_class
    UNION ALL SELECT 'function', (aclexplode(proacl)).* FROM pg_proc
    UNION ALL SELECT 'type', (aclexplode(typacl)).* FROM pg_type
    UNION ALL SELECT 'language', (aclexplode(lanacl)).* FROM pg_language) held
WHERE grantee = %s::regrole
"""


def test_it_publishes_roots_and_leaves_out_what_cannot_be_captured(prepared: Prepared) -> None:
    published = {
        name
        for (name,) in prepared.database.admin(
            "SELECT relname FROM pg_publication_rel JOIN pg_class c ON c.oid = prrelid JOIN pg_publication p ON p.oid = prpubid"
            " WHERE pubname = %s",
            [PUBLICATION],
        )
    }
    # The tables made by the tests of this file come later, and stay out of the publication until the next run.
    assert {name for name in published if not name.startswith("later_")} == {
        *("customers", "products", "orders", "order_items", "invoices", "payments"),
        *("events", "generated", "keyless", "guarded", *ODD_TABLES),
        *("streamkap_signal", "streamkap_heartbeat"),
    }
    assert "app.scratch" in prepared.first.stdout + prepared.first.stderr  # unlogged: said, not silent


def test_only_the_keyless_table_gets_full_replica_identity(prepared: Prepared) -> None:
    assert prepared.database.admin("SELECT relname FROM pg_class WHERE relreplident = 'f'") == [("keyless",)]


def test_the_applications_tables_keep_their_owners_and_shapes(prepared: Prepared) -> None:
    owners = prepared.database.admin(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'app'::regnamespace"
    )
    assert set(owners) == {("neondb_owner",), ("app_owner",)}
