# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Streamkap's heartbeat table.

The connector writes to it now and then, so that the slot moves on while the captured tables are idle. Its shape is the one of
Streamkap's documentation (https://docs.streamkap.com, PostgreSQL Heartbeats).
"""

from __future__ import annotations

from .._sql import MAX_NAME_BYTES
from ._connector_table import Column, ConnectorTable

_SEQUENCE_SUFFIX = "_id_seq"
_MOST_SEQUENCES = 100  # that tables of this name have left


class HeartbeatTable(ConnectorTable):
    key = "heartbeat_table"
    what = "heartbeat table"
    shape = (
        Column("id", ("integer", "bigint"), default=True),
        Column("text", ("text", "character varying"), nullable=True),
        Column("last_update", ("timestamp without time zone", "timestamp with time zone"), nullable=True),
    )
    why_shape = "Streamkap expects exactly id, text, last_update."

    def create(self) -> str:
        return (
            "CREATE TABLE %s (id serial PRIMARY KEY, text text, last_update timestamp DEFAULT CURRENT_TIMESTAMP)"
            % self.table.sql
        )

    def sequence_names(self) -> list[str]:
        """A serial column's sequence is called after the table, cut by PostgreSQL so that the whole fits, with a number if need be.

        A table that was renamed leaves the name to its sequence.
        """
        names = []
        for number in ["", *range(1, _MOST_SEQUENCES)]:
            suffix = "%s%s" % (_SEQUENCE_SUFFIX, number)
            stem = self.table.name.encode("utf-8")[: MAX_NAME_BYTES - len(suffix)].decode("utf-8", "ignore")
            names.append(stem + suffix)
        return names

    def first_row(self) -> str:
        return "INSERT INTO %s (text) VALUES ('test_heartbeat')" % self.table.sql
