# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tests run which lines of the collection: recorded once, in a run of the quick selection, and read for each mutant."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .mutant import Mutant
from .node_ids import function_of, layer_of, major_of

COLLECTION = "ansible_collections/streamkap/neon/"


@dataclass
class CoverageMap:
    """Tests by what they run.

    lines: by path and line
    imported: the lines of a path that ran before the first test
    tasks: by path and line of the task's start
    reads: by path, the tests that read the file themselves
    seconds: how long each test took
    failed: tests that failed without any mutant, and say nothing
    siblings: by function, tests that were not recorded, and are taken to run what the recorded tests of the function run
    """

    root: Path
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    imported: dict[str, set[int]] = field(default_factory=dict)
    tasks: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    reads: dict[str, set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    siblings: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_siblings(self, tests: Iterable[str]) -> None:
        """Add tests of recorded functions: a test runs the same lines on any version of PostgreSQL, or nearly so."""
        seconds = {function_of(test): spent for test, spent in self.seconds.items()}
        for test in set(tests) - self.seconds.keys():
            if (function := function_of(test)) in seconds:
                self.siblings[function].add(test)
                self.seconds[test] = seconds[function]

    def covering(self, mutant: Mutant) -> set[str]:
        """Return the tests that can notice the mutant."""
        tests = self._running(mutant) if mutant.kind == "Python" else self._playing(mutant)
        tests |= self.reads.get(mutant.path, set())
        tests = tests.union(
            *(self.siblings[function] for function in set(map(function_of, tests)) & self.siblings.keys())
        )
        return tests & self.seconds.keys() - set(self.failed)

    def nearest(self, mutant: Mutant) -> set[str]:
        """Return the tests that run the mutant's own file, of those that can notice it."""
        tables = (self.lines.get(mutant.path, {}), self.tasks.get(mutant.path, {}))
        return {test for table in tables for tests in table.values() for test in tests}

    def _running(self, mutant: Mutant) -> set[str]:
        by_line = self.lines.get(mutant.path, {})
        span = range(mutant.first_line, mutant.last_line + 1)
        tests = set().union(*(by_line.get(line, set()) for line in span))
        # A value that a function returned at import is used by every file that imports it.
        if mutant.loaded or self.imported.get(mutant.path, set()) & set(span):
            return tests | self._loading(mutant.path)
        return tests

    def _loading(self, path: str) -> set[str]:
        """Return the tests that use what a file defines when it is imported."""
        modules = self._importers[path] | {path}
        tests = {test for name in modules for tests in self.lines.get(name, {}).values() for test in tests}
        stem = Path(path).parent.name if path.endswith("__init__.py") else Path(path).stem
        named = {file for file, text in self._test_files.items() if re.search(rf"\b{stem}\b", text)}
        return tests | {test for test in self.seconds if test.partition("::")[0] in named}

    def _playing(self, mutant: Mutant) -> set[str]:
        by_line = self.tasks.get(mutant.path, {})
        span = range(mutant.first_line, mutant.last_line + 1)
        if "/tasks/" in mutant.path and (tests := set().union(*(by_line.get(line, set()) for line in span))):
            return tests
        # Variables, blocks and imports are no tasks of their own: every run of the role, or the playbook, may notice.
        parts = mutant.path.split("/")
        whole = "/".join(parts[:2])
        return {
            test
            for path, table in self.tasks.items()
            if path == whole or path.startswith(whole + "/")
            for tests in table.values()
            for test in tests
        }

    @cached_property
    def _test_files(self) -> dict[str, str]:
        return {
            path.relative_to(self.root).as_posix(): path.read_text() for path in self.root.glob("tests/*/test_*.py")
        }

    @cached_property
    def _importers(self) -> dict[str, set[str]]:
        """Return for each file those that import it, whether directly or not."""
        direct = defaultdict(set)
        for path in self.root.glob("plugins/**/*.py"):
            name = path.relative_to(self.root).as_posix()
            for imported in _imports(self.root, name):
                direct[imported].add(name)
        closed: dict[str, set[str]] = defaultdict(set)
        for path in list(direct):
            waiting = [path]
            while waiting:
                for importer in direct.get(waiting.pop(), set()) - closed[path]:
                    closed[path].add(importer)
                    waiting.append(importer)
        return closed

    def save(self, file: Path) -> None:
        tests = sorted(self.seconds)
        number = {test: index for index, test in enumerate(tests)}

        def numbered(table: dict[int, set[str]]) -> dict[int, list[int]]:
            return {line: sorted(number[test] for test in found if test in number) for line, found in table.items()}

        content = {
            "tests": tests,
            "seconds": [self.seconds[test] for test in tests],
            "failed": self.failed,
            "lines": {path: numbered(table) for path, table in self.lines.items()},
            "tasks": {path: numbered(table) for path, table in self.tasks.items()},
            "imported": {path: sorted(lines) for path, lines in self.imported.items()},
            "reads": {
                path: sorted(number[test] for test in found if test in number) for path, found in self.reads.items()
            },
        }
        file.write_text(json.dumps(content))

    @classmethod
    def load(cls, root: Path, file: Path) -> CoverageMap:
        content = json.loads(file.read_text())
        tests = content["tests"]

        def named(table: dict[str, list[int]]) -> dict[int, set[str]]:
            return {int(line): {tests[number] for number in numbers} for line, numbers in table.items()}

        return cls(
            root=root,
            lines={path: named(table) for path, table in content["lines"].items()},
            imported={path: set(lines) for path, lines in content["imported"].items()},
            tasks={path: named(table) for path, table in content["tasks"].items()},
            reads={path: {tests[number] for number in numbers} for path, numbers in content["reads"].items()},
            seconds=dict(zip(tests, content["seconds"], strict=True)),
            failed=content["failed"],
        )


def _imports(root: Path, name: str) -> Iterable[str]:
    """Yield the collection's files that a file imports."""
    for node in ast.walk(ast.parse((root / name).read_bytes())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name.split("/")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for target in targets:
            path = target.replace(".", "/").removeprefix(COLLECTION)
            for candidate in (f"{path}.py", f"{path}/__init__.py"):
                if path.startswith("plugins/") and (root / candidate).exists():
                    yield candidate


def in_order(tests: Iterable[str], near: set[str], seconds: dict[str, float]) -> list[str]:
    """Order tests so that those that most likely notice a mutant, and cost least, come first.

    Unit tests, those on the newest PostgreSQL or on none, then the other versions; in each of them the tests of the mutant's own
    file first, and one case of every function before the next case of any.
    """

    def coarse(test: str) -> tuple[object, ...]:
        newest = major_of(test) in (None, 18)
        return (layer_of(test) != "unit", not newest, test not in near)

    rounds: dict[tuple[object, ...], int] = defaultdict(int)
    keys = {}
    for test in sorted(tests, key=lambda test: (coarse(test), seconds[test], test)):
        group = (*coarse(test), function_of(test))
        keys[test] = (*coarse(test), rounds[group], seconds[test], test)
        rounds[group] += 1
    return sorted(keys, key=keys.get)
