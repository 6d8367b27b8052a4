# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module neon_project_info."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import yaml

from support.console import KEY, ORGANIZATION, PASSWORD, PERSONAL_KEY, Console
from support.modules import run_module, run_playbook

Look = Callable[..., dict[str, object]]


@pytest.fixture
def look(console: Console) -> Look:
    def look(**options: object) -> dict[str, object]:
        return run_module("neon_project_info", **{"neon_api_url": console.url, "neon_api_key": KEY, **options})

    return look


def test_one_project(console: Console, look: Look) -> None:
    console.project("others")
    console.project("shop", ("orders", "billing"))
    for named in ("shop", "shiny-wind-000002"):
        found = look(project=named)
        assert found["changed"] is False
        (project,) = found["projects"]
        assert (project["id"], project["name"], project["enable_logical_replication"]) == (
            "shiny-wind-000002",
            "shop",
            True,
        )
        (branch,) = project["branches"]
        assert branch["databases"] == [
            {"name": "billing", "owner": "neondb_owner"},
            {"name": "orders", "owner": "neondb_owner"},
        ]
        assert branch["capture"]["ready"]
        assert "roles" not in branch


def test_all_projects_and_what_they_lack(console: Console, look: Look) -> None:
    console.project("shop")
    console.project("old", logical_replication=False).main.computes.clear()
    walled = console.project("walled")
    walled.settings["allowed_ips"] = {"ips": ["203.0.113.7"], "protected_branches_only": True}
    walled.main.protected = True
    walled.branch("dev")
    found = look(gather=["branches"], all_branches=True)
    captures = {
        (project["name"], branch["name"]): branch["capture"]
        for project in found["projects"]
        for branch in project["branches"]
    }
    assert {where: capture["ready"] for where, capture in captures.items()} == {
        ("shop", "main"): True,
        ("old", "main"): False,
        ("walled", "main"): True,
        ("walled", "dev"): True,
    }
    assert captures["old", "main"]["lacks"] == [
        "Logical replication is not enabled for the project.",
        "It has no read-write compute.",
    ]
    assert captures["walled", "main"]["allowed_ips"] == ["203.0.113.7"]
    assert captures["walled", "dev"]["allowed_ips"] == []
    assert console.asked == {"projects": 1, "branches": 3, "endpoints": 3}


def test_roles_without_their_passwords(console: Console, look: Look) -> None:
    console.project("shop")
    found = look(project="shop", gather=["roles"])
    assert [role["name"] for role in found["projects"][0]["branches"][0]["roles"]] == ["neondb_owner"]
    assert PASSWORD not in json.dumps(found)
    assert "databases" not in console.asked


def test_nothing_but_projects(console: Console, look: Look) -> None:
    console.project("shop")
    assert "branches" not in look(gather=[])["projects"][0]
    assert console.asked == {"projects": 1}


def test_a_branch_of_every_project(console: Console, look: Look) -> None:
    console.project("shop").branch("dev")
    console.project("old")
    found = look(branch="dev")
    assert [[branch["name"] for branch in project["branches"]] for project in found["projects"]] == [[], ["dev"]]


def test_what_is_gone_meanwhile_is_warned_of(console: Console, look: Look) -> None:
    console.project("shop")
    console.project("moved", gone=True)
    found = look()
    assert [project["name"] for project in found["projects"]] == ["shop"]
    assert found["warnings"] == ["The project shiny-wind-000002 was listed and is gone."]


@pytest.mark.parametrize(
    ("options", "words", "status"),
    [
        ({"project": "nowhere"}, "There is no project nowhere", None),
        ({"project": "shiny-wind-000002"}, "There is no project shiny-wind-000002 that this API key may see", None),
        ({"project": "shop", "branch": "staging"}, "has no branch staging. It has: main.", None),
        ({"neon_api_key": "napi_wrong"}, "authorization failed. The key is wrong", 401),
        ({"neon_api_key": PERSONAL_KEY}, "give org_id", 400),
        ({"branch": "dev", "all_branches": True}, "mutually exclusive", None),
        ({"gather": ["passwords"]}, "gather", None),
    ],
)
def test_what_fails_is_told(
    console: Console, look: Look, options: dict[str, object], words: str, status: int | None
) -> None:
    console.project("shop")
    console.project("others", organization="org-of-others")
    found = look(**options)
    assert found["failed"]
    assert words in found["msg"]
    assert (found.get("error") or {}).get("status") == status


def test_a_persons_key_with_the_organization(console: Console, look: Look) -> None:
    console.project("shop")
    assert len(look(neon_api_key=PERSONAL_KEY, org_id=ORGANIZATION)["projects"]) == 1


def test_every_key_that_is_returned_is_described(console: Console, look: Look) -> None:
    module = importlib.import_module("ansible_collections.streamkap.neon.plugins.modules.neon_project_info")
    described = yaml.safe_load(module.RETURN)["projects"]
    console.project("shop").main.compute(type="read_only")

    def compare(values: list[dict[str, object]], contains: dict[str, dict], where: str) -> None:
        for value in values:
            assert set(value) == set(contains), where
            for key, about in contains.items():
                if "contains" in about:
                    inner = value[key] if isinstance(value[key], list) else [value[key]]
                    assert inner, key
                    compare(inner, about["contains"], f"{where}.{key}")

    compare(look(gather=["databases", "roles"])["projects"], described["contains"], "projects")


def test_the_key_is_shown_at_no_verbosity(console: Console) -> None:
    console.project("shop")
    play = yaml.safe_dump(
        [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [
                    {
                        "streamkap.neon.neon_project_info": {
                            "neon_api_url": console.url,
                            "neon_api_key": "{{ vault_key }}",
                            "gather": ["databases", "roles"],
                        }
                    }
                ],
            }
        ]
    )
    for key in (KEY, "napi_wrong-one-of-the-tests"):
        run = run_playbook(play, verbosity=4, extra_vars={"vault_key": key})
        assert (run.rc == 0) == (key == KEY)
        assert key not in run.stdout + run.stderr
        assert PASSWORD not in run.stdout + run.stderr
