# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the server is set up so that changes can be captured from it, and go on to be."""

from __future__ import annotations

from typing import Any

from .._sql import ident, listed, literal
from .check import CRITICAL, INFO, WARNING, Area, Outcome, SettingUnknown, failed, passed, skipped
from .subject import Subject

AREA = Area("server")

_GIGABYTE = 1024  # megabytes, the unit of max_slot_wal_keep_size
_DAY = 86400  # seconds
_DECODING_MEMORY = 64 * 1024  # kilobytes: PostgreSQL's default


def setting(it: Subject, name: str, value: str, restart: bool) -> tuple[str, list[str]]:
    """The remedy for a setting of the whole server: words, and the SQL where SQL can do it."""
    if it.server.is_neon:
        return "Ask Neon's support to set %s = %s for the project." % (name, value), []
    if it.seen["rds"]:
        after = " and reboot the instance" if restart else ""
        return "Set %s = %s in the parameter group%s." % (name, value, after), []
    after = "restart the server" if restart else "reload its configuration"
    sql = ["ALTER SYSTEM SET %s = %s" % (name, literal(value))]
    return "Set %s = %s as a superuser and %s." % (name, value, after), sql + (
        [] if restart else ["SELECT pg_reload_conf()"]
    )


@AREA.check(
    "primary_server",
    CRITICAL,
    "The server is a primary, or a standby that can be captured from.",
    source="https://www.postgresql.org/docs/current/logicaldecoding-explanation.html",
)
def primary_server(it: Subject) -> Outcome:
    if not it.server.in_recovery:
        return passed("The server is a primary.")
    if it.server.major < 16:
        return failed(
            "The server is a hot standby, and PostgreSQL %d can be captured from a primary only." % it.server.major,
            "Connect to the primary.",
        )
    if it.seen["settings"]["hot_standby_feedback"] != "on":
        remedy, sql = setting(it, "hot_standby_feedback", "on", restart=False)
        return failed(
            "The server is a hot standby without hot_standby_feedback: the primary will remove rows that a slot here needs.",
            remedy + " Or connect to the primary.",
            sql,
        )
    return passed("The server is a hot standby with hot_standby_feedback; choose read-only snapshots in Streamkap.")


@AREA.check(
    "wal_level",
    CRITICAL,
    "The server writes WAL for logical replication.",
    source="https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-WAL-LEVEL",
)
def wal_level(it: Subject) -> Outcome:
    found = "wal_level is %s." % it.server.wal_level
    if it.server.wal_level == "logical":
        return passed(found)
    if it.server.is_neon:
        return failed(
            found,
            "Enable logical replication in the settings of the Neon project. It restarts all computes of the project and cannot be "
            "undone.",
        )
    if it.seen["rds"]:
        return failed(found, "Set rds.logical_replication = 1 in the parameter group and reboot the instance.")
    remedy, sql = setting(it, "wal_level", "logical", restart=True)
    return failed(found, remedy, sql)


@AREA.check(
    "replication_slots_free",
    CRITICAL,
    "The server has room for the connector's replication slot.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-REPLICATION-SLOTS",
)
def replication_slots_free(it: Subject) -> Outcome:
    used, most = it.seen["slots_used"], it.server_setting("max_replication_slots")
    if it.seen["slot"] and it.seen["slot"]["slot"]:
        return passed("The slot %s has its place." % it.options.slot)
    found = "%d of max_replication_slots = %d are taken." % (used, most)
    if used >= most:
        enough = max(10, 2 * most)
        remedy, sql = setting(it, "max_replication_slots", str(enough), restart=True)
        if it.server_setting("max_wal_senders") < enough:
            sql += setting(it, "max_wal_senders", str(enough), restart=True)[1]
        return failed(found, "Drop a slot that nobody uses. Or: %s" % remedy, sql)
    return passed(found)


@AREA.check(
    "wal_senders_free",
    CRITICAL,
    "The server has room for the connector's walsender.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-WAL-SENDERS",
)
def wal_senders_free(it: Subject) -> Outcome:
    used, most = it.seen["senders_used"], it.server_setting("max_wal_senders")
    slot = it.seen["slot"] and it.seen["slot"]["slot"]
    found = "%d of max_wal_senders = %d are busy." % (used, most)
    if used >= most and not (slot and slot["active"]):
        remedy, sql = setting(it, "max_wal_senders", str(max(10, 2 * most)), restart=True)
        return failed(found, "Disconnect a replication client that nobody needs. Or: %s" % remedy, sql)
    return passed(found)


