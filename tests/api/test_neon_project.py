# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module neon_project, and what it makes of everything that goes wrong between here and Neon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._neon.project import Desired, converge
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import NeonApi

from support.console import KEY, PERSONAL_KEY, Console, Project
from support.http_stub import LOST, Clock
from support.line import NEVER
from support.modules import run_module, run_playbook
from support.neon import OWNER_PASSWORD, Database
from support.postgres import Server

PATCH = "PATCH /projects/shiny-wind-000001"
HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
BROKEN = (500, {"code": "", "message": "internal error", "request_id": "r-500"})

Set = Callable[..., dict[str, object]]


@pytest.fixture
def project(console: Console) -> Project:
    project = console.project("shop", logical_replication=False)
    project.main.computes[0]["current_state"] = "active"
    return project


@pytest.fixture
def given(console: Console) -> Set:
    def given(*, check: bool = False, **options: object) -> dict[str, object]:
        usual = {"neon_api_url": console.url, "neon_api_key": KEY, "project": "shop", "neon_wait_timeout": 20}
        return run_module("neon_project", check=check, **{**usual, **options})

    return given


def enabled(project: Project) -> bool:
    return bool(project.settings["enable_logical_replication"])


def ips(project: Project) -> list[str]:
    return project.settings["allowed_ips"]["ips"]


class TestLogicalReplication:
    def test_is_enabled_once(self, console: Console, project: Project, given: Set) -> None:
        first = given(enable_logical_replication=True, allow_restart=True)
        assert first["changed"]
        assert first["project"]["enable_logical_replication"]
        assert [operation["action"] for operation in first["operations"]] == ["suspend_compute"]
        assert first["requests"] == [
            {
                "method": "PATCH",
                "path": "/projects/shiny-wind-000001",
                "body": {"project": {"settings": {"enable_logical_replication": True}}},
            }
        ]
        assert yaml.safe_load(first["diff"]["before"]) == {"enable_logical_replication": False}
        assert yaml.safe_load(first["diff"]["after"]) == {"enable_logical_replication": True}
        assert project.main.computes[0]["current_state"] == "idle"

        again = given(enable_logical_replication=True, allow_restart=True)
        assert not again["changed"]
        assert again["requests"] == again["operations"] == []
        assert console.changes == [PATCH]

    @pytest.mark.usefixtures("project")
    def test_needs_to_be_allowed(self, console: Console, given: Set) -> None:
        refused = given(enable_logical_replication=True)
        assert refused["failed"]
        assert "active at the moment: ep-calm-sea-000001" in refused["msg"]
        assert "Nothing was changed. Set allow_restart: true when that may happen." in refused["msg"]
        assert console.changes == []

    @pytest.mark.parametrize("allowed", [True, False])
    def test_is_told_in_check_mode(self, console: Console, project: Project, given: Set, allowed: bool) -> None:
        told = given(check=True, enable_logical_replication=True, allow_restart=allowed)
        assert told["changed"]
        assert told["project"]["enable_logical_replication"]
        assert len(told["requests"]) == 1
        (warning,) = told["warnings"]
        assert "drops every connection" in warning
        assert ("The task refuses that" in warning) is not allowed
        assert console.changes == []
        assert not enabled(project)

    def test_cannot_be_disabled(self, console: Console, given: Set) -> None:
        console.project("shop")
        refused = given(enable_logical_replication=False)
        assert "Neon cannot disable it again" in refused["msg"]
        assert console.changes == []

    def test_is_waited_for_where_an_earlier_run_was_interrupted(
        self, console: Console, project: Project, given: Set
    ) -> None:
        project.settings["enable_logical_replication"] = True
        left = console.busy(project, 1)
        told = given(enable_logical_replication=True)
        assert not told["changed"]
        assert [operation["id"] for operation in told["operations"]] == [left.id]
        assert left.ended


@pytest.fixture
def physical(server: Server) -> Iterator[Server]:
    """A server as a project's is that has no logical replication."""
    with server.restarted(wal_level="replica"):
        yield server


