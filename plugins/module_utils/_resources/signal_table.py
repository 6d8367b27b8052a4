# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Debezium's signal table.

Its shape is Debezium's (https://debezium.io/documentation/reference/stable/configuration/signalling.html): exactly three columns
of text in this order, because the connector writes its watermarks by position, without a column list.
"""

from __future__ import annotations

from ._connector_table import Column, ConnectorTable

_TEXT = ("character varying", "text")


class SignalTable(ConnectorTable):
    key = "signal_table"
    what = "signal table"
    # The lengths are those of the vendor's table. Debezium itself needs 42 for an id (a UUID and "-close") and 21 for a type.
    shape = (
        Column("id", _TEXT, length=42),
        Column("type", _TEXT, length=32),
        Column("data", _TEXT, length=2000, nullable=True),
    )
    why_shape = "Debezium inserts by position into exactly id, type, data."

    def create(self) -> str:
        return (
            "CREATE TABLE %s (id varchar(255) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2000))"
            % self.table.sql
        )