@AREA.check(
    "wal_senders_enough",
    WARNING,
    "Every replication slot can be read at the same time.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-WAL-SENDERS",
)
def wal_senders_enough(it: Subject) -> Outcome:
    senders, slots = it.server_setting("max_wal_senders"), it.server_setting("max_replication_slots")
    found = "max_wal_senders is %d, max_replication_slots is %d." % (senders, slots)
    if senders < slots:
        remedy, sql = setting(it, "max_wal_senders", str(slots), restart=True)
        return failed(found, remedy, sql)
    return passed(found)


@AREA.check(
    "wal_kept_for_slots",
    WARNING,
    "The server keeps at least 1 GB of WAL for a slot whose consumer is away.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-SLOT-WAL-KEEP-SIZE",
)
def wal_kept_for_slots(it: Subject) -> Outcome:
    most = it.server_setting("max_slot_wal_keep_size")
    if most < 0:
        return passed("max_slot_wal_keep_size is -1: without limit.")
    found = "max_slot_wal_keep_size is %d MB." % most
    if most < _GIGABYTE:
        remedy, sql = setting(it, "max_slot_wal_keep_size", "10GB", restart=False)
        return failed(
            found + " A connector that is away while more is written loses its slot.",
            "%s Let it fit the disk." % remedy,
            sql,
        )
    return passed(found)


@AREA.check(
    "wal_kept_is_bounded",
    INFO,
    "A slot whose consumer is away cannot fill the server's disk.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-SLOT-WAL-KEEP-SIZE",
)
def wal_kept_is_bounded(it: Subject) -> Outcome:
    most = it.server_setting("max_slot_wal_keep_size")
    if most < 0:
        remedy, sql = setting(it, "max_slot_wal_keep_size", "100GB", restart=False)
        return failed(
            "max_slot_wal_keep_size is -1: WAL is kept for an unread slot until the disk is full.",
            "%s Let it fit the disk, or watch the slot's lag." % remedy,
            sql,
        )
    return passed("max_slot_wal_keep_size is %d MB." % most)


@AREA.check(
    "idle_slot_timeout",
    WARNING,
    "The server keeps an unread slot for at least a day.",
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-IDLE-REPLICATION-SLOT-TIMEOUT",
)
def idle_slot_timeout(it: Subject) -> Outcome:
    seconds = it.server_setting("idle_replication_slot_timeout")
    if seconds is None:
        return skipped("PostgreSQL %d has no idle_replication_slot_timeout." % it.server.major)
    found = "idle_replication_slot_timeout is %s." % ("%d s" % seconds if seconds else "off")
    if 0 < seconds < _DAY:
        remedy, sql = setting(it, "idle_replication_slot_timeout", "0", restart=False)
        return failed(found + " A connector that is away for longer loses its slot.", remedy, sql)
    return passed(found)


# Values of settings with which Debezium 3.6 reads wrong values, or ends; measured in tests/debezium. Other values of these, and other
# settings of formats (DateStyle, TimeZone, client_encoding), make no difference: the driver sets them, or reads them all.
_DEFAULTS = {"IntervalStyle": "postgres", "bytea_output": "hex", "extra_float_digits": "1"}


@AREA.check(
    "value_formats",
    CRITICAL,
    "The connector's sessions show values in formats that Debezium reads.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/runtime-config-client.html#RUNTIME-CONFIG-CLIENT-FORMAT",
)
def value_formats(it: Subject) -> Outcome:
    values, unknown = dict(_DEFAULTS), []
    for name in _DEFAULTS:
        try:
            values[name] = it.setting_text(name)
        except SettingUnknown as reason:
            unknown.append(str(reason))
    harm = {}
    if values["IntervalStyle"] == "sql_standard":
        harm["IntervalStyle"] = "intervals arrive as others, '1 day' as 0"
    if values["bytea_output"] == "escape":
        harm["bytea_output"] = "the connector ends at the first bytea, or reads others"
    if int(values["extra_float_digits"]) < 1:
        harm["extra_float_digits"] = "real and double precision arrive rounded"
    if not harm:
        return skipped(" ".join(unknown)) if unknown else passed("They do.")
    return failed(
        "%s." % listed("%s is %s for the connector: %s" % (name, values[name], words) for name, words in harm.items()),
        "Set it for the connector's user, and let the connector start again.",
        sql=[statement for name in harm for statement in it.set_for_connector(name, _DEFAULTS[name])],
        objects=harm,
    )


