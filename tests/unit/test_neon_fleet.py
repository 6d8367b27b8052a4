# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet at Neon: what is asked for it, what is found, and what capturing needs of a branch."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._http import Pace
from ansible_collections.streamkap.neon.plugins.module_utils._neon.connection_uri import connection_uri
from ansible_collections.streamkap.neon.plugins.module_utils._neon.fleet import (
    BRANCHES,
    PARTS,
    ROLES,
    THREADS,
    Names,
    Selection,
    capture,
    describe_endpoint,
    pooled,
    survey,
)
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import NeonApi

from support.http_stub import Clock, Reply, Request, stub

PASSWORD = "Role-password-5-of-the-tests"


@dataclass
class Neon:
    """So many projects with a default branch and one called dev; each branch has a compute, two databases and two roles."""

    projects: int = 3
    settings_listed: bool = True
    # What answers otherwise, by its path.
    instead: dict[str, Reply] = field(default_factory=dict)

    def __call__(self, request: Request) -> Reply:
        return self.instead.get(request.path) or (200, self._answer(request))

    def _answer(self, request: Request) -> dict[str, object]:
        place = request.path.split("/")
        if request.path == "/projects":
            every = [self._project(number, self.settings_listed) for number in range(self.projects)]
            return {"projects": every, "pagination": {"cursor": "last"}}
        number = int(place[2].rpartition("-")[2])
        if len(place) == 3:
            return {"project": self._project(number, True)}
        return getattr(self, place[-1])(place)

    @staticmethod
    def _project(number: int, settings: bool) -> dict[str, object]:
        project = {"id": f"calm-{number}", "name": f"p{number}", "pg_version": 17, "store_passwords": True}
        return {**project, "settings": {"enable_logical_replication": True}} if settings else project

    @staticmethod
    def branches(place: list[str]) -> dict[str, object]:
        ready = {"protected": False, "current_state": "ready"}
        return {
            "branches": [
                {"id": f"br-dev-{place[2]}", "name": "dev", "default": False, **ready},
                {"id": f"br-main-{place[2]}", "name": "main", "default": True, **ready},
            ],
            "pagination": {},
        }

    @staticmethod
    def endpoints(place: list[str]) -> dict[str, object]:
        of = place[2]
        return {"endpoints": [compute(f"ep-{name}-{of}", f"br-{name}-{of}") for name in ("dev", "main")]}

    @staticmethod
    def databases(_place: list[str]) -> dict[str, object]:
        return {"databases": [{"name": name, "owner_name": f"{name}_owner"} for name in ("shop", "billing")]}

    @staticmethod
    def roles(_place: list[str]) -> dict[str, object]:
        return {"roles": [{"name": name, "protected": False, "password": PASSWORD} for name in ("writer", "reader")]}


