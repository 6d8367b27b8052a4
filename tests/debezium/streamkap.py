# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real Debezium as what Streamkap runs of a source: what its configuration says, and nothing else.

    with Connectors() as connectors, Streamkap(connectors.start) as streamkap:
        ...                                    # a source is made through the API, and becomes Active
        eventually(lambda: connectors.saw("u", "app.orders", id=1))

A configuration that is wrong breaks the source as it would in Streamkap, by Debezium's own error.

Streamkap does not tell how it runs Debezium. Guessed are: the publication is never made by the connector; a source takes no first
snapshot; a heartbeat updates the row that is in the table; a snapshot is ordered through the signal table, or, of a source that only
reads, through a channel of Debezium's that needs no database; tables are named as they are, and match as Debezium matches them.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from debezium.process import Event, Process
from support.neon import quoted
from support.postgres import free_port
from support.streamkap_api import Source
from support.streamkap_config import FIELDS, Config
from support.waiting import eventually

NOTIFICATIONS = "notifications"

PROPERTIES = {
    "name": "source",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "tombstones.on.delete": "false",
    # How it is known that a snapshot is over.
    "notification.enabled.channels": "sink",
    "notification.sink.topic.name": NOTIFICATIONS,
    # The same as ever, but sooner.
    "poll.interval.ms": 20,
    "offset.flush.interval.ms": 100,
    "status.update.interval.ms": 500,
    "signal.poll.interval.ms": 100,
    "slot.max.retries": 2,
    "slot.retry.delay.ms": 200,
    "errors.max.retries": 0,
    "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
    "converter.schemas.enable": "false",
}
HEARTBEAT = 200  # milliseconds

# What Debezium has under another name.
RENAMED = {
    "database.hostname.user.defined": "database.hostname",
    "database.port.user.defined": "database.port",
    "database.user": "database.user",
    "database.password": "database.password",
    "database.dbname": "database.dbname",
    "database.sslmode": "database.sslmode",
    "schema.include.list": "schema.include.list",
    "table.include.list.user.defined": "table.include.list",
    "column.include.list.user.defined": "column.include.list",
    "column.exclude.list.user.defined": "column.exclude.list",
    "signal.data.collection.schema.or.database": "signal.data.collection",
    "slot.name": "slot.name",
    "publication.name": "publication.name",
    "binary.handling.mode": "binary.handling.mode",
}
# What has its own words in `properties`, or is done before Debezium connects.
OTHERWISE = {
    "snapshot.read.only.user.defined",
    "heartbeat.enabled",
    "heartbeat.data.collection.schema.or.database",
    "heartbeat.use.logical.message",
    *(key for key in FIELDS if key.startswith("ssh.")),
}
# What Streamkap does with events when Debezium has made them, or with its form.
AFTERWARDS = {
    "column.include.list.toggled",
    "include.source.db.name.in.table.name.user.defined",
    "preserve.null.values",
    "InsertTopicName.enabled",
    *(
        key
        for key in FIELDS
        if key.startswith(("predicates.", "transforms.", "streamkap.snapshot.", "SourceRegexSupport."))
    ),
}


class ConfigurationError(Exception):
    """Debezium cannot be given this."""


def properties(source: Source) -> dict[str, object]:
    """Debezium's properties for a source, whose configuration is complete."""
    config = source.config
    if unknown := sorted(set(config) - set(RENAMED) - OTHERWISE - AFTERWARDS):
        raise ConfigurationError(f"A PostgreSQL source has no {', '.join(unknown)}")
    if lacking := sorted({*RENAMED, *OTHERWISE, *AFTERWARDS} - set(config)):
        raise ConfigurationError(f"The source lacks {', '.join(lacking)}")
    reads_only = config["snapshot.read.only.user.defined"] == "Yes"
    return {
        **PROPERTIES,
        "topic.prefix": f"source_{source.id}",
        **{name: config[key] for key, name in RENAMED.items() if config[key] is not None},
        "read.only": str(reads_only).lower(),
        "signal.enabled.channels": "file" if reads_only else "source",
        **(_heartbeat(config) if config["heartbeat.enabled"] else {}),
    }


def _heartbeat(config: Config) -> dict[str, object]:
    schema = config["heartbeat.data.collection.schema.or.database"]
    query = None
    if config["heartbeat.use.logical.message"]:
        query = "SELECT pg_logical_emit_message(true, 'streamkap_heartbeat', now()::text)"
    elif schema is not None:
        query = f"UPDATE {quoted(schema)}.streamkap_heartbeat SET last_update = CURRENT_TIMESTAMP"
    return {"heartbeat.interval.ms": HEARTBEAT, **({"heartbeat.action.query": query} if query else {})}


