# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neon's management API in small: projects, branches, computes, databases, roles, connection strings and operations.

with Judge() as judge, Console(judge) as console:
    shop = console.project("shop", databases=("orders", "billing"))
    NeonApi(KEY, console.url).project("shop")

It remembers what is changed through it, and what takes time takes time: operations run one after the other, and while they do the
project is locked. A branch's databases may be those of a real server, on which all of it is then really done. It knows keys, takes
no more requests in a while than it is told to, and fails as it is told to (`fail`).

Whatever it is asked, and whatever it answers, is judged by Neon's own description (support/prism.py): see `violations`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from .http_stub import Reply, Request, Stub, stub
from .line import Line
from .neon import Database, quoted
from .postgres import Server
from .prism import Judge

KEY = "napi_3fh8-of-the-organization"
PERSONAL_KEY = "napi_9dk2-of-a-person"
ORGANIZATION = "org-of-the-tests"
# In every connection string that leads to no real server.
PASSWORD = "npg_Role-of-the-tests-4"
OWNER = "neondb_owner"

REGION = "aws-us-east-2"

_PROJECTS_A_PAGE = 400

# What Neon's description requires of answers, and nobody here asks for.
_BEGINNING = "2026-01-01T00:00:00Z"
_SINCE = {"created_at": _BEGINNING, "updated_at": _BEGINNING}
_COUNTERS = (
    "active_time",
    "active_time_seconds",
    "compute_time_seconds",
    "cpu_used_sec",
    "written_data_bytes",
    "data_transfer_bytes",
    "data_storage_bytes_hour",
    "branch_logical_size_limit",
    "branch_logical_size_limit_bytes",
)


@dataclass
class Operation:
    """
    :param place: the ids of what it is about.
    :param seconds: how long it runs.
    :param since: when it was scheduled.
    :param ends: as what; with None it never does.
    :param effect: what it brings about, if it finishes.
    """

    action: str
    place: dict[str, str]
    seconds: float
    since: float
    ends: str | None = "finished"
    effect: Callable[[], object] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "scheduling"

    @property
    def ended(self) -> bool:
        return self.status not in ("scheduling", "running")

    def settle(self, free: float, now: float) -> float:
        """
        :param free: when the one before it ended.
        :returns: when this one does.
        """
        end = max(free, self.since) + self.seconds if self.ends else float("inf")
        if not self.ended and now > self.since:
            self.status = "running" if now < end else str(self.ends)
            if self.status == "finished" and self.effect:
                self.effect()
        return end

    @property
    def told(self) -> dict[str, object]:
        failed = {"error": "the compute did not come up"} if self.status == "failed" else {}
        told = {"id": self.id, "action": self.action, "status": self.status, **self.place, **failed, **_SINCE}
        return {**told, "failures_count": int(bool(failed)), "total_duration_ms": 0}


@dataclass
class Branch:
    """
    :param databases: their owners by their names.
    :param servers: those of them that are real.
    :param roles: those that were made through the API, and their passwords.
    """

    id: str
    name: str
    project_id: str
    default: bool = False
    protected: bool = False
    databases: dict[str, str] = field(default_factory=dict)
    computes: list[dict[str, object]] = field(default_factory=list)
    servers: dict[str, Database] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def real(self) -> set[Server]:
        return {database.server for database in self.servers.values()}

    def compute(self, **more: object) -> None:
        number = len(self.computes) or ""
        endpoint_id = f"ep-{self.id.removeprefix('br-')}{number}"
        told = {
            **_SINCE,
            "id": endpoint_id,
            "project_id": self.project_id,
            "branch_id": self.id,
            "region_id": REGION,
            "host": f"{endpoint_id}.us-east-2.aws.neon.tech",
            "proxy_host": "us-east-2.aws.neon.tech",
            "type": "read_write",
            "current_state": "idle",
            "disabled": False,
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 2,
            "suspend_timeout_seconds": 0,
            "pooler_enabled": False,
            "pooler_mode": "transaction",
            "passwordless_access": True,
            "provisioner": "k8s-neonvm",
            "creation_source": "console",
            "settings": {},
        }
        self.computes.append({**told, **more})

    @property
    def told(self) -> dict[str, object]:
        return {
            **_SINCE,
            **dict.fromkeys(("active_time_seconds", "compute_time_seconds", "cpu_used_sec", "written_data_bytes"), 0),
            "data_transfer_bytes": 0,
            "id": self.id,
            "project_id": self.project_id,
            "name": self.name,
            "default": self.default,
            "protected": self.protected,
            "current_state": "ready",
            "state_changed_at": _BEGINNING,
            "creation_source": "console",
        }


