# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page docs/mutation_testing.md: what a sample has shown."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

from .layers import FULL, LAYERS, QUICK
from .mutant import Mutant, apply
from .runner import KILLED, SURVIVED, Results

VERDICTS = Path(__file__).with_name("verdicts.yml")
INTRODUCTION = """\
# Mutation testing

<!-- Written by `make mutants`. Do not edit: change tests/mutation/report.py, or tests/mutation/verdicts.yml. -->

A mutant is the collection with one small fault: a comparison turned round, a condition that always holds, a statement or a task
left out. A test that fails with it kills it. This page compares the quick selection, which is `make test`, with all tests, which is
`make test-all`, on mutants drawn at random.
"""
METHOD = """\
## Method

- `make mutants N={number} SEED={seed}` repeats this run. An interrupted run continues where it stopped.
- The mutants are those of `plugins/` and of the tasks, defaults and variables of `roles/` and `playbooks/`. At least 15 of 100 are YAML.
  Strings, SQL among them, documentation and templates are not changed.
- One run of the quick selection under coverage.py records which tests run which lines and tasks. A mutant is tried with those only;
  a test on another version of PostgreSQL is taken to run the same lines.
- Each mutant is tried alone with its nearest tests first. Those that are left are put together, at most one in a function or a file, and
  all remaining tests are run; a test that fails is run again with each mutant alone.
- The layers are {layers}. Debezium, Molecule, the matrix and lint take too long for single mutants and are not included: what
  only they find counts as surviving.
"""


@dataclass
class Count:
    mutants: int = 0
    quick: int = 0
    full: int = 0
    surviving: int = 0

    def add(self, other: Count) -> None:
        self.mutants += other.mutants
        self.quick += other.quick
        self.full += other.full
        self.surviving += other.surviving


def page(root: Path, mutants: list[Mutant], results: Results, number: int, seed: int) -> str:
    """Return the text of the page."""
    verdicts = yaml.safe_load(VERDICTS.read_text()) or {}
    tried = [mutant for mutant in mutants if _is_decided(mutant, results)]
    missed = [mutant for mutant in tried if results.verdict(mutant, FULL) == KILLED]
    surviving = [mutant for mutant in tried if results.verdict(mutant, FULL) == SURVIVED]
    undecided = [mutant for mutant in mutants if not _is_decided(mutant, results)]
    killed = len(tried) - len(surviving)
    share = 100 * len(missed) / killed if killed else 0
    parts = [
        INTRODUCTION,
        "## Result\n",
        f"Of {killed} mutants that all tests kill, the quick selection misses {len(missed)}: {share:.1f} in 100 (at most 2).\n",
        f"The seed is {seed}, the collection that of commit {_commit(root)}. Of {number} mutants asked for, {len(tried)} were tried to"
        " the end.\n",
        _table("kind", _counts(tried, results, lambda mutant: mutant.kind)),
        _table("package", _counts(tried, results, lambda mutant: mutant.package)),
        "## Killed by all tests only\n",
        _list(root, missed, verdicts, {mutant.id: results.get(mutant, FULL).by for mutant in missed}),
        "## Survivors\n",
        _list(root, surviving, verdicts, {}),
        "## Undecided\n",
        "They survived the tests that were tried alone. Other tests may kill them.\n",
        _list(root, undecided, verdicts, {}),
        METHOD.format(number=number, seed=seed, layers=", ".join(LAYERS)),
    ]
    return "\n".join(parts)


def _commit(root: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _is_decided(mutant: Mutant, results: Results) -> bool:
    return results.verdict(mutant, QUICK) == KILLED or results.verdict(mutant, FULL) in (KILLED, SURVIVED)


def _counts(mutants: list[Mutant], results: Results, key: object) -> dict[str, Count]:
    counts: dict[str, Count] = defaultdict(Count)
    for mutant in mutants:
        by_quick = results.verdict(mutant, QUICK) == KILLED
        by_full = by_quick or results.verdict(mutant, FULL) == KILLED
        counts[key(mutant)].add(Count(1, by_quick, by_full, not by_full))
    return dict(sorted(counts.items()))


def _table(title: str, counts: dict[str, Count]) -> str:
    total = Count()
    for count in counts.values():
        total.add(count)
    lines = [
        f"| {title} | mutants | killed by quick | killed by all | surviving |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, count in [*counts.items(), ("all", total)]:
        lines.append(f"| {name} | {count.mutants} | {count.quick} | {count.full} | {count.surviving} |")
    return "\n".join(lines) + "\n"


def _list(root: Path, mutants: list[Mutant], verdicts: dict[str, str], killers: dict[str, str]) -> str:
    if not mutants:
        return "None.\n"
    lines = ["| mutant | original | mutated | verdict |", "| --- | --- | --- | --- |"]
    for mutant in mutants:
        original, mutated = shown(root, mutant)
        by = f"killed by `{_cell(killers[mutant.id])}`. " if mutant.id in killers else ""
        verdict = by + str(verdicts.get(mutant.id, "" if by else "open"))
        lines.append(f"| {_cell(mutant.id)} | {_code(original)} | {_code(mutated)} | {verdict.strip()} |")
    return "\n".join(lines) + "\n"


def shown(root: Path, mutant: Mutant) -> tuple[str, str]:
    """Return the lines that the mutant changes, as they are and as they become."""
    source = (root / mutant.path).read_bytes()
    start = source.rfind(b"\n", 0, mutant.start) + 1
    end = source.find(b"\n", max(mutant.end, mutant.start + 1))
    end = len(source) if end < 0 else end
    growth = len(apply(source, [mutant])) - len(source)
    return source[start:end].decode(), apply(source, [mutant])[start : end + growth].decode()


def _code(text: str) -> str:
    short = " ".join(text.split())
    return f"`` {_cell(short if len(short) <= 140 else short[:137] + '...')} ``"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
