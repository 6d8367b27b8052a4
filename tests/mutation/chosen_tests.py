# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pytest plugin that runs the tests of a list in the order of the list, and writes down at once what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .node_ids import base_id


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chosen", type=Path, required=True, help="a JSON list of the ids of tests")
    parser.addoption(
        "--outcomes", type=Path, required=True, help="the file of what becomes of them, a JSON object a line"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    by_id = {base_id(item.nodeid): item for item in items}
    # A mutant may take away the very parameters that some tests are made from.
    items[:] = [by_id[test] for test in json.loads(config.getoption("chosen").read_text()) if test in by_id]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(config.getoption("outcomes")))


class _Writer:
    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write("started", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write("failed", report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write("finished", nodeid)

    def _write(self, event: str, node_id: str) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps({"event": event, "test": base_id(node_id)}) + "\n")
