# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the connector's own tables, for signals and for heartbeats, are there and of use to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .._resources._connector_table import ConnectorTable
from .._resources.heartbeat_table import HeartbeatTable
from .._resources.signal_table import SignalTable
from .._sql import MAX_NAME_BYTES, QualifiedName, ident, listed
from .check import CRITICAL, WARNING, Area, Outcome, failed, passed, skipped
from .subject import LOCKED, Subject

SIGNAL = Area("signal_table")
HEARTBEAT = Area("heartbeat_table")

_SIGNALLING = "https://debezium.io/documentation/reference/stable/configuration/signalling.html"
_HEARTBEATS = "https://docs.streamkap.com/heartbeat-configuration"

_UNREAD = "The current role may not read it, somebody has locked it, or its owner could have code run by who reads it."


@dataclass(frozen=True)
class _Kind:
    """What the two differ in.

    :param key: under which the look has it.
    """

    area: Area
    key: str
    what: str
    resource: type[ConnectorTable]
    source: str

    def name(self, it: Subject) -> QualifiedName | None:
        return it.options.signal_table if self.key == "signal" else it.options.heartbeat_table

    def seen(self, it: Subject) -> dict[str, Any]:
        return it.seen[self.key]

    def of(self, it: Subject) -> ConnectorTable:
        name = self.name(it)
        return self.resource(name.schema, name.name, [it.options.user], "present")

    def task(self, it: Subject) -> dict[str, dict[str, Any]]:
        name = self.name(it)
        return {
            "streamkap.neon.%s" % self.area.name: {
                "schema": name.schema,
                "name": name.name,
                "grant_to": [it.grantee if it.seen["user"] else it.options.role],
            }
        }


def _making(kind: _Kind, it: Subject, freed: Collection[str] = ()) -> list[str]:
    """All that a table takes which is not there.

    :param freed: names that the statements before it have freed.
    """
    taken = [used for used in kind.seen(it)["shape"]["taken"] if used not in freed]
    name, table, publication = kind.name(it), kind.of(it), it.seen["publication"]
    sql = ["CREATE SCHEMA IF NOT EXISTS %s" % ident(name.schema), table.create()]
    if table.first_row():
        sql.append(table.first_row())
    if it.seen["user"]:
        grantee = ident(it.grantee)
        sql += [
            "GRANT USAGE ON SCHEMA %s TO %s" % (ident(name.schema), grantee),
            "GRANT INSERT, SELECT, UPDATE ON TABLE %s TO %s" % (name.sql, grantee),
        ]
        sql += ["GRANT USAGE ON SEQUENCE %s TO %s" % (made.sql, grantee) for made in table.created_sequences(taken)]
    if publication and not publication["all_tables"] and name.schema not in publication["schemas"]:
        sql.append("ALTER PUBLICATION %s ADD TABLE %s" % (ident(it.options.publication), name.sql))
    return sql


def _putting_aside(kind: _Kind, it: Subject) -> list[str]:
    """Out of the publication, and under another name, with the sequences that the new table would want the names of."""
    name, seen, publication = kind.name(it), kind.seen(it), it.seen["publication"]
    single = any(table.name == name and table.published for table in it.tables) and not (
        publication["all_tables"] or name.schema in publication["schemas"]
    )
    sql = ["ALTER PUBLICATION %s DROP TABLE %s" % (ident(it.options.publication), name.sql)] if single else []
    sql.append("ALTER TABLE %s RENAME TO %s" % (name.sql, ident(_old(name.name))))
    for sequence in seen["sequences"]:
        sequence_name = QualifiedName(sequence["schema"], sequence["name"])
        sql.append("ALTER SEQUENCE %s RENAME TO %s" % (sequence_name.sql, ident(_old(sequence_name.name))))
    return sql


def _old(name: str) -> str:
    """Another name that is not cut."""
    return name.encode("utf-8")[: MAX_NAME_BYTES - 4].decode("utf-8", "ignore") + "_old"