class Connector:
    """One start of a source: `Running`, as the double of Streamkap's API wants it.

    source: whose configuration is complete
    offsets: the file in which it is kept how far the source is, from one start to the next
    key: the private key for bastions
    """

    def __init__(self, source: Source, offsets: Path, key: Path | None) -> None:
        self._offsets = offsets
        self._events: list[Event] = []
        self._kind: str | None = None
        self._stopped = False
        self._lock = threading.RLock()
        with contextlib.ExitStack() as opening:
            self._signals = Path(opening.enter_context(tempfile.TemporaryDirectory()), "signals")
            self._signals.touch()
            self._properties = properties(source) | {"signal.file": str(self._signals)}
            if source.config["ssh.enabled"]:
                self._properties |= opening.enter_context(tunnel(source.config, key))
            self._process = Process(self._properties, offsets)
            self._tidy = opening.pop_all()

    @property
    def streaming(self) -> bool:
        return not self._stopped and self._process.ended is None and " - Processing messages" in self._process.log

    @property
    def error(self) -> str | None:
        """The trace of the error by which it ended by itself."""
        return None if self._stopped or self._process.ended is None else self._process.trace

    @property
    def events(self) -> list[Event]:
        """All that came until now."""
        self._look()
        return self._events

    @property
    def snapshotting(self) -> bool:
        self._look()
        return self._kind is not None

    def snapshot(self, order: dict[str, object]) -> None:
        conditions = [
            {"data-collection": condition["data_collection"], "filter": condition["filter"]}
            for condition in order.get("additional_conditions") or []
        ]
        told = {
            "type": order["snapshot_type"],
            "data-collections": order["tables"],
            "additional-conditions": conditions,
            "surrogate-key": order.get("surrogate_key"),
        }
        with self._lock:
            self._signal("execute-snapshot", {name: value for name, value in told.items() if value})
            self._kind = order["snapshot_type"]

    def stop_snapshot(self) -> None:
        with self._lock:
            if self._kind == "blocking":
                self._end()
                self._process = Process(self._properties, self._offsets)
            else:
                self._signal("stop-snapshot", {"type": "incremental"})
            self._kind = None

    def stop(self) -> None:
        with self._lock:
            if not self._stopped:
                self._end()
                self._stopped = True
                self._tidy.close()

    def _end(self) -> None:
        self._process.stop()
        self._look()
        self._process.clean_up()

    def _signal(self, kind: str, data: dict[str, object]) -> None:
        name = str(uuid.uuid4())
        if self._properties["signal.enabled.channels"] == "file":
            self._signals.write_text(json.dumps({"id": name, "type": kind, "data": data}) + "\n")
            return
        table = self._properties.get("signal.data.collection")
        if table is None:
            raise ConfigurationError("A snapshot of a source that may write needs a signal table, and it has none")
        signal = f"INSERT INTO {'.'.join(map(quoted, str(table).split('.')))} VALUES (%s, %s, %s)"
        places = {"hostname": "host", "port": "port", "user": "user", "password": "password", "dbname": "dbname"}
        place = {libpq: self._properties[f"database.{name}"] for name, libpq in places.items()}
        with contextlib.closing(psycopg2.connect(**place)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(signal, [name, kind, json.dumps(data)])

    def _look(self) -> None:
        """Takes note of what has come since the last look."""
        with self._lock:
            for record in [] if self._stopped else self._process.records():
                if record["destination"] == NOTIFICATIONS:
                    if record["value"]["type"] in ("COMPLETED", "ABORTED"):
                        self._kind = None
                elif record["destination"].startswith(f"{self._properties['topic.prefix']}."):
                    self._take(record)

    def _take(self, record: dict[str, object]) -> None:
        # Messages of the log are of no table.
        if record["value"]["op"] != "m":
            event = Event.of(record)
            if event.table != self._properties.get("signal.data.collection"):
                self._events.append(event)


class Connectors(contextlib.AbstractContextManager):
    """Starts them, for the double of Streamkap's API, which stops them.

    key: the private key for bastions

    started: all of them, in order
    """

    def __init__(self, key: Path | None = None) -> None:
        self.started: list[Connector] = []
        self._key = key

    def __enter__(self) -> Connectors:
        self._folder = tempfile.TemporaryDirectory(prefix="streamkap-neon-offsets-")
        return self

    def __exit__(self, *_exception: object) -> None:
        for connector in self.started:
            connector.stop()
        self._folder.cleanup()

    def start(self, source: Source) -> Connector:
        connector = Connector(source, Path(self._folder.name, source.id), self._key)
        self.started.append(connector)
        return connector

    @property
    def events(self) -> list[Event]:
        return [event for connector in self.started for event in connector.events]

    def saw(self, operation: str, table: str, **columns: object) -> bool:
        """Whether an event came of a row that is, or was, like this."""
        return any(
            (event.operation, event.table) == (operation, table)
            and columns.items() <= (event.after or event.before or {}).items()
            for event in self.events
        )


@contextlib.contextmanager
def tunnel(config: Config, key: Path | None) -> Iterator[dict[str, object]]:
    """Leads to the database through the bastion; gives where Debezium is to connect to instead."""
    port = free_port()
    place = f"{config['database.hostname.user.defined']}:{config['database.port.user.defined']}"
    options = {
        "BatchMode": "yes",
        "ExitOnForwardFailure": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
        "ConnectTimeout": 10,
    }
    ssh = subprocess.Popen(
        [
            *("ssh", "-F", "none", "-N", "-L", f"127.0.0.1:{port}:{place}", "-p", str(config["ssh.port"])),
            *(f"-o{name}={value}" for name, value in options.items()),
            *(["-i", str(key), "-oIdentitiesOnly=yes"] if key else []),
            f"{config['ssh.user']}@{config['ssh.host']}",
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: ssh.poll() is not None or _listens(port))
        if ssh.poll() is not None:
            raise ConfigurationError(f"SSH tunnel error: {ssh.stderr.read().strip()}")
        yield {"database.hostname": "127.0.0.1", "database.port": port}
    finally:
        ssh.terminate()
        ssh.wait()
        ssh.stderr.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
