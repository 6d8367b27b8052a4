# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program once, and tells what that took."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from support.postgres import Server
from support.proxy import Counts, Proxy

LOOK_EVERY = 0.01  # seconds, at the server's processes

TASK_OR_RESULT = re.compile(
    r"^TASK \[(?P<task>.*)\] \*+$|^changed: \[.*?\](?: => (?:\(item=.*?\) => )?(?P<result>\{.*\}))?", re.M
)
A_TASK_BEGINS = re.compile(r"^TASK \[(?:.* : )?(?P<name>.*)\] \*+$")
THE_END_BEGINS = re.compile(r"^PLAY RECAP \*+$")
FAILED = re.compile(r'^(?:fatal|failed): .*?"msg": "(?P<msg>(?:[^"\\]|\\.)*)"', re.M)


@dataclass(frozen=True)
class Run:
    """One run of a program.

    seconds: from its start to its end
    cpu: seconds of processor time, of the program and of all that it started
    counts: of the network in front of the server
    memory: bytes that the largest of its processes had at most
    server_memory: bytes that the largest of the server's processes had at most for itself, 0 when nobody looked
    steps: the seconds of a playbook's tasks, and of what is before and after them
    failure: why it did not do what it should; None when it did
    """

    seconds: float
    cpu: float
    counts: Counts
    memory: int
    server_memory: int
    output: str
    steps: dict[str, float]
    failure: str | None = None

    @property
    def changed(self) -> list[tuple[str, list[str]]]:
        """The tasks that have changed something, with the SQL that a run with verbosity tells of."""
        changes: list[tuple[str, list[str]]] = []
        task = ""
        for found in TASK_OR_RESULT.finditer(self.output):
            if found["task"] is not None:
                task = found["task"]
                continue
            if not changes or changes[-1][0] != task:
                changes.append((task, []))
            changes[-1][1].extend(json.loads(found["result"] or "{}").get("queries", []))
        return changes


@dataclass(frozen=True)
class Median:
    """Of several runs of the same, each number's own."""

    runs: int
    seconds: float
    cpu: float
    counts: Counts
    memory: float
    server_memory: float
    steps: dict[str, float]
    failure: str | None


def median_of(runs: list[Run]) -> Median:
    """Of those that did not fail, if there are any."""
    good = [run for run in runs if not run.failure] or runs
    return Median(
        len(good),
        median(run.seconds for run in good),
        median(run.cpu for run in good),
        Counts(*(round(median(getattr(run.counts, name) for run in good)) for name in Counts.__dataclass_fields__)),
        median(run.memory for run in good),
        median(run.server_memory for run in good),
        {step: median(run.steps.get(step, 0) for run in good) for step in good[0].steps},
        good[0].failure,
    )


def measure(
    command: list[str], environment: dict[str, str], network: Proxy, timeout: float, watch: Server | None = None
) -> Run:
    """Runs a command and waits for it.

    timeout: seconds after which it is ended, which is a failure
    watch: the server whose processes' memory is looked at in the meantime
    """
    network.reset()
    with _largest_process_of(watch) as server_memory:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        too_long = threading.Timer(timeout, _end, (process.pid,))
        too_long.start()
        try:
            # It ends when nobody writes any more.
            lines = [(time.monotonic() - started, line) for line in process.stdout]
            # Unlike getrusage, this knows the memory of this one's processes only.
            _pid, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process.pid)
            raise
        finally:
            late = not too_long.is_alive()
            too_long.cancel()
            process.stdout.close()
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    text = "".join(line for _when, line in lines)
    return Run(
        seconds,
        usage.ru_utime + usage.ru_stime,
        network.counts,
        usage.ru_maxrss * 1024,
        max(server_memory, default=0),
        text,
        _steps(lines, seconds),
        f"> {timeout:.0f} s" if late else _why(text) if process.returncode else None,
    )


def _steps(lines: list[tuple[float, str]], seconds: float) -> dict[str, float]:
    begins = [("Ansible's start", 0.0)]
    for when, line in lines:
        if task := A_TASK_BEGINS.match(line):
            begins.append((task["name"], when))
        elif THE_END_BEGINS.match(line):
            begins.append(("Ansible's end", when))
    ends = [when for _step, when in begins[1:]] + [seconds]
    steps: dict[str, float] = defaultdict(float)
    for (step, when), end in zip(begins, ends, strict=True):
        steps[step] += end - when
    return dict(steps)


def _end(process: int) -> None:
    """Ends a process and all that it has started: Ansible's workers have sessions of their own, and would go on."""
    family = [process]
    for member in family:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            # They come and go.
            with contextlib.suppress(OSError):
                family += map(int, children.read_text().split())
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _why(text: str) -> str:
    found = FAILED.search(text)
    return json.loads(f'"{found["msg"]}"') if found else (text.strip().splitlines() or ["no output"])[-1]


@contextlib.contextmanager
def _largest_process_of(server: Server | None) -> Iterator[list[int]]:
    """Collects, as long as the `with` lasts, the memory of the server's sessions, without what all of them share."""
    seen: list[int] = []
    postmaster = server and server.folder.joinpath("data", "postmaster.pid").read_text().split()[0]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY):
            largest = 0
            for child in children.read_text().split():
                # They come and go.
                with contextlib.suppress(OSError, StopIteration):
                    status = Path("/proc", child, "status").read_text().splitlines()
                    line = next(line for line in status if line.startswith("RssAnon:"))
                    largest = max(largest, int(line.split()[1]) * 1024)
            seen[:] = [max([largest, *seen])]

    # There is no such file where the system is not Linux.
    looking = threading.Thread(target=look) if server and children.exists() else None
    if looking:
        looking.start()
    try:
        yield seen
    finally:
        done.set()
        if looking:
            looking.join()