def _declare(kind: _Kind) -> None:
    """The checks that both have."""
    prefix, area = kind.area.name, kind.area

    @area.check("%s_exists" % prefix, CRITICAL, "The %s exists." % kind.what, source=kind.source)
    def exists(it: Subject) -> Outcome:
        name = kind.name(it)
        if not name:
            return skipped("No %s was named." % kind.what)
        if kind.seen(it)["shape"]["table"]:
            return passed("%s exists." % name)
        return failed(
            "There is no table %s." % name,
            "Make it, let the connector use it, and publish it.",
            sql=_making(kind, it),
            task=kind.task(it),
            objects=[name],
        )

    @area.check(
        "%s_shape" % prefix,
        CRITICAL,
        "The %s has the columns that the connector expects." % kind.what,
        needs=("%s_exists" % prefix,),
        source=kind.source,
    )
    def shape(it: Subject) -> Outcome:
        name = kind.name(it)
        table = kind.of(it)
        differences = list(table.differences(kind.seen(it)["shape"]["table"]))
        if not differences:
            return passed("It has.")
        return failed(
            "%s: %s." % (name, "; ".join(differences)),
            "%s Put this table aside, then make it anew." % table.why_shape,
            sql=_putting_aside(kind, it) + _making(kind, it, [each["name"] for each in kind.seen(it)["sequences"]]),
            objects=[name],
        )

    @area.check(
        "%s_privileges" % prefix,
        CRITICAL,
        "The connector has the right to use the %s." % kind.what,
        needs=("%s_shape" % prefix, "user_exists"),
        source=kind.source,
    )
    def privileges(it: Subject) -> Outcome:
        name, seen = kind.name(it), kind.seen(it)
        lacking = [privilege for privilege, held in seen["privileges"].items() if held == "no"]
        sequences = [
            QualifiedName(sequence["schema"], sequence["name"])
            for sequence in seen["sequences"]
            if sequence["usage"] == "no"
        ]
        words, sql = [], []
        if seen["usage"] == "no":
            words.append("USAGE on the schema %s" % name.schema)
            sql.append("GRANT USAGE ON SCHEMA %s TO %s" % (ident(name.schema), ident(it.grantee)))
        if lacking:
            words.append("%s on %s" % (", ".join(lacking), name))
            sql.append("GRANT %s ON TABLE %s TO %s" % (", ".join(lacking), name.sql, ident(it.grantee)))
        for sequence in sequences:
            words.append("USAGE on the sequence %s" % sequence)
            sql.append("GRANT USAGE ON SEQUENCE %s TO %s" % (sequence.sql, ident(it.grantee)))
        if words:
            return failed("It lacks %s." % "; ".join(words), "Grant it.", sql, kind.task(it), objects=[name])
        return passed("It has.")

    @area.check(
        "%s_writable" % prefix,
        CRITICAL,
        "Nothing stands in the way of what the connector writes to the %s." % kind.what,
        needs=("%s_privileges" % prefix, "membership_inherited"),
        source="https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
    )
    def writable(it: Subject) -> Outcome:
        """Writing itself would leave traces: what PostgreSQL checks before it writes is all that is asked for."""
        name, seen = kind.name(it), kind.seen(it)
        if seen["row_security"]:
            return failed(
                "%s is under row-level security, which refuses rows without a policy." % name,
                "Switch it off for this table, which holds nothing of anybody's, or let the connector's user bypass it (in the role cdc "
                "cdc_bypassrls: true).",
                sql=["ALTER TABLE %s DISABLE ROW LEVEL SECURITY" % name.sql],
                objects=[name],
            )
        if seen["rules"]:
            return failed(
                "%s has rules that write something else instead: %s." % (name, listed(seen["rules"])),
                "Drop them.",
                sql=["DROP RULE %s ON %s" % (ident(rule), name.sql) for rule in seen["rules"]],
                objects=[name],
            )
        if it.setting_text("default_transaction_read_only") == "on":
            return failed(
                "The transactions of the connector's sessions are read-only (default_transaction_read_only), so that nothing that it "
                "writes arrives.",
                "Switch that off for the connector's user.",
                # Where it is the database's, it holds for who mends it too.
                sql=[
                    "SET default_transaction_read_only = off",
                    *it.set_for_connector("default_transaction_read_only", "off"),
                ],
                objects=[name],
            )
        tried = it.connector and it.connector.acts_as == it.options.user
        answers = it.connector.errors(kind.key) if tried else []
        refused = [answer for answer in answers if answer["sqlstate"] != LOCKED]
        if answers and not refused:
            return skipped("%s is locked by somebody just now." % name)
        if refused:
            return failed(
                "PostgreSQL would refuse the connector: %s."
                % listed(dict.fromkeys(answer["error"] for answer in refused)),
                "Mend what PostgreSQL says.",
                objects=[name],
            )
        return passed(
            "PostgreSQL has planned what the connector writes, as its user."
            if tried
            else "There are no rules and no row-level security."
        )

    @area.check(
        "%s_published" % prefix,
        CRITICAL,
        "The %s is in the publication." % kind.what,
        needs=("%s_exists" % prefix, "publication_not_empty"),
        source=kind.source,
    )
    def published(it: Subject) -> Outcome:
        name = kind.name(it)
        if kind.seen(it)["published"]:
            return passed("It is.")
        return failed(
            "%s is not, so that the connector never sees what is written there." % name,
            "Add it.",
            sql=["ALTER PUBLICATION %s ADD TABLE %s" % (ident(it.options.publication), name.sql)],
            task={
                "streamkap.neon.publication": {
                    "name": it.options.publication,
                    "tables": [str(name)],
                    "exclusive": False,
                }
            },
            objects=[name],
        )


