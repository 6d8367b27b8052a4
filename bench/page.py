# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page: everything in it is from one run."""

from __future__ import annotations

import json
import os
import platform
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

from .contenders import CONTENDERS, EMPTY, FORKS, ORDINARY, PEER, PSQL, ROLE
from .measure import Median
from .results import Cell, Results, milliseconds
from .stage import Size

HEAD = """\
<!-- Written by `make bench`: nothing in here is edited by hand. -->

# How fast it is

A new database is made ready to be captured, and then once more when nothing is left to do:

- **{role}**: the playbook `streamkap.neon.setup` with its look ahead and with all checks of readiness, in the controller's own
  process, as on any local connection.
- **{ordinary}**: the same with each module in a Python of its own, as on a bastion.
- **{peer}**: [`bench/peer.yml`](../../bench/peer.yml), the same state by general modules, as far as they reach; see below.
- **{psql}**: the SQL that the role sends to a new database, and nothing else: no look, no check.
- **{empty}**: what Ansible takes for an inventory and a play without a task.

{facts}

Each number is the median of its runs (column *runs*; fewer where a run is long). The contenders take turns, each first run on a
new copy of the same database. *CPU* is processor time of the client's processes, user and system: on a busy machine it is the
steadier measure. Everything goes through a proxy that delays and counts; *round trips* are those before a session is ready + those
after. Opening a TCP connection is not delayed. Each table is `(id bigint PRIMARY KEY, a text)`; all is done as the database's
owner, who is no superuser. The catalogs are vacuumed and analyzed between the runs, as autovacuum would.
"""

PEER_LEAVES_OUT = """\
`bench/peer.yml` has as few tasks as the modules allow. Its time is without what they have nothing for: the look ahead, the
[checks](../checks.md), the values for the connector's form, tables without a key and their replica identity, the default
privileges of owners other than the current role, a diff.
"""


def page(results: Results) -> str:
    names = {"role": ROLE, "ordinary": ORDINARY, "peer": PEER, "psql": PSQL, "empty": EMPTY}
    head = HEAD.format(facts=_facts(results), **{key: contender.name for key, contender in names.items()})
    parts = [
        head,
        "## Unchanged run\n",
        "![Seconds for an unchanged run](unchanged.svg)\n",
        _comparison(results, again=True),
        "## First run\n",
        _comparison(results, again=False),
        "## Where the time goes\n",
        _steps(results),
        "## Ratios\n",
        _ratios(results),
        "## Many databases\n",
        _inventories(results),
        "## Growth\n",
        _growth(results),
        "## What the peer leaves\n",
        _peer(results),
        "## Left out\n",
        _list(results.left_out) or "Nothing.\n",
    ]
    return "\n".join(parts)


@dataclass(frozen=True)
class Line:
    """A straight line through measured points.

    base: seconds for no table
    slope: seconds for each table
    deviation: of the points that are farthest from it, as a part of what was measured there
    """

    base: float
    slope: float
    deviation: float

    def at(self, tables: int) -> float:
        return self.base + self.slope * tables


def growth(results: Results, again: bool) -> list[tuple[int, Median]]:
    """Numbers of tables with what was measured, without what failed."""
    points = []
    for size in results.plan.growth:
        found = results.median(_growth_cell(size, again))
        if found and not found.failure:
            points.append((size.all_tables, found))
    return points


def line(points: list[tuple[int, Median]]) -> Line | None:
    """The straight line that has the smallest deviation; None when there are too few points to differ from a line."""
    if len(points) < 3:
        return None
    measured = [(tables, median.seconds) for tables, median in points]
    # No line comes closer to all points than the one that comes as close as can be to the three which are the hardest.
    return max((_line_between(*three) for three in combinations(measured, 3)), key=lambda line: line.deviation)


