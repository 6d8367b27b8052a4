# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A logical replication slot: from where on the server keeps changes, and how far they have been read.

Slots are no objects of a transaction: what is done to one stays when the transaction is rolled back
(https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS).
"""

from __future__ import annotations

import re
from typing import Any

from .._engine import Logins, Plan
from .._errors import Failure
from .._server import Server
from .._sql import Statement, check_name, listed, literal

SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")

# How long a consumer that is told to go may take, in milliseconds. One that is alive goes at once.
_PATIENCE = 5000

# Creation waits until every transaction that was writing when it began has ended. Whose these are is for everybody to see in
# pg_locks, but since when only for members of pg_monitor. Members of rds_replication may use slots on Amazon's servers.
_LOOK = """
WITH s AS (SELECT * FROM pg_replication_slots WHERE slot_name = {name}),
     w AS (SELECT DISTINCT l.pid, NULL AS gid, a.usename AS "user", a.datname AS database, a.xact_start AS since
             FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
            UNION ALL SELECT NULL, gid, owner, database, prepared FROM pg_prepared_xacts)
SELECT json_build_object(
  'slot', (SELECT json_build_object(
      'plugin', s.plugin,
      'database', s.database,
      'slot_type', s.slot_type,
      'temporary', s.temporary,
      'active', s.active,
      'active_pid', s.active_pid,
      'wal_status', s.wal_status,
      'invalidation_reason', {invalidation_reason},
      'restart_lsn', s.restart_lsn,
      'confirmed_flush_lsn', s.confirmed_flush_lsn,
      'lag_bytes', pg_wal_lsn_diff(
          CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
          s.confirmed_flush_lsn)::bigint,
      'safe_wal_size', s.safe_wal_size,
      'failover', {failover},
      'two_phase', s.two_phase) FROM s),
  'reader', (SELECT json_build_object(
      'user', r.rolname,
      'superuser', r.rolsuper,
      'may_signal', pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
    FROM s JOIN pg_stat_activity a ON a.pid = s.active_pid JOIN pg_roles r ON r.oid = a.usesysid),
  'publication', {publication},
  'slots', (SELECT count(*) FROM pg_replication_slots),
  'max_slots', current_setting('max_replication_slots')::int,
  'rds_replication', coalesce(pg_has_role(to_regrole('rds_replication')::oid, 'USAGE'), false),
  'writers', (SELECT coalesce(json_agg(json_build_object(
      'pid', w.pid,
      'gid', w.gid,
      'user', w."user",
      'database', w.database,
      'seconds', extract(epoch FROM clock_timestamp() - w.since)::int) ORDER BY w.since), '[]') FROM w))"""

_SHOWN = (
    "plugin",
    "database",
    "slot_type",
    "active",
    "active_pid",
    "wal_status",
    "invalidation_reason",
    "restart_lsn",
    "confirmed_flush_lsn",
    "lag_bytes",
    "safe_wal_size",
    "failover",
    "two_phase",
)


class Slot:
    """One logical slot of the current database.

    :param publication: the one that will be read through the slot.
    :param failover: None leaves an existing slot as it is.
    :param two_phase: likewise.
    :param force: disconnect the consumer of a slot that is to go.
    :param recreate_lost: make a slot anew whose changes are lost already.
    :param leave_lost: leave such a slot as it is, with a warning, for somebody to decide about.
    """

    key = "slot"

    def __init__(
        self,
        name: str,
        plugin: str,
        publication: str | None,
        failover: bool | None,
        two_phase: bool | None,
        state: str,
        force: bool,
        recreate_lost: bool,
        leave_lost: bool = False,
    ) -> None:
        if not SLOT_NAME.fullmatch(name):
            raise Failure(
                f"{name!r} cannot be the name of a slot.",
                hint="PostgreSQL takes lower-case letters, digits and underscores for it, 63 at most.",
            )
        self.name = name
        self.title = f"the slot {name}"
        self.plugin = check_name(plugin, "plugin")
        self.publication = None if publication is None else check_name(publication, "publication")
        self.failover = failover
        self.two_phase = two_phase
        self.state = state
        self.force = force
        self.recreate_lost = recreate_lost
        self.leave_lost = leave_lost

    def look(self, version: int) -> str:
        if version >= 170000:
            reason, failover = "s.invalidation_reason", "s.failover"
        else:
            reason, failover = "NULL::text", "NULL::bool"
        publication = (
            f"EXISTS (SELECT FROM pg_publication WHERE pubname = {literal(self.publication)})"
            if self.publication
            else "NULL::bool"
        )
        return _LOOK.format(
            name=literal(self.name), invalidation_reason=reason, failover=failover, publication=publication
        )

    def logins(self, seen: Any) -> list[tuple[str, str]]:
        return []

    def plan(self, seen: Any, server: Server, logins: Logins | None) -> Plan:
        slot = seen["slot"]
        if slot:
            self._check_kind(slot, server)
        if self.state == "absent":
            return self._plan_absent(seen, server) if slot else Plan()
        if not slot:
            return self._plan_creation(seen, server)
        if _is_lost(slot):
            return self._plan_recreation(seen, server)
        return self._plan_existing(seen, server)

    def describe(self, seen: Any) -> dict[str, Any]:
        slot = seen["slot"] or {}
        return {"name": self.name, "exists": bool(slot), **{key: slot.get(key) for key in _SHOWN}}

    def _check_kind(self, slot: dict[str, Any], server: Server) -> None:
        """Fail for a slot that only has the name in common with what is meant."""
        if slot["slot_type"] != "logical":
            raise Failure(
                f"The slot {self.name} is a {slot['slot_type']} one, such as a standby or a backup uses.",
                hint="Choose another name.",
            )
        if slot["database"] != server.database:
            raise Failure(
                f"The slot {self.name} belongs to the database {slot['database']}, not to {server.database}.",
                hint="A slot's name is taken on the whole server: choose another name, or connect to that database.",
            )
        if slot["temporary"]:
            raise Failure(
                f"The slot {self.name} is a temporary one, of the process {slot['active_pid']}.",
                hint="It goes when that disconnects: run again then, or choose another name.",
            )
        if slot["plugin"] != self.plugin:
            raise Failure(
                f"The slot {self.name} has the plugin {slot['plugin']}, not {self.plugin}, and that cannot be changed.",
                hint=f"Choose another name, or drop it first with state: absent and plugin: {slot['plugin']}.",
            )

    def _plan_existing(self, seen: Any, server: Server) -> Plan:
        slot = seen["slot"]
        stands = self._stands(slot["failover"], slot["two_phase"], server)
        plan = Plan(before=stands, after=stands)
        if slot["confirmed_flush_lsn"] is None:
            plan.missing.append(
                f"The slot {self.name} is still being made, by the process {slot['active_pid']}{_behind(seen['writers'])}."
            )
            return plan
        self._check_switches(slot, server)
        if slot["wal_status"] == "unreserved":
            plan.warnings.append(
                f"The slot {self.name} is about to be lost: it needs more WAL than max_slot_wal_keep_size lets the server keep. "
                "Let its consumer catch up now, or raise max_slot_wal_keep_size."
            )
        if self.publication and not seen["publication"]:
            plan.warnings.append(
                f"The slot {self.name} exists and the publication {self.publication} does not. Changes made before the "
                "publication is cannot be read through it: reading fails at the first of them, or from PostgreSQL 18 on "
                "skips them. Make the publication, then the slot anew."
            )
        return plan

    def _check_switches(self, slot: dict[str, Any], server: Server) -> None:
        for option, desired, since in (("failover", self.failover, 17), ("two_phase", self.two_phase, 18)):
            if desired is None or desired == bool(slot[option]):
                continue
            again = "make it again: state: absent, then present, then a new snapshot"
            if server.major >= since:
                command = f"ALTER_REPLICATION_SLOT {self.name} ({option.upper()} {str(desired).lower()})"
                hint = f"While nothing reads it, send {command} in a connection with replication=database, or {again}."
            else:
                hint = f"To change it, {again}."
            raise Failure(
                f"The slot {self.name} has {option} {_on(slot[option])}, and SQL cannot turn it {_on(desired)}.",
                hint=hint,
            )

    def _plan_creation(self, seen: Any, server: Server) -> Plan:
        self._check_server(server, seen["slots"], seen["max_slots"])
        self._check_right(seen, server)
        plan = Plan(after=self._stands(self.failover, self.two_phase, server))
        self._create(plan, seen, server, self.failover, self.two_phase)
        return plan

    def _plan_recreation(self, seen: Any, server: Server) -> Plan:
        slot = seen["slot"]
        reason = slot["invalidation_reason"] or "wal_removed"
        lost = (
            f"The slot {self.name} is lost ({reason}): the server has thrown away what it needs, so that the changes since "
            f"{slot['confirmed_flush_lsn']} can never be read."
        )
        if self.leave_lost:
            stands = self._stands(slot["failover"], slot["two_phase"], server)
            return Plan(before=stands, after=stands, warnings=[lost])
        if not self.recreate_lost:
            raise Failure(
                lost, hint="Set recreate_lost: true to make it anew, and then take a new snapshot of all tables."
            )
        self._check_server(server, seen["slots"] - 1, seen["max_slots"])
        self._check_right(seen, server)
        failover = slot["failover"] if self.failover is None else self.failover
        two_phase = slot["two_phase"] if self.two_phase is None else self.two_phase
        plan = Plan(
            before={**self._stands(slot["failover"], slot["two_phase"], server), "lost": reason},
            after={**self._stands(failover, two_phase, server), "lost": None},
            warnings=[
                f"The slot {self.name} was lost ({reason}). Changes are missing: take a new snapshot of all tables."
            ],
        )
        plan.statements.append(self._drop())
        self._create(plan, seen, server, failover, two_phase)
        return plan

    def _plan_absent(self, seen: Any, server: Server) -> Plan:
        slot, reader = seen["slot"], seen["reader"] or {}
        self._check_right(seen, server)
        plan = Plan(before=self._stands(slot["failover"], slot["two_phase"], server), lasting=True)
        if slot["active"]:
            self._check_termination(slot, reader, server)
            plan.statements.append(
                Statement(
                    f"SELECT pg_terminate_backend(active_pid, {_PATIENCE}) FROM pg_replication_slots "
                    f"WHERE slot_name = {literal(self.name)} AND active"
                )
            )
            plan.hints["55006"] = (
                "Its consumer was told to go and has stayed or come back: stop it first, and run again."
            )
        plan.statements.append(self._drop())
        return plan

    def _check_termination(self, slot: dict[str, Any], reader: dict[str, Any], server: Server) -> None:
        who = f"the process {slot['active_pid']}" + (f" of {reader['user']}" if reader else "")
        if not self.force:
            raise Failure(
                f"The slot {self.name} is in use by {who}.",
                hint="Stop the connector first, or set force: true to disconnect it.",
            )
        if reader and not server.superuser and (reader["superuser"] or not reader["may_signal"]):
            raise Failure(
                f"The current role may not disconnect {who}, which uses the slot {self.name}.",
                hint="Stop the connector, or run as a superuser."
                if reader["superuser"]
                else f"Stop the connector, or run as a member of {reader['user']} or of pg_signal_backend.",
            )

    def _check_server(self, server: Server, used: int, most: int) -> None:
        if server.wal_level != "logical":
            raise Failure(
                f"The server writes no WAL for logical replication: its wal_level is {server.wal_level}.",
                hint="Enable logical replication in the settings of the Neon project; it restarts all computes of the project and "
                "cannot be undone."
                if server.is_neon
                else "Set wal_level = logical and restart the server.",
            )
        if self.failover and server.major < 17:
            raise Failure(
                f"Failover slots need PostgreSQL 17, and this server is {server.major}.", hint="Leave failover out."
            )
        if used >= most:
            raise Failure(
                f"All slots of the server are taken: {used} of max_replication_slots = {most}.",
                hint="Drop a slot that nobody uses, or raise max_replication_slots, which takes a restart"
                + (" and on Neon a word with its support." if server.is_neon else "."),
            )

    def _check_right(self, seen: Any, server: Server) -> None:
        if not (server.superuser or server.replication or seen["rds_replication"]):
            raise Failure(
                f"The current role {server.user} may not make or drop a slot: it lacks REPLICATION.",
                hint="Run as a role that has it, on Neon as one that Neon's console or API made.",
            )

    def _create(self, plan: Plan, seen: Any, server: Server, failover: bool | None, two_phase: bool | None) -> None:
        if self.publication and not seen["publication"]:
            plan.missing.append(
                f"The publication {self.publication} does not exist, and it must before the slot {self.name} does: "
                "what changes in between could not be read."
            )
        arguments = [literal(self.name), literal(self.plugin)]
        arguments += [f"{name} => true" for name, on in (("twophase", two_phase), ("failover", failover)) if on]
        plan.statements += [
            # It waits for other transactions as for locks, but while it waits it blocks nobody: statement_timeout is enough.
            Statement("SET LOCAL lock_timeout = 0"),
            Statement(f"SELECT pg_create_logical_replication_slot({', '.join(arguments)})"),
        ]
        plan.lasting = True
        plan.warnings.append(
            f"Neon removes the slot {self.name} when nothing reads it for about 40 hours: start the connector before."
            if server.is_neon
            else f"The server keeps all WAL from now on until the slot {self.name} is read: start the connector soon, "
            "or drop the slot."
        )

    def _drop(self) -> Statement:
        return Statement(f"SELECT pg_drop_replication_slot({literal(self.name)})")

    def _stands(self, failover: bool | None, two_phase: bool | None, server: Server) -> dict[str, Any]:
        """What a diff shows: what was asked for, and nothing that moves by itself."""
        stands: dict[str, Any] = {"slot": self.name, "plugin": self.plugin, "database": server.database}
        if self.failover is not None:
            stands["failover"] = bool(failover)
        if self.two_phase is not None:
            stands["two_phase"] = bool(two_phase)
        return stands


def _is_lost(slot: dict[str, Any]) -> bool:
    return slot["wal_status"] == "lost" or slot["invalidation_reason"] is not None


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _behind(writers: list[dict[str, Any]]) -> str:
    """Words for the transactions that keep a slot from being made, the oldest first."""
    return f" for {listed(map(_writer, writers), most=5)} to end" if writers else ""


def _writer(writer: dict[str, Any]) -> str:
    words = f"the process {writer['pid']}" if writer["gid"] is None else f"the prepared transaction {writer['gid']!r}"
    if writer["user"]:
        words += f" of {writer['user']}"
    if writer["database"]:
        words += f" in {writer['database']}"
    if writer["seconds"] is not None:
        words += f" (writing for {writer['seconds']} s)"
    return words
