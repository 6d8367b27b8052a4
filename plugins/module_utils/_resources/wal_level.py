# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The server's wal_level, which is all that a freshly restarted compute is asked."""

from __future__ import annotations

from typing import Any

from .._engine import Line, OtherSide
from .._server import Server


class WalLevel:
    connector = None

    def look(self, version: int) -> str:
        del version  # it is among what is always looked at
        return "SELECT json_build_object()"

    def judge(self, server: Server, seen: Any, line: Line, other: OtherSide | None) -> dict[str, Any]:
        return {"wal_level": server.wal_level}
