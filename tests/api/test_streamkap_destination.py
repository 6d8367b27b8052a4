# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules streamkap_destination and streamkap_destination_info, against the double of Streamkap's API."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import yaml

from support.http_stub import LOST
from support.modules import run_module
from support.streamkap_api import BAD_GATEWAY, CLIENT_ID, SECRET, Streamkap
from support.streamkap_pipelines import DESTINATION, Destination

Run = Callable[..., dict[str, object]]

PASSWORD = "Given-8-by-the-tests"
STORED = DESTINATION["connection.password"]
WAREHOUSE: dict[str, object] = {
    "name": "warehouse",
    "connector": "clickhouse",
    "config": {"hostname": "warehouse.example.com", "connection.username": "streamkap", "ssl": True},
    "secret_config": {"connection.password": PASSWORD},
}


@pytest.fixture
def run(streamkap: Streamkap) -> Run:
    def run(module: str = "streamkap_destination", **more: object) -> dict[str, object]:
        access = {"streamkap_api_url": streamkap.url, "streamkap_client_id": CLIENT_ID, "streamkap_secret": SECRET}
        result = run_module(module, **{**access, **more})
        for secret in (SECRET, CLIENT_ID, PASSWORD, STORED):
            assert secret not in json.dumps(result)
        return result

    return run


@pytest.fixture
def warehouse(streamkap: Streamkap) -> Destination:
    """As somebody has made it by hand, who has set more than the tasks below do."""
    return streamkap.destination("warehouse", {"schema.evolution": "basic"}, tags=["t1"])


class TestMade:
    def test_with_what_was_given_once(self, streamkap, run):
        said = run(**WAREHOUSE, check=True)
        assert said["changed"]
        assert streamkap.changes == []
        made = run(**WAREHOUSE)
        assert (made["diff"], made["requests"]) == (said["diff"], said["requests"])
        (destination,) = streamkap.destinations
        assert destination.config["connection.password"] == PASSWORD
        assert destination.config["ssl"] is True
        assert made["requests"][0]["body"]["config"]["connection.password"] == "********"
        assert made["destination"]["exists"]
        assert "connection.password" not in made["destination"]["config"]
        again = run(**WAREHOUSE)
        assert not again["changed"]
        assert again["requests"] == []

    def test_paused(self, streamkap, run):
        assert run(**WAREHOUSE, state="paused")["destination"]["status"] == "Paused"
        assert len(streamkap.changes) == 1
        assert not run(**WAREHOUSE, state="paused")["changed"]

    def test_not_without_its_kind(self, streamkap, run):
        failed = run(name="warehouse", config={"hostname": "h"})
        assert "to make one it takes connector" in failed["msg"]
        assert streamkap.changes == []

    @pytest.mark.parametrize("carried_out", [False, True])
    def test_once_though_the_answer_is_lost(self, streamkap, run, carried_out):
        streamkap.fail("POST", "/destinations", LOST, carried_out=carried_out)
        assert run(**WAREHOUSE)["changed"]
        assert len(streamkap.destinations) == 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"name": " "}, "name is empty"),
            ({"name": "w", "config": {"connection.password": PASSWORD}}, "Give it in secret_config"),
            ({"name": "w", "config": {"a": "1"}, "secret_config": {"a": "2"}}, "config and secret_config both hold a"),
        ],
    )
    def test_not_of_what_cannot_be_meant(self, streamkap, run, options, words):
        assert words in run(**options)["msg"]
        assert streamkap.requests == []


