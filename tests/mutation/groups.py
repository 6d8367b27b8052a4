# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out which mutants of many are noticed, in a few whole runs of the tests instead of one run for each mutant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .mutant import Mutant
from .workspace import Outcome

# Run tests with all of these mutants at once.
RunTogether = Callable[[list[Mutant], list[str]], Outcome]
# Run the tests of each mutant alone until one fails, and return the outcomes.
RunEach = Callable[[list[tuple[Mutant, list[str]]]], list[Outcome]]


@dataclass(frozen=True)
class Search:
    """What runs the tests, and which tests can notice which mutant."""

    tests_of: dict[str, set[str]]
    together: RunTogether
    each: RunEach

    def killed(self, mutants: list[Mutant]) -> dict[str, str]:
        """Return the test that notices a mutant, by the mutant's id, for all that are noticed."""
        killers: dict[str, str] = {}
        for group in partition(mutants):
            killers |= self._killed_of(group)
        return killers

    def _killed_of(self, group: list[Mutant]) -> dict[str, str]:
        killers: dict[str, str] = {}
        left = group
        while left:
            tests = sorted(set().union(*(self.tests_of[mutant.id] for mutant in left)))
            if not tests:
                break
            outcome = self.together(left, tests)
            if outcome.broken:
                return killers | self._split(left, "the tests cannot start")
            if not outcome.failed:
                break
            found = self._blame(left, outcome.failed)
            if not found:
                # Either the mutants do this only together, or the test fails now and then by itself.
                again = self.together(left, outcome.failed)
                if not again.failed and not again.broken:
                    break
                return killers | self._split(left, (again.failed or outcome.failed)[0])
            killers |= found
            # What passed may have passed because of a mutant that is out now, so all that is left is tried again.
            left = [mutant for mutant in left if mutant.id not in found]
        return killers

    def _blame(self, group: list[Mutant], failed: list[str]) -> dict[str, str]:
        """Return which mutants are noticed by the tests that failed, each tried alone."""
        suspects = [
            (mutant, tests)
            for mutant in group
            if (tests := [test for test in failed if test in self.tests_of[mutant.id]])
        ]
        outcomes = self.each(suspects)
        return {
            mutant.id: killer_of(outcome)
            for (mutant, _tests), outcome in zip(suspects, outcomes, strict=True)
            if outcome.failed or outcome.broken
        }

    def _split(self, group: list[Mutant], killer: str) -> dict[str, str]:
        if len(group) == 1:
            return {group[0].id: killer}
        middle = len(group) // 2
        return self._killed_of(group[:middle]) | self._killed_of(group[middle:])


def killer_of(outcome: Outcome) -> str:
    return outcome.failed[0] if outcome.failed else "the tests cannot start"


def partition(mutants: list[Mutant]) -> list[list[Mutant]]:
    """Return groups in which no two mutants are in one scope, where one could hide the other."""
    groups: list[list[Mutant]] = []
    for mutant in mutants:
        for group in groups:
            if all(mutant.scope != other.scope for other in group):
                group.append(mutant)
                break
        else:
            groups.append([mutant])
    return groups
