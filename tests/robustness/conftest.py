# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that try to break what the collection promises, and count what they tried.

`pytest tests/robustness --write-figures` also writes docs/robustness.md, if all passed and no figure is lacking.
"""

from __future__ import annotations

import pytest

from support import binaries
from support.figures import PAGE, Collector, Figures


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-figures", action="store_true", help=f"write {PAGE.name} from what the tests counted")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Reporter(config))


class _Reporter:
    """Sees the reports of all tests, also of those that another process runs."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collector = Collector()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._collector.collect(report.user_properties)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        terminalreporter.section("figures")
        for line in self._collector.lines():
            terminalreporter.line(line)
        if not self._config.getoption("write_figures"):
            return
        if exitstatus or self._collector.lacking:
            lacking = ", ".join(self._collector.lacking) or "none"
            terminalreporter.line(f"{PAGE.name} is not written: not all passed, or figures are lacking ({lacking}).")
            return
        versions = self._config.getoption("postgres") or binaries.VERSIONS
        PAGE.write_text(self._collector.page("PostgreSQL " + ", ".join(map(str, versions))))
        terminalreporter.line(f"Written to {PAGE.name}.")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.node.user_properties)
