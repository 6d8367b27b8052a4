# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source that is made through Streamkap's API in small is run by the real Debezium, as it was configured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from debezium.engine import prepare
from debezium.streamkap import AFTERWARDS, OTHERWISE, RENAMED, Connectors
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER
from support.neon import Database
from support.postgres import free_port
from support.streamkap_api import Streamkap
from support.streamkap_client import Client
from support.streamkap_config import FIELDS, Config
from support.waiting import eventually

one_version = pytest.mark.postgres(18)

START = 60  # seconds


@pytest.fixture
def connectors() -> Iterator[Connectors]:
    with Connectors() as connectors:
        yield connectors


@pytest.fixture
def ask(connectors: Connectors) -> Iterator[Client]:
    with Streamkap(connectors.start) as streamkap:
        yield Client.with_token(streamkap)


def config(database: Database, **changes: object) -> Config:
    """What the API is sent for a database that the role cdc has made ready.

    changes: with underscores for the dots
    """
    return {
        "database.hostname.user.defined": database.server.host,
        "database.port.user.defined": database.server.port,
        "database.user": USER,
        "database.password": PASSWORD,
        "database.dbname": database.name,
        # The tests' servers have no certificates.
        "database.sslmode": "disable",
        "snapshot.read.only.user.defined": "No",
        "signal.data.collection.schema.or.database": "streamkap.streamkap_signal",
        "schema.include.list": "app,billing",
        "table.include.list.user.defined": "app.orders,app.products,billing.invoices",
        "heartbeat.data.collection.schema.or.database": "streamkap",
        "slot.name": SLOT,
        "publication.name": PUBLICATION,
        **{name.replace("_", "."): value for name, value in changes.items()},
    }


def settled(ask: Client, source_id: str) -> str:
    """The status that a source comes to."""
    eventually(lambda: ask.get(source_id)["connector_status"] != "Starting", START, 0.1)
    return ask.get(source_id)["connector_status"]


def slots(database: Database) -> list[tuple[str, bool]]:
    return database.admin("SELECT slot_name::text, active FROM pg_replication_slots ORDER BY 1")


def snapshot(ask: Client, source_id: str, *tables: str, **more: object) -> None:
    topics = [f"source_{source_id}.{table}" for table in tables]
    order = {"source_id": source_id, "topic_names": topics, **more}
    assert ask("POST", "/sources/snapshot", order).status == 200
    eventually(lambda: ask.metrics(source_id)["snapshotState"] == "completed")


def test_every_field_has_its_place() -> None:
    places = [*RENAMED, *OTHERWISE, *AFTERWARDS]
    assert sorted(places) == sorted(FIELDS)


@one_version
def test_a_source_is_captured_from_its_first_start_to_its_end(
    database: Database, connectors: Connectors, ask: Client
) -> None:
    prepare(database)
    source_id = ask.create(config=config(database)).body["id"]
    assert settled(ask, source_id) == "Active"
    assert ask.states(source_id) == ("Active", {"0": "RUNNING"})
    assert slots(database) == [(SLOT, True)]
    database.sql("UPDATE app.orders SET status = 'shipped' WHERE id = 1")
    # Of a table that is not the source's.
    database.sql("UPDATE app.customers SET name = 'Somebody' WHERE id = 1")
    database.sql("INSERT INTO app.products VALUES ('new', 'New', 1)")
    eventually(lambda: connectors.saw("c", "app.products", sku="new"))
    assert [(event.operation, event.table) for event in connectors.events] == [
        ("u", "app.orders"),
        ("c", "app.products"),
    ]
    # The heartbeat is written where it was said to be.
    beat = "SELECT last_update FROM streamkap.streamkap_heartbeat"
    before = database.sql(beat)
    eventually(lambda: database.sql(beat) != before)
    # A snapshot.
    conditions = [{"data_collection": "app.orders", "filter": "id = 2"}]
    snapshot(ask, source_id, "app.orders", additional_conditions=conditions)
    eventually(lambda: connectors.saw("r", "app.orders", id=2))
    assert not connectors.saw("r", "app.orders", id=1)
    snapshot(ask, source_id, "app.orders", snapshot_type="blocking")
    eventually(lambda: connectors.saw("r", "app.orders", id=1))
    # It pauses, and misses nothing.
    ask.act(source_id, "pause")
    eventually(lambda: slots(database) == [(SLOT, False)])
    database.sql("INSERT INTO app.products VALUES ('meanwhile', 'New', 1)")
    ask.act(source_id, "resume")
    assert settled(ask, source_id) == "Active"
    eventually(lambda: connectors.saw("c", "app.products", sku="meanwhile"))
    # It is changed.
    changed = {**config(database), "table.include.list.user.defined": "app.customers"}
    assert ask.update(source_id, changed).status == 200
    assert settled(ask, source_id) == "Active"
    database.sql("UPDATE app.customers SET name = 'Nobody' WHERE id = 1")
    eventually(lambda: connectors.saw("u", "app.customers", name="Nobody"))
    # It ends.
    ask("DELETE", f"/sources/{source_id}")
    eventually(lambda: slots(database) == [(SLOT, False)])


@one_version
def test_a_source_that_only_reads_needs_neither_signal_table_nor_heartbeat_table(
    database: Database, connectors: Connectors, ask: Client
) -> None:
    prepare(database)
    reads = {
        "snapshot.read.only.user.defined": "Yes",
        "signal.data.collection.schema.or.database": None,
        "heartbeat.data.collection.schema.or.database": None,
        "heartbeat.use.logical.message": True,
    }
    source_id = ask.create(config=config(database) | reads).body["id"]
    assert settled(ask, source_id) == "Active"
    snapshot(ask, source_id, "app.orders")
    eventually(lambda: connectors.saw("r", "app.orders", id=1))
    assert {event.operation for event in connectors.events} == {"r"}
    assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(0,)]


@one_version
def test_what_is_wrong_breaks_the_source_by_debeziums_own_error(
    database: Database, databases: Callable[..., Database], ask: Client
) -> None:
    prepare(database)
    # A slot is of one database, and of all the server by its name.
    databases().sql("SELECT pg_create_logical_replication_slot('of_another', 'pgoutput')")
    wrong = {
        'password authentication failed for user "streamkap_user"': {"database_password": "Another-1-of-the-tests"},
        'replication slot "of_another" already exists': {"slot_name": "of_another"},
        "Valid replication slot name must contain": {"slot_name": "Of-Nobody"},
        "Publication autocreation is disabled": {"publication_name": "of_nobody"},
        "The server does not support SSL": {"database_sslmode": "require"},
        'database "nowhere" does not exist': {"database_dbname": "nowhere"},
        "SSH tunnel error": {"ssh_enabled": True, "ssh_host": "127.0.0.1", "ssh_port": free_port()},
    }
    for error, changes in wrong.items():
        source_id = ask.create("wrong", config(database, **changes)).body["id"]
        assert settled(ask, source_id) == "Broken"
        (task,) = ask.get(source_id)["task_statuses"].values()
        assert task["state"] == "FAILED"
        assert error in task["trace"]
        ask("DELETE", f"/sources/{source_id}")
    # A snapshot of one that may write needs a table to write to.
    source_id = ask.create("wrong", config(database, signal_data_collection_schema_or_database=None)).body["id"]
    assert settled(ask, source_id) == "Active"
    refused = ask("POST", "/sources/snapshot", {"source_id": source_id})
    assert refused.status == 500
    assert "needs a signal table" in refused.detail
