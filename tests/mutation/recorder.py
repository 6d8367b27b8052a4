# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record which tests run what, in one run of the quick selection under coverage.py, and put together what its processes leave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import coverage

from . import layers
from .coverage_map import COLLECTION, CoverageMap

CONFIGURATION = """\
[run]
parallel = true
data_file = {folder}/coverage/data
context = ${{MUTATION_CONTEXT-}}
patch = _exit, fork
disable_warnings = no-data-collected, module-not-measured, couldnt-parse
include =
    {root}/plugins/*
    */ansible_collections/streamkap/neon/plugins/*
"""


def record(root: Path, folder: Path, names: Iterable[str], jobs: int) -> CoverageMap:
    """Run the quick selection of these layers, and return what its tests ran. Tests that fail are listed and left out."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "coverage").mkdir(parents=True)
    configuration = folder / "coverage.ini"
    configuration.write_text(CONFIGURATION.format(folder=folder, root=root))
    for layer in names:
        command = [sys.executable, "-m", "pytest", f"tests/{layer}", *layers.LAYERS[layer]]
        command += ["-p", "mutation.recording", "-p", "no:cacheprovider", "-q", "-q"]
        command += (
            [] if layer == "unit" else ["-n", str(jobs), "--dist", "loadgroup" if layer == "ssh" else "worksteal"]
        )
        variables = {"COVERAGE_PROCESS_START": str(configuration), "MUTATION_FOLDER": str(folder)}
        print(f"Recording {layer}", flush=True)
        run = subprocess.run(command, cwd=root, env=layers.environment(root, **variables), check=False)
        if run.returncode not in (0, 1, 5):
            raise RuntimeError(f"pytest ended with {run.returncode} in {layer}.")
    return read_recorded(root, folder)


def read_recorded(root: Path, folder: Path) -> CoverageMap:
    """Put together what the processes of a recording have left."""
    found = CoverageMap(root)
    names: dict[str, str] = {}
    fixtures: dict[str, set[str]] = defaultdict(set)
    reads: dict[str, set[str]] = defaultdict(set)
    for file in sorted((folder / "tests").glob("*.json")):
        content = json.loads(file.read_text())
        names |= content["names"]
        found.seconds |= content["seconds"]
        found.failed += content["failed"]
        for test, used in content["fixtures"].items():
            for fixture in used:
                fixtures[fixture].add(test)
        for path, contexts in content["reads"].items():
            reads[path] |= set(contexts)

    def tests_of(context: str) -> set[str]:
        name = names.get(context, "")
        return fixtures[name] if name.startswith("fixture ") else {name} - {""}

    for path, contexts in reads.items():
        found.reads[path] = set().union(*map(tests_of, contexts))
    for file in sorted((folder / "tasks").glob("*")):
        for place in file.read_text().splitlines():
            path, _colon, line = place.rpartition(":")
            if Path(path).is_relative_to(root):
                table = found.tasks.setdefault(Path(path).relative_to(root).as_posix(), {})
                table.setdefault(int(line), set()).update(tests_of(file.name.partition("-")[0]))
    for file in sorted((folder / "coverage").glob("data*")):
        _read_lines(found, root, file, tests_of)
    return found


def _read_lines(found: CoverageMap, root: Path, file: Path, tests_of: Callable[[str], set[str]]) -> None:
    data = coverage.CoverageData(str(file))
    try:
        data.read()
    except coverage.exceptions.DataError:
        # Some tests kill a run of Ansible, whose processes then leave half a file. What the others leave is used.
        return
    for measured in data.measured_files():
        # Where a module runs, its file is in an archive that Ansible sends there.
        in_archive = COLLECTION in measured
        path = measured.rpartition(COLLECTION)[2] if in_archive else Path(measured).relative_to(root).as_posix()
        table = found.lines.setdefault(path, {})
        for line, contexts in data.contexts_by_lineno(measured).items():
            for context in contexts:
                if context:
                    table.setdefault(line, set()).update(tests_of(context))
                else:
                    found.imported.setdefault(path, set()).add(line)
    data.close()
