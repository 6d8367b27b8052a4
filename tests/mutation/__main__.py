# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of the mutation run.

python -m mutation run --number 200 --seed 1      record first where nothing is recorded, try the sample, write the page
python -m mutation record                         record again which tests run which lines
python -m mutation list --number 200 --seed 1     show the sample
python -m mutation try --tests FILE               try mutants with tests that were chosen by reading the code; FILE is YAML,
                                                  lists of ids, or beginnings of ids, by the mutant's id
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from . import recorder, report
from .coverage_map import CoverageMap
from .layers import FULL, LAYERS, QUICK, collect
from .node_ids import layer_of
from .runner import Results, Runner
from .sample import all_mutants, draw

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "mutation"
MAP = FOLDER / "map.json"
PAGE = ROOT / "docs" / "mutation_testing.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Try small faults of the collection.")
    parser.add_argument("command", choices=["run", "record", "list", "report", "try"])
    parser.add_argument("--tests", type=Path, help="for try: the file")
    parser.add_argument("--number", type=int, default=200, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what decides which (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=120, help="seconds of tests alone (default: %(default)s)")
    parser.add_argument("--only", default="", help="mutants of paths that begin so")
    parser.add_argument("--layers", default=",".join(LAYERS), help="what is recorded (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="try again what was not killed, after tests were added")
    options = parser.parse_args()
    if options.command == "record" or (options.command == "run" and not MAP.exists()):
        _record(options)
    if options.command == "record":
        return
    sample = draw(all_mutants(ROOT, options.only), options.number, options.seed, ROOT)
    print(f"{len(sample)} mutants, seed {options.seed}")
    if options.command == "list":
        for mutant in sample:
            print(mutant.id, *(f"\n    {text}" for text in report.shown(ROOT, mutant)))
        return
    results = Results(FOLDER / f"results-{options.seed}.jsonl", ROOT)
    if options.again:
        results.forget_survivors()
    if options.command == "run":
        _runner(options, results).try_all(sample)
    if options.command == "try":
        chosen = yaml.safe_load(options.tests.read_text())
        if unknown := chosen.keys() - {mutant.id for mutant in sample}:
            sys.exit(f"Not in the sample: {', '.join(sorted(unknown))}")
        _runner(options, results).try_with([mutant for mutant in sample if mutant.id in chosen], chosen)
        return
    text = report.page(ROOT, sample, results, options.number, options.seed)
    if options.only:
        # A part of the collection is no figure for the page.
        print(text)
    else:
        PAGE.write_text(text)
        print(f"Written to {PAGE.relative_to(ROOT)}.")


def _record(options: argparse.Namespace) -> None:
    layers = options.layers.split(",")
    found = recorder.record(ROOT, FOLDER / "recorded", layers, options.jobs)
    found.save(MAP)
    print(f"{len(found.seconds)} tests recorded, which took {sum(found.seconds.values()) / 60:.0f} min")
    for test in found.failed:
        print(f"Left out, because it fails without a mutant: {test}")


def _runner(options: argparse.Namespace, results: Results) -> Runner:
    recorded = CoverageMap.load(ROOT, MAP)
    layers = sorted({layer_of(test) for test in recorded.seconds})
    quick, full = set(collect(ROOT, layers, QUICK)), set(collect(ROOT, layers, FULL))
    unknown = quick - recorded.seconds.keys()
    recorded.add_siblings(full)
    print(
        f"{len(quick)} tests in the quick selection, of which {len(recorded.failed)} fail; {len(full)} in the full one,"
        f" of which {len(full - recorded.seconds.keys())} are of functions that were not recorded"
    )
    if unknown:
        message = f"{len(unknown)} tests of the quick selection are not recorded, as {min(unknown)}: record again."
        if not options.only:
            sys.exit(message)
        print(message, file=sys.stderr)
    runner = Runner(
        root=ROOT,
        folder=FOLDER,
        recorded=recorded,
        selections={QUICK: quick, FULL: full},
        results=results,
        jobs=options.jobs,
        budget=options.budget,
    )
    runner.check(min(recorded.seconds.keys() - set(recorded.failed), key=recorded.seconds.get))
    return runner


if __name__ == "__main__":
    main()
