# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For the tests of the control planes' APIs, whose fixtures are those of support/fixtures.py: they need npm."""

from __future__ import annotations

import pytest

from support import prism


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if prism.lacks_npm():
        terminalreporter.write(prism.BANNER)