@pytest.mark.usefixtures("physical")
class TestOnServers:
    def test_the_task_ends_when_the_server_has_it(self, database: Database, console: Console, given: Set) -> None:
        project = console.real_project(database, logical_replication=False)
        assert database.sql("SHOW wal_level") == [("replica",)]
        options = {"project": project.id, "enable_logical_replication": True, "dsn": database.dsn}
        told = given(check=True, **options)
        assert told["changed"]
        assert database.sql("SHOW wal_level") == [("replica",)]
        told = given(allow_restart=True, **options)
        assert told["changed"]
        assert database.sql("SHOW wal_level") == [("logical",)]
        assert not given(**options)["changed"]

    @pytest.mark.postgres(17)
    def test_a_server_that_never_has_it_is_told(self, database: Database, console: Console, given: Set) -> None:
        # The connection string is that of another project.
        project = console.project("shop", logical_replication=False)
        told = given(enable_logical_replication=True, allow_restart=True, dsn=database.dsn, neon_wait_timeout=3)
        assert "its server still has wal_level = replica after 3 seconds" in told["msg"]
        assert "Is the dsn that of a branch of this project?" in told["msg"]
        assert OWNER_PASSWORD not in json.dumps(told)
        assert enabled(project)


class TestAllowedIps:
    def test_are_added(self, console: Console, project: Project, given: Set) -> None:
        project.settings["allowed_ips"] = {"ips": ["198.51.100.0/24"], "protected_branches_only": False}
        told = given(allowed_ips=["203.0.113.7"])
        assert told["changed"]
        assert ips(project) == told["project"]["allowed_ips"] == ["198.51.100.0/24", "203.0.113.7"]
        assert not given(allowed_ips=["203.0.113.7/32"])["changed"]
        assert console.changes == [PATCH]

    def test_do_not_lock_everybody_out_by_themselves(self, console: Console, project: Project, given: Set) -> None:
        refused = given(allowed_ips=["203.0.113.7"])
        assert "is open to all addresses, and allowed_ips would shut out all but 203.0.113.7" in refused["msg"]
        assert "Set allow_lockout: true once all who need it are in allowed_ips." in refused["msg"]
        assert console.changes == []
        assert given(allowed_ips=["203.0.113.7"], allow_lockout=True)["changed"]
        assert ips(project) == ["203.0.113.7"]

    def test_on_protected_branches_tell_which(self, project: Project, given: Set) -> None:
        project.branch("prod").protected = True
        refused = given(allowed_ips=["203.0.113.7"], protected_branches_only=True)
        assert "on its protected branches (prod)" in refused["msg"]

    def test_are_exclusive_on_request(self, project: Project, given: Set) -> None:
        project.settings["allowed_ips"] = {"ips": ["198.51.100.0/24"], "protected_branches_only": False}
        told = given(allowed_ips=["203.0.113.7"], exclusive=True)
        assert told["warnings"] == ["allowed_ips is exclusive: 198.51.100.0/24 can no longer connect."]
        assert ips(project) == ["203.0.113.7"]

    @pytest.mark.usefixtures("project")
    def test_are_checked_before_anything_is_asked(self, console: Console, given: Set) -> None:
        refused = given(allowed_ips=["203.0.113.7", "shop.example"])
        assert "allowed_ips: shop.example is no address, range or network" in refused["msg"]
        assert console.requests == []

    def test_that_the_plan_does_not_have_are_told(self, console: Console, project: Project, given: Set) -> None:
        console.fail("PATCH", project.id, (403, {"code": "", "message": "not available", "request_id": "r-403"}))
        refused = given(allowed_ips=["203.0.113.7"], allow_lockout=True)
        assert "needs Neon's plan Scale" in refused["msg"]
        assert console.changes == [PATCH]

    @pytest.mark.usefixtures("project")
    def test_both_at_once_are_one_request(self, console: Console, given: Set) -> None:
        refused = given(enable_logical_replication=True, allowed_ips=["203.0.113.7"])
        assert "allow_restart: true" in refused["msg"]
        assert "allow_lockout: true" in refused["msg"]
        told = given(
            enable_logical_replication=True, allowed_ips=["203.0.113.7"], allow_restart=True, allow_lockout=True
        )
        assert told["changed"]
        assert console.changes == [PATCH]


ENABLE = {"enable_logical_replication": True, "allow_restart": True}


