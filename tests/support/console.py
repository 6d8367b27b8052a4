# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neon's management API, as far as a fleet is read by it: projects, branches, computes, databases, roles and connection strings.

with Console() as console:
    shop = console.project("shop", databases=["orders", "billing"])
    NeonApi(KEY, console.url).project("shop")

It knows keys, takes no more requests in a while than it is told to, and counts. Nothing can be changed through it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from .http_stub import Reply, Request, Stub, stub

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
class Branch:
    """
    :param databases: their owners by their names.
    :param servers: connection strings of real servers, by database.
    """

    id: str
    name: str
    project_id: str
    default: bool = False
    protected: bool = False
    databases: dict[str, str] = field(default_factory=dict)
    computes: list[dict[str, object]] = field(default_factory=list)
    servers: dict[str, str] = field(default_factory=dict)

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

    @property
    def main(self) -> Branch:
        return self.branches[0]

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
    """

    def __init__(self) -> None:
        self.projects: list[Project] = []
        self.limit: tuple[int, float] | None = None
        self.revoked_after: int | None = None
        self.refused_for_pace = 0
        self._numbers = itertools.count(1)
        self._times: deque[float] = deque()
        self._lock = threading.Lock()
        self._server = contextlib.ExitStack()

    def __enter__(self) -> Console:
        self._stub: Stub = self._server.enter_context(stub(self._reply))
        return self

    def __exit__(self, *raised: object) -> None:
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

    def _reply(self, request: Request) -> Reply:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        revoked = self.revoked_after is not None and len(self.requests) > self.revoked_after
        if key not in (KEY, PERSONAL_KEY) or revoked:
            return 401, {"code": "", "message": "authorization failed", "request_id": "r-401"}
        if not self._in_time():
            return 429, {"code": "", "message": "rate limit exceeded"}, {"Retry-After": "1"}
        if request.path == "/projects":
            return self._list(request, key)
        place = [unquote(part) for part in request.path.split("/")[2:]]
        project = next((found for found in self.projects if found.id == place[0]), None)
        if not project or project.gone or project.organization != ORGANIZATION:
            return 404, {"code": "", "message": "project not found", "request_id": "r-404"}
        if len(place) == 1:
            return 200, {"project": project.told}
        if place[1] == "connection_uri":
            return self._connection_uri(project, request.query)
        if place[1] == "endpoints":
            return 200, {"endpoints": [compute for branch in project.branches for compute in branch.computes]}
        if len(place) == 2:
            return 200, {"branches": [branch.told for branch in project.branches], "annotations": {}, "pagination": {}}
        branch = next((found for found in project.branches if found.id == place[2]), None)
        if not branch:
            return 404, {"code": "", "message": "branch not found", "request_id": "r-404"}
        if place[3] == "databases":
            return 200, {
                "databases": [
                    {"id": number, "branch_id": branch.id, "name": name, "owner_name": owner, **_SINCE}
                    for number, (name, owner) in enumerate(branch.databases.items())
                ]
            }
        names = sorted(set(branch.databases.values()))
        return 200, {"roles": [self.role(branch, name, PASSWORD) for name in names]}

    @staticmethod
    def role(branch: Branch, name: str, password: str | None = None) -> dict[str, object]:
        told = {"branch_id": branch.id, "name": name, "protected": False, "authentication_method": "password", **_SINCE}
        return {**told, "password": password} if password else told

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
            return 400, {
                "code": "",
                "request_id": "r-400",
                "message": "org_id is required, you can find it on your organization settings page",
            }
        search, begin = request.query.get("search", ""), int(request.query.get("cursor", 0))
        fitting = [
            project.told
            for project in self.projects
            if project.organization == ORGANIZATION and (search in project.name or search in project.id)
        ]
        end = begin + min(int(request.query.get("limit", 10)), _PROJECTS_A_PAGE)
        return 200, {"projects": fitting[begin:end], "pagination": {"cursor": str(min(end, len(fitting)))}}

    @staticmethod
    def _connection_uri(project: Project, query: dict[str, str]) -> Reply:
        branch_id = query.get("branch_id", project.main.id)
        branch = next((found for found in project.branches if found.id == branch_id), None)
        name, role = query["database_name"], query["role_name"]
        if not branch or branch.databases.get(name) != role:
            return 404, {"code": "", "message": "role or database not found", "request_id": "r-404"}
        if name in branch.servers:
            return 200, {"uri": branch.servers[name]}
        host = str(branch.computes[0]["host"])
        if query["pooled"] == "true":
            host = host.replace(".", "-pooler.", 1)
        return 200, {"uri": f"postgresql://{role}:{PASSWORD}@{host}/{quote(name, safe='')}?sslmode=require"}