def _line_between(*points: tuple[int, float]) -> Line:
    """The line that is equally far, as a part of what was measured, below the middle one of three points and above the others, or the
    other way round."""
    (left, at_left), (middle, at_middle), (right, at_right) = points
    part = (middle - left) / (right - left)
    chord = at_left + part * (at_right - at_left)
    off = (at_middle - chord) / (at_middle + chord)
    ends = at_left * (1 + off), at_right * (1 + off)
    slope = (ends[1] - ends[0]) / (right - left)
    return Line(ends[0] - slope * left, slope, abs(off))


def _facts(results: Results) -> str:
    manifest = Path(sysconfig.get_path("purelib"), "ansible_collections", "community", "postgresql", "MANIFEST.json")
    peer = json.loads(manifest.read_text())["collection_info"]["version"]
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}; load {results.load:.1f} before it began)"
    )
    return (
        f"Measured on {results.began:%Y-%m-%d} on {machine}: Python {platform.python_version()}, "
        f"ansible-core {version('ansible-core')}, psycopg2 {version('psycopg2-binary')}, community.postgresql {peer}. "
        f"PostgreSQL {results.postgresql} runs on the same machine, without fsync and, where there is room, in memory."
    )


def _comparison(results: Results, again: bool) -> str:
    head = [
        "schemas",
        "tables of each",
        "round trip",
        "",
        "seconds",
        "CPU",
        "connections",
        "round trips",
        "changed tasks",
        "runs",
    ]
    rows = []
    for size in results.plan.sizes:
        for round_trip in results.plan.round_trips:
            for contender in CONTENDERS:
                cell = Cell("comparison", 1, size, round_trip, contender.name, again)
                start = [size.schemas, size.tables, milliseconds(round_trip), contender.name]
                if results.median(cell):
                    rows.append([*start, *_measured(results, cell)])
    return _table(head, rows)


def _measured(results: Results, cell: Cell) -> list[object]:
    median = results.median(cell)
    if median.failure:
        return [_short(median.failure), "", "", "", "", median.runs]
    counts = median.counts
    changed = len(results.runs[cell][0].changed) if cell.contender != PSQL.name else ""
    trips = f"{counts.handshakes} + {counts.queries}"
    return [f"{median.seconds:.2f}", f"{median.cpu:.2f}", counts.connections, trips, changed, median.runs]


def _steps(results: Results) -> str:
    sizes = [results.plan.sizes[0], results.plan.sizes[-1]]
    cells = {
        (size, again): Cell("comparison", 1, size, 0, ROLE.name, again) for size in sizes for again in (True, False)
    }
    found = {key: results.median(cell) for key, cell in cells.items()}
    found = {key: median for key, median in found.items() if median and not median.failure}
    steps = dict.fromkeys(step for median in found.values() for step in median.steps)
    head = ["", *(f"{size}, {'unchanged' if again else 'first'}" for size, again in found)]
    rows = [[step, *(f"{median.steps.get(step, 0):.2f}" for median in found.values())] for step in steps]
    rows.append(["all", *(f"{median.seconds:.2f}" for median in found.values())])
    return f"Seconds from the line that begins a task of {ROLE.name} to the next one, no delay.\n\n{_table(head, rows)}"


def _ratios(results: Results) -> str:
    head = ["schemas", "tables of each", "round trip"]
    head += ["unchanged: role / empty playbook", "unchanged: peer / role", "first: peer / role"]
    head += ["first: role beyond psql and empty playbook"]
    rows = []
    for size in results.plan.sizes:
        for round_trip in results.plan.round_trips:

            def seconds(
                contender: object, again: bool, size: Size = size, round_trip: float = round_trip
            ) -> float | None:
                return results.seconds(Cell("comparison", 1, size, round_trip, contender.name, again))

            first, bare = seconds(ROLE, False), [seconds(PSQL, False), seconds(EMPTY, False)]
            beyond = f"{first - sum(bare):.2f} s" if first and all(bare) else "-"
            rows.append(
                [
                    size.schemas,
                    size.tables,
                    milliseconds(round_trip),
                    _ratio(seconds(ROLE, True), seconds(EMPTY, False)),
                    _ratio(seconds(PEER, True), seconds(ROLE, True)),
                    _ratio(seconds(PEER, False), first),
                    beyond,
                ]
            )
    return _table(head, rows)


