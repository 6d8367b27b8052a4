# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line between a client and a server that knows PostgreSQL's messages, and breaks at the one it is told to.

with faulty(server.port) as line:
    line.watch(Cut(5, Place.UNANSWERED))
    psycopg2.connect(line.dsn(database.dsn))
    print(line.messages, line.has_cut)

Only for servers without TLS, as those of the tests are, and for clients that wait for the answer to each message, as psycopg2 does.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from psycopg2.extensions import make_dsn

from .figures import Figures
from .relay import asks_for_encryption, listening, startup_packet


class Place(enum.Enum):
    """Where a line breaks, seen from one message of the client's.

    SENT: at once, while the server may be at work on it
    UNANSWERED: when the server has answered, of which nothing arrives
    """

    BEFORE = "before"
    INSIDE = "inside"
    SENT = "sent"
    UNANSWERED = "unanswered"
    HALF_ANSWERED = "half answered"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Cut:
    """Where a line breaks.

    message: the number of the client's message, over all connections, from 0 on
    is_for_good: every later connection is refused, so that nothing can be mended
    is_noticed: the server learns that the line is broken, at once
    meanwhile: what happens to the server when the line breaks
    """

    message: int
    place: Place
    is_for_good: bool = False
    is_noticed: bool = True
    meanwhile: Callable[[], None] | None = None


@dataclass(frozen=True)
class Message:
    """One that a client has sent. Its kind is the protocol's letter, or empty for what a connection begins with."""

    connection: int
    kind: str
    body: bytes = field(repr=False)

    @property
    def is_query(self) -> bool:
        return self.kind == "Q"

    @property
    def commits(self) -> bool:
        return self.is_query and b"COMMIT" in self.body

    @property
    def writes(self) -> bool:
        """Whether it is of a transaction that may write."""
        return self.is_query and (self.commits or self.body.startswith(b"BEGIN"))


@dataclass
class Tally:
    """Cuts that were tried, and which came out badly, in words."""

    cuts: int = 0
    lost_commits: int = 0
    half_applied: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    not_converged: list[str] = field(default_factory=list)

    def record(self, figures: Figures) -> None:
        figures.add("cuts", self.cuts)
        figures.add("lost_commits", self.lost_commits)
        for name in ("half_applied", "untrue", "not_converged"):
            figures.add(name, len(getattr(self, name)))
        assert not self.half_applied, self.half_applied
        assert not self.untrue, self.untrue
        assert not self.not_converged, self.not_converged


# The message that a client leaves with.
FAREWELL = b"X"


def error_response(sqlstate: str, words: str, severity: str = "FATAL") -> bytes:
    """What a server says when it refuses."""
    fields = "".join(
        f"{code}{value}\0" for code, value in zip("SVCM", (severity, severity, sqlstate, words), strict=True)
    )
    return _message(b"E", fields.encode() + b"\0")


class _Watch:
    """What happens to the connections of one run."""

    def __init__(self, cut: Cut | None, settled: Callable[[], None] | None) -> None:
        self.cut = cut
        self.settled = settled
        self.connections = 0
        self.messages: list[Message] = []
        self.has_cut = False
        self.has_begun = False
        self.is_over = threading.Event()


