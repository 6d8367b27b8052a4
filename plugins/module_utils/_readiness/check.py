# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What a check is, and how its verdict is written.

A check is a pure function from what was seen to an outcome. It is declared in the file of its area, with an id that never
changes, a severity, and a title that holds when it passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable

from .._text import printable

# Without what a critical check asks for nothing is captured, or not all; or the application's own statements fail.
CRITICAL = "critical"
# Capturing works, and something may break it, or make it incomplete, later.
WARNING = "warning"
# Nothing is wrong, and somebody may want to know.
INFO = "info"

# In a statement, where the password belongs: a variable of psql's, and to everybody else a mistake that does no harm.
PASSWORD = ":'password'"
PASSWORD_NOTE = "In the statement :'password' stands for the password; psql puts it there, quoted, with -v password=..."

PASS = "pass"
FAIL = "fail"
SKIPPED = "skipped"


class SettingUnknown(Exception):
    """Why it is not known what holds for the connector's user."""


@dataclass(frozen=True)
class Outcome:
    """The verdict of one check.

    :param found: what was found, a sentence; None when the check was skipped.
    :param reason: why it was skipped.
    :param objects: the names that it is about.
    :param remedy: what to do, a sentence or two.
    :param sql: the statements that do it, for an administrator, in order.
    :param task: an Ansible task that does it: {module: options}.
    """

    status: str
    found: str | None = None
    reason: str | None = None
    objects: tuple[str, ...] = ()
    remedy: str | None = None
    sql: tuple[str, ...] = ()
    task: dict[str, dict[str, Any]] | None = None


def passed(found: str) -> Outcome:
    return Outcome(PASS, found=found)


def failed(
    found: str,
    remedy: str,
    sql: Iterable[str] = (),
    task: dict[str, dict[str, Any]] | None = None,
    objects: Iterable[object] = (),
) -> Outcome:
    return Outcome(
        FAIL, found=found, remedy=remedy, sql=tuple(sql), task=task, objects=tuple(str(name) for name in objects)
    )


def skipped(reason: str) -> Outcome:
    return Outcome(SKIPPED, reason=reason)


@dataclass(frozen=True)
class Check:
    """One check.

    :param id: words, stable for ever: reports and alerts lean on it.
    :param title: a sentence that holds when the check passes.
    :param needs: checks that have to pass before this one can tell anything.
    :param source: where the rule comes from.
    :param judge: the check itself.
    """

    id: str
    area: str
    severity: str
    title: str
    needs: tuple[str, ...]
    source: str
    judge: Callable[[Any], Outcome] = field(repr=False)

    def run(self, subject: Any, outcome_of: Callable[[str], Outcome]) -> Outcome:
        """:param outcome_of: the outcome of another check, by its id."""
        for other in self.needs:
            outcome = outcome_of(other)
            if outcome.status == FAIL:
                return skipped("%s fails." % other)
            if outcome.status == SKIPPED:
                return outcome
        try:
            return self.judge(subject)
        except SettingUnknown as unknown:
            return skipped(str(unknown))

    def result(self, outcome: Outcome) -> dict[str, Any]:
        """As it stands in the result of the task. Plain types only."""
        return {
            "id": self.id,
            "area": self.area,
            "severity": self.severity,
            "title": self.title,
            "status": outcome.status,
            "found": outcome.found and printable(outcome.found),
            "reason": outcome.reason and printable(outcome.reason),
            "objects": list(outcome.objects),
            "remedy": outcome.remedy and printable(outcome.remedy),
            "sql": list(outcome.sql),
            "task": outcome.task,
        }


class Area:
    """The checks of one subject, in the order in which they are made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self, id: str, severity: str, title: str, needs: tuple[str, ...] = (), source: str = ""
    ) -> Callable[[Callable[[Any], Outcome]], Callable[[Any], Outcome]]:
        def declare(judge: Callable[[Any], Outcome]) -> Callable[[Any], Outcome]:
            self.checks.append(Check(id, self.name, severity, title, needs, source, judge))
            return judge

        return declare
