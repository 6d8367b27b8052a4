# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules streamkap_pipeline and streamkap_pipeline_info, against the double of Streamkap's API."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import yaml

from support.http_stub import LOST
from support.modules import run_module
from support.streamkap_api import CLIENT_ID, CONFIG, SECRET, Source, Streamkap
from support.streamkap_pipelines import DESTINATION, Destination

Run = Callable[..., dict[str, object]]

GIVEN = {"name": "flow", "source": "shop", "destination": "warehouse"}
TABLES = ["public.orders", "public.customers"]


@pytest.fixture
def shop(streamkap: Streamkap) -> Source:
    streamkap.start_seconds = 0
    return streamkap.source("shop", {"table.include.list.user.defined": ",".join(TABLES)})


@pytest.fixture
def warehouse(streamkap: Streamkap) -> Destination:
    return streamkap.destination("warehouse")


@pytest.fixture
def run(streamkap: Streamkap) -> Run:
    def run(module: str = "streamkap_pipeline", **more: object) -> dict[str, object]:
        access = {"streamkap_api_url": streamkap.url, "streamkap_client_id": CLIENT_ID, "streamkap_secret": SECRET}
        result = run_module(module, **{**access, **more})
        for secret in (SECRET, CONFIG["database.password"], DESTINATION["connection.password"]):
            assert secret not in json.dumps(result)
        return result

    return run


@pytest.mark.usefixtures("shop", "warehouse")
class TestMade:
    def test_of_all_topics_once(self, streamkap, run, shop):
        said = run(**GIVEN, check=True)
        assert streamkap.changes == []
        made = run(**GIVEN)
        assert (made["changed"], made["diff"], made["requests"]) == (True, said["diff"], said["requests"])
        (pipeline,) = streamkap.pipelines
        assert pipeline.topics == TABLES
        assert pipeline.snapshot_new_tables is True
        assert made["pipeline"]["source"] == {
            "id": shop.id,
            "name": "shop",
            "connector": "postgresql",
            "status": "Active",
        }
        assert made["pipeline"]["destination"]["status"] == "Active"
        assert not run(**GIVEN)["changed"]
        assert not run(name="flow")["changed"]

    def test_of_some(self, streamkap, run, shop):
        topic = f"source_{shop.id}.public.orders"
        assert run(**GIVEN, topics=[topic], snapshot_new_tables=False)["pipeline"]["topics"] == ["public.orders"]
        assert streamkap.pipelines[0].snapshot_new_tables is False
        assert not run(**GIVEN, topics=["public.orders"])["changed"]

    def test_by_ids_and_with_tags(self, streamkap, run, shop, warehouse):
        tag = streamkap.tag("Production")
        assert run(name="flow", source_id=shop.id, destination_id=warehouse.id, tags=["Production"])["changed"]
        assert streamkap.pipelines[0].tags == [tag.id]

    @pytest.mark.parametrize("carried_out", [False, True])
    def test_once_though_the_answer_is_lost(self, streamkap, run, carried_out):
        streamkap.fail("POST", "/pipelines", LOST, carried_out=carried_out)
        assert run(**GIVEN)["changed"]
        assert len(streamkap.pipelines) == 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"name": " "}, "name is empty"),
            ({"name": "flow", "source": "shop"}, "to make one it takes destination"),
            ({**GIVEN, "source": "other"}, "There is no source other in Streamkap"),
            ({**GIVEN, "topics": ["public.users"]}, "the source shop has no topic of public.users"),
            ({**GIVEN, "topics": []}, "topics is empty"),
            ({**GIVEN, "source_id": "1"}, "mutually exclusive"),
        ],
    )
    def test_not_of_what_there_is_not(self, streamkap, run, options, words):
        assert words in run(**options)["msg"]
        assert streamkap.changes == []

    def test_not_of_what_is_about_to_be_removed(self, streamkap, run, shop):
        shop.removed_at = streamkap.clock() + 60
        assert "about to remove the source shop (Pending Delete)" in run(**GIVEN)["msg"]
        assert streamkap.changes == []

    def test_in_check_mode_of_what_an_earlier_task_would_make(self, run):
        said = run(name="flow", source="not yet", destination="neither", check=True)
        assert said["changed"]
        assert [warning.partition(" in ")[0] for warning in said["warnings"]] == [
            "There is no source not yet",
            "There is no destination neither",
        ]


