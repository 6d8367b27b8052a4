# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All mutants of the collection, and a sample of them that the seed alone decides."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

from . import python_operators, yaml_operators
from .mutant import Mutant

# Documentation in the form of Python.
NO_CODE = "plugins/doc_fragments/"
YAML_FILES = (
    "roles/*/tasks/**/*.yml",
    "roles/*/handlers/**/*.yml",
    "roles/*/defaults/**/*.yml",
    "roles/*/vars/**/*.yml",
    "playbooks/*.yml",
)
# The share of YAML in a sample, where there is less of it among all mutants.
LEAST_YAML = 0.15


def all_mutants(root: Path, only: str = "") -> list[Mutant]:
    """Return the sorted mutants of the checkout, or of the files whose path begins with `only`."""
    found: list[Mutant] = []
    for path in sorted(root.glob("plugins/**/*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(NO_CODE) and name.startswith(only):
            found += python_operators.mutants_of(name, path.read_bytes())
    for path in sorted({path for pattern in YAML_FILES for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        if name.startswith(only):
            found += yaml_operators.mutants_of(name, path.read_bytes())
    return sorted(found)


def draw(mutants: list[Mutant], number: int, seed: int, root: Path) -> list[Mutant]:
    """Return `number` valid mutants, all equally likely within Python and within YAML."""
    chooser = random.Random(seed)
    python = [mutant for mutant in mutants if mutant.kind == "Python"]
    yaml = [mutant for mutant in mutants if mutant.kind == "YAML"]
    least = math.ceil(number * max(LEAST_YAML, len(yaml) / max(1, len(mutants))))
    from_yaml = min(len(yaml), least if python else number)
    chosen = []
    for group, share in ((yaml, from_yaml), (python, number - from_yaml)):
        chooser.shuffle(group)
        chosen += itertools.islice((mutant for mutant in group if is_valid(root, mutant)), share)
    return sorted(chosen)


def is_valid(root: Path, mutant: Mutant) -> bool:
    operators = python_operators if mutant.kind == "Python" else yaml_operators
    return operators.is_valid((root / mutant.path).read_bytes(), mutant)
