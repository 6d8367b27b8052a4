# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Whether a connector can capture: every check, its verdict and its remedy. Nothing is changed.

What is asked of the server is in _readiness/look.py, and the checks are in a file an area beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .._engine import Line, OtherSide
from .._errors import Failure
from .._readiness import connection, connector_tables, keys, look, publication, server, slot, user
from .._readiness.check import CRITICAL, FAIL, INFO, PASS, SKIPPED, WARNING, Check, Outcome
from .._readiness.subject import Options, Subject, Table
from .._server import Server
from .._sql import QualifiedName, check_name
from ._catalog import names_not_matched
from .slot import SLOT_NAME

AREAS = (
    connection.AREA,
    server.AREA,
    user.AREA,
    keys.AREA,
    publication.AREA,
    slot.AREA,
    connector_tables.SIGNAL,
    connector_tables.HEARTBEAT,
)

CHECKS: tuple[Check, ...] = tuple(check for area in AREAS for check in area.checks)

_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table", "m": "materialized view", "v": "view"}
_IDENTITIES = {"d": "default", "f": "full", "n": "nothing", "i": "index"}

# Where other tables, or policies, have a say in what reading a table gives.
_COMPOSED = ("kind", "inherited", "row_security")

# What the result tells of the slot.
_SLOT = (
    "plugin",
    "database",
    "active",
    "active_pid",
    "wal_status",
    "invalidation_reason",
    "restart_lsn",
    "confirmed_flush_lsn",
    "lag_bytes",
    "retained_bytes",
    "safe_wal_size",
    "idle_seconds",
    "failover",
)


class Readiness:
    """A look at one database.

    :param connector_password: without it the connector's side is left out.
    :param connector_role: whom remedies grant to, where the user is a member of it.
    :param schemas: their tables are to be captured, and the single ``tables``, but not ``exclude_tables``.
    :param publication: empty when it is not to be looked at; and so the next three.
    :param read_slot: whether the slot may be read, without taking anything out of it, where nothing else tells.
    :param connector_running: whether the connector is to be running by now.
    :param slot_before: the slot as an earlier look told it, to see whether the connector gets on.
    :param bypassrls: whether the user is to be judged as if it had BYPASSRLS, because it is about to get that.
    :param limits: from where on something is too much; see the documentation of the module.
    """

    def __init__(
        self,
        connector_user: str,
        connector_password: str | None,
        connector_role: str,
        schemas: list[str] | None,
        tables: list[str] | None,
        exclude_tables: list[str] | None,
        publication: str,
        slot: str,
        signal_table: str,
        heartbeat_table: str,
        read_slot: bool,
        connector_running: bool,
        slot_before: dict[str, Any] | None,
        bypassrls: bool = False,
        **limits: int,
    ) -> None:
        for name, value in limits.items():
            if value < 0:
                raise Failure("%s is %d." % (name, value), hint="Give 0 or more.")
        if slot_before is not None and not {"confirmed_flush_lsn", "lag_bytes"} <= slot_before.keys():
            raise Failure(
                "slot_before is not what an earlier look told of the slot.",
                hint="Give the key slot of what a task of streamkap.neon.readiness_info has returned.",
            )
        self.options = Options(
            user=check_name(connector_user, "role"),
            role=check_name(connector_role, "role"),
            schemas=[check_name(schema, "schema") for schema in dict.fromkeys(schemas or [])],
            tables=_names(tables),
            exclude_tables=_names(exclude_tables),
            publication=check_name(publication, "publication") if publication else "",
            slot=slot,
            signal_table=QualifiedName.parse(signal_table) if signal_table else None,
            heartbeat_table=QualifiedName.parse(heartbeat_table) if heartbeat_table else None,
            read_slot=read_slot,
            connector_running=connector_running,
            slot_before=slot_before,
            limits=limits,
        )
        self.bypassrls = bypassrls
        self.connector = (self.options.user, connector_password) if connector_password else None

    def look(self, version: int) -> str:
        asked = self.options
        return look.administrators(
            version,
            user=asked.user,
            role=asked.role,
            schemas=asked.schemas,
            tables=asked.tables,
            exclude_tables=asked.exclude_tables,
            publication=asked.publication,
            slot=asked.slot if SLOT_NAME.fullmatch(asked.slot) else "",
            signal_table=asked.signal_table,
            heartbeat_table=asked.heartbeat_table,
            max_transaction_age=asked.limits["max_transaction_age"],
            max_signal_rows=asked.limits["max_signal_rows"],
        )

    def connector_look(self, version: int, seen: Any) -> list[str]:
        asked = self.options
        # What is as it mostly is stands in no row: to be captured, readable, and no more than a table.
        via_root = not seen["publication"] or seen["publication"]["via_root"]
        readable = [
            row
            for row in seen["tables"]
            if ("wanted" not in row or (row.get("included") and not via_root))
            and "readable" not in row
            and row.get("kind", "r") in "rp"
        ]
        plain = [row["oid"] for row in readable if row.keys().isdisjoint(_COMPOSED)]
        composed = [row for row in readable if not row.keys().isdisjoint(_COMPOSED)]
        slot = seen["slot"] and seen["slot"]["slot"]
        peek = (
            asked.read_slot
            and asked.publication
            and slot
            and not slot["active"]
            and slot["plugin"] == "pgoutput"
            and seen["publication"]
            # What the catalogs tell by themselves is not asked of the slot.
            and seen["publication"]["age"] <= (seen["slot_more"]["catalog_age"] or 0)
        )
        return look.connectors(
            version,
            plain,
            [QualifiedName(row["schema"], row["name"]) for row in composed],
            asked.signal_table if asked.signal_table and seen["signal"]["shape"]["table"] else None,
            asked.heartbeat_table if asked.heartbeat_table and seen["heartbeat"]["shape"]["table"] else None,
            (asked.slot, asked.publication) if peek else None,
        )

    def judge(self, server: Server, seen: Any, line: Line, other: OtherSide | None) -> dict[str, Any]:
        if self.bypassrls:
            seen = _without_row_security(seen)
        subject = Subject(self.options, server, seen, line, other)
        outcomes = _outcomes(subject)
        results = [check.result(outcomes[check.id]) for check in CHECKS]
        failures = [result for result in results if result["status"] == FAIL]
        counts = {
            severity: sum(result["severity"] == severity for result in failures)
            for severity in (CRITICAL, WARNING, INFO)
        }
        counts["passed"] = sum(result["status"] == PASS for result in results)
        counts["skipped"] = sum(result["status"] == SKIPPED for result in results)
        captured = _captured(subject, failures)
        return {
            "ready": not counts[CRITICAL],
            "counts": counts,
            "checks": results,
            "tables": _tables(subject, failures),
            "captured": captured,
            "captured_not_matched": names_not_matched(captured),
            "publication": _publication(subject),
            "slot": _slot(subject),
            "connector": {"user": self.options.user, "looked": bool(other and not other.refused)},
        }