class TestRefusals:
    """One sentence with its remedy, and nothing sent that changes anything."""

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize(
        ("options", "words", "status"),
        [
            ({"neon_api_key": "napi_wrong"}, "The key is wrong, has expired or was revoked. Make one in Neon's", 401),
            ({"neon_api_key": ""}, "neon_api_key is missing. Make one in Neon's console", None),
            ({"neon_api_key": PERSONAL_KEY}, "Where it asks for an organization, give org_id.", 400),
            ({"project": "shiny-wind-000002"}, "no project shiny-wind-000002 that this API key may see. Look", None),
            ({"project": "others"}, "There is no project others that this API key may see.", None),
        ],
    )
    def test_of_who_asks(
        self, console: Console, given: Set, options: dict[str, str], words: str, status: int | None
    ) -> None:
        console.project("others", organization="org-of-others")
        told = given(**{**ENABLE, **options})
        assert told["failed"]
        assert words in told["msg"]
        assert (told.get("error") or {}).get("status") == status
        assert console.changes == []

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize("requests", range(6))
    def test_of_a_key_that_is_revoked_meanwhile(self, console: Console, given: Set, requests: int) -> None:
        console.revoked_after = requests
        told = given(**ENABLE)
        assert "The key is wrong, has expired or was revoked." in told["msg"]
        assert told["error"]["status"] == 401
        # The fourth one is the change.
        assert ("What was asked for was accepted, and may still come about." in told["msg"]) == (requests >= 4)
        console.revoked_after = None
        done = given(**ENABLE)
        assert done["project"]["enable_logical_replication"]
        # What was accepted before the key went is not asked for again.
        assert console.changes.count(PATCH) == 1 + (requests == 3)