class TestChanged:
    @pytest.fixture(autouse=True)
    def flow(self, streamkap, shop, warehouse):
        return streamkap.pipeline(
            "flow",
            shop,
            warehouse,
            ["public.orders"],
            tags=["t1"],
            periodic_audit={"topics": ["public.orders"], "timestamp_column": "at", "interval_minutes": 60},
            transforms=[{"topic_id": "x"}],
        )

    def test_is_what_was_given_and_nothing_else(self, streamkap, run, flow):
        changed = run(name="flow", topics=TABLES)
        assert changed["diff"]["before"] == "topics:\n  - public.orders\n"
        (now,) = streamkap.pipelines
        assert now.topics == TABLES
        # A PUT takes the place of what was there.
        assert (now.periodic_audit, now.transforms, now.tags) == (flow.periodic_audit, flow.transforms, ["t1"])
        assert now.snapshot_new_tables is flow.snapshot_new_tables
        assert not run(name="flow", topics=TABLES[::-1])["changed"]

    def test_is_never_where_from_nor_where_to(self, streamkap, run):
        streamkap.destination("lake")
        streamkap.source("other", {"slot.name": "other"})
        for part in ({"destination": "lake"}, {"source": "other"}):
            failed = run(name="flow", **part)
            assert "Nothing was changed." in failed["msg"]
            assert "remove the pipeline first" in failed["hint"]
            assert "The task refuses that" in run(name="flow", **part, check=True)["warnings"][0]
        assert streamkap.changes == []

    def test_is_removed_once(self, streamkap, run):
        assert run(name="flow", state="absent", check=True)["changed"]
        assert run(name="flow", state="absent")["pipeline"] == {"name": "flow", "exists": False}
        assert streamkap.pipelines == []
        assert not run(name="flow", state="absent")["changed"]


@pytest.mark.usefixtures("shop", "warehouse")
class TestWaited:
    def test_fails_with_what_breaks(self, run, warehouse):
        warehouse.error = "Caused by: ClickHouseException: Code 516"
        failed = run(**GIVEN)
        assert "The destination warehouse is Broken. task 0: ClickHouseException: Code 516." in failed["msg"]

    def test_not_for_what_is_paused(self, run, shop):
        shop.desired_state = "Paused"
        done = run(**GIVEN)
        assert done["changed"]
        assert "The source shop is Paused, so nothing goes through the pipeline." in done["warnings"][0]

    def test_not_at_all(self, streamkap, run):
        streamkap.start_seconds = 60
        assert run(**GIVEN, wait=False)["changed"]


def test_info_tells_of_one_and_of_all(streamkap: Streamkap, run: Run, shop: Source, warehouse: Destination) -> None:
    flow = streamkap.pipeline("flow", shop, warehouse)
    streamkap.pipeline("another", shop, warehouse, ["public.orders"])
    found = run("streamkap_pipeline_info")["pipelines"]
    assert [one["name"] for one in found] == ["another", "flow"]
    assert run("streamkap_pipeline_info", id=flow.id)["pipelines"] == found[1:]
    modules = "ansible_collections.streamkap.neon.plugins.modules"
    for module, key in (("streamkap_pipeline", "pipeline"), ("streamkap_pipeline_info", "pipelines")):
        described = yaml.safe_load(importlib.import_module(f"{modules}.{module}").RETURN)[key]["contains"]
        assert set(found[0]) == set(described)
