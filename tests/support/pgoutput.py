# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads changes as a connector does: by the replication protocol, through a slot and a publication, decoding pgoutput.

    for change in changes(dsn, slot="s", publication="p", count=1):
        print(change.kind, change.table, change.row)

Only protocol version 1 without streaming of open transactions, which is what Debezium asks for
(https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html).
"""

from __future__ import annotations

import contextlib
import io
import select
import struct
import time
from dataclasses import dataclass

import psycopg2
from psycopg2.extras import LogicalReplicationConnection

KINDS = {"I": "insert", "U": "update", "D": "delete"}


class NoChange(AssertionError):
    """Fewer changes came than were expected."""


@dataclass(frozen=True)
class Change:
    """One change of one row.

    kind: insert, update or delete
    table: schema.name, as published
    row: the new row; of a delete, what identifies the old one; values as text
    """

    kind: str
    table: str
    row: dict[str, str | None]


def changes(dsn: str, *, slot: str, publication: str, count: int, timeout: float = 10) -> list[Change]:
    """The next `count` changes of the slot, which moves on behind them.

    timeout: seconds after which NoChange is raised
    """
    found: list[Change] = []
    with contextlib.closing(psycopg2.connect(dsn, connection_factory=LogicalReplicationConnection)) as connection:
        cursor = connection.cursor()
        cursor.start_replication(
            slot_name=slot,
            decode=False,
            options={"proto_version": "1", "publication_names": '"' + publication.replace('"', '""') + '"'},
        )
        decoder = Decoder()
        deadline = time.monotonic() + timeout
        while len(found) < count:
            message = cursor.read_message()
            if message is None:
                if time.monotonic() > deadline:
                    raise NoChange(f"{len(found)} of {count} changes came within {timeout} s: {found}")
                select.select([connection], [], [], 0.1)
                continue
            found += decoder.decode(message.payload)
            cursor.send_feedback(flush_lsn=message.data_start, reply=True)
    return found


class Decoder:
    """Turns the messages of pgoutput into changes; it remembers the relations that were announced."""

    def __init__(self) -> None:
        self._relations: dict[int, tuple[str, list[str]]] = {}

    def decode(self, payload: bytes) -> list[Change]:
        kind, body = chr(payload[0]), io.BytesIO(payload[1:])
        if kind == "R":
            self._announce(body)
        if kind not in KINDS:
            return []
        (relation,) = struct.unpack("!I", body.read(4))
        table, columns = self._relations[relation]
        marker = body.read(1)
        row = _tuple(body)
        if kind == "U" and marker != b"N":  # the old row, or its key, comes before the new one
            body.read(1)
            row = _tuple(body)
        return [Change(KINDS[kind], table, dict(zip(columns, row, strict=True)))]

    def _announce(self, body: io.BytesIO) -> None:
        (relation,) = struct.unpack("!I", body.read(4))
        table = f"{_string(body)}.{_string(body)}"
        _identity, count = struct.unpack("!cH", body.read(3))
        columns = []
        for _column in range(count):
            body.read(1)
            columns.append(_string(body))
            body.read(8)
        self._relations[relation] = (table, columns)


def _string(body: io.BytesIO) -> str:
    text = bytearray()
    while (byte := body.read(1)) != b"\0":
        text += byte
    return text.decode()


def _tuple(body: io.BytesIO) -> list[str | None]:
    (count,) = struct.unpack("!H", body.read(2))
    values: list[str | None] = []
    for _column in range(count):
        if body.read(1) == b"t":
            (size,) = struct.unpack("!I", body.read(4))
            values.append(body.read(size).decode())
        else:  # null, or an unchanged value that is stored out of line
            values.append(None)
    return values