@AREA.check(
    "wal_sender_timeout",
    WARNING,
    "A quiet connection to the connector is not cut.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-WAL-SENDER-TIMEOUT",
)
def wal_sender_timeout(it: Subject) -> Outcome:
    milliseconds = it.setting("wal_sender_timeout")
    found = "wal_sender_timeout is %s for the connector." % _time(milliseconds)
    if milliseconds and not it.options.heartbeat_table:
        return failed(
            found + " Without heartbeats, a database with little traffic gets disconnected.",
            "Use heartbeats, or set it to 0 for the connector's user.",
            sql=["ALTER ROLE %s SET wal_sender_timeout = 0" % ident(it.options.user)],
        )
    return passed(found)


@AREA.check(
    "statement_timeout",
    WARNING,
    "No timeout cuts off the connector's snapshots.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT",
)
def statement_timeout(it: Subject) -> Outcome:
    return _no_timeouts(it, ("statement_timeout", "transaction_timeout"))


@AREA.check(
    "idle_in_transaction_timeout",
    INFO,
    "No timeout ends the connector's transactions while they wait.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT",
)
def idle_in_transaction_timeout(it: Subject) -> Outcome:
    return _no_timeouts(it, ("idle_in_transaction_session_timeout",))


def _no_timeouts(it: Subject, names: tuple[str, ...]) -> Outcome:
    values = {name: it.setting(name) for name in names if it.server_setting(name) is not None}
    found = "%s for the connector." % "; ".join("%s is %s" % (name, _time(value)) for name, value in values.items())
    on = [name for name, value in values.items() if value]
    if on:
        return failed(
            found,
            "Set it to 0 for the connector's user.",
            sql=["ALTER ROLE %s SET %s = 0" % (ident(it.options.user), name) for name in on],
            objects=on,
        )
    return passed(found)


@AREA.check(
    "decoding_memory",
    INFO,
    "Large transactions are decoded in memory up to the default of 64 MB.",
    needs=("user_exists",),
    source="https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-LOGICAL-DECODING-WORK-MEM",
)
def decoding_memory(it: Subject) -> Outcome:
    kilobytes = it.setting("logical_decoding_work_mem")
    found = "logical_decoding_work_mem is %d kB for the connector." % kilobytes
    if kilobytes < _DECODING_MEMORY:
        return failed(
            found + " Larger transactions are written to the server's disk first.",
            "Set it higher for the connector's user.",
            sql=["ALTER ROLE %s SET logical_decoding_work_mem = '64MB'" % ident(it.options.user)],
        )
    return passed(found)


@AREA.check(
    "long_transactions",
    WARNING,
    "No old transaction holds up the making of a slot, or its WAL.",
    source="https://www.postgresql.org/docs/current/logicaldecoding-explanation.html",
)
def long_transactions(it: Subject) -> Outcome:
    limit, old = it.limit("max_transaction_age"), it.seen["transactions"]
    if not old:
        return passed("No transaction that may be seen is older than %d s." % limit)
    return failed(
        "Open for more than %d s: %s." % (limit, listed(map(_transaction, old))),
        "Have them ended by their users, or end them: what they did is rolled back.",
        sql=["SELECT pg_terminate_backend(%d)" % transaction["pid"] for transaction in old],
        objects=[transaction["pid"] for transaction in old],
    )


@AREA.check(
    "prepared_transactions",
    WARNING,
    "No forgotten prepared transaction holds up the making of a slot, or its WAL.",
    source="https://www.postgresql.org/docs/current/sql-prepare-transaction.html",
)
def prepared_transactions(it: Subject) -> Outcome:
    limit, old = it.limit("max_transaction_age"), it.seen["prepared"]
    if not old:
        return passed("No prepared transaction is older than %d s." % limit)
    return failed(
        "Prepared more than %d s ago: %s."
        % (limit, listed("%s of %s in %s (%d s)" % (x["gid"], x["user"], x["database"], x["seconds"]) for x in old)),
        "Have each committed or rolled back in its own database, as who prepared it.",
        sql=["ROLLBACK PREPARED %s" % literal(transaction["gid"]) for transaction in old],
        objects=[transaction["gid"] for transaction in old],
    )


def _transaction(transaction: dict[str, Any]) -> str:
    return "the process %(pid)s of %(user)s in %(database)s (%(state)s, %(seconds)d s)" % transaction


def _time(milliseconds: int | None) -> str:
    return "%g s" % (milliseconds / 1000) if milliseconds else "off"
