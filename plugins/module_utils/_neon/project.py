# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A project's settings, as far as capturing needs them: logical replication, and which addresses may connect."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from .._api_task import Outcome
from .._errors import Failure
from .._http import path
from .._neon_api import NeonApi, Unknown, accepted, looking_after
from .._sql import listed

_WRITE_ENTRIES = "Write an address (203.0.113.7), a range (203.0.113.1-203.0.113.9) or a network (203.0.113.0/24)."

_PAUSE = 1.0  # seconds between two looks at the server


@dataclass(frozen=True)
class Desired:
    """What the options ask for; what is None is left alone.

    :param allowed_ips: entries that must be there; with ``exclusive`` no others may.
    :param allow_restart: whether computes may be suspended, which drops their connections.
    :param allow_lockout: whether those may be shut out who can connect now.
    """

    enable_logical_replication: bool | None = None
    allowed_ips: list[str] | None = None
    exclusive: bool = False
    protected_branches_only: bool | None = None
    allow_restart: bool = False
    allow_lockout: bool = False

    def __post_init__(self) -> None:
        for entry in self.allowed_ips or []:
            _span(entry)


@dataclass
class Plan:
    """What is to be sent, and what comes of it.

    :param settings: the settings to send; empty when nothing differs.
    :param restarts: whether all computes are suspended.
    :param shuts_out: whom it keeps from connecting who can connect now, if anybody.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    restarts: bool = False
    shuts_out: str | None = None
    warnings: list[str] = field(default_factory=list)


def plan(desired: Desired, settings: dict[str, Any]) -> Plan:
    """Pure.

    :param settings: of the project, as Neon tells them: what was never set may be missing.
    """
    made = Plan()
    _plan_replication(made, desired, settings)
    _plan_restrictions(made, desired, settings)
    return made


def _plan_replication(made: Plan, desired: Desired, settings: dict[str, Any]) -> None:
    wanted = desired.enable_logical_replication
    if wanted is None:
        return
    is_on = bool(settings.get("enable_logical_replication"))
    made.before["enable_logical_replication"] = is_on
    made.after["enable_logical_replication"] = wanted
    if is_on and not wanted:
        raise Failure(
            "enable_logical_replication is false, and the project has it enabled: Neon cannot disable it again.",
            hint="Leave the option out, or set it to true.",
        )
    if wanted and not is_on:
        made.settings["enable_logical_replication"] = True
        made.restarts = True


def _plan_restrictions(made: Plan, desired: Desired, settings: dict[str, Any]) -> None:
    if desired.allowed_ips is None and desired.protected_branches_only is None:
        return
    restrictions = settings.get("allowed_ips") or {}
    listed_now = list(restrictions.get("ips") or [])
    protected_now = bool(restrictions.get("protected_branches_only"))
    entries = _merged(listed_now, desired.allowed_ips, desired.exclusive)
    protected = protected_now if desired.protected_branches_only is None else desired.protected_branches_only
    if desired.allowed_ips is not None:
        made.before["allowed_ips"], made.after["allowed_ips"] = listed_now, entries
    if desired.protected_branches_only is not None:
        made.before["protected_branches_only"], made.after["protected_branches_only"] = protected_now, protected
    if (entries, protected) == (listed_now, protected_now):
        return
    made.settings["allowed_ips"] = {"ips": entries, "protected_branches_only": protected}
    only_these = "all but %s" % listed(entries)
    if entries and not listed_now:
        made.shuts_out = only_these
    elif entries and protected_now and not protected:
        made.shuts_out = "%s from the branches that are not protected" % only_these
    gone = [entry for entry in listed_now if entry not in entries]
    if gone and entries:
        made.warnings.append("allowed_ips is exclusive: %s can no longer connect." % listed(gone))
    elif gone:
        made.warnings.append("allowed_ips is exclusive and empty: every address can connect.")
    if protected and not protected_now and listed_now:
        made.warnings.append("Every address can connect to the branches that are not protected.")
    if settings.get("block_public_connections"):
        made.warnings.append(
            "The project blocks all public connections (block_public_connections), whatever allowed_ips holds."
        )


def _merged(listed_now: list[str], wanted: list[str] | None, exclusive: bool) -> list[str]:
    """What is there stays as it is written; what is wanted and means the same is not added again."""
    if wanted is None:
        return listed_now
    spans = {_span_if_any(entry) for entry in listed_now}
    wanted_spans = {_span(entry) for entry in wanted}
    kept = [entry for entry in listed_now if not exclusive or _span_if_any(entry) in wanted_spans]
    added: dict[Any, str] = {}
    for entry in wanted:
        if _span(entry) not in spans:
            added.setdefault(_span(entry), entry.strip())
    return kept + list(added.values())


def _span_if_any(entry: str) -> Any:
    """An entry that somebody else has made may be written in a way that is not known here."""
    try:
        return _span(entry)
    except Failure:
        return entry


def _span(entry: str) -> tuple[int, int, int]:
    """The version of IP, the first and the last address that an entry means."""
    text = entry.strip()
    try:
        if "-" in text:
            first, last = (ipaddress.ip_address(part.strip()) for part in text.split("-"))
            if first.version == last.version and first <= last:
                return first.version, int(first), int(last)
        else:
            network = ipaddress.ip_network(text)
            return network.version, int(network.network_address), int(network.broadcast_address)
    except ValueError as error:
        if "host bits" in str(error):
            whole = ipaddress.ip_network(text, strict=False)
            raise Failure(
                "allowed_ips: %s is an address within a network." % text, hint="Write the network, %s." % whole
            ) from None
    raise Failure("allowed_ips: %s is no address, range or network." % (text or "an empty text"), hint=_WRITE_ENTRIES)


def converge(
    api: NeonApi,
    named: str,
    desired: Desired,
    check_mode: bool,
    wal_level: Callable[[], str] | None = None,
    patience: float = 600,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Look, plan, send one request, wait for what it starts, and look again.

    :param named: the project's id or name.
    :param wal_level: asks the server for its ``wal_level``, if there is a connection string.
    :param patience: seconds to wait for that.
    """
    project = api.project(named)
    todo = plan(desired, project.get("settings") or {})
    request = path("/projects/%s", project["id"])
    warnings = list(todo.warnings)
    operations: list[dict[str, Any]] = []
    if todo.settings:
        objections = _objections(api, project, desired, todo)
        if objections and not check_mode:
            raise Failure(
                "%s Nothing was changed." % " ".join(sentence for sentence, _remedy in objections),
                hint=" ".join(remedy for _sentence, remedy in objections),
            )
        warnings += ["%s The task refuses that. %s" % objection for objection in objections]
        if check_mode and todo.restarts and desired.allow_restart:
            warnings.append(_restart(api, project))
        if not check_mode:
            project, operations = _send(api, project, desired, todo, request)
    elif desired.enable_logical_replication and not check_mode:
        # A run that was interrupted may have left them to the next one.
        operations = api.running(project["id"])
        api.wait_for(project["id"], operations)
    if wal_level and desired.enable_logical_replication and not (check_mode and todo.settings):
        _wait_for_wal_level(project, wal_level, patience, clock, sleep)
    settings = {**(project.get("settings") or {}), **(todo.settings if check_mode else {})}
    return Outcome(
        changed=bool(todo.settings),
        before=todo.before,
        after=todo.after,
        warnings=warnings,
        result={
            "project": describe(project, settings),
            "requests": _requests(request, todo),
            "operations": [{key: operation[key] for key in ("id", "action")} for operation in operations],
        },
    )


