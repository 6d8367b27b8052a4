# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs all contenders side by side, and writes docs/benchmarks from what was measured: `make bench`.

With QUICK=1 it is done in a few minutes, with the small cells only, and writes to .cache/benchmarks instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from .contenders import CONTENDERS, ORDINARY, PEER, PSQL, ROLE, Playbook, Psql, Task, sent_by
from .results import Cell, Plan, Results
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

ENOUGH = 20  # seconds of runs of one contender in one cell, after which it is not repeated
TIMEOUT = 180  # seconds
PEER_MOST = 10  # databases


class Bench:
    """What is on, and what was measured so far."""

    def __init__(self, plan: Plan, it: Stage, folder: Path) -> None:
        self.results = Results(plan, it.version)
        self._plan = plan
        self._stage = it
        self._folder = folder
        self._began = time.monotonic()

    def run(self) -> Results:
        self._compare_states()
        for size in self._plan.sizes:
            self._learn_statements(size)
            for round_trip in self._plan.round_trips:
                self._measure(CONTENDERS, size, round_trip)
        for databases in self._plan.inventories:
            if databases > PEER_MOST:
                self.results.left_out.append(
                    f"{PEER.name} on {databases} databases: it takes too long, and {PEER_MOST} tell."
                )
            self._measure(
                [ROLE, PEER] if databases <= PEER_MOST else [ROLE], SMALL, 0, databases=databases, part="inventory"
            )
        for size in self._plan.growth:
            self._measure([ROLE], size, 0, part="growth")
            self._stage.forget(size)
        return self.results

    def _compare_states(self) -> None:
        """What the role would still change after the peer, and what the peer changes again. It also warms everything up."""
        with self._stage.databases(SMALL) as databases, self._stage.network(0) as network:
            task = Task(databases, SMALL, network, self._folder, TIMEOUT, verbose=True)
            first, again, role = (contender.run(task) for contender in (PEER, PEER, ROLE))
            ORDINARY.run(task)
            for run in (first, again, role):
                if run.failure:
                    raise SystemExit(f"The contenders cannot be compared: {run.failure}\n{run.output}")
            self.results.repeated_by_peer = [name for name, _queries in again.changed]
            self.results.left_by_peer = role.changed

    def _learn_statements(self, size: Size) -> None:
        with self._stage.databases(size) as databases, self._stage.network(0) as network:
            run = ROLE.run(Task(databases, size, network, self._folder, TIMEOUT, verbose=True))
        if run.failure:
            self.results.left_out.append(f"{PSQL.name} for {size}: the role, whose SQL it runs, fails: {run.failure}")
        else:
            PSQL.statements[size] = sent_by(run)

    def _measure(
        self,
        contenders: Iterable[Playbook | Psql],
        size: Size,
        round_trip: float,
        *,
        databases: int = 1,
        part: str = "comparison",
    ) -> None:
        """All contenders in turn, so that what else the machine does hits all of them alike."""
        spent: dict[str, float] = defaultdict(float)
        with self._stage.network(round_trip) as network:
            for _repetition in range(self._plan.repetitions):
                for contender in contenders:
                    if spent[contender.name] > ENOUGH or (contender is PSQL and size not in PSQL.statements):
                        continue
                    with self._stage.databases(size, databases) as made:
                        task = Task(made, size, network, self._folder, TIMEOUT, watch=part == "growth")
                        for again in (False, True)[: 1 + contender.repeatable]:
                            cell = Cell(part, databases, size, round_trip, contender.name, again)
                            run = contender.run(task)
                            self.results.runs[cell].append(run)
                            spent[contender.name] += run.seconds
                            self._tell(cell, run.seconds, run.failure)
                            if run.failure:
                                spent[contender.name] = ENOUGH + 1
                                break
                            for database in made:
                                tidy(database)

    def _tell(self, cell: Cell, seconds: float, failure: str | None) -> None:
        elapsed = time.monotonic() - self._began
        print(f"{elapsed:6.0f} s  {cell}: {failure or f'{seconds:.2f} s'}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and the small cells only")
    quick = parser.parse_args().quick
    target = ROOT / ".cache" / "benchmarks" if quick else ROOT / "docs" / "benchmarks"
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-bench-") as folder, stage() as it:
        results = Bench(QUICK if quick else FULL, it, Path(folder)).run()

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
