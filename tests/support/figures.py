# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures that tests measure, and the page docs/robustness.md that tells them: nothing in its tables is written by hand.

A test counts what it tried and what came out badly, with the fixture of tests/robustness/conftest.py:

    figures.add("cuts", 40)
    figures.add("half_applied", len(half_applied))
    figures.longest("application_wait", 0.21)

FIGURES says what each means. Those of passed tests are put together at the end of a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "robustness.md"

# Of a pytest report's user_properties.
PROPERTY = "figure"


def count(number: float) -> str:
    return f"{number:,.0f}"


def seconds(number: float) -> str:
    return f"{number:.2f} s"


@dataclass(frozen=True)
class Figure:
    """What a number means.

    merge: makes one of those of all tests: sum or max
    show: writes it
    """

    meaning: str
    merge: Callable[[Iterable[float]], float] = sum
    show: Callable[[float], str] = count


@dataclass(frozen=True)
class Section:
    """A promise, what shows that it is kept, and the figures of it."""

    title: str
    promise: str
    figures: dict[str, Figure]


SECTIONS = [
    Section(
        "Nothing half applied",
        "Cut off at any message, a task has done all of its work or none of it; run again, it does the rest.",
        {
            "cuts": Figure("runs that were cut off"),
            "half_applied": Figure("found half applied afterwards"),
            "untrue": Figure("whose result was not true of what was found"),
            "not_converged": Figure("that another run did not finish"),
            "lost_commits": Figure("answers to COMMIT that were lost, and resolved by looking again"),
        },
    ),
    Section(
        "The application never waits",
        "Who finds an object locked gives up within `lock_timeout`, names who holds it, and leaves no queue behind.",
        {
            "blocked_runs": Figure("runs that met a lock"),
            "application_statements": Figure("statements of an application meanwhile"),
            "application_wait": Figure("the longest that one of them took, with a `lock_timeout` of 1 s", max, seconds),
        },
    ),
    Section(
        "Many at once",
        "Runs at the same time all succeed, and one of them makes each change.",
        {
            "runs_one_database": Figure("runs at once on one database"),
            "runs_one_server": Figure("runs at once on as many databases of one server"),
            "runs_failed": Figure("that failed"),
            "changes_twice": Figure("changes made by more than one"),
        },
    ),
    Section(
        "A server that wakes up",
        "What passes is waited for within `connect_timeout`; a refusal that stands is not tried again.",
        {
            "passing_refusals": Figure("refusals that passed, and were waited for"),
            "standing_refusals": Figure("refusals that stand"),
            "repeated_refusals": Figure("of these tried more than once"),
        },
    ),
    Section(
        "Secrets",
        "No password and no connection string leaves the process, but towards the server.",
        {
            "searched": Figure("outputs, logs, process lists and files that were searched"),
            "leaks": Figure("secrets found"),
        },
    ),
    Section(
        "Hostile databases",
        "Nothing that somebody put into a database runs with the administrator's rights, and no name does harm.",
        {
            "attacks": Figure("traps laid"),
            "attacks_sprung": Figure("that went off"),
            "fuzzed": Figure("inputs made up by hypothesis"),
            "fuzzed_wrong": Figure("that came back different"),
        },
    ),
    Section(
        "TLS",
        "Who cannot prove to be the server gets no password.",
        {
            "certificates": Figure("ways to connect that were tried"),
            "certificates_bad": Figure("that had to be refused"),
            "certificates_wrong": Figure("decided wrongly"),
        },
    ),
    Section(
        "Life after set-up",
        "A password is changed, and what somebody changed by hand is found and mended, without a connector locked out for good.",
        {
            "rotations_cut": Figure("rotations that were cut off"),
            "rotations_lost": Figure("after which no known password logged in"),
            "drifts": Figure("changes by hand that were made"),
            "drifts_missed": Figure("that were not told"),
            "scripts": Figure("scripts for a DBA that were run by psql"),
            "scripts_incomplete": Figure("after which the role found something to change"),
        },
    ),
]

INTRODUCTION = """\
# What was tried to break it

<!-- Written by `make robustness FULL=1`. Do not edit: change tests/support/figures.py or the tests. -->

The collection runs with an administrator's rights on production databases. What it promises is tried on real servers, by
`make robustness FULL=1`, which writes this page from what it counted; tests that fail write nothing.
"""


class Figures:
    """The figures of one test."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def add(self, name: str, number: float) -> None:
        """Counts towards the figure of that name."""
        self._record(name, number, sum)

    def longest(self, name: str, number: float) -> None:
        """Is the figure of that name, unless another test has a larger number."""
        self._record(name, number, max)

    def _record(self, name: str, number: float, merge: Callable[[Iterable[float]], float]) -> None:
        if declared()[name].merge is not merge:
            raise ValueError(f"{name} is not put together by {merge.__name__}")
        self._properties.append((PROPERTY, [name, number]))


def declared() -> dict[str, Figure]:
    return {name: figure for section in SECTIONS for name, figure in section.figures.items()}


class Collector:
    """The figures of a run."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[float]] = defaultdict(list)

    def collect(self, properties: Iterable[tuple[str, object]]) -> None:
        for key, value in properties:
            if key == PROPERTY:
                name, number = value
                self._numbers[name].append(number)

    @property
    def lacking(self) -> list[str]:
        return [name for name in declared() if name not in self._numbers]

    def lines(self) -> list[str]:
        return [
            f"{figure.meaning}: {self._shown(name, figure)}"
            for name, figure in declared().items()
            if name in self._numbers
        ]

    def page(self, versions: str) -> str:
        parts = [INTRODUCTION, f"The figures below are of one run on {versions}.\n"]
        for section in SECTIONS:
            parts.append(f"## {section.title}\n\n{section.promise}\n\n| what | figure |\n| --- | ---: |")
            parts.extend(
                f"| {figure.meaning} | {self._shown(name, figure)} |" for name, figure in section.figures.items()
            )
            parts.append("")
        return "\n".join(parts).rstrip() + "\n"

    def _shown(self, name: str, figure: Figure) -> str:
        return figure.show(figure.merge(self._numbers[name]))
