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
from collections.abc import Iterator

from .relay import asks_for_encryption, listening, startup_packet

REFUSAL = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: replication\0\0"


@contextlib.contextmanager
def pooler(port: int) -> Iterator[int]:
    """A pooler in front of the server that listens on `port`; gives its own port."""
    with listening(lambda *client: _serve(*client, port)) as own_port:
        yield own_port


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    startup = await startup_packet(reader)
    while asks_for_encryption(startup):
        writer.write(b"N")
        startup = await startup_packet(reader)
    if b"\0replication\0" in startup:
        writer.write(b"E" + struct.pack("!i", 4 + len(REFUSAL)) + REFUSAL)
    else:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        server_writer.write(startup)
        await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
