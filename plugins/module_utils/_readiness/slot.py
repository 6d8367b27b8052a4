# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether the replication slot is there, whole, and being read."""

from __future__ import annotations

from .._resources.slot import SLOT_NAME
from .._sql import literal
from .check import CRITICAL, INFO, WARNING, Area, Outcome, failed, passed, skipped
from .subject import Subject

AREA = Area("slot")

_SLOTS = "https://www.postgresql.org/docs/current/view-pg-replication-slots.html"

_IN_USE = "55006"  # object_in_use
_CANCELLED = "57014"  # query_canceled

# On Neon a slot that nobody reads goes after about 40 hours.
_NEON_IDLE = 12 * 3600  # seconds


def _make(it: Subject) -> str:
    return "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')" % literal(it.options.slot)


def _drop(it: Subject) -> str:
    return "SELECT pg_drop_replication_slot(%s)" % literal(it.options.slot)


def _task(it: Subject, **options: object) -> dict[str, dict[str, object]]:
    publication = {"publication": it.options.publication} if it.options.publication else {}
    return {"streamkap.neon.slot": {"name": it.options.slot, **publication, **options}}


@AREA.check("slot_name", CRITICAL, "The name of the slot is one that a slot can have.", source=_SLOTS)
def slot_name(it: Subject) -> Outcome:
    name = it.options.slot
    if not name:
        return skipped("No slot was named.")
    if SLOT_NAME.fullmatch(name):
        return passed("%s is." % name)
    return failed(
        "%r is none." % name,
        "Use lower-case letters, digits and underscores, 63 at most, here and in Streamkap.",
        objects=[name],
    )


@AREA.check(
    "slot_exists", CRITICAL, "The slot exists.", needs=("slot_name", "primary_server", "wal_level"), source=_SLOTS
)
def slot_exists(it: Subject) -> Outcome:
    name = it.options.slot
    if it.seen["slot"]["slot"]:
        return passed("There is a slot %s on the server." % name)
    lost = " A restored or new branch of Neon's has none of its parent's." if it.server.is_neon else ""
    return failed(
        "There is no slot %s on the server.%s" % (name, lost),
        "Make it, after the publication. If a connector has been reading from it, take a new snapshot.",
        sql=[_make(it)],
        task=_task(it),
        objects=[name],
    )


@AREA.check("slot_database", CRITICAL, "The slot belongs to this database.", needs=("slot_exists",), source=_SLOTS)
def slot_database(it: Subject) -> Outcome:
    database = it.slot["database"]
    if database in (it.server.database, None):
        return passed("It does." if database else "It belongs to no database: see slot_plugin.")
    return failed(
        "The slot %s belongs to the database %s, and names of slots are taken for the whole server."
        % (it.options.slot, database),
        "Choose another name for the slot of this database, here and in Streamkap. If nobody needs that one any more, drop it in its "
        "own database.",
        objects=[it.options.slot, database],
    )


@AREA.check(
    "slot_plugin",
    CRITICAL,
    "The slot is a permanent, logical one of pgoutput.",
    needs=("slot_database",),
    source="https://www.postgresql.org/docs/current/protocol-logical-replication.html",
)
def slot_plugin(it: Subject) -> Outcome:
    slot = it.slot
    if slot["slot_type"] != "logical":
        found = "It is physical."
    elif slot["temporary"]:
        found = "It is temporary, and goes with the session that made it."
    elif slot["plugin"] != "pgoutput":
        found = "Its plugin is %s." % slot["plugin"]
    else:
        return passed("It is.")
    return failed(
        found,
        "Choose another name for the connector's slot; or, if nobody needs this one, drop it and make it anew.",
        sql=[_drop(it), _make(it)],
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_complete",
    CRITICAL,
    "The slot is made.",
    needs=("slot_plugin",),
    source="https://www.postgresql.org/docs/current/logicaldecoding-explanation.html",
)
def slot_complete(it: Subject) -> Outcome:
    if not it.slot["incomplete"]:
        return passed("It has a position to be read from.")
    writers = it.seen["slot"]["writers"]
    return failed(
        "It is still being made, by the process %s, which waits for every transaction that was writing when it began."
        % it.slot["active_pid"],
        "Have these transactions ended.",
        sql=["SELECT pg_terminate_backend(%d)" % writer["pid"] for writer in writers if writer["pid"]]
        + ["ROLLBACK PREPARED %s" % literal(writer["gid"]) for writer in writers if writer["gid"]],
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_of_this_server",
    CRITICAL,
    "The slot is the server's own, not a copy of the primary's.",
    needs=("slot_complete",),
    source="https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION",
)
def slot_of_this_server(it: Subject) -> Outcome:
    if not (it.server.in_recovery and it.slot["synced"]):
        return passed("It is.")
    return failed(
        "The slot %s is synchronized from the primary, and cannot be read on this standby until it is promoted."
        % it.options.slot,
        "Connect to the primary; or choose another name for a slot of the standby's own, here and in Streamkap.",
        objects=[it.options.slot],
    )


