# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the engine no server of the tests can show: they all are new enough."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _engine
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure


def test_a_server_that_is_too_old_is_not_asked() -> None:
    session = SimpleNamespace(version=130014)
    with pytest.raises(Failure, match="The server is PostgreSQL 13, and this collection is for 14 and newer"):
        _engine.converge(session, SimpleNamespace(key="role"), check_mode=True)