def _outcomes(subject: Subject) -> dict[str, Outcome]:
    by_id = {check.id: check for check in CHECKS}

    @cache
    def outcome_of(id: str) -> Outcome:
        return by_id[id].run(subject, outcome_of)

    return {check.id: outcome_of(check.id) for check in CHECKS}


def _tables(subject: Subject, failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is to be captured, each with the checks that fail because of it."""
    lacks: dict[str, list[str]] = {}
    for failure in failures:
        for name in failure["objects"]:
            lacks.setdefault(name, []).append(failure["id"])
    shown = [table for table in subject.tables if _is_shown(table, subject)]
    return [
        {
            "name": str(table.name),
            "kind": _KINDS[table.kind],
            "partition_of": str(subject.lineage(table)[-1].name) if table.parent is not None else None,
            "owner": table.owner,
            "replica_identity": _IDENTITIES[table.identity],
            "published": subject.is_published(table),
            "lacks": lacks.get(str(table.name), []),
        }
        for table in shown
    ]


def _captured(subject: Subject, failures: list[dict[str, Any]]) -> list[str]:
    """Under which names changes come: those of partitions under the partitioned table's, or under the partitions' own."""
    unpublishable = {name for each in failures if each["id"] == "tables_publishable" for name in each["objects"]}
    found = subject.seen["publication"]
    via_root = found["via_root"] if found else True
    names = set()
    for table in subject.tables:
        if not _is_shown(table, subject) or str(table.name) in unpublishable:
            continue
        if via_root:
            above = [member for member in subject.lineage(table) if member.wanted or member.published]
            names.add(above[-1].name.plain)
        elif table.kind != "p":
            names.add(table.name.plain)
    return sorted(names)


def _is_shown(table: Table, subject: Subject) -> bool:
    return (table.wanted or (table.included and not subject.via_root)) and table.name not in subject.own


def _publication(subject: Subject) -> dict[str, Any] | None:
    name = subject.options.publication
    if not name:
        return None
    found = subject.seen["publication"]
    return {
        "name": name,
        "exists": bool(found),
        "owner": found and found["owner"],
        "all_tables": found and found["all_tables"],
        "publish": [action for action, on in found["publish"].items() if on] if found else [],
        "publish_via_partition_root": found and found["via_root"],
        "tables": sum(table.published for table in subject.tables),
    }


def _slot(subject: Subject) -> dict[str, Any] | None:
    name = subject.options.slot
    if not name:
        return None
    found = subject.slot if subject.seen["slot"] and subject.seen["slot"]["slot"] else {}
    return {"name": name, "exists": bool(found), **{key: found.get(key) for key in _SLOT}}


def _without_row_security(seen: dict[str, Any]) -> dict[str, Any]:
    tables = [{key: value for key, value in row.items() if key != "row_security"} for row in seen["tables"]]
    own = {key: seen[key] and {**seen[key], "row_security": False} for key in ("signal", "heartbeat")}
    return {**seen, "tables": tables, **own}


def _names(texts: list[str] | None) -> list[QualifiedName]:
    return [QualifiedName.parse(text) for text in dict.fromkeys(texts or [])]