@AREA.check("slot_not_lost", CRITICAL, "The WAL that the slot needs is there.", needs=("slot_complete",), source=_SLOTS)
def slot_not_lost(it: Subject) -> Outcome:
    slot = it.slot
    why = slot["invalidation_reason"] or ("conflicting" if slot["conflicting"] else None)
    if slot["wal_status"] != "lost" and not why:
        return passed("wal_status is %s." % slot["wal_status"])
    return failed(
        "The slot is lost%s: changes are missing that nobody can get back." % (" (%s)" % why if why else ""),
        "Stop the connector, make the slot anew, and take a new snapshot of all tables.",
        sql=[_drop(it), _make(it)],
        task=_task(it, recreate_lost=True),
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_reads_publication",
    CRITICAL,
    "The publication is older than what the slot has still to read.",
    needs=("slot_not_lost", "publication_exists"),
    source="https://www.postgresql.org/docs/current/logical-replication-publication.html",
)
def slot_reads_publication(it: Subject) -> Outcome:
    """Decoding looks the publication up as it was at the time of each change."""
    if it.publication["age"] > (it.slot["catalog_age"] or 0):
        return passed("It was made and altered before.")
    if it.slot["active"]:
        return passed("The slot is being read.")
    unknown = _unread(it)
    if unknown:
        return skipped("%s See slot_publication_known." % unknown)
    answers = it.connector.errors("slot")
    if any(answer["sqlstate"] == _IN_USE for answer in answers):
        return passed("Somebody has begun to read the slot.")
    errors = [answer["error"] for answer in answers]
    errors += [notice for notice in it.connector.notices if "skipped loading publication" in notice]
    if not errors:
        return passed("The slot was read through it.")
    return failed(
        "The slot cannot be read: %s." % errors[0].strip(),
        "Stop the connector, make the slot anew, and take a new snapshot of all tables.",
        sql=[_drop(it), _make(it)],
        objects=[it.options.slot],
    )


def _unread(it: Subject) -> str | None:
    """Say why nothing tells whether the slot can be read through the publication, or None where something does."""
    if it.publication["age"] > (it.slot["catalog_age"] or 0) or it.slot["active"]:
        return None
    found = "The publication was made or altered since the slot was last read, and only reading the slot tells whether that harms."
    if not it.options.read_slot:
        return "%s read_slot is false." % found
    if not it.connector or it.connector.refused or it.connector.unanswered:
        return "%s It takes the connector's user, whose side was not seen." % found
    if any(answer["sqlstate"] == _CANCELLED for answer in it.connector.errors("slot")):
        return "%s Reading it took longer than statement_timeout." % found
    return None


@AREA.check(
    "slot_publication_known",
    CRITICAL,
    "It is known whether the slot can be read through the publication.",
    needs=("slot_not_lost", "publication_exists"),
    source="https://www.postgresql.org/docs/current/logical-replication-publication.html",
)
def slot_publication_known(it: Subject) -> Outcome:
    """After DROP and CREATE of the publication the slot fails at its first change from before."""
    unknown = _unread(it)
    if not unknown:
        return passed("It is.")
    return failed(
        unknown,
        "Look with the connector's password (connector_password) and read_slot, with a longer statement_timeout if need be; or start the "
        "connector, and look whether it reads. If it cannot, make the slot anew and take a new snapshot of all tables.",
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_consumer",
    WARNING,
    "Nobody but the connector's user reads from the slot.",
    needs=("slot_complete",),
    source=_SLOTS,
)
def slot_consumer(it: Subject) -> Outcome:
    """Two consumers of one slot each get a part of the changes."""
    slot, reader = it.slot, it.seen["slot"]["reader"]
    if not slot["active"] or not reader or reader["user"] == it.options.user:
        return passed(
            "It is being read by the connector's user." if slot["active"] else "Nobody reads from it just now."
        )
    return failed(
        "%s reads from it, by the process %s." % (reader["user"], slot["active_pid"]),
        "Stop that client, and give it a slot of its own.",
        sql=["SELECT pg_terminate_backend(%s)" % slot["active_pid"]],
        objects=[reader["user"]],
    )


