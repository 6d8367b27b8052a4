# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plots of the page: SVG that differs only where the numbers do."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .contenders import CONTENDERS, ROLE
from .page import growth, line
from .results import Cell, Results, milliseconds

STYLE = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}


def draw(results: Results, folder: Path) -> None:
    with pyplot.rc_context(STYLE):
        _unchanged(results, folder / "unchanged.svg")
        _growth(results, folder / "growth.svg")


def _unchanged(results: Results, file: Path) -> None:
    plan = results.plan
    figure, both = pyplot.subplots(1, len(plan.round_trips), figsize=(9, 3.5), sharey=True, layout="constrained")
    contenders = [contender.name for contender in CONTENDERS if contender.repeatable]
    width = 0.8 / len(contenders)
    for axes, round_trip in zip(both, plan.round_trips, strict=True):
        for number, contender in enumerate(contenders):
            cells = [Cell("comparison", 1, size, round_trip, contender, True) for size in plan.sizes]
            seconds = [results.seconds(cell) for cell in cells]
            places = [place + (number - 1) * width for place in range(len(cells))]
            bars = axes.bar(places, [value or 0 for value in seconds], width, label=contender)
            axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in seconds], fontsize=7)
        axes.set_xticks(range(len(plan.sizes)), [str(size).replace(" of ", "\nof ") for size in plan.sizes])
        axes.set_title(f"{milliseconds(round_trip)} to the server")
        if any(value for bars in axes.containers for value in bars.datavalues):
            axes.set_yscale("log")
    both[0].set_ylabel("seconds for an unchanged run")
    both[0].legend()
    _save(figure, file)


def _growth(results: Results, file: Path) -> None:
    figure, (time, memory) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for again, label in ((False, "first run"), (True, "unchanged")):
        points = growth(results, again)
        time.plot(
            [tables for tables, _median in points], [median.seconds for _tables, median in points], "o", label=label
        )
        fit = line(points)
        if fit:
            ends = [points[0][0], points[-1][0]]
            time.plot(ends, [fit.at(tables) for tables in ends], "--", color="grey", linewidth=1)
        if points:
            _memory(memory, points, label)
    time.set(xlabel="tables", ylabel="seconds", title=ROLE.name)
    memory.set(xlabel="tables", ylabel="MiB", title="memory of the largest process")
    for axes in (time, memory):
        axes.set_ylim(bottom=0)
        if axes.has_data():
            axes.legend()
    _save(figure, file)


def _memory(axes: Axes, points: list, label: str) -> None:
    tables = [number for number, _median in points]
    axes.plot(tables, [median.memory / 2**20 for _tables, median in points], "o-", label=f"ansible-playbook, {label}")
    axes.plot(tables, [median.server_memory / 2**20 for _tables, median in points], "s--", label=f"server, {label}")


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