@pytest.mark.usefixtures("warehouse")
class TestChanged:
    def test_is_what_was_given_and_nothing_else(self, streamkap, run):
        changed = run(name="warehouse", config={"database": "shop"})
        assert changed["diff"] == {"before": "database: null\n", "after": "database: shop\n"}
        assert changed["requests"][0]["body"]["config"] == {"database": "shop"}
        (destination,) = streamkap.destinations
        assert destination.config["schema.evolution"] == "basic"
        assert destination.config["connection.password"] == STORED
        assert destination.tags == ["t1"]
        assert "connector.class" not in destination.config
        assert not run(name="warehouse", config={"database": "shop"})["changed"]

    def test_is_emptied(self, streamkap, run):
        assert run(name="warehouse", config={"schema.evolution": None})["changed"]
        assert streamkap.destinations[0].config["schema.evolution"] is None
        assert not run(name="warehouse", config={"schema.evolution": None})["changed"]

    def test_is_not_of_another_kind(self, streamkap, run):
        failed = run(**{**WAREHOUSE, "connector": "snowflake"})
        assert "is one of clickhouse, not of snowflake" in failed["msg"]
        assert streamkap.changes == []

    def test_is_a_secret_only_where_that_is_asked_for(self, streamkap, run):
        new = {"name": "warehouse", "secret_config": {"connection.password": PASSWORD}}
        assert not run(**new)["changed"]
        assert run(**new, update_secrets="always")["changed"]
        assert streamkap.destinations[0].config["connection.password"] == PASSWORD
        assert not run(**new, update_secrets="always")["changed"]

    def test_loses_no_secret_that_is_not_told(self, streamkap, run, monkeypatch):
        told = streamkap._told_destination
        monkeypatch.setattr(
            streamkap, "_told_destination", lambda one, query: told(one, {**query, "secret_returned": "false"})
        )
        failed = run(name="warehouse", config={"database": "shop"})
        assert "tells connection.password of the destination warehouse as null" in failed["msg"]
        assert "secret_config" in failed["hint"]
        assert streamkap.changes == []
        given = {"connection.password": PASSWORD}
        assert run(name="warehouse", config={"database": "shop"}, secret_config=given)["changed"]
        assert streamkap.destinations[0].config["connection.password"] == PASSWORD

    def test_loses_nothing_where_its_keys_are_not_described(self, streamkap, run, warehouse):
        """Streamkap refuses its own keys, rather than that the destination is left without what it had."""
        before = dict(warehouse.config)
        streamkap.fail("GET", "/destinations/connectors", (200, {}), times=9)
        failed = run(name="warehouse", config={"database": "shop"})
        assert "config.connector.class: Extra inputs are not permitted" in failed["msg"]
        assert streamkap.destinations == [warehouse]
        assert warehouse.config == before

    def test_is_nothing_behind_a_switch_that_is_off(self, streamkap, run):
        """Streamkap tells it as null, whatever was sent, and describes why."""
        for _time in range(2):
            left = run(name="warehouse", config={"ssh.user": "tunnel"})
            assert not left["changed"]
            assert "config.ssh.user does not count" in left["warnings"][0]
        assert streamkap.changes == []
        assert run(name="warehouse", config={"ssh.user": "tunnel", "ssh.enabled": True})["changed"]
        assert streamkap.destinations[0].config["ssh.user"] == "tunnel"

    def test_are_tags_by_name_or_id(self, streamkap, run):
        one, two = streamkap.tag("Production"), streamkap.tag("Team")
        assert run(name="warehouse", tags=["Production", two.id])["changed"]
        assert streamkap.destinations[0].tags == [one.id, two.id]
        assert not run(name="warehouse", tags=[two.id, one.id])["changed"]
        failed = run(name="warehouse", tags=["Produktion"])
        assert "there is no tag Produktion in Streamkap" in failed["msg"]
        assert "Production, Team" in failed["hint"]


class TestRunning:
    def test_is_paused_and_started(self, streamkap, run, warehouse):
        streamkap.pipeline("p", streamkap.source("shop"), warehouse)
        for state, status in (("paused", "Paused"), ("running", "Active")):
            assert run(name="warehouse", state=state)["destination"]["status"] == status
            assert not run(name="warehouse", state=state)["changed"]

    def test_fails_with_the_tasks_own_error(self, run, warehouse):
        warehouse.error = "Caused by: ClickHouseException: Code 516, authentication failed"
        failed = run(name="warehouse")
        assert "The destination warehouse is Broken. task 0: ClickHouseException: Code 516" in failed["msg"]
        assert failed["destination"]["status"] == "Broken"


class TestRemoved:
    def test_once(self, streamkap, run, warehouse):
        assert run(name="warehouse", state="absent", check=True)["changed"]
        assert streamkap.destinations == [warehouse]
        assert run(name="warehouse", state="absent")["destination"] == {"name": "warehouse", "exists": False}
        assert streamkap.destinations == []
        assert not run(name="warehouse", state="absent")["changed"]

    def test_not_while_pipelines_write_to_it(self, streamkap, run, warehouse):
        streamkap.pipeline("shop to warehouse", streamkap.source("shop"), warehouse)
        failed = run(name="warehouse", state="absent")
        assert "The destination warehouse is written to by the pipelines shop to warehouse." in failed["msg"]
        assert streamkap.changes == []

    @pytest.mark.usefixtures("warehouse")
    def test_though_the_answer_is_lost(self, streamkap, run):
        streamkap.fail("DELETE", "", BAD_GATEWAY, carried_out=True)
        assert run(name="warehouse", state="absent")["changed"]
        assert streamkap.destinations == []


def test_info_tells_of_one_and_of_all(streamkap: Streamkap, run: Run, warehouse: Destination) -> None:
    streamkap.destination("lake")
    found = run("streamkap_destination_info")["destinations"]
    assert [one["name"] for one in found] == ["lake", "warehouse"]
    assert run("streamkap_destination_info", id=warehouse.id)["destinations"] == found[1:]
    assert run("streamkap_destination_info", name="Lake")["destinations"] == []
    assert streamkap.changes == []


def test_every_key_that_is_returned_is_described(streamkap: Streamkap, run: Run, warehouse: Destination) -> None:
    streamkap.pipeline("p", streamkap.source("shop"), warehouse)
    modules = "ansible_collections.streamkap.neon.plugins.modules"
    described = yaml.safe_load(importlib.import_module(f"{modules}.streamkap_destination").RETURN)
    found = run(name="warehouse")["destination"]
    assert set(found) == set(described["destination"]["contains"])
    assert set(found["tasks"][0]) == set(described["destination"]["contains"]["tasks"]["contains"])
    info = yaml.safe_load(importlib.import_module(f"{modules}.streamkap_destination_info").RETURN)
    assert set(found) == set(info["destinations"]["contains"])