class TestFailures:
    def test_too_many_requests_are_waited_for_as_long_as_it_says(
        self, console: Console, project: Project, given: Set
    ) -> None:
        refusal = (429, {"code": "", "message": "rate limit exceeded"}, {"Retry-After": "1"})
        console.fail("PATCH", project.id, refusal)
        console.fail("GET", project.id, refusal, times=2)
        assert given(**ENABLE)["changed"]
        assert console.changes == [PATCH] * 2

    @pytest.mark.usefixtures("project")
    def test_too_many_requests_for_too_long_are_told(self, console: Console, given: Set) -> None:
        console.limit = (0, 1)
        told = given(**ENABLE, neon_wait_timeout=2)
        assert "More requests were sent than Neon takes within a minute" in told["msg"]
        assert told["error"]["status"] == 429
        assert console.changes == []

    def test_a_project_that_is_busy_for_a_minute_is_waited_for(self, console: Console, project: Project) -> None:
        console.clock = clock = Clock()
        console.busy(project, 60)
        api = NeonApi(KEY, console.url, clock=clock, sleep=clock.sleep)
        outcome = converge(api, "shop", Desired(**ENABLE), check_mode=False, clock=clock, sleep=clock.sleep)
        assert outcome.changed
        assert enabled(project)
        assert 60 <= sum(clock.slept) < 70

    def test_a_project_that_stays_busy_is_told(self, console: Console, project: Project) -> None:
        console.clock = clock = Clock()
        console.busy(project, 6000)
        api = NeonApi(KEY, console.url, clock=clock, sleep=clock.sleep)
        with pytest.raises(Failure) as caught:
            converge(api, "shop", Desired(**ENABLE), check_mode=False, clock=clock, sleep=clock.sleep)
        assert caught.value.msg.startswith("After 600 seconds it still holds: Neon refused PATCH /projects/")
        assert "Look at them in Neon's console, and run again later." in caught.value.hint
        assert caught.value.details["error"]["status"] == 423
        assert not enabled(project)

    @pytest.mark.parametrize("reply", [BROKEN, (502, HTML), LOST], ids=["500", "502", "cut"])
    def test_what_only_looks_is_asked_again(
        self, console: Console, project: Project, given: Set, reply: object
    ) -> None:
        console.fail("GET", project.id, reply, times=2)
        assert given(**ENABLE)["changed"]
        assert console.changes == [PATCH]

    @pytest.mark.usefixtures("project")
    def test_what_only_looks_is_not_asked_forever(self, console: Console, given: Set) -> None:
        console.fail("GET", "/projects/shop", BROKEN, times=99)
        told = given(**ENABLE)
        assert "Neon refused GET /projects/shop (500): internal error." in told["msg"]
        assert "Look at neonstatus.com, and run again. Neon's support can find it by the request r-500." in told["msg"]
        assert console.changes == []

    @pytest.mark.parametrize("reply", [BROKEN, (502, HTML), (200, HTML), LOST], ids=["500", "502", "html", "cut"])
    def test_a_change_that_was_not_carried_out_is_not_sent_twice(
        self, console: Console, project: Project, given: Set, reply: object
    ) -> None:
        console.fail("PATCH", project.id, reply)
        told = given(**ENABLE)
        assert told["failed"]
        assert "Looked at afterwards, the project's settings were as before." in told["msg"]
        assert "Run again: it looks first and does only what is still to do." in told["msg"]
        assert "<html>" not in told["msg"]
        assert console.changes == [PATCH]
        assert given(**ENABLE)["changed"]

    @pytest.mark.parametrize("reply", [BROKEN, (502, HTML), (200, HTML), LOST], ids=["500", "502", "html", "cut"])
    def test_a_change_whose_answer_was_lost_is_found(
        self, console: Console, project: Project, given: Set, reply: object
    ) -> None:
        console.fail("PATCH", project.id, reply, carried_out=True)
        # Long enough to be seen.
        console.operation_seconds = 3
        told = given(**ENABLE)
        assert told["changed"]
        assert [operation["action"] for operation in told["operations"]] == ["suspend_compute"]
        assert not project.locked
        assert console.changes == [PATCH]

    def test_a_change_after_which_nothing_answers_is_told(self, console: Console, project: Project, given: Set) -> None:
        console.fail("PATCH", project.id, LOST, carried_out=True)
        # The first look at this path finds the project.
        console.fail("GET", "/projects/shiny-wind-000001", (200, {"project": project.told}))
        console.fail("GET", "/projects/shiny-wind-000001", LOST, times=99)
        told = given(**ENABLE)
        assert "did not answer to PATCH /projects/shiny-wind-000001: the connection was lost." in told["msg"]
        assert "The look afterwards failed too: Neon's API at" in told["msg"]
        assert "It may have been carried out all the same. Run again" in told["msg"]
        assert console.changes == [PATCH]

    def test_a_change_that_is_never_answered_is_found(self, console: Console, project: Project, given: Set) -> None:
        console.fail("PATCH", project.id, NEVER, carried_out=True)
        assert given(**ENABLE, neon_api_timeout=1)["changed"]
        assert console.changes == [PATCH]

    @pytest.mark.usefixtures("project")
    def test_a_server_that_is_not_there_is_told(self, given: Set) -> None:
        told = given(neon_api_url="http://127.0.0.1:9/api/v2", **ENABLE, neon_wait_timeout=1)
        assert "Neon's API at http://127.0.0.1:9/api/v2 did not answer to GET /projects/shop" in told["msg"]
        assert "it refused the connection. Look at the network, at neon_api_url" in told["msg"]

    def test_an_operation_that_fails_is_told(self, console: Console, project: Project, given: Set, monkeypatch) -> None:
        monkeypatch.setattr("ansible_collections.streamkap.neon.plugins.module_utils._neon_api._TAKEN_UP_WITHIN", 1)
        console.operations_end = "failed"
        told = given(**ENABLE)
        (operation,) = project.operations
        assert f"Neon's operation {operation.id} (suspend_compute on ep-calm-sea-000001)" in told["msg"]
        assert "has failed: the compute did not come up." in told["msg"]
        assert "What was asked for was accepted, and may still come about." in told["msg"]
        assert told["operation"]["status"] == "failed"
        assert console.changes == [PATCH]

    def test_an_operation_that_never_ends_is_told(self, console: Console, project: Project, given: Set) -> None:
        console.operations_end = None
        told = given(**ENABLE, neon_wait_timeout=2)
        (operation,) = project.operations
        assert f"Neon's operation {operation.id} (suspend_compute on ep-calm-sea-000001)" in told["msg"]
        assert "has not ended within 2 seconds, it is running." in told["msg"]
        assert told["operation"]["id"] == operation.id
        # The next run waits for the same one, and sends nothing.
        again = given(**ENABLE, neon_wait_timeout=2)
        assert again["operation"]["id"] == operation.id
        assert console.changes == [PATCH]

    def test_settings_that_were_accepted_and_are_not_there_are_told(
        self, console: Console, project: Project, given: Set
    ) -> None:
        answer = {"project": project.told, "operations": []}
        console.fail("PATCH", project.id, (200, answer))
        told = given(**ENABLE)
        assert "Neon accepted the settings of the project shiny-wind-000001, and does not have them now." in told["msg"]


@pytest.mark.parametrize("key", [KEY, "napi_wrong-one-of-the-tests"])
@pytest.mark.postgres(17)
def test_no_secret_is_shown_at_any_verbosity(database: Database, console: Console, key: str) -> None:
    console.real_project(database, logical_replication=False)
    task = {"project": database.name, "neon_api_url": console.url, **ENABLE, "dsn": database.dsn}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"streamkap.neon.neon_project": task}]}]
    run = run_playbook(yaml.safe_dump(play), verbosity=4, diff=True, env={"NEON_API_KEY": key})
    assert (run.rc == 0) == (key == KEY), run.stdout
    for secret in (key, database.dsn, OWNER_PASSWORD):
        assert secret not in run.stdout + run.stderr
