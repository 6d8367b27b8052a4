# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module neon_role, on real servers where what it makes can be seen."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg2
import pytest
import yaml

from support.console import KEY, Console, Project
from support.http_stub import LOST
from support.line import NEVER
from support.modules import run_module, run_playbook
from support.neon import Database

ROLES = "/projects/shiny-wind-000001/branches/br-calm-sea-000001/roles"
CREATE, RESET = f"POST {ROLES}", f"POST {ROLES}/streamkap_user/reset_password"
DELETE = f"DELETE {ROLES}/streamkap_user"
BROKEN = (500, {"code": "", "message": "internal error", "request_id": "r-500"})

Set = Callable[..., dict[str, object]]


@pytest.fixture
def given(console: Console) -> Set:
    def given(*, check: bool = False, **options: object) -> dict[str, object]:
        usual = {"neon_api_url": console.url, "neon_api_key": KEY, "project": "shiny-wind-000001"}
        usual |= {"name": "streamkap_user", "allow_restart": True, "neon_wait_timeout": 20}
        return run_module("neon_role", check=check, **{**usual, **options})

    return given


@pytest.fixture
def project(console: Console) -> Project:
    project = console.project("shop")
    project.main.computes[0]["current_state"] = "active"
    return project


@pytest.mark.postgres(14, 15, 18)
def test_a_role_has_a_password_that_works_and_replication(database: Database, console: Console, given: Set) -> None:
    console.real_project(database)
    planned = given(check=True)
    assert planned["changed"]
    assert "password" not in planned
    assert console.changes == []

    made = given()
    assert made["changed"]
    assert made["role"] == {
        "name": "streamkap_user",
        "exists": True,
        "project": "shiny-wind-000001",
        "branch": "br-calm-sea-000001",
        "protected": False,
        "authentication_method": "password",
    }
    (warning,) = made["warnings"]
    assert "a member of neon_superuser, with REPLICATION, CREATEROLE, CREATEDB and BYPASSRLS" in warning
    attributes = (
        "SELECT rolreplication, pg_has_role('neon_superuser', 'member') FROM pg_roles WHERE rolname = current_user"
    )
    assert database.sql_as("streamkap_user", made["password"], attributes) == [(True, True)]

    again = given()
    assert not again["changed"]
    assert "password" not in again
    assert again["warnings"] == []

    reset = given(reset_password=True)
    assert reset["changed"]
    assert reset["password"] != made["password"]
    assert database.sql_as("streamkap_user", reset["password"], "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        database.sql_as("streamkap_user", made["password"], "SELECT 1")

    assert given(state="absent", check=True)["changed"]
    gone = given(state="absent")
    assert gone["changed"]
    assert not gone["role"]["exists"]
    assert database.sql("SELECT 1 FROM pg_roles WHERE rolname = 'streamkap_user'") == []
    assert not given(state="absent")["changed"]
    assert console.changes == [CREATE, RESET, DELETE]


@pytest.mark.usefixtures("project")
class TestConnections:
    def test_are_dropped_only_where_that_is_allowed(self, console: Console, given: Set) -> None:
        refused = given(allow_restart=False)
        assert (
            "Neon drops every connection to the branch main (active at the moment: ep-calm-sea-000001)"
            in refused["msg"]
        )
        assert "Nothing was changed. Set allow_restart: true when that may happen." in refused["msg"]
        planned = given(allow_restart=False, check=True)
        assert planned["changed"]
        assert "The task refuses that." in planned["warnings"][0]
        assert console.changes == []

    def test_need_not_be_where_there_are_none(self, project: Project, given: Set) -> None:
        project.main.computes[0]["current_state"] = "idle"
        assert given(allow_restart=False)["changed"]


@pytest.mark.usefixtures("project")
class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"neon_api_key": "napi_wrong"}, "The key is wrong, has expired or was revoked."),
            ({"project": "others"}, "There is no project others that this API key may see."),
            ({"branch": "staging"}, "The project shiny-wind-000001 has no branch staging. It has: main."),
            ({"name": "x" * 64}, "The name of a role has 1 to 63 bytes"),
            ({"name": ""}, "The name of a role has 1 to 63 bytes"),
            ({"state": "absent", "reset_password": True}, "reset_password does not go with state: absent."),
        ],
    )
    def test_are_told(self, console: Console, given: Set, options: dict[str, object], words: str) -> None:
        console.project("others", organization="org-of-others")
        told = given(**options)
        assert told["failed"]
        assert words in told["msg"]
        assert console.changes == []