class Line:
    """What `faulty` gives.

    port: where it listens, on the loopback
    attempts: when a connection was opened, in seconds of the monotonic clock
    """

    def __init__(self, server_port: int, refusals: Iterable[bytes | None]) -> None:
        self.port = 0
        self.attempts: list[float] = []
        self._server_port = server_port
        self._refusals = iter(refusals)
        self._watch = _Watch(None, None)
        # Else they would be closed as soon as nobody has them any more.
        self._open: list[asyncio.StreamWriter] = []

    @property
    def messages(self) -> list[Message]:
        """Those that connections sent which were opened since the last watch(), without their farewells."""
        return self._watch.messages

    @property
    def has_cut(self) -> bool:
        """Whether the line broke since the last watch()."""
        return self._watch.has_cut

    def dsn(self, dsn: str) -> str:
        """The same connection, through this."""
        return make_dsn(dsn, host="127.0.0.1", port=self.port)

    def watch(self, cut: Cut | None = None, settled: Callable[[], None] | None = None) -> None:
        """Begin anew.

        settled: is called whenever a session stands outside of a transaction
        """
        self._watch = _Watch(cut, settled)

    def wait(self) -> None:
        """Until what the cut has happen to the server is over."""
        assert self._watch.is_over.wait(60)

    async def serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        self.attempts.append(time.monotonic())
        refusal = next(self._refusals, None)
        if refusal is not None:
            await refuse(client_reader, client_writer, refusal)
            return
        watch = self._watch
        if watch.has_cut and watch.cut.is_for_good:
            await refuse(client_reader, client_writer, error_response("28000", "no pg_hba.conf entry for this line"))
            return
        watch.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            await self._converse(watch, client_reader, client_writer, server_reader, server_writer)
        finally:
            client_writer.close()
            if watch.cut is None or watch.cut.is_noticed:
                server_writer.close()
            else:
                self._open.append(server_writer)
        # Another connection may end before the server is back: once is enough.
        if watch.has_cut and not watch.has_begun:
            watch.has_begun = True
            if watch.cut.meanwhile:
                await asyncio.to_thread(watch.cut.meanwhile)
            watch.is_over.set()

    async def _converse(
        self,
        watch: _Watch,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        connection = watch.connections
        begins = True
        while True:
            packet = await (startup_packet if begins else _read_message)(client_reader)
            if not begins and packet[:1] == FAREWELL:
                return
            kind, body = ("", packet[4:]) if begins else (chr(packet[0]), packet[5:])
            begins = begins and asks_for_encryption(packet)
            is_cut = watch.cut is not None and watch.cut.message == len(watch.messages)
            place = watch.cut.place if is_cut else None
            watch.messages.append(Message(connection, kind, body))
            server_writer.write(packet[: {Place.BEFORE: 0, Place.INSIDE: len(packet) // 2}.get(place, len(packet))])
            await server_writer.drain()
            answer, has_left = b"", False
            if place not in (Place.BEFORE, Place.INSIDE, Place.SENT):
                answer, has_left = await (_one_byte if begins else _answer)(server_reader)
                if watch.settled and kind == "Q" and answer.endswith(b"I"):
                    await asyncio.to_thread(watch.settled)
            # Who sees the line break is to find it so.
            watch.has_cut = watch.has_cut or is_cut
            client_writer.write(
                answer[: {Place.UNANSWERED: 0, Place.HALF_ANSWERED: len(answer) // 2}.get(place, len(answer))]
            )
            await client_writer.drain()
            if is_cut or has_left:
                return


@contextlib.contextmanager
def faulty(server_port: int, *, port: int = 0, refusals: Iterable[bytes | None] = ()) -> Iterator[Line]:
    """A line to the server that listens on `server_port`.

    port: where to listen, on any free one when it is 0
    refusals: what the first connections are answered with, one each, instead of being passed on; None passes one on
    """
    line = Line(server_port, refusals)
    with listening(line.serve, port) as line.port:
        yield line


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    """Answers who wants to connect with this, whoever it is."""
    while asks_for_encryption(await startup_packet(reader)):
        writer.write(b"N")
    writer.write(answer)
    await writer.drain()


async def _one_byte(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    return await reader.readexactly(1), False


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """All that the server says until it waits for the client, and whether it has left."""
    answer = b""
    while True:
        try:
            message = await _read_message(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            return answer, True
        answer += message
        asks = message[:1] == b"R" and struct.unpack_from("!i", message, 5)[0] not in (0, 12)
        if asks or message[:1] == b"Z":
            return answer, False


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack_from("!i", head, 1)[0] - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