_SIGNAL = _Kind(SIGNAL, "signal", "signal table", SignalTable, _SIGNALLING)
_HEARTBEAT = _Kind(HEARTBEAT, "heartbeat", "heartbeat table", HeartbeatTable, _HEARTBEATS)

_declare(_SIGNAL)
_declare(_HEARTBEAT)


@SIGNAL.check(
    "signal_table_rows", WARNING, "The signal table is small.", needs=("signal_table_shape",), source=_SIGNALLING
)
def signal_table_rows(it: Subject) -> Outcome:
    name, rows, most = it.options.signal_table, it.seen["signal"]["rows"], it.limit("max_signal_rows")
    if rows is None:
        return skipped(_UNREAD)
    if int(rows) > most:
        return failed(
            "It has more than %d rows, most of them watermarks of snapshots long done." % most,
            "Empty it while no snapshot runs.",
            sql=["DELETE FROM %s" % name.sql],
            objects=[name],
        )
    return passed("It has %s rows." % rows)


@HEARTBEAT.check(
    "heartbeat_table_row",
    CRITICAL,
    "The heartbeat table has the row that is updated.",
    needs=("heartbeat_table_shape",),
    source=_HEARTBEATS,
)
def heartbeat_table_row(it: Subject) -> Outcome:
    name, rows = it.options.heartbeat_table, it.seen["heartbeat"]["rows"]
    if rows is None:
        return skipped(_UNREAD)
    if int(rows):
        return passed("It has.")
    return failed(
        "It is empty.",
        "Insert one.",
        sql=[_HEARTBEAT.of(it).first_row()],
        task=_HEARTBEAT.task(it),
        objects=[name],
    )


@HEARTBEAT.check(
    "heartbeat_fresh",
    WARNING,
    "The connector's heart beats.",
    needs=("heartbeat_table_row", "slot_complete"),
    source=_HEARTBEATS,
)
def heartbeat_fresh(it: Subject) -> Outcome:
    if not it.slot["active"]:
        return skipped("The connector is not running.")
    seconds = it.seen["heartbeat"]["age"]
    if seconds is None:
        return skipped("The table tells no time. Or: %s" % _UNREAD)
    found = "The last beat was %s s ago." % seconds
    if int(seconds) > it.limit("max_heartbeat_age"):
        return failed(
            found + " While nothing else changes the slot does not move.",
            "Switch heartbeats on in Streamkap and name the schema of this table there; or update it on a schedule where the connector "
            "only reads.",
            objects=[it.options.heartbeat_table],
        )
    return passed(found)
