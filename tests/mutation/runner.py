# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try each mutant of a sample with the quick selection, and what that does not notice with all tests."""

from __future__ import annotations

import hashlib
import json
import queue
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .coverage_map import CoverageMap, in_order
from .groups import Search, killer_of
from .layers import FULL, QUICK
from .mutant import Mutant
from .node_ids import layer_of
from .workspace import Outcome, Workspace

KILLED, SURVIVED, OPEN = "killed", "survived", "open"


@dataclass(frozen=True)
class Result:
    """What a selection makes of a mutant.

    content: of the mutant's file when it was tried; the result is no result of another content
    verdict: killed, survived, or open where the tests that were tried alone did not notice it, and there are more
    by: the test that noticed it
    tests: how many can notice it
    """

    mutant: str
    content: str
    selection: str
    verdict: str
    by: str = ""
    tests: int = 0


class Results:
    """The results in a file, to which every one is added at once, so that an interrupted run goes on."""

    def __init__(self, file: Path, root: Path) -> None:
        self._file = file
        self._root = root
        self._results: dict[tuple[str, str], Result] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                result = Result(**json.loads(line))
                if result.content == self._content(result.mutant):
                    self._results[result.mutant, result.selection] = result

    def verdict(self, mutant: Mutant, selection: str) -> str:
        result = self.get(mutant, selection)
        return result.verdict if result else ""

    def get(self, mutant: Mutant, selection: str) -> Result | None:
        return self._results.get((mutant.id, selection))

    def add(self, mutant: Mutant, selection: str, verdict: str, by: str = "", tests: int = 0) -> None:
        result = Result(mutant.id, self._content(mutant.id), selection, verdict, by, tests)
        self._results[mutant.id, selection] = result
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def forget_survivors(self) -> None:
        """Have all that was not killed tried again, with tests that were added since."""
        kept = [result for result in self._results.values() if result.verdict == KILLED]
        self._results = {(result.mutant, result.selection): result for result in kept}
        self._file.write_text("".join(json.dumps(asdict(result)) + "\n" for result in kept))

    def _content(self, mutant: str) -> str:
        file = self._root / mutant.partition(":")[0]
        return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else ""