class TestFailures:
    def test_a_busy_project_is_waited_for(self, console: Console, project: Project, given: Set) -> None:
        console.busy(project, 1)
        assert given()["password"]
        assert len(project.main.roles) == 1

    @pytest.mark.parametrize("reply", [BROKEN, LOST], ids=["500", "cut"])
    def test_what_was_not_carried_out_is_not_sent_twice(
        self, console: Console, project: Project, given: Set, reply: object
    ) -> None:
        console.fail("POST", "/roles", reply)
        told = given()
        assert "Looked at afterwards, there was no such role." in told["msg"]
        assert "Run again" in told["msg"]
        assert console.changes == [CREATE]
        assert project.main.roles == {}
        assert given()["password"]

    @pytest.mark.parametrize("reply", [BROKEN, LOST, NEVER], ids=["500", "cut", "never"])
    def test_a_role_whose_password_was_lost_on_the_way_is_told(
        self, console: Console, project: Project, given: Set, reply: object
    ) -> None:
        # Nobody waits for it where the answer is lost, and a project that is still busy would be asked twice.
        console.operation_seconds = 0
        console.fail("POST", "/roles", reply, carried_out=True)
        told = given(neon_api_timeout=1)
        assert "The role streamkap_user is there, and its password was in the answer that did not come." in told["msg"]
        assert "Run again with reset_password: true to get another one." in told["msg"]
        assert given(reset_password=True)["password"] == project.main.roles["streamkap_user"]
        assert console.changes == [CREATE, RESET]

    @pytest.mark.parametrize("carried_out", [True, False])
    def test_a_new_password_that_was_lost_on_the_way_is_told(
        self, console: Console, project: Project, given: Set, carried_out: bool
    ) -> None:
        given()
        console.fail("POST", "/reset_password", LOST, carried_out=carried_out)
        told = given(reset_password=True)
        assert "The role streamkap_user may have a new password, which nobody has been told." in told["msg"]
        assert console.changes == [CREATE, RESET]
        assert given(reset_password=True)["password"] == project.main.roles["streamkap_user"]

    @pytest.mark.parametrize("carried_out", [True, False])
    def test_a_deletion_whose_answer_was_lost_is_looked_at(
        self, console: Console, project: Project, given: Set, carried_out: bool
    ) -> None:
        given()
        console.fail("DELETE", "/streamkap_user", LOST, carried_out=carried_out)
        told = given(state="absent")
        assert console.changes == [CREATE, DELETE]
        if carried_out:
            assert told["changed"]
        else:
            assert "Looked at afterwards, the role was still there." in told["msg"]
            assert given(state="absent")["changed"]
        assert project.main.roles == {}

    @pytest.mark.parametrize(
        ("end", "words"),
        [(None, "has not ended within 2 seconds"), ("failed", "has failed: the compute did not come up")],
    )
    def test_an_operation_that_does_not_finish_is_told(
        self, console: Console, given: Set, monkeypatch: pytest.MonkeyPatch, end: str | None, words: str
    ) -> None:
        monkeypatch.setattr("ansible_collections.streamkap.neon.plugins.module_utils._neon_api._TAKEN_UP_WITHIN", 1)
        console.project("shop")
        console.operations_end = end
        told = given(neon_wait_timeout=2)
        assert "Neon's operation" in told["msg"]
        assert words in told["msg"]
        assert "The password of the role streamkap_user was given, and is lost." in told["msg"]
        assert "Run again with reset_password: true to get another one." in told["msg"]
        assert console.changes == [CREATE]


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: The connector's user
      streamkap.neon.neon_role:
        project: shop
        name: streamkap_user
        neon_api_url: "{{ url }}"
        allow_restart: true
      register: made

    - name: Handed on
      ansible.builtin.copy:
        content: "{{ made.password }}"
        dest: "{{ handed }}"
        mode: "0600"
      no_log: true
"""


def test_the_password_is_handed_on_and_shown_at_no_verbosity(console: Console, project: Project, tmp_path) -> None:
    handed = tmp_path / "handed"
    run = run_playbook(
        PLAY, verbosity=4, diff=True, env={"NEON_API_KEY": KEY}, extra_vars={"url": console.url, "handed": str(handed)}
    )
    assert run.rc == 0, run.stdout
    password = project.main.roles["streamkap_user"]
    assert handed.read_text() == password
    for secret in (KEY, password):
        assert secret not in run.stdout + run.stderr


def test_what_is_returned_is_described(console: Console, project: Project, given: Set) -> None:
    from ansible_collections.streamkap.neon.plugins.modules import neon_project, neon_role

    made = given()
    described = yaml.safe_load(neon_role.RETURN)
    assert set(made) - {"changed", "diff", "warnings", "invocation", "_ansible_no_log"} <= set(described)
    assert set(made["role"]) == set(described["role"]["contains"])
    console.fail("POST", "/reset_password", BROKEN)
    assert set(given(reset_password=True)["error"]) == {"code", "message", "request_id", "status"}
    assert "password" not in json.dumps(yaml.safe_load(made["diff"]["before"]))
    assert project.main.roles["streamkap_user"] not in json.dumps(made["diff"])

    told = run_module("neon_project", neon_api_url=console.url, neon_api_key=KEY, project="shop")
    described = yaml.safe_load(neon_project.RETURN)
    assert set(told) - {"changed", "diff", "warnings", "invocation"} <= set(described)
    assert set(told["project"]) == set(described["project"]["contains"])
