# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pooler and proxy are made of: a loopback port whose connections a coroutine serves, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# https://www.postgresql.org/docs/current/protocol-message-formats.html
SSL_REQUEST, GSSENC_REQUEST = 80877103, 80877104


@contextlib.contextmanager
def listening(serve: Serve, port: int = 0) -> Iterator[int]:
    """Has every connection to a port of the loopback served by `serve`; gives the port. What is open at the end is cut off.

    port: any free one when it is 0
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_listen(serve, port), loop).result()
        yield server.sockets[0].getsockname()[1]
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def startup_packet(reader: asyncio.StreamReader) -> bytes:
    """What a client sends before it knows that a PostgreSQL answers: its length first, and no type."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)


def asks_for_encryption(packet: bytes) -> bool:
    """Whether the server answers this with one byte, after which the client begins once more."""
    return struct.unpack_from("!i", packet, 4)[0] in (SSL_REQUEST, GSSENC_REQUEST)


async def _listen(serve: Serve, port: int) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who leaves without a word is nobody's fault.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