def describe(project: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    restrictions = settings.get("allowed_ips") or {}
    return {
        "id": project["id"],
        "name": project["name"],
        "pg_version": project["pg_version"],
        "enable_logical_replication": bool(settings.get("enable_logical_replication")),
        "allowed_ips": list(restrictions.get("ips") or []),
        "protected_branches_only": bool(restrictions.get("protected_branches_only")),
        "block_public_connections": bool(settings.get("block_public_connections")),
    }


def _requests(where: str, todo: Plan) -> list[dict[str, Any]]:
    if not todo.settings:
        return []
    return [{"method": "PATCH", "path": where, "body": _body(todo)}]


def _body(todo: Plan) -> dict[str, Any]:
    return {"project": {"settings": todo.settings}}


def _send(
    api: NeonApi, project: dict[str, Any], desired: Desired, todo: Plan, where: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        operations = api.change("PATCH", where, _body(todo)).get("operations", [])
    except Unknown as unknown:
        with looking_after(unknown):
            seen = api.project(project["id"])
        if plan(desired, seen.get("settings") or {}).settings:
            raise unknown.adding("Looked at afterwards, the project's settings were as before.") from None
        operations = api.running(project["id"])
    except Failure as failure:
        if "allowed_ips" in todo.settings and (failure.details.get("error") or {}).get("status") in (
            400,
            402,
            403,
            422,
        ):
            raise failure.adding("Restricting addresses (IP Allow) needs Neon's plan Scale.") from None
        raise
    api.wait_for(project["id"], operations)
    with accepted():
        project = api.project(project["id"])
    if plan(desired, project.get("settings") or {}).settings:
        raise Failure(
            "Neon accepted the settings of the project %s, and does not have them now." % project["id"],
            hint="Somebody else may have set them meanwhile. Look at them in Neon's console, and run again.",
        )
    return project, operations


def _objections(api: NeonApi, project: dict[str, Any], desired: Desired, todo: Plan) -> list[tuple[str, str]]:
    """What nobody has allowed yet, a sentence each and what to do about it."""
    objections = []
    if todo.restarts and not desired.allow_restart:
        objections.append((_restart(api, project), "Set allow_restart: true when that may happen."))
    if todo.shuts_out and not desired.allow_lockout:
        objections.append(
            (
                "The project %s is open to all addresses%s, and allowed_ips would shut out %s: applications, people, and who runs this."
                % (_titled(project), _where(api, project, todo), todo.shuts_out),
                "Set allow_lockout: true once all who need it are in allowed_ips.",
            )
        )
    return objections


def _where(api: NeonApi, project: dict[str, Any], todo: Plan) -> str:
    if not todo.settings["allowed_ips"]["protected_branches_only"]:
        return ""
    protected = sorted(branch["name"] for branch in api.branches(project["id"]) if branch.get("protected"))
    return " on its protected branches (%s)" % (listed(protected) if protected else "of which there is none yet")


def _restart(api: NeonApi, project: dict[str, Any]) -> str:
    computes = api.endpoints(project["id"])
    active = sorted(compute["id"] for compute in computes if compute["current_state"] == "active")
    which = "no compute is active at the moment" if not active else "active at the moment: %s" % listed(active)
    return (
        "Enabling logical replication of the project %s suspends all of its computes (%s) and drops every connection to them, once, and "
        "cannot be undone." % (_titled(project), which)
    )


def _titled(project: dict[str, Any]) -> str:
    return "%s (%s)" % (project["id"], project["name"])


def _wait_for_wal_level(
    project: dict[str, Any],
    wal_level: Callable[[], str],
    patience: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    deadline = clock() + patience
    level = wal_level()
    while level != "logical":
        if clock() + _PAUSE > deadline:
            raise Failure(
                "The project %s has logical replication enabled, and its server still has wal_level = %s after %d seconds."
                % (_titled(project), level, patience),
                hint="Is the dsn that of a branch of this project? Otherwise restart its compute in Neon's console.",
            )
        sleep(_PAUSE)
        level = wal_level()
