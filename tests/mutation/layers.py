# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layers of tests that take part, and the two selections of their tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .node_ids import base_id

# With what each is run by its target in the Makefile. Debezium and Molecule take too long to be run for single mutants.
LAYERS: dict[str, tuple[str, ...]] = {
    "unit": (),
    "integration": (),
    "api": (),
    "ssh": ("--postgres", "17"),
    "robustness": (),
}
QUICK, FULL = "quick", "full"
# Without this option, conftest.py leaves the quick selection.
ALL_TESTS = "--full"


def environment(root: Path, **more: str) -> dict[str, str]:
    """Return the environment in which pytest finds the plugins of this package in a checkout.

    A test that cannot run here is skipped, not failed: in CI each mutant would count as found.
    """
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("MAKE")}
    return {**kept, "PYTHONPATH": str(root / "tests"), "PYTHONDONTWRITEBYTECODE": "1", **more}


def collect(root: Path, layers: Iterable[str], selection: str) -> list[str]:
    """Return the ids of a selection's tests."""
    found = []
    for layer in layers:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", f"tests/{layer}", *LAYERS[layer]]
        command += [ALL_TESTS] if selection == FULL else []
        run = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"pytest cannot collect {layer}:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
        found += [base_id(line) for line in run.stdout.splitlines() if line.startswith("tests/") and "::" in line]
    return found
