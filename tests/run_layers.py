# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run layers of tests one after the other, all of them whatever fails, and print how long each took.

    python tests/run_layers.py LAYER ...

It is what `make test` runs, before any environment is set up, so it uses nothing but Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from support import prerequisites

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "NOT RUN"


@dataclass(frozen=True)
class Outcome:
    """How a target of make ended, and after how many seconds."""

    target: str
    seconds: float
    result: str


def run(target: str, note: str) -> Outcome:
    print(f"\n== make {target}", flush=True)
    started = time.monotonic()
    make = subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", target], check=False)
    result = FAILED if make.returncode else note or PASSED
    return Outcome(target, time.monotonic() - started, result)


def describe(outcomes: list[Outcome]) -> str:
    rows = [("layer", "seconds", "result")]
    rows += [(outcome.target, f"{outcome.seconds:7.0f}", outcome.result) for outcome in outcomes]
    rows.append(("all", f"{sum(outcome.seconds for outcome in outcomes):7.0f}", ""))
    return prerequisites.format_table(rows)


def main(layers: list[str]) -> int:
    missing = prerequisites.find_missing(layers)
    print(prerequisites.describe(missing, layers), flush=True)
    if missing and os.environ.get("CI") == "true":
        return 1
    notes = {
        layer: f"{NOT_RUN}: no {need.name}"
        for need in missing
        for layer, part in need.untested.items()
        if part == prerequisites.ALL
    }
    outcomes = []
    try:
        # A layer sets up itself what could not be set up here, and fails then.
        for target in ["environments", *layers]:
            outcomes.append(run(target, notes.get(target, "")))
    finally:
        print(f"\n{describe(outcomes)}", flush=True)
    failed = [outcome.target for outcome in outcomes if outcome.result == FAILED]
    if failed:
        print(f"Failed: {', '.join(failed)}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
