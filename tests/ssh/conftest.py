# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For the tests of the role ssh_tunnel, on a real sshd (support/bastion.py). They need root, because they make accounts.

bastion     a host to which the role has not come yet
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import bastion as host
from support.bastion import Bastion
from support.module_server import module_server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if host.lacking():
        terminalreporter.write_line("")
        terminalreporter.write_sep("!", "THE BASTION WAS NOT TESTED", red=True)
        terminalreporter.write_line(host.LACKING)


@pytest.fixture(scope="session", autouse=True)
def needed() -> Iterator[None]:
    if host.lacking():
        pytest.skip(host.LACKING)
    with module_server() as interpreter, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bastion, "interpreter", interpreter)
        yield


@pytest.fixture
def bastion() -> Iterator[Bastion]:
    with Bastion() as bastion:
        yield bastion
