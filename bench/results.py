# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be measured, and what was."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .measure import Median, Run, median_of
from .stage import Size


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    round_trips: seconds
    inventories: numbers of databases
    growth: sizes for the role alone
    repetitions: at most, of a contender in a cell
    """

    sizes: list[Size]
    round_trips: list[float]
    inventories: list[int]
    growth: list[Size]
    repetitions: int


@dataclass(frozen=True)
class Cell:
    """What is measured several times.

    part: of the page: comparison, inventory or growth
    databases: in the inventory
    round_trip: seconds
    again: whether the contender has run on these databases before
    """

    part: str
    databases: int
    size: Size
    round_trip: float
    contender: str
    again: bool

    def __str__(self) -> str:
        databases = f"{self.databases} databases of " * (self.databases > 1)
        run = "unchanged" if self.again else "first run"
        return f"{databases}{self.size}, {milliseconds(self.round_trip)}, {self.contender}, {run}"


@dataclass
class Results:
    """All that the page tells."""

    plan: Plan
    postgresql: str
    runs: dict[Cell, list[Run]] = field(default_factory=lambda: defaultdict(list))
    repeated_by_peer: list[str] = field(default_factory=list)
    left_by_peer: list[tuple[str, list[str]]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def median(self, cell: Cell) -> Median | None:
        """None when the cell was left out."""
        return median_of(self.runs[cell]) if self.runs.get(cell) else None

    def seconds(self, cell: Cell) -> float | None:
        """None as well when it failed."""
        found = self.median(cell)
        return found.seconds if found and not found.failure else None


def milliseconds(round_trip: float) -> str:
    return f"{round_trip * 1000:.0f} ms"