def _ratio(one: float | None, other: float | None) -> str:
    return f"{one / other:.1f}" if one and other else "-"


def _inventories(results: Results) -> str:
    size = results.plan.sizes[0]
    rows = []
    for databases in results.plan.inventories:
        for contender in (ROLE, PEER):
            cells = [Cell("inventory", databases, size, 0, contender.name, again) for again in (False, True)]
            for cell, kind in zip(cells, ("first", "unchanged"), strict=True):
                if results.median(cell):
                    each = results.seconds(cell)
                    row = [databases, contender.name, kind, *_measured(results, cell)]
                    rows.append([*row[:4], f"{each / databases:.2f}" if each else "", *row[4:]])
    head = ["databases", "", "run", "seconds", "for each", "CPU", "connections", "round trips", "changed tasks", "runs"]
    text = f"Databases of one server, each a host of the inventory with {size}, {FORKS} forks (Ansible's default), no delay.\n\n"
    return text + _table(head, rows)


def _growth_cell(size: Size, again: bool) -> Cell:
    return Cell("growth", 1, size, 0, ROLE.name, again)


def _growth(results: Results) -> str:
    rows = []
    for size in results.plan.growth:
        for again, kind in ((False, "first"), (True, "unchanged")):
            median = results.median(_growth_cell(size, again))
            if median and median.failure:
                rows.append(
                    [f"{size.all_tables:,}", size.schemas, kind, _short(median.failure), "", "", "", median.runs]
                )
            elif median:
                memory = [
                    f"{number / 2**20:.0f} MiB" if number else "" for number in (median.memory, median.server_memory)
                ]
                numbers = [f"{median.seconds:.2f}", f"{median.cpu:.2f}"]
                rows.append([f"{size.all_tables:,}", size.schemas, kind, *numbers, *memory, median.runs])
    head = ["tables", "schemas", "run", "seconds", "CPU", "memory of ansible-playbook", "of the server", "runs"]
    parts = [
        f"{ROLE.name}, no delay, `max_locks_per_transaction` as PostgreSQL comes (64). Memory is that of the largest process: resident for "
        "ansible-playbook; for the server, what a session has for itself.\n",
        "![Seconds and memory by number of tables](growth.svg)\n",
        _table(head, rows),
    ]
    for again, kind in ((False, "First run"), (True, "Unchanged run")):
        fit = line(growth(results, again))
        if fit:
            parts.append(
                f"{kind}: {fit.base:.2f} s, and {fit.slope * 1000:.3f} s for each thousand tables; no point is more than "
                f"{fit.deviation:.0%} off that line.\n"
            )
        else:
            parts.append(f"{kind}: too few sizes were done for a line.\n")
    return "\n".join(parts)


def _peer(results: Results) -> str:
    parts = [PEER_LEAVES_OUT]
    left = [f"{task.rpartition(' : ')[2]}: {_sql(queries)}" for task, queries in results.left_by_peer]
    parts.append(
        "Run after it, the role would still change:\n" if left else "Run after it, the role changes nothing.\n"
    )
    parts += [_list(left)] * bool(left)
    again = results.repeated_by_peer
    parts.append(
        "Its tasks that report a change on the second run too:\n" if again else "Its second run reports no change.\n"
    )
    parts += [_list(again)] * bool(again)
    return "\n".join(parts)


def _sql(queries: list[str]) -> str:
    return "; ".join(f"`{query if len(query) <= 200 else query[:200] + ' ...'}`" for query in queries)


def _short(failure: str) -> str:
    text = " ".join(failure.split()).replace("|", "\\|")
    return text if text.startswith(">") else f"fails: {text[:200]}"


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {item}\n" for item in items)


def _table(head: list[str], rows: list[list[object]]) -> str:
    """Numbers to the right, words to the left."""
    words = {"", "run"}
    lines = [head, ["---" if name in words else "---:" for name in head], *rows]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in lines)
