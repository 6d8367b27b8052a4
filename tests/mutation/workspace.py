# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private copy of the checkout, in which mutants are put and tests are run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import layers
from .mutant import Mutant, apply

# What takes long to fetch is shared; nothing writes to it.
SHARED = ("postgresql", "prism")
# Seconds that a test may take beyond five times what it took: it may be the one that starts the server.
PATIENCE = 60
# Seconds until the first test starts, or the process ends after the last one.
PATIENCE_AROUND = 180
# Seconds for fixtures to clean up before the processes are killed.
PATIENCE_AT_END = 20


@dataclass
class Outcome:
    """What became of the tests of one run.

    failed: those that failed, or ran for too long
    hung: those of them that ran for too long
    finished: all that ended by themselves
    broken: the end of pytest's output, where it came to no result
    """

    failed: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    broken: str = ""


class Workspace:
    """The copy; it is created again from the files that git tracks, or would track."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._clock = 0
        shutil.rmtree(folder, ignore_errors=True)
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listing.split("\0")):
            source, target = root / name, folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        (folder / ".cache").mkdir()
        for name in SHARED:
            if (root / ".cache" / name).exists():
                (folder / ".cache" / name).symlink_to(root / ".cache" / name)

    @contextlib.contextmanager
    def with_mutants(self, mutants: Iterable[Mutant]) -> Iterator[None]:
        by_path = defaultdict(list)
        for mutant in mutants:
            by_path[mutant.path].append(mutant)
        try:
            for path, group in by_path.items():
                self._write(path, apply((self._root / path).read_bytes(), group))
            yield
        finally:
            for path in by_path:
                self._write(path, (self._root / path).read_bytes())

    def _write(self, path: str, content: bytes) -> None:
        """Write a file with a time of its own: Python takes compiled code of the same second and size for that of the file."""
        file = self._folder / path
        file.write_bytes(content)
        self._clock += 2
        moment = time.time() + self._clock
        os.utime(file, (moment, moment))

    def run(
        self,
        tests: list[str],
        seconds: dict[str, float],
        *,
        stop: bool,
        workers: int = 0,
        python: str = sys.executable,
    ) -> Outcome:
        """Run these tests.

        seconds: how long each takes without mutants
        stop: at the first that fails
        workers: how many run at a time
        """
        outcome = Outcome()
        left = list(tests)
        while left:
            part = self._run_once(left, seconds, stop, workers, python)
            outcome.failed += part.failed
            outcome.hung += part.hung
            outcome.finished += part.finished
            outcome.broken = part.broken
            if part.broken or not part.hung or (stop and part.failed):
                break
            # One that hangs takes the others of its run with it.
            done = {*part.finished, *part.hung}
            left = [test for test in left if test not in done]
        return outcome

    def _run_once(self, tests: list[str], seconds: dict[str, float], stop: bool, workers: int, python: str) -> Outcome:
        chosen, outcomes, output = (self._folder / ".cache" / name for name in ("chosen", "outcomes", "output"))
        chosen.write_text(json.dumps(tests))
        outcomes.write_text("")
        files = sorted({test.partition("::")[0] for test in tests})
        command = [
            python,
            "-m",
            "pytest",
            *files,
            layers.ALL_TESTS,
            "-p",
            "mutation.chosen_tests",
            "-p",
            "no:cacheprovider",
        ]
        command += ["--chosen", str(chosen), "--outcomes", str(outcomes), "-q", "--tb=line"]
        command += ["-x"] * stop + (["-n", str(workers), "--dist", "loadgroup"] if workers else [])
        with output.open("w") as stream:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=layers.environment(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                watch = _Watch(outcomes, seconds)
                while process.poll() is None and not watch.late:
                    time.sleep(0.2)
                    watch.look()
            finally:
                _end(process)
        watch.look()
        outcome = Outcome(watch.failed, watch.hung, watch.finished)
        outcome.failed += [test for test in watch.hung if test not in watch.failed]
        if not outcome.failed and (watch.late or process.returncode not in (0, 5)):
            outcome.broken = output.read_text(errors="replace")[-2000:] or "no output"
        return outcome


class _Watch:
    """Follow the file of outcomes, and notice what takes too long."""

    def __init__(self, file: Path, seconds: dict[str, float]) -> None:
        self._file = file
        self._seconds = seconds
        self._offset = 0
        self._running: dict[str, float] = {}
        self._last = time.monotonic()
        self.failed: list[str] = []
        self.finished: list[str] = []

    def look(self) -> None:
        with self._file.open() as file:
            file.seek(self._offset)
            for line in iter(file.readline, ""):
                if not line.endswith("\n"):
                    break
                self._offset += len(line.encode())
                self._note(**json.loads(line))

    def _note(self, event: str, test: str) -> None:
        self._last = time.monotonic()
        if event == "started":
            self._running[test] = self._last
        elif event == "failed" and test not in self.failed:
            self.failed.append(test)
        elif event == "finished":
            self._running.pop(test, None)
            self.finished.append(test)

    @property
    def hung(self) -> list[str]:
        now = time.monotonic()
        return [
            test for test, since in self._running.items() if now - since > PATIENCE + 5 * self._seconds.get(test, 60)
        ]

    @property
    def late(self) -> bool:
        idle = not self._running and time.monotonic() - self._last > PATIENCE_AROUND
        return bool(self.hung) or idle


def _end(process: subprocess.Popen) -> None:
    """End the run's own processes; what tests have started in sessions of their own ends with them."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE_AT_END)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