@AREA.check(
    "slot_read",
    CRITICAL,
    "The connector reads from the slot, where it is to be running.",
    needs=("slot_complete",),
    source=_SLOTS,
)
def slot_read(it: Subject) -> Outcome:
    if not it.options.connector_running:
        return skipped("Whether the connector is to be running was not said (connector_running).")
    if it.slot["active"]:
        return passed("It is being read, by the process %s." % it.slot["active_pid"])
    return failed(
        "Nobody reads from it.",
        "Look at the connector's status and its log in Streamkap. A connector that has just been started takes some seconds.",
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_progress",
    WARNING,
    "The connector confirms what it has read since the earlier look.",
    needs=("slot_read",),
    source="https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-wal-disk-space",
)
def slot_progress(it: Subject) -> Outcome:
    """WAL that is written while nothing is confirmed is kept, and more and more of it."""
    slot, before = it.slot, it.options.slot_before
    if before is None:
        return skipped("There is no earlier look to compare with (slot_before).")
    confirmed, lag = slot["confirmed_flush_lsn"], _bytes(slot["lag_bytes"])
    if confirmed != before["confirmed_flush_lsn"]:
        return passed("It has confirmed what was written until %s, and is %s behind." % (confirmed, lag))
    if slot["lag_bytes"] <= (before["lag_bytes"] or 0):
        return passed("Nothing was written that it could confirm; it is %s behind." % lag)
    return failed(
        "WAL was written, and it has confirmed nothing since: it is %s behind." % lag,
        "Look again in a minute, as often as connectors confirm at the least. On a database whose captured tables seldom change, use "
        "heartbeats.",
        objects=[it.options.slot],
    )


@AREA.check(
    "slot_in_use", WARNING, "The connector has read from the slot lately.", needs=("slot_complete",), source=_SLOTS
)
def slot_in_use(it: Subject) -> Outcome:
    if it.slot["active"]:
        return passed("It is being read.")
    idle = it.slot["idle_seconds"]
    if idle is None:
        return skipped("PostgreSQL %d does not tell since when nobody reads from it." % it.server.major)
    found = "Nobody has read from it for %d s." % idle
    if idle > it.limit("max_idle"):
        return failed(
            found + " The server keeps all WAL since.",
            "Start the connector, or drop the slot if there is none any more.",
            objects=[it.options.slot],
        )
    return passed(found)


@AREA.check(
    "slot_lag",
    WARNING,
    "The connector keeps up with the changes.",
    needs=("slot_not_lost",),
    source=_SLOTS,
)
def slot_lag(it: Subject) -> Outcome:
    slot, limit = it.slot, it.limit("max_lag")
    found = "%s of WAL were written since what its consumer has confirmed; wal_status is %s." % (
        _bytes(slot["lag_bytes"]),
        slot["wal_status"],
    )
    if slot["safe_wal_size"] is not None:
        found += " %s more, and it is in danger." % _bytes(slot["safe_wal_size"])
    if slot["lag_bytes"] > limit or slot["wal_status"] == "unreserved":
        return failed(
            found,
            "Start the connector, or see what holds it up. On a database with few changes, use heartbeats.",
            objects=[it.options.slot],
        )
    return passed(found)


@AREA.check(
    "slot_retained_wal",
    WARNING,
    "No long transaction makes the slot hold back much WAL.",
    needs=("slot_not_lost",),
    source=_SLOTS,
)
def slot_retained_wal(it: Subject) -> Outcome:
    retained = it.slot["retained_bytes"]
    found = "It needs %s of WAL from before what its consumer has confirmed." % _bytes(retained)
    if retained > it.limit("max_retained"):
        return failed(
            found,
            "Have the oldest transactions ended that still write: the slot holds the WAL since they began.",
            sql=[
                "SELECT pg_terminate_backend(%d)" % writer["pid"]
                for writer in it.seen["slot"]["writers"]
                if writer["pid"]
            ],
            objects=[it.options.slot],
        )
    return passed(found)


@AREA.check(
    "neon_slot_removal",
    WARNING,
    "Neon has no reason to remove the slot.",
    needs=("slot_complete",),
    source="https://neon.com/docs/guides/logical-replication-neon",
)
def neon_slot_removal(it: Subject) -> Outcome:
    slot = it.slot
    if not it.server.is_neon:
        return skipped("This is not Neon.")
    if slot["active"]:
        return passed("It is being read.")
    if slot["other_active"] or (slot["idle_seconds"] or 0) > _NEON_IDLE:
        return failed(
            "Nobody reads from it%s. Neon removes such a slot after about 40 hours."
            % (", while other slots are read" if slot["other_active"] else " for %d s" % slot["idle_seconds"]),
            "Start the connector.",
            objects=[it.options.slot],
        )
    return passed("Nobody reads from it, and not for long; no other slot is read.")


@AREA.check(
    "slot_failover",
    INFO,
    "The slot outlives a failover to a standby.",
    needs=("slot_complete",),
    source="https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION",
)
def slot_failover(it: Subject) -> Outcome:
    if it.server.is_neon:
        return passed("Neon's computes share their storage.")
    if not it.slot["physical_slots"]:
        return passed("No standby has a slot here.")
    if it.slot["failover"] is None:
        return skipped("PostgreSQL %d has no failover slots." % it.server.major)
    if it.slot["failover"]:
        return passed("It is a failover slot.")
    return failed(
        "A standby has a slot here, and this one is not synchronized to it.",
        "While nobody reads from it, send this as a replication command: ALTER_REPLICATION_SLOT %s ( FAILOVER true )."
        % it.options.slot,
        objects=[it.options.slot],
    )


def _bytes(size: int) -> str:
    """As people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1024:
            return "%.3g %s" % (size, unit)
        size /= 1024
    return "%.3g TB" % size