@dataclass
class Project:
    id: str
    name: str
    settings: dict[str, object]
    branches: list[Branch]
    pg_version: int = 17
    organization: str = ORGANIZATION
    # Listed still, and gone.
    gone: bool = False
    operations: list[Operation] = field(default_factory=list)

    @property
    def main(self) -> Branch:
        return self.branches[0]

    def schedule(self, action: str, *, endpoint_id: str | None = None, seconds: float, **more: object) -> Operation:
        """One that runs when those before it have ended."""
        place = {"project_id": self.id, **({"endpoint_id": endpoint_id} if endpoint_id else {})}
        operation = Operation(action, place, seconds, **more)
        self.operations.append(operation)
        return operation

    @property
    def locked(self) -> bool:
        return any(not operation.ended for operation in self.operations)

    def settle(self, now: float) -> None:
        """Brings the operations to where they are at this time."""
        free = 0.0
        for operation in self.operations:
            free = operation.settle(free, now)

    def branch(self, name: str, databases: dict[str, str] | None = None) -> Branch:
        """Makes one of the default branch."""
        branch = Branch(f"br-{name}-{self.id}", name, self.id, databases=dict(databases or self.main.databases))
        branch.compute()
        self.branches.append(branch)
        return branch

    @property
    def told(self) -> dict[str, object]:
        return {
            **_SINCE,
            **dict.fromkeys(_COUNTERS, 0),
            "id": self.id,
            "name": self.name,
            "org_id": self.organization,
            "owner_id": self.organization,
            "region_id": REGION,
            "platform_id": "aws",
            "proxy_host": "us-east-2.aws.neon.tech",
            "provisioner": "k8s-neonvm",
            "creation_source": "console",
            "consumption_period_start": _BEGINNING,
            "consumption_period_end": _BEGINNING,
            "pg_version": self.pg_version,
            "store_passwords": True,
            "history_retention_seconds": 86400,
            "settings": self.settings,
        }


