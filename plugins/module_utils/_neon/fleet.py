# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Projects with their branches, computes, databases and roles, and what capturing needs of each branch.

No more is asked than what is wanted takes: one request for a page of projects; two for a project whose branches are wanted, and one more
where the list does not tell its settings; one for the databases of a branch, and one for its roles. They go side by side, at the pace
that Neon takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Callable

from .._errors import Failure
from .._http import path
from .._neon_api import NeonApi, pick_branch, status_of
from .._sql import listed
from .project import describe

# Requests under way at a time. An answer takes a fraction of a second, and ten may be sent in a second.
THREADS = 8

# What suspend_timeout_seconds of 0 and of -1 means (https://neon.com/docs/manage/endpoints#scale-to-zero-configuration).
_SUSPENDS_BY_DEFAULT_AFTER, _DEFAULT, _NEVER = 300, 0, -1

# Neon says approximately 40 (https://neon.com/docs/guides/logical-replication-neon), and counts snapshot files, not hours.
SLOT_REMOVED_AFTER_HOURS = 40

# SQL can give REPLICATION from this version on.
_REPLICATION_BY_SQL = 16

BRANCHES, DATABASES, ROLES = PARTS = ("branches", "databases", "roles")


@dataclass(frozen=True)
class Names:
    """Which things are meant, by patterns of a shell that are for the whole of a name, ``*``, ``?``, ``[...]``, or by whole ids.

    :param include: none means every thing.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def hold(self, name: str, thing_id: str = "") -> bool:
        return (not self.include or _fit(self.include, name, thing_id)) and not _fit(self.exclude, name, thing_id)


def _fit(patterns: Iterable[str], name: str, thing_id: str) -> bool:
    return any(thing_id == pattern or fnmatchcase(name, pattern) for pattern in patterns)


EVERY = Names()


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    :param project: the only one, by id or name; it must exist.
    :param projects: by id or name.
    :param branch: the only one of each project, by id or name; where ``project`` is given, it must exist.
    :param branches: by id or name. Without a pattern to include, it is each project's default branch.
    :param databases: by name.
    :param parts: of PARTS. Without any, only the projects themselves.
    :param reachable_only: whether nothing more is asked of branches that nobody can connect to.
    """

    project: str | None = None
    projects: Names = EVERY
    branch: str | None = None
    branches: Names = EVERY
    databases: Names = EVERY
    parts: frozenset[str] = frozenset((BRANCHES, DATABASES))
    reachable_only: bool = False


