# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For the tests of the control planes' APIs, whose fixtures are those of support/fixtures.py. Those of Neon's need npm.

streamkap   Streamkap's API in small (support/streamkap_api.py), whose client waits for moments where it would wait for seconds
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _streamkap_api
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap import connector, snapshot

from support import prism
from support.streamkap_api import Streamkap


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if prism.lacks_npm():
        terminalreporter.write(prism.BANNER)


@pytest.fixture
def streamkap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streamkap]:
    monkeypatch.setattr(_streamkap_api, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(_streamkap_api, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(_streamkap_api, "FIRST_LOOK", 0.05)
    monkeypatch.setattr(_streamkap_api, "LONGEST_LOOK", 0.2)
    monkeypatch.setattr(snapshot, "_EARLIER_FOR", 1)
    for waited in ("_ACTIVE_BEFORE", "_UNTOLD_FOR"):
        monkeypatch.setattr(connector, waited, 0.2)
    with Streamkap() as streamkap:
        streamkap.start_seconds = streamkap.snapshot_seconds = 0.1
        yield streamkap