class Console(contextlib.AbstractContextManager):
    """
    :param limit: how many requests it takes in how many seconds, in any of them.
    :param revoked_after: the number of requests after which the key is no key any more.
    :param operation_seconds: how long an operation takes.
    :param operations_end: as what they end, or None if they never do.
    :param violations: what was asked or answered that is not as Neon describes it.
    :param clock: the time by which operations run, in seconds.
    """

    def __init__(self, judge: Judge) -> None:
        self.projects: list[Project] = []
        self.limit: tuple[int, float] | None = None
        self.revoked_after: int | None = None
        self.refused_for_pace = 0
        self.operation_seconds = 0.3
        self.operations_end: str | None = "finished"
        self.violations: list[str] = []
        self.clock: Callable[[], float] = time.monotonic
        self._judge = judge
        self._numbers = itertools.count(1)
        self._times: deque[float] = deque()
        self._lock = threading.RLock()
        self._line = Line(self._judged)
        # See Line.
        self.fail = self._line.fail
        self._server = contextlib.ExitStack()

    def __enter__(self) -> Console:
        self._judge.upstream = self._reply
        self._stub: Stub = self._server.enter_context(stub(self._line.carry))
        return self

    def __exit__(self, *raised: object) -> None:
        self._line.close()
        self._server.__exit__(*raised)

    @property
    def url(self) -> str:
        return self._stub.url

    @property
    def env(self) -> dict[str, str]:
        """The environment of who has the key."""
        return {"NEON_API_KEY": KEY}

    @property
    def requests(self) -> list[Request]:
        return self._stub.requests

    @property
    def asked(self) -> Counter[str]:
        """The last words of the paths that were asked for, counted."""
        return Counter(request.path.rpartition("/")[2] for request in self.requests)

    @property
    def changes(self) -> list[str]:
        """The requests that were to change something, whatever became of them."""
        return [str(request) for request in self.requests if request.method != "GET"]

    def project(
        self, name: str, databases: tuple[str, ...] = ("neondb",), *, logical_replication: bool = True, **more: object
    ) -> Project:
        """Makes one with a default branch, its compute, and these databases of neondb_owner."""
        number = next(self._numbers)
        project_id = f"shiny-wind-{number:06}"
        owned = dict.fromkeys(databases, OWNER)
        main = Branch(f"br-calm-sea-{number:06}", "main", project_id, default=True, databases=owned)
        main.compute()
        settings = {"enable_logical_replication": logical_replication, "allowed_ips": {"ips": []}}
        project = Project(project_id, name, settings, [main], **more)
        self.projects.append(project)
        return project

    def real_project(self, database: Database, **more: object) -> Project:
        """Makes one of the name of a real database, which is in its default branch, on a compute that is running."""
        project = self.project(database.name, (database.name,), pg_version=database.server.major, **more)
        project.main.servers[database.name] = database
        project.main.computes[0].update(host=database.server.host, current_state="active")
        return project

    def busy(self, project: Project, seconds: float) -> Operation:
        """Locks a project by an operation of somebody else's."""
        return project.schedule("check_availability", seconds=seconds, since=self.clock())

    # What is asked, on its way

    def _judged(self, request: Request) -> Reply:
        answer = self._judge.ask(request)
        self.violations += answer.violations
        told = json.loads(answer.body) if answer.body else ""
        return answer.status, told, {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}

    # Answers

    def _reply(self, request: Request) -> Reply:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        revoked = self.revoked_after is not None and len(self.requests) > self.revoked_after
        if key not in (KEY, PERSONAL_KEY) or revoked:
            return _refusal(401, "authorization failed")
        if not self._in_time():
            return 429, {"code": "", "message": "rate limit exceeded"}, {"Retry-After": "1"}
        if request.path == "/projects":
            return self._list(request, key)
        project_id, *place = [unquote(part) for part in request.path.split("/")[2:]]
        project = next((found for found in self.projects if found.id == project_id), None)
        if not project or project.gone or project.organization != ORGANIZATION:
            return _refusal(404, "project not found")
        with self._lock:
            project.settle(self.clock())
            if request.method == "GET":
                return self._look(project, place, request.query)
            if project.locked:
                return _refusal(
                    423, "project already has running conflicting operations, scheduling of new ones is prohibited"
                )
            return self._change(project, request.method, place, request.body)

    def _look(self, project: Project, place: list[str], query: dict[str, str]) -> Reply:
        match place:
            case []:
                return 200, {"project": project.told}
            case ["connection_uri"]:
                return self._connection_uri(project, query)
            case ["endpoints"]:
                return 200, {"endpoints": [compute for branch in project.branches for compute in branch.computes]}
            case ["operations"]:
                return 200, {"operations": [operation.told for operation in reversed(project.operations)]}
            case ["operations", operation_id]:
                return 200, {"operation": next(op.told for op in project.operations if op.id == operation_id)}
            case ["branches"]:
                told = [branch.told for branch in project.branches]
                return 200, {"branches": told, "annotations": {}, "pagination": {}}
        branch = _branch(project, place[1])
        if not branch:
            return _refusal(404, "branch not found")
        if place[2] == "databases":
            return 200, {
                "databases": [
                    {"id": number, "branch_id": branch.id, "name": name, "owner_name": owner, **_SINCE}
                    for number, (name, owner) in enumerate(branch.databases.items())
                ]
            }
        passwords = {**dict.fromkeys(branch.databases.values(), PASSWORD), **branch.roles}
        return 200, {"roles": [_role(branch, name, password) for name, password in sorted(passwords.items())]}

    def _change(self, project: Project, method: str, place: list[str], body: object) -> Reply:
        match method, place:
            case "PATCH", []:
                return self._change_settings(project, body["project"]["settings"])
            case _, ["branches", branch_id, "roles", *of_role]:
                branch = _branch(project, branch_id)
                if not branch:
                    return _refusal(404, "branch not found")
                return self._change_role(project, branch, method, of_role, body)
        raise NotImplementedError(method, place)

    def _change_settings(self, project: Project, settings: dict[str, object]) -> Reply:
        was_on = project.settings["enable_logical_replication"]
        is_on = settings.get("enable_logical_replication", was_on)
        if was_on and not is_on:
            return _refusal(400, "logical replication cannot be disabled once it is enabled")
        project.settings.update(settings)
        if is_on and not was_on:
            return 200, {"project": project.told, "operations": self._suspend_all(project)}
        computes = [compute for branch in project.branches for compute in branch.computes]
        active = [compute for compute in computes if compute["current_state"] == "active"]
        operations = [self._schedule(project, "apply_config", endpoint_id=compute["id"]).told for compute in active]
        return 200, {"project": project.told, "operations": operations}

    def _suspend_all(self, project: Project) -> list[dict[str, object]]:
        """As wal_level needs a restart: at once where nothing runs."""
        operations = []
        for branch in project.branches:
            for compute in branch.computes:

                def suspend(branch: Branch = branch, compute: dict[str, object] = compute) -> None:
                    for server in branch.real:
                        server.restart()
                    compute["current_state"] = "idle"

                if compute["current_state"] == "active":
                    suspension = self._schedule(project, "suspend_compute", endpoint_id=compute["id"], effect=suspend)
                    operations.append(suspension.told)
                else:
                    suspend()
        return operations

    def _change_role(
        self, project: Project, branch: Branch, method: str, of_role: list[str], body: dict[str, dict[str, str]]
    ) -> Reply:
        name = body["role"]["name"] if not of_role else of_role[0]
        password = None
        match method, of_role:
            case "POST", []:
                if name in branch.roles:
                    return _refusal(409, "role already exists")
                status, statement = 201, _CREATE_ROLE
                password = branch.roles[name] = _new_password()
            case "POST", [_, "reset_password"]:
                if name not in branch.roles:
                    return _refusal(404, "role not found")
                status, statement = 200, _NEW_PASSWORD
                password = branch.roles[name] = _new_password()
            case "DELETE", [_]:
                if name not in branch.roles:
                    return 204, ""
                status, statement = 200, _DROP_ROLE
                del branch.roles[name]
            case _:
                raise NotImplementedError(method, of_role)

        def apply() -> None:
            for server in branch.real:
                server.sql(statement.format(role=quoted(name)), {"password": password})
                server.sql(_DROP_CONNECTIONS, [list(branch.servers)])

        operation = self._schedule(project, "apply_config", endpoint_id=branch.computes[0]["id"], effect=apply)
        return status, {"role": _role(branch, name, password), "operations": [operation.told]}

    def _schedule(self, project: Project, action: str, **more: object) -> Operation:
        seconds, ends = self.operation_seconds, self.operations_end
        return project.schedule(action, seconds=seconds, ends=ends, since=self.clock(), **more)

    def _in_time(self) -> bool:
        if not self.limit:
            return True
        count, seconds = self.limit
        with self._lock:
            now = time.monotonic()
            while self._times and now - self._times[0] >= seconds:
                self._times.popleft()
            if len(self._times) >= count:
                self.refused_for_pace += 1
                return False
            self._times.append(now)
            return True

    def _list(self, request: Request, key: str) -> Reply:
        if key == PERSONAL_KEY and "org_id" not in request.query:
            return _refusal(400, "org_id is required, you can find it on your organization settings page")
        search, begin = request.query.get("search", ""), int(request.query.get("cursor", 0))
        fitting = [
            project.told
            for project in self.projects
            if project.organization == ORGANIZATION and (search in project.name or search in project.id)
        ]
        end = begin + min(int(request.query.get("limit", 10)), _PROJECTS_A_PAGE)
        return 200, {
            "projects": fitting[begin:end],
            "applications": {},
            "integrations": {},
            "pagination": {"cursor": str(min(end, len(fitting)))},
        }

    @staticmethod
    def _connection_uri(project: Project, query: dict[str, str]) -> Reply:
        branch = _branch(project, query.get("branch_id", project.main.id))
        name, role = query["database_name"], query["role_name"]
        made = branch and role in branch.roles and name in branch.databases
        if not branch or (branch.databases.get(name) != role and not made):
            return _refusal(404, "role or database not found")
        if name in branch.servers:
            database = branch.servers[name]
            return 200, {"uri": database.dsn_as(role, branch.roles[role]) if made else database.dsn}
        host = str(branch.computes[0]["host"])
        if query["pooled"] == "true":
            host = host.replace(".", "-pooler.", 1)
        password = branch.roles[role] if made else PASSWORD
        return 200, {"uri": f"postgresql://{role}:{password}@{host}/{quote(name, safe='')}?sslmode=require"}


# As compute_ctl does it.
_CREATE_ROLE = (
    "CREATE ROLE {role} LOGIN REPLICATION CREATEROLE CREATEDB BYPASSRLS IN ROLE neon_superuser PASSWORD %(password)s"
)
_NEW_PASSWORD = "ALTER ROLE {role} PASSWORD %(password)s"
_DROP_ROLE = f"REASSIGN OWNED BY {{role}} TO {OWNER}; DROP OWNED BY {{role}}; DROP ROLE {{role}}"
_DROP_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY (%s)"


def _refusal(status: int, message: str) -> Reply:
    return status, {"code": "", "message": message, "request_id": f"r-{status}"}


def _branch(project: Project, branch_id: str) -> Branch | None:
    return next((found for found in project.branches if found.id == branch_id), None)


def _role(branch: Branch, name: str, password: str | None = None) -> dict[str, object]:
    told = {"branch_id": branch.id, "name": name, "protected": False, "authentication_method": "password", **_SINCE}
    return {**told, "password": password} if password else told


def _new_password() -> str:
    return f"npg_{uuid.uuid4().hex}"
