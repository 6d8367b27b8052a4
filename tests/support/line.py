# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong on the way to the double of an API, as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .http_stub import Reply, Request

# In place of an answer: none, for as long as anybody listens.
NEVER = object()


@dataclass
class _Fault:
    method: str
    path_end: str
    reply: Reply | object
    times: int
    carried_out: bool


class Line:
    """
    :param reply: answers what gets through.
    """

    def __init__(self, reply: Callable[[Request], Reply]) -> None:
        self._reply = reply
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def fail(
        self, method: str, path_end: str, reply: Reply | object, *, times: int = 1, carried_out: bool = False
    ) -> None:
        """Has the next requests of this kind fail.

        :param reply: what is answered instead; LOST cuts the connection, NEVER leaves it open and silent.
        :param carried_out: whether what was asked for is done all the same.
        """
        self._faults.append(_Fault(method, path_end, reply, times, carried_out))

    def carry(self, request: Request) -> Reply:
        fault = self._fault_of(request)
        answer = self._reply(request) if not fault or fault.carried_out else None
        if fault and fault.reply is NEVER:
            self._closed.wait()
            return None
        return fault.reply if fault else answer

    def close(self) -> None:
        """Lets go of those who still listen."""
        self._closed.set()

    def _fault_of(self, request: Request) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times and fault.method == request.method and request.path.endswith(fault.path_end):
                    fault.times -= 1
                    return fault
        return None
