# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real Debezium engine as the connector of a database, and what it received.

    prepare(database)
    with Engine(database) as engine:
        database.sql("INSERT INTO app.products VALUES ('new', 'New', 1)")
        (event,) = engine.received()
        assert event.after["sku"] == "new"

Nothing here sleeps for a while and hopes: what is waited for is an event of Debezium's own, and waiting has an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from debezium.process import STOP, Event, Process
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, VARIABLES, make_user_where_sql_cannot
from support.modules import run_playbook
from support.neon import Database

TOPICS = "topics"
NOTIFICATIONS = "notifications"
FENCE = "app.fence"

# As Streamkap runs it, but that it may read all that the database lets it: what it then does not get is the
# collection's doing.
PROPERTIES = {
    "name": "engine",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": TOPICS,
    "plugin.name": "pgoutput",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "signal.data.collection": "streamkap.streamkap_signal",
    "signal.enabled.channels": "source",
    "tombstones.on.delete": "false",
    # What a test waits for: Debezium says when a snapshot is over.
    "notification.enabled.channels": "sink",
    "notification.sink.topic.name": NOTIFICATIONS,
    # The same as ever, but sooner.
    "poll.interval.ms": 20,
    "offset.flush.interval.ms": 100,
    "status.update.interval.ms": 500,
    # An engine that cannot go on ends, and the test with it.
    "errors.max.retries": 0,
    "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
    "converter.schemas.enable": "false",
}

START, WAIT = 60, 20  # seconds


def prepare(database: Database, **variables: object) -> None:
    """Makes a database ready for the engine, as a user of the collection does: by the role cdc alone.

    variables: of the role, over the usual ones
    """
    make_user_where_sql_cannot(database.server)
    database.sql(f"CREATE TABLE {FENCE} (id serial PRIMARY KEY)")
    set_up(database, **variables)


def set_up(database: Database, **variables: object) -> None:
    """Runs the role cdc, on a database that was prepared before too."""
    run = run_playbook("streamkap.neon.setup", extra_vars={**VARIABLES, "cdc_dsn": database.dsn, **variables})
    assert run.rc == 0, run.stdout


class EngineError(AssertionError):
    """The engine ended, or what was waited for did not come; the message holds the end of its log."""


@dataclass
class Engine:
    """Debezium, capturing a database; `with` starts it, and stops it as an operator would.

    properties: over the usual ones
    offsets: the file in which it keeps how far it is; one of its own that goes with it when not given

    fences: the rows of the table that `received` writes to
    own: the events of the signal table and of the heartbeat table
    """

    database: Database
    properties: dict[str, object] = field(default_factory=dict)
    offsets: Path | None = None
    fences: list[int] = field(default_factory=list, init=False, repr=False)
    own: list[Event] = field(default_factory=list, init=False, repr=False)

    def __enter__(self) -> Engine:
        self._events: list[Event] = []
        self._notices: list[str] = []
        self._process = Process(self._all_properties(), self.offsets)
        try:
            self.wait_until(self._is_streaming, START)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self._stop()
        finally:
            self._process.clean_up()

    @property
    def log(self) -> str:
        return self._process.log

    def kill(self) -> None:
        """Ends it without letting it save or say anything, as a power cut does."""
        self._process.kill()

    def received(self) -> list[Event]:
        """Every event of the application's tables since the last call, up to now.

        Changes come in the order of their commits, so all that were made before are here when one made now has come.
        """
        ((fence,),) = self.database.sql(f"INSERT INTO {FENCE} DEFAULT VALUES RETURNING id")
        self.wait_until(lambda: self._has_come(fence))
        received, self._events, self._notices = self._events, [], []
        return received

    def noticed(self, *kinds: str) -> bool:
        """Whether Debezium has said this of a snapshot since the last call of `received`: COMPLETED, ABORTED, ..."""
        self._look()
        return any(kind in self._notices for kind in kinds)

    def wait_until(self, condition: Callable[[], object], timeout: float = WAIT) -> None:
        """Returns when the condition holds; EngineError when the engine has ended, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self._process.ended is not None:
                raise EngineError(f"The engine ended ({self._process.ended})\n{self._process.log_end}")
            if time.monotonic() > deadline:
                raise EngineError(f"It did not come within {timeout} s\n{self._process.log_end}")
            time.sleep(0.02)

    def _all_properties(self) -> dict[str, object]:
        server = self.database.server
        return {
            **PROPERTIES,
            "database.hostname": server.host,
            "database.port": server.port,
            "database.user": USER,
            "database.password": PASSWORD,
            "database.dbname": self.database.name,
            "slot.name": SLOT,
            "publication.name": PUBLICATION,
            **self.properties,
        }

    def _is_streaming(self) -> bool:
        slot = self._all_properties()["slot.name"]
        active = self.database.admin("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [slot])
        return active == [(True,)]

    def _has_come(self, fence: int) -> bool:
        self._look()
        return fence in self.fences

    def _look(self) -> None:
        """Takes note of what has come since the last look."""
        for record in self._process.records():
            if record["destination"] == NOTIFICATIONS:
                self._notices.append(record["value"]["type"])
            elif record["destination"].startswith(f"{TOPICS}."):
                self._take(Event.of(record))

    def _take(self, event: Event) -> None:
        if event.table == FENCE:
            self.fences.append(event.after["id"])
        elif event.table.startswith("streamkap."):
            self.own.append(event)
        else:
            self._events.append(event)

    def _stop(self) -> None:
        if not self._process.stop():
            raise EngineError(f"The engine did not stop within {STOP} s\n{self._process.log_end}")