@dataclass
class Fleet:
    """What was found, in plain types.

    :param gone: of what was listed and was gone when it was looked at, a sentence each.
    """

    projects: list[dict[str, Any]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def survey(api: NeonApi, wanted: Selection, threads: int = THREADS) -> Fleet:
    fleet = Fleet()
    with ThreadPoolExecutor(threads) as pool:
        # When one fails, those that have not begun are not begun.
        looked_at = pool.map(
            lambda project: _if_still_there(_look_at_project, api, project, wanted), _list(api, wanted)
        )
        for project, gone in looked_at:
            if gone:
                fleet.gone.append("The project %s was listed and is gone." % gone)
            else:
                fleet.projects.append(project)
        fleet.projects.sort(key=lambda project: (project["name"], project["id"]))
        if not wanted.parts & {DATABASES, ROLES}:
            return fleet
        branches = [
            (project, branch)
            for project in fleet.projects
            for branch in project["branches"]
            if branch["capture"]["host"] or not wanted.reachable_only
        ]
        for (project, branch), gone in zip(
            branches,
            pool.map(lambda both: _if_still_there(_look_into_branch, api, both[1], both[0]["id"], wanted)[1], branches),
        ):
            if gone:
                fleet.gone.append("The branch %s of the project %s was listed and is gone." % (gone, project["id"]))
                project["branches"].remove(branch)
    return fleet


def _list(api: NeonApi, wanted: Selection) -> list[dict[str, Any]]:
    if wanted.project is not None:
        return [api.project(wanted.project)]
    # Where one is made or removed meanwhile, the next page may hold one of this page again.
    every = {project["id"]: project for project in api.projects()}
    return [project for project in every.values() if wanted.projects.hold(project["name"], project["id"])]


def _if_still_there(
    look: Callable[..., Any], api: NeonApi, thing: dict[str, Any], *details: Any
) -> tuple[Any, str | None]:
    """:returns: what is found, and the thing's id where it is gone."""
    try:
        return look(api, thing, *details), None
    except Failure as failure:
        if status_of(failure) != 404:
            raise
        return None, thing["id"]


def _look_at_project(api: NeonApi, project: dict[str, Any], wanted: Selection) -> dict[str, Any]:
    if "settings" not in project:
        project = api.get(path("/projects/%s", project["id"]))["project"]
    described = describe_project(project)
    if wanted.parts:
        branches = _choose(api.branches(project["id"]), project["id"], wanted)
        computes = api.endpoints(project["id"]) if branches else []
        described["branches"] = [describe_branch(described, branch, computes) for branch in branches]
    return described


def _choose(branches: list[dict[str, Any]], project_id: str, wanted: Selection) -> list[dict[str, Any]]:
    if wanted.branch is not None:
        try:
            return [pick_branch(branches, project_id, wanted.branch)]
        except Failure:
            if wanted.project is not None:
                raise
            return []
    chosen = [
        branch
        for branch in branches
        if (wanted.branches.include or branch.get("default")) and wanted.branches.hold(branch["name"], branch["id"])
    ]
    return sorted(chosen, key=lambda branch: (not branch.get("default"), branch["name"], branch["id"]))


def _look_into_branch(api: NeonApi, branch: dict[str, Any], project_id: str, wanted: Selection) -> None:
    if DATABASES in wanted.parts:
        databases = api.databases(project_id, branch["id"])
        branch["databases"] = sorted(
            (describe_database(database) for database in databases if wanted.databases.hold(database["name"])),
            key=lambda database: database["name"],
        )
    if ROLES in wanted.parts:
        branch["roles"] = sorted(
            (describe_role(role) for role in api.roles(project_id, branch["id"])), key=lambda role: role["name"]
        )


def describe_project(project: dict[str, Any]) -> dict[str, Any]:
    return {
        **describe(project, project.get("settings") or {}),
        "org_id": project.get("org_id"),
        "region_id": project.get("region_id"),
        "store_passwords": project.get("store_passwords"),
        "history_retention_seconds": project.get("history_retention_seconds"),
    }


def describe_branch(
    project: dict[str, Any], branch: dict[str, Any], computes: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """
    :param project: as described here.
    :param computes: of the whole project.
    """
    endpoints = [describe_endpoint(compute) for compute in computes if compute["branch_id"] == branch["id"]]
    return {
        "id": branch["id"],
        "name": branch["name"],
        "default": bool(branch.get("default")),
        "protected": bool(branch.get("protected")),
        "parent_id": branch.get("parent_id"),
        "current_state": branch.get("current_state"),
        "expires_at": branch.get("expires_at"),
        "endpoints": endpoints,
        "capture": capture(project, branch, endpoints),
    }


def describe_endpoint(compute: dict[str, Any]) -> dict[str, Any]:
    timeout = compute.get("suspend_timeout_seconds", _DEFAULT)
    return {
        "id": compute["id"],
        "type": compute["type"],
        "host": compute["host"],
        "pooled_host": pooled(compute["host"]),
        "current_state": compute.get("current_state"),
        "disabled": bool(compute.get("disabled")),
        "suspends_after_seconds": {_DEFAULT: _SUSPENDS_BY_DEFAULT_AFTER, _NEVER: None}.get(timeout, timeout),
    }


def describe_database(database: dict[str, Any]) -> dict[str, Any]:
    return {"name": database["name"], "owner": database["owner_name"]}


def describe_role(role: dict[str, Any]) -> dict[str, Any]:
    # Neon may tell a password besides.
    return {
        "name": role["name"],
        "protected": bool(role.get("protected")),
        "authentication_method": role.get("authentication_method"),
    }


def pooled(host: str) -> str:
    """The host of the pooler in front of a compute."""
    compute, dot, rest = host.partition(".")
    return "%s-pooler%s%s" % (compute, dot, rest)


def capture(project: dict[str, Any], branch: dict[str, Any], endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """What capturing needs of a branch, as far as Neon's side of it goes. Pure.

    :param project, endpoints: as described here; the endpoints are the branch's.
    """
    writing = [endpoint for endpoint in endpoints if endpoint["type"] == "read_write"]
    compute = next((endpoint for endpoint in writing if not endpoint["disabled"]), None)
    allowed = project["allowed_ips"] if branch.get("protected") or not project["protected_branches_only"] else []
    lacks = [
        sentence
        for sentence, holds in (
            ("Logical replication is not enabled for the project.", not project["enable_logical_replication"]),
            ("It has no read-write compute.", not writing),
            ("Its read-write compute is disabled.", bool(writing) and not compute),
            (
                "It is not ready, its state is %s." % branch.get("current_state"),
                branch.get("current_state") in ("init", "resetting"),
            ),
        )
        if holds
    ]
    cautions = [
        sentence
        for sentence, holds in (
            (
                "Connections from the internet are blocked: a connector must come through private networking, or a tunnel.",
                project["block_public_connections"],
            ),
            (
                "Only some addresses may connect (%s): those of the connector must be among them." % listed(allowed),
                bool(allowed) and not project["block_public_connections"],
            ),
            (
                "On PostgreSQL %s SQL cannot give REPLICATION: Neon must make the connector's user."
                % project["pg_version"],
                project["pg_version"] < _REPLICATION_BY_SQL,
            ),
            ("It is archived, and slow until it has been brought back.", branch.get("current_state") == "archived"),
            ("It expires at %s, with its slots." % branch.get("expires_at"), bool(branch.get("expires_at"))),
        )
        if holds
    ]
    return {
        "ready": not lacks,
        "lacks": lacks,
        "cautions": cautions,
        "logical_replication": project["enable_logical_replication"],
        "endpoint_id": compute and compute["id"],
        "host": compute and compute["host"],
        "allowed_ips": allowed,
        "public_connections_blocked": project["block_public_connections"],
        "suspends_after_seconds": compute and compute["suspends_after_seconds"],
        "slot_removed_after_hours": SLOT_REMOVED_AFTER_HOURS,
    }
