# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands between a client and a server and lets everything through but replication, as connection poolers do.

with pooler(server.port) as port:
    psycopg2.connect(host="127.0.0.1", port=port, ...)
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Iterator

# https://www.postgresql.org/docs/current/protocol-message-formats.html
SSL_REQUEST, GSSENC_REQUEST = 80877103, 80877104
REFUSAL = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: replication\0\0"


@contextlib.contextmanager
def pooler(port: int) -> Iterator[int]:
    """A pooler in front of the server that listens on `port`; gives its own port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(lambda *client: _serve(*client, port), "127.0.0.1", 0), loop
        ).result()
        yield listening.sockets[0].getsockname()[1]
        loop.call_soon_threadsafe(listening.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        startup = await _packet(reader)
        while struct.unpack_from("!i", startup, 4)[0] in (SSL_REQUEST, GSSENC_REQUEST):
            writer.write(b"N")
            startup = await _packet(reader)
        if b"\0replication\0" in startup:
            writer.write(b"E" + struct.pack("!i", 4 + len(REFUSAL)) + REFUSAL)
        else:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
            server_writer.write(startup)
            await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))
    writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
