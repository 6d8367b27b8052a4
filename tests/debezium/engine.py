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

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from debezium import java
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, VARIABLES, make_user_where_sql_cannot
from support.modules import run_playbook
from support.neon import Database

RUNNER = Path(__file__).with_name("runner.py")
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

START, WAIT, STOP = 60, 20, 20  # seconds


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


@dataclass(frozen=True)
class Event:
    """What Debezium made of one row.

    operation: c, u or d as it was inserted, updated or deleted, and r when a snapshot read it
    table: schema.name
    before, after: the row; None where there is none
    topic: where it goes, without the prefix
    """

    operation: str
    table: str
    key: dict[str, object] | None
    before: dict[str, object] | None
    after: dict[str, object] | None
    topic: str = field(default="", compare=False)


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
        self._temporary = tempfile.TemporaryDirectory(prefix="streamkap-neon-debezium-")
        self.folder = Path(self._temporary.name)
        self._file = self.folder / "events.jsonl"
        self._file.touch()
        self._seen = 0  # bytes
        self._events: list[Event] = []
        self._notices: list[str] = []
        (self.folder / "properties.json").write_text(json.dumps(self._all_properties()))
        # Whatever proxy the environment names, it is not for the loopback interface.
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "JAVA_HOME": str(java.home())}
        with (self.folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(RUNNER), str(self.folder)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
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
            self._temporary.cleanup()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        """Ends it without letting it save or say anything, as a power cut does."""
        self._process.kill()
        self._process.wait()

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
            if self._process.poll() is not None:
                raise EngineError(f"The engine ended ({self._process.returncode})\n{self._log_end()}")
            if time.monotonic() > deadline:
                raise EngineError(f"It did not come within {timeout} s\n{self._log_end()}")
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
            "offset.storage.file.filename": str(self.offsets or self.folder / "offsets"),
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
        with self._file.open("rb") as file:
            file.seek(self._seen)
            lines = file.read()
        complete = lines[: lines.rfind(b"\n") + 1]
        self._seen += len(complete)
        for line in complete.splitlines():
            record = json.loads(line)
            if record["destination"] == NOTIFICATIONS:
                self._notices.append(record["value"]["type"])
            elif record["destination"].startswith(f"{TOPICS}."):
                self._take(_event(record))

    def _take(self, event: Event) -> None:
        if event.table == FENCE:
            self.fences.append(event.after["id"])
        elif event.table.startswith("streamkap."):
            self.own.append(event)
        else:
            self._events.append(event)

    def _stop(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            raise EngineError(f"The engine did not stop within {STOP} s\n{self._log_end()}") from None

    def _log_end(self) -> str:
        lines = [line[:300] for line in self.log.splitlines() if not line.startswith("\tat ")]
        return "\n".join(lines[-30:])


def _event(record: dict[str, object]) -> Event:
    value = record["value"]
    source = value["source"]
    return Event(
        operation=value["op"],
        table=f"{source['schema']}.{source['table']}",
        key=record["key"],
        before=value["before"],
        after=value["after"],
        topic=record["destination"].removeprefix(f"{TOPICS}."),
    )
