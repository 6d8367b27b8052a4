# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debezium in a process of its own: what it is given, and what comes of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from debezium import java

RUNNER = Path(__file__).with_name("runner.py")
STOP = 20  # seconds

# How a line of the log begins that is no continuation of the one before.
_STAMP = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[)", re.MULTILINE)


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

    @classmethod
    def of(cls, record: dict[str, object]) -> Event:
        value = record["value"]
        source = value["source"]
        return cls(
            operation=value["op"],
            table=f"{source['schema']}.{source['table']}",
            key=record["key"],
            before=value["before"],
            after=value["after"],
            topic=record["destination"].partition(".")[2],
        )


class Process:
    """Starts it, without waiting for anything.

    properties: all of them, but where it keeps how far it is
    offsets: the file in which it does; one of its own that goes with it when not given
    """

    def __init__(self, properties: dict[str, object], offsets: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="streamkap-neon-debezium-")
        self.folder = Path(self._temporary.name)
        self._file = self.folder / "events.jsonl"
        self._file.touch()
        self._seen = 0  # bytes
        given = {"offset.storage.file.filename": str(offsets or self.folder / "offsets"), **properties}
        (self.folder / "properties.json").write_text(json.dumps(given))
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

    @property
    def ended(self) -> int | None:
        """The exit code, when it has one."""
        return self._process.poll()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def log_end(self) -> str:
        lines = [line[:300] for line in self.log.splitlines() if not line.startswith("\tat ")]
        return "\n".join(lines[-30:])

    @property
    def trace(self) -> str:
        """The last error that it logged, and by what that was caused."""
        errors = [entry for entry in _STAMP.split(self.log) if "[ERROR]" in entry.partition("\n")[0]]
        return errors[-1].partition(" - ")[2].strip() if errors else self.log_end

    def records(self) -> list[dict[str, object]]:
        """What has come since the last call."""
        with self._file.open("rb") as file:
            file.seek(self._seen)
            lines = file.read()
        complete = lines[: lines.rfind(b"\n") + 1]
        self._seen += len(complete)
        return [json.loads(line) for line in complete.splitlines()]

    def stop(self) -> bool:
        """Stops it as an operator would; False when it did not within STOP seconds, and was killed."""
        self._process.stdin.close()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """Ends it without letting it save or say anything, as a power cut does."""
        self._process.kill()
        self._process.wait()

    def clean_up(self) -> None:
        self._temporary.cleanup()