class Runner:
    """Tries mutants in as many workspaces as there are jobs.

    selections: the tests of each selection
    budget: seconds of tests, by their recorded durations, that a mutant is tried with alone
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        recorded: CoverageMap,
        selections: dict[str, set[str]],
        results: Results,
        jobs: int,
        budget: float,
    ) -> None:
        self._recorded = recorded
        self._selections = selections
        self._results = results
        self._jobs = jobs
        self._budget = budget
        self._workspaces: queue.Queue[Workspace] = queue.Queue()
        for number in range(jobs):
            self._workspaces.put(Workspace(root, folder / f"copy{number}"))

    def check(self, test: str) -> None:
        """Make sure that a copy without a mutant passes a test: else every mutant would count as killed."""
        outcome = self._run([], [test], stop=True)
        if outcome.failed or outcome.broken or not outcome.finished:
            raise RuntimeError(f"{test} does not pass in a copy without a mutant: {outcome}")

    def try_all(self, mutants: list[Mutant]) -> None:
        for selection in (QUICK, FULL):
            if selection == FULL:
                mutants = [mutant for mutant in mutants if self._results.verdict(mutant, QUICK) == SURVIVED]
            fresh = [mutant for mutant in mutants if not self._results.verdict(mutant, selection)]
            print(f"{selection}: {len(fresh)} mutants alone, each at most about {self._budget:.0f} s", flush=True)
            with ThreadPoolExecutor(self._jobs) as pool:
                for number, result in enumerate(pool.map(lambda mutant: self._try(mutant, selection), fresh), 1):  # noqa: B023
                    print(f"  {number}/{len(fresh)} {result}", flush=True)
            self._try_together(
                [mutant for mutant in mutants if self._results.verdict(mutant, selection) == OPEN], selection
            )

    def try_with(self, mutants: list[Mutant], chosen: dict[str, list[str]]) -> None:
        """Try each mutant with the tests whose ids begin as its chosen ones, or with all that can notice it if none are chosen.

        Only that one of them kills it is a result to keep: others may do so where these pass.
        """

        def try_one(mutant: Mutant) -> str:
            tests = [test for test in sorted(self._recorded.seconds) if test.startswith(tuple(chosen[mutant.id]))]
            if not chosen[mutant.id]:
                tests = in_order(
                    self._recorded.covering(mutant), self._recorded.nearest(mutant), self._recorded.seconds
                )
            outcome = self._alone(mutant, tests)
            if not outcome.failed and not outcome.broken:
                return f"{mutant.id}: {len(tests)} tests pass"
            by = killer_of(outcome)
            selection = QUICK if outcome.broken or by in self._selections[QUICK] else FULL
            self._results.add(mutant, selection, KILLED, by, len(self._recorded.covering(mutant)))
            return f"{mutant.id}: killed by {by}, which is in the {selection} selection"

        with ThreadPoolExecutor(self._jobs) as pool:
            for result in pool.map(try_one, mutants):
                print(result, flush=True)

    def _tests(self, mutant: Mutant, selection: str) -> tuple[list[str], list[str]]:
        """Return the tests of a selection that can notice the mutant: those to be tried alone, and the others."""
        covering = self._recorded.covering(mutant)
        tests = covering & self._selections[selection]
        if selection == FULL:
            # These have passed, or there would be no need for the others.
            tests -= self._selections[QUICK]
        ordered = in_order(tests, self._recorded.nearest(mutant), self._recorded.seconds)
        spent = 0.0
        for number, test in enumerate(ordered):
            spent += self._recorded.seconds[test]
            if spent > self._budget and number:
                return ordered[:number], ordered[number:]
        return ordered, []

    def _try(self, mutant: Mutant, selection: str) -> str:
        tests, others = self._tests(mutant, selection)
        outcome = self._alone(mutant, tests)
        by = ""
        if outcome.failed or outcome.broken:
            verdict, by = KILLED, killer_of(outcome)
            if outcome.broken:
                print(f"{mutant.id}: {outcome.broken[-500:]}", file=sys.stderr)
        else:
            verdict = OPEN if others else SURVIVED
        self._results.add(mutant, selection, verdict, by, len(tests) + len(others))
        return f"{mutant.id}: {verdict} {by or f'after {len(tests)} of {len(tests) + len(others)} tests'}"

    def _alone(self, mutant: Mutant, tests: list[str]) -> Outcome:
        """Run tests until one fails twice: some of those that measure time fail now and then by themselves."""
        left = tests
        while left:
            outcome = self._run([mutant], left, stop=True)
            if outcome.broken or outcome.hung or not outcome.failed:
                return outcome
            killer = outcome.failed[0]
            if layer_of(killer) == "unit" or self._run([mutant], [killer], stop=True).failed:
                return outcome
            print(f"  {mutant.id}: {killer} failed only once", flush=True)
            left = left[left.index(killer) + 1 :]
        return Outcome()

    def _try_together(self, mutants: list[Mutant], selection: str) -> None:
        if not mutants:
            return
        print(f"{selection}: {len(mutants)} mutants together", flush=True)
        tests_of = {mutant.id: set(self._tests(mutant, selection)[1]) for mutant in mutants}
        killers = Search(tests_of, self._together, self._each).killed(mutants)
        for mutant in mutants:
            by = killers.get(mutant.id, "")
            before = self._results.get(mutant, selection)
            self._results.add(mutant, selection, KILLED if by else SURVIVED, by, before.tests)
            print(f"  {mutant.id}: {self._results.verdict(mutant, selection)} {by}", flush=True)

    def _together(self, mutants: list[Mutant], tests: list[str]) -> Outcome:
        estimate = sum(self._recorded.seconds[test] for test in tests) / self._jobs / 60
        print(f"  {len(mutants)} mutants, {len(tests)} tests, about {estimate:.0f} min", flush=True)
        return self._run(mutants, tests, stop=False, workers=self._jobs)

    def _each(self, tries: list[tuple[Mutant, list[str]]]) -> list[Outcome]:
        with ThreadPoolExecutor(self._jobs) as pool:
            return list(pool.map(lambda one: self._alone(*one), tries))

    def _run(self, mutants: list[Mutant], tests: list[str], *, stop: bool, workers: int = 0) -> Outcome:
        workspace = self._workspaces.get()
        try:
            with workspace.with_mutants(mutants):
                return workspace.run(tests, self._recorded.seconds, stop=stop, workers=workers)
        finally:
            self._workspaces.put(workspace)
