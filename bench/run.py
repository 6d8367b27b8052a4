# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs all contenders side by side, and writes docs/benchmarks from what was measured: `make bench`.

Everything is measured once; then, as long as there is time, again, for the medians. What there was no time for is named on the
page. MINUTES=60 gives more time. QUICK=1 does the small cells only, and writes to .cache/benchmarks instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from .contenders import CONTENDERS, ORDINARY, PEER, PSQL, ROLE, Playbook, Psql, Task, sent_by
from .measure import Run
from .results import Cell, Plan, Results, milliseconds
from .stage import Size, Stage, stage, tidy

ROOT = Path(__file__).resolve().parents[1]

SMALL = Size(1, 50)
FULL = Plan(
    sizes=[SMALL, Size(1, 100), Size(10, 100), Size(100, 100)],
    round_trips=[0, 0.03],
    inventories=[1, 10, 50],
    growth=[Size(tables // 50, 50) for tables in (1000, 5000, 10000, 25000, 50000)],
    repetitions=3,
)
QUICK = Plan(
    sizes=[SMALL, Size(1, 100)],
    round_trips=[0, 0.03],
    inventories=[1, 3],
    growth=[Size(tables // 50, 50) for tables in (500, 1000, 2000)],
    repetitions=2,
)

MINUTES, QUICK_MINUTES = 25, 5
ENOUGH = 60  # seconds of runs of one contender in one cell, after which it is not repeated
TIMEOUT, GROWTH_TIMEOUT = 240, 300  # seconds
PEER_MOST = 10  # databases


@dataclass(frozen=True)
class Trial:
    """Contenders that do the same in turn, so that what else the machine does hits all of them alike."""

    part: str
    size: Size
    contenders: list[Playbook | Psql]
    round_trip: float = 0
    databases: int = 1

    def __str__(self) -> str:
        databases = f"{self.databases} database{'s' * (self.databases > 1)} of "
        return f"{self.part}, {databases}{self.size}, {milliseconds(self.round_trip)}"

    def cell(self, contender: Playbook | Psql, again: bool) -> Cell:
        return Cell(self.part, self.databases, self.size, self.round_trip, contender.name, again)


class Bench:
    """What is to be done, and what was measured so far.

    minutes: after which nothing new is begun
    """

    def __init__(self, plan: Plan, it: Stage, folder: Path, minutes: float) -> None:
        self.results = Results(plan, it.version)
        self._plan = plan
        self._stage = it
        self._folder = folder
        self._minutes = minutes
        self._began = time.monotonic()
        self._spent: dict[Cell, float] = defaultdict(float)

    def run(self) -> Results:
        plan = self._plan
        comparison = [
            Trial("comparison", size, CONTENDERS, round_trip) for size in plan.sizes for round_trip in plan.round_trips
        ]
        growth = [Trial("growth", size, [ROLE]) for size in plan.growth]
        inventories = [
            Trial("inventory", plan.sizes[0], [ROLE, PEER] if databases <= PEER_MOST else [ROLE], databases=databases)
            for databases in plan.inventories
        ]
        self._compare_states()
        # What there is no time for is what takes longest.
        for trial in sorted(
            [*comparison, *inventories, *growth], key=lambda trial: trial.databases * trial.size.all_tables
        ):
            if self._is_time_left():
                self._measure(trial)
            else:
                self.results.left_out.append(f"{trial}: the {self._minutes:g} minutes were over.")
            if trial.part == "growth" and not self._is_repeated(trial):
                self._stage.forget(trial.size)
        for _repetition in range(1, plan.repetitions):
            for trial in [*comparison, *inventories, *filter(self._is_repeated, growth)]:
                if self._is_time_left():
                    self._measure(trial)
        if max(plan.inventories) > PEER_MOST:
            self.results.left_out.append(f"{PEER.name} on more than {PEER_MOST} databases: it takes too long.")
        return self.results

    def _is_repeated(self, trial: Trial) -> bool:
        """Whether no contender takes so long that once is enough."""
        return all(self._spent[trial.cell(contender, again=False)] < ENOUGH for contender in trial.contenders)

    def _compare_states(self) -> None:
        """What the role would still change after the peer, and what the peer changes again. It also warms everything up."""
        with self._stage.databases(SMALL) as databases, self._stage.network(0) as network:
            task = Task(databases, SMALL, network, self._folder, GROWTH_TIMEOUT, verbose=True)
            first, again, role = (contender.run(task) for contender in (PEER, PEER, ROLE))
            ORDINARY.run(task)
        for run in (first, again, role):
            if run.failure:
                raise SystemExit(f"The contenders cannot be compared: {run.failure}\n{run.output}")
        self.results.repeated_by_peer = [name for name, _queries in again.changed]
        self.results.left_by_peer = role.changed

    def _measure(self, trial: Trial) -> None:
        if PSQL in trial.contenders and trial.size not in PSQL.statements:
            self._learn_statements(trial.size)
        timeout = GROWTH_TIMEOUT if trial.part == "growth" else TIMEOUT * trial.databases
        with self._stage.network(trial.round_trip) as network:
            for contender in trial.contenders:
                first = trial.cell(contender, again=False)
                if self._spent[first] > ENOUGH or (contender is PSQL and not PSQL.statements[trial.size]):
                    continue
                with self._stage.databases(trial.size, trial.databases) as databases:
                    watch = trial.part == "growth"
                    task = Task(databases, trial.size, network, self._folder, timeout, watch)
                    for again in (False, True)[: 1 + contender.repeatable]:
                        run = contender.run(task)
                        self._keep(trial.cell(contender, again), run)
                        self._spent[first] += run.seconds
                        if run.failure:
                            self._spent[first] = ENOUGH + 1
                            break
                        for database in databases:
                            tidy(database)

    def _learn_statements(self, size: Size) -> None:
        with self._stage.databases(size) as databases, self._stage.network(0) as network:
            run = ROLE.run(Task(databases, size, network, self._folder, GROWTH_TIMEOUT, verbose=True))
        PSQL.statements[size] = [] if run.failure else sent_by(run)
        if run.failure:
            self.results.left_out.append(f"{PSQL.name}, {size}: the role, whose SQL it runs, fails: {run.failure}")

    def _keep(self, cell: Cell, run: Run) -> None:
        self.results.runs[cell].append(run)
        elapsed = time.monotonic() - self._began
        print(f"{elapsed:6.0f} s  {cell}: {run.failure or f'{run.seconds:.2f} s'}", file=sys.stderr, flush=True)

    def _is_time_left(self) -> bool:
        return time.monotonic() - self._began < self._minutes * 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and the small cells only")
    parser.add_argument(
        "--minutes", type=float, help=f"after which nothing new is begun; {MINUTES}, or {QUICK_MINUTES} with --quick"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    minutes = arguments.minutes or (QUICK_MINUTES if quick else MINUTES)
    target = ROOT / ".cache" / "benchmarks" if quick else ROOT / "docs" / "benchmarks"
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-bench-") as folder, stage() as it:
        results = Bench(QUICK if quick else FULL, it, Path(folder), minutes).run()

    # Not before: what is in this process's memory counts as its children's until they are other programs.
    from .page import page
    from .plots import draw

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    draw(results, target)
    (target / "README.md").write_text(page(results))
    print((target / "README.md").read_text())
    print(f"Written to {os.path.relpath(target, ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
