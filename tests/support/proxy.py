# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network between a client and a server: it takes its time, and it counts what goes to and fro.

with proxy(server.port, round_trip=0.03) as between:
    psycopg2.connect(between.dsn(database.dsn))
    print(between.counts)

Only for servers without TLS, as those of the tests are.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg2.extensions import make_dsn

from .relay import asks_for_encryption, listening, startup_packet


@dataclass
class Counts:
    """What went through. A round trip is complete when the server answers to what the client has sent.

    connections: that were opened
    handshakes: round trips up to a connection's first ReadyForQuery
    queries: round trips after that
    """

    connections: int = 0
    handshakes: int = 0
    queries: int = 0


class Proxy:
    """What `proxy` gives.

    port: where it listens, on the loopback
    counts: since it began, or since the last reset()
    """

    def __init__(self, server_port: int, round_trip: float) -> None:
        self.port = 0
        self.counts = Counts()
        self._server_port = server_port
        self._one_way = round_trip / 2

    def dsn(self, dsn: str) -> str:
        """The same connection, through this."""
        return make_dsn(dsn, host="127.0.0.1", port=self.port)

    def reset(self) -> None:
        self.counts = Counts()

    async def serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        to_server, to_client = _Line(server_writer, self._one_way), _Line(client_writer, self._one_way)
        turns = _Turns(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(to_server.deliver())
                tasks.create_task(to_client.deliver())
                while asks_for_encryption(packet := await startup_packet(client_reader)):
                    turns.client_sends()
                    to_server.take(packet)
                    # Not a message, and not to be taken for the beginning of one.
                    answer = await server_reader.readexactly(1)
                    turns.server_answers(b"")
                    to_client.take(answer)
                turns.client_sends()
                to_server.take(packet)
                tasks.create_task(_pass_on(client_reader, to_server, lambda _data: turns.client_sends()))
                tasks.create_task(_pass_on(server_reader, to_client, turns.server_answers))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            server_writer.close()


@contextlib.contextmanager
def proxy(server_port: int, *, round_trip: float = 0) -> Iterator[Proxy]:
    """A proxy in front of the server that listens on `server_port`.

    round_trip: seconds that a question and its answer spend on the way, half of them in each direction. Any number of
        questions and answers can be on the way at once. Opening the TCP connection itself takes no time.
    """
    between = Proxy(server_port, round_trip)
    with listening(between.serve) as between.port:
        yield between


class _Line:
    """One direction: delivers what it takes, in order, each piece a fixed time after it was taken."""

    def __init__(self, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds
        self._under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def take(self, data: bytes) -> None:
        """No data at all is the end."""
        self._under_way.put_nowait((asyncio.get_running_loop().time() + self._seconds, data))

    async def deliver(self) -> None:
        while True:
            due, data = await self._under_way.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not data:
                break
            self._writer.write(data)
            await self._writer.drain()
        self._writer.close()


class _Turns:
    """Whose turn it is on one connection: counts when the server begins to answer."""

    def __init__(self, between: Proxy) -> None:
        self._between = between
        self._asked = False
        self._ready = False
        self._unread = b""

    def client_sends(self) -> None:
        self._asked = True

    def server_answers(self, data: bytes) -> None:
        if self._asked:
            self._asked = False
            if self._ready:
                self._between.counts.queries += 1
            else:
                self._between.counts.handshakes += 1
        if not self._ready:
            self._look_for_ready_for_query(data)

    def _look_for_ready_for_query(self, data: bytes) -> None:
        self._unread += data
        while len(self._unread) >= 5 and not self._ready:
            kind, length = struct.unpack_from("!ci", self._unread)
            if len(self._unread) < 1 + length:
                break
            self._unread = self._unread[1 + length :]
            self._ready = kind == b"Z"


async def _pass_on(reader: asyncio.StreamReader, line: _Line, see: Callable[[bytes], None]) -> None:
    while data := await reader.read(65536):
        see(data)
        line.take(data)
    line.take(b"")