def compute(endpoint_id: str, branch_id: str, **more: object) -> dict[str, object]:
    return {
        "id": endpoint_id,
        "branch_id": branch_id,
        "host": f"{endpoint_id}.eu.aws.neon.tech",
        "type": "read_write",
        "current_state": "idle",
        "disabled": False,
        "suspend_timeout_seconds": 0,
        **more,
    }


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Gives the fleet, and what was asked for it: the last word of each path, counted."""

    def look(neon: Neon | None = None, **wanted: object) -> tuple[object, Counter[str]]:
        with stub(neon or Neon()) as server:
            request.node.server = server
            fleet = survey(api(server.url), Selection(**wanted))
        kinds = [re.sub(r"^/projects/[^/]+$", "project", asked.path).rpartition("/")[2] for asked in server.requests]
        return fleet, Counter(kinds)

    return look


def api(url: str) -> NeonApi:
    clock = Clock()
    pace = Pace(1e9, clock=clock, sleep=clock.sleep)
    return NeonApi("key", url, pace=pace, clock=clock, sleep=clock.sleep)


class TestRequests:
    """No more than what is asked for takes."""

    def test_for_databases(self, look):
        _fleet, asked = look(Neon(projects=12))
        assert asked == {"projects": 1, "branches": 12, "endpoints": 12, "databases": 12}

    def test_for_all_branches_and_their_roles(self, look):
        _fleet, asked = look(branches=Names(["*"]), parts=frozenset(PARTS))
        assert asked == {"projects": 1, "branches": 3, "endpoints": 3, "databases": 6, "roles": 6}

    def test_for_branches(self, look):
        _fleet, asked = look(parts=frozenset((BRANCHES,)))
        assert asked == {"projects": 1, "branches": 3, "endpoints": 3}

    def test_for_projects(self, look):
        _fleet, asked = look(parts=frozenset())
        assert asked == {"projects": 1}

    def test_where_the_list_holds_no_settings(self, look):
        fleet, asked = look(Neon(settings_listed=False), parts=frozenset())
        assert asked == {"projects": 1, "project": 3}
        assert all(project["enable_logical_replication"] for project in fleet.projects)

    def test_for_projects_that_fit(self, look):
        _fleet, asked = look(Neon(projects=12), projects=Names(["p1*"], ["calm-11"]))
        assert asked == {"projects": 1, "branches": 2, "endpoints": 2, "databases": 2}

    def test_for_branches_that_fit(self, look):
        _fleet, asked = look(branches=Names(["nothing"]))
        assert asked == {"projects": 1, "branches": 3}

    def test_for_one_project(self, look):
        fleet, asked = look(project="calm-2")
        assert asked == {"project": 1, "branches": 1, "endpoints": 1, "databases": 1}
        assert [project["name"] for project in fleet.projects] == ["p2"]

    def test_none_for_what_nobody_can_connect_to(self, look):
        neon = Neon(instead={"/projects/calm-1/endpoints": (200, {"endpoints": []})})
        fleet, asked = look(neon, reachable_only=True)
        assert asked["databases"] == 2
        assert "databases" not in fleet.projects[1]["branches"][0]

    def test_go_side_by_side_but_not_too_many(self):
        under_way, most = 0, 0
        count, all_at_once = threading.Lock(), threading.Barrier(THREADS)
        answer = Neon(projects=2 * THREADS)

        def reply(request: Request) -> Reply:
            nonlocal under_way, most
            with count:
                under_way += 1
                most = max(most, under_way)
            if request.path.endswith("/branches"):
                # Only when all of them are here does any of them go on.
                all_at_once.wait(20)
            with count:
                under_way -= 1
            return answer(request)

        with stub(reply) as server:
            fleet = survey(api(server.url), Selection())
        assert len(fleet.projects) == 2 * THREADS
        assert most == THREADS


class TestSelection:
    def test_is_the_default_branch_unless_others_are_named(self, look):
        fleet, _asked = look()
        assert [[branch["name"] for branch in project["branches"]] for project in fleet.projects] == [["main"]] * 3

    def test_has_the_default_branch_first(self, look):
        fleet, _asked = look(project="calm-0", branches=Names(["*"]))
        assert [branch["name"] for branch in fleet.projects[0]["branches"]] == ["main", "dev"]

    def test_leaves_out_what_is_excluded(self, look):
        fleet, _asked = look(
            project="calm-0", branches=Names(["*"], ["br-main-calm-0"]), databases=Names(exclude=["s*"])
        )
        assert [branch["name"] for branch in fleet.projects[0]["branches"]] == ["dev"]
        assert fleet.projects[0]["branches"][0]["databases"] == [{"name": "billing", "owner": "billing_owner"}]

    @pytest.mark.parametrize("named", ["dev", "br-dev-calm-0"])
    def test_of_one_branch(self, look, named):
        fleet, _asked = look(project="calm-0", branch=named)
        assert [branch["name"] for branch in fleet.projects[0]["branches"]] == ["dev"]

    def test_of_a_branch_that_the_project_does_not_have_fails(self, look):
        with pytest.raises(Failure, match="The project calm-0 has no branch staging"):
            look(project="calm-0", branch="staging")

    def test_of_a_branch_that_some_projects_do_not_have(self, look):
        lone = {"branches": [{"id": "br-x", "name": "main", "default": True, "current_state": "ready"}]}
        fleet, _asked = look(Neon(instead={"/projects/calm-1/branches": (200, lone)}), branch="dev")
        assert [len(project["branches"]) for project in fleet.projects] == [1, 0, 1]

    @pytest.mark.parametrize(
        ("include", "exclude", "held"),
        [
            ([], [], {"shop", "Shop", "shop-eu", "a*b"}),
            (["shop"], [], {"shop"}),
            (["shop*"], ["*-eu"], {"shop"}),
            (["?hop"], [], {"shop", "Shop"}),
            (["[Ss]hop-*"], [], {"shop-eu"}),
            (["a[*]b"], [], {"a*b"}),
            ([], ["*"], set()),
        ],
    )
    def test_by_patterns_of_names(self, include, exclude, held):
        names = Names(include, exclude)
        assert {name for name in ("shop", "Shop", "shop-eu", "a*b") if names.hold(name)} == held

    def test_by_ids_that_are_whole(self):
        assert Names(["calm-1"]).hold("shop", "calm-1")
        assert not Names(["calm-*"]).hold("shop", "calm-1")
        assert not Names(exclude=["calm-1"]).hold("shop", "calm-1")


class TestWhatIsFound:
    def test_is_in_order(self, look):
        neon = Neon(projects=12)
        fleet, _asked = look(neon, parts=frozenset(PARTS))
        assert [project["name"] for project in fleet.projects] == sorted(f"p{number}" for number in range(12))
        branch = fleet.projects[0]["branches"][0]
        assert [database["name"] for database in branch["databases"]] == ["billing", "shop"]
        assert [role["name"] for role in branch["roles"]] == ["reader", "writer"]

    def test_holds_no_password(self, look):
        fleet, _asked = look(parts=frozenset((ROLES,)))
        assert PASSWORD not in json.dumps(fleet.projects)
        assert fleet.projects[0]["branches"][0]["roles"]

    def test_is_without_a_project_that_is_gone_meanwhile(self, look):
        fleet, _asked = look(Neon(instead={"/projects/calm-1/branches": (404, {"message": "not found"})}))
        assert [project["id"] for project in fleet.projects] == ["calm-0", "calm-2"]
        assert fleet.gone == ["The project calm-1 was listed and is gone."]

    def test_is_without_a_branch_that_is_gone_meanwhile(self, look):
        gone = "/projects/calm-1/branches/br-dev-calm-1/databases"
        fleet, _asked = look(Neon(instead={gone: (404, {"message": "not found"})}), branches=Names(["*"]))
        assert [len(project["branches"]) for project in fleet.projects] == [2, 1, 2]
        assert fleet.gone == ["The branch br-dev-calm-1 of the project calm-1 was listed and is gone."]

    @pytest.mark.parametrize("status", [401, 403, 500])
    def test_is_nothing_when_neon_refuses(self, look, status, request):
        refused = {f"/projects/calm-{number}/branches": (status, {"message": "no"}) for number in range(200)}
        with pytest.raises(Failure, match="no"):
            look(Neon(projects=200, instead=refused))
        # What had not begun was not begun.
        assert len({asked.path for asked in request.node.server.requests}) < 100

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            (
                "ep-cool-darkness-123456.us-east-2.aws.neon.tech",
                "ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech",
            ),
            ("ep-1.c-2.eu-central-1.aws.neon.tech", "ep-1-pooler.c-2.eu-central-1.aws.neon.tech"),
        ],
    )
    def test_has_the_host_of_the_pooler(self, host, expected):
        assert pooled(host) == expected

    @pytest.mark.parametrize(("told", "seconds"), [(0, 300), (-1, None), (60, 60), (604800, 604800)])
    def test_tells_when_a_compute_is_suspended(self, told, seconds):
        described = describe_endpoint(compute("ep-1", "br-1", suspend_timeout_seconds=told))
        assert described["suspends_after_seconds"] == seconds


class TestCapture:
    PROJECT = {  # noqa: RUF012
        "enable_logical_replication": True,
        "allowed_ips": [],
        "protected_branches_only": False,
        "block_public_connections": False,
        "pg_version": 17,
    }
    BRANCH = {"id": "br-1", "current_state": "ready", "protected": False}  # noqa: RUF012

    def of(
        self, branch: dict[str, object] | None = None, computes: list[dict] | None = None, **project: object
    ) -> dict:
        computes = [compute("ep-1", "br-1")] if computes is None else computes
        endpoints = [describe_endpoint(found) for found in computes]
        return capture({**self.PROJECT, **project}, {**self.BRANCH, **(branch or {})}, endpoints)

    def test_is_ready(self):
        found = self.of()
        assert (found["ready"], found["lacks"], found["cautions"]) == (True, [], [])
        assert found["host"] == "ep-1.eu.aws.neon.tech"
        assert found["suspends_after_seconds"] == 300
        assert found["slot_removed_after_hours"] == 40

    def test_lacks_logical_replication(self):
        found = self.of(enable_logical_replication=False)
        assert not found["ready"]
        assert found["lacks"] == ["Logical replication is not enabled for the project."]

    @pytest.mark.parametrize("computes", [[], [compute("ep-2", "br-1", type="read_only")]])
    def test_lacks_a_compute(self, computes):
        found = self.of(computes=computes)
        assert found["lacks"] == ["It has no read-write compute."]
        assert found["host"] is None

    def test_lacks_a_compute_that_is_enabled(self):
        found = self.of(computes=[compute("ep-1", "br-1", disabled=True)])
        assert found["lacks"] == ["Its read-write compute is disabled."]
        assert found["host"] is None

    @pytest.mark.parametrize("state", ["init", "resetting"])
    def test_lacks_readiness(self, state):
        assert self.of({"current_state": state})["lacks"] == [f"It is not ready, its state is {state}."]

    def test_lacks_all_of_it_at_once(self):
        assert len(self.of({"current_state": "init"}, [], enable_logical_replication=False)["lacks"]) == 3

    @pytest.mark.parametrize(
        ("protected", "only_protected", "applies"),
        [(False, False, True), (True, False, True), (False, True, False), (True, True, True)],
    )
    def test_tells_who_may_connect_to_this_branch(self, protected, only_protected, applies):
        found = self.of({"protected": protected}, allowed_ips=["203.0.113.7"], protected_branches_only=only_protected)
        assert found["allowed_ips"] == (["203.0.113.7"] if applies else [])
        assert [("203.0.113.7" in caution) for caution in found["cautions"]] == [True] * applies
        assert found["ready"]

    def test_tells_that_no_address_helps(self):
        found = self.of(block_public_connections=True, allowed_ips=["203.0.113.7"])
        assert found["public_connections_blocked"]
        assert len(found["cautions"]) == 1
        assert "private networking" in found["cautions"][0]

    @pytest.mark.parametrize("version", [14, 15])
    def test_tells_that_neon_must_make_the_user(self, version):
        assert "Neon must make the connector's user" in self.of(pg_version=version)["cautions"][0]

    def test_tells_that_the_branch_goes(self):
        assert "2026-12-09T18:02:16Z" in self.of({"expires_at": "2026-12-09T18:02:16Z"})["cautions"][0]


class TestConnectionUri:
    URI = "postgresql://shop_owner:secret@ep-1.eu.aws.neon.tech/shop"

    def ask(self, *arguments: object, refused: int = 0, **options: object) -> tuple[str, list[Request]]:
        neon, left = Neon(), refused

        def reply(request: Request) -> Reply:
            nonlocal left
            if request.path.endswith("/connection_uri"):
                if left:
                    left -= 1
                    return 404, {"message": "not found"}
                return 200, {"uri": self.URI}
            if request.path == "/projects":
                every = neon(request)[1]["projects"]
                return 200, {"projects": [found for found in every if request.query["search"] in found["name"]]}
            return neon(request) if re.match(r"/projects/calm-[0-2](/|$)", request.path) else (404, {"message": "none"})

        with stub(reply) as server:
            return connection_uri(api(server.url), *arguments, **options), server.requests

    def test_takes_one_request_where_all_is_known(self):
        uri, requests = self.ask("calm-1", "br-main-calm-1", "shop", "shop_owner")
        assert uri == self.URI
        assert [str(request) for request in requests] == ["GET /projects/calm-1/connection_uri"]

    def test_finds_what_is_named(self):
        with pytest.raises(Failure, match="has 2 databases") as failed:
            self.ask("p1")
        assert failed.value.hint == "Name one in database: billing, shop."
        _uri, requests = self.ask("p1", "dev", "shop")
        assert requests[-1].query == {
            "branch_id": "br-dev-calm-1",
            "database_name": "shop",
            "role_name": "shop_owner",
            "pooled": "false",
        }

    def test_finds_what_is_named_by_what_looks_like_ids(self):
        """A project whose name may be an id."""
        uri, requests = self.ask("p1", "br-main-calm-1", "shop", "reader", refused=1, pooled=True)
        assert uri == self.URI
        assert requests[-1].path == "/projects/calm-1/connection_uri"
        assert requests[-1].query["pooled"] == "true"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("nowhere",), "no project nowhere"),
            (("calm-1", "staging"), "has no branch staging"),
            (("calm-1", None, "orders"), "has no database orders"),
            (
                ("calm-1", None, "shop", "nobody"),
                "Is there a database shop and a role nobody on the branch br-main-calm-1",
            ),
            (("calm-1", "br-main-calm-1", "shop", "nobody"), "Is there a database shop and a role nobody"),
        ],
    )
    def test_tells_what_is_not_there(self, arguments, words):
        with pytest.raises(Failure, match=re.escape(words)):
            self.ask(*arguments, refused=2)
