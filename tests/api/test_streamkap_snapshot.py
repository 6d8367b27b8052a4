# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module streamkap_snapshot, against Streamkap's API in small."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap import snapshot as ordering

from support.http_stub import LOST
from support.modules import run_module
from support.streamkap_api import BAD_GATEWAY, CLIENT_ID, SECRET, Source, Streamkap

Order = Callable[..., dict[str, object]]


@pytest.fixture
def shop(streamkap: Streamkap) -> Source:
    streamkap.start_seconds = 0
    return streamkap.source("shop", {"table.include.list.user.defined": "public.orders,public.customers"})


@pytest.fixture
def order(streamkap: Streamkap, shop: Source) -> Order:
    def order(**options: object) -> dict[str, object]:
        access = {"streamkap_api_url": streamkap.url, "streamkap_client_id": CLIENT_ID, "streamkap_secret": SECRET}
        given = {**access, "source": shop.name, **options}
        return run_module("streamkap_snapshot", **{name: value for name, value in given.items() if value is not None})

    return order


def topic(source: Source, table: str) -> str:
    return f"source_{source.id}.{table}"


class TestOrdered:
    def test_of_all_tables(self, shop, order):
        done = order()
        assert done["changed"]
        assert done["snapshot"] == {
            "source": "shop",
            "source_id": shop.id,
            "snapshot_type": "incremental",
            "topics": [topic(shop, "public.orders"), topic(shop, "public.customers")],
            "status": "ordered",
        }
        (ordered,) = shop.snapshots
        assert ordered["tables"] == ["public.orders", "public.customers"]
        assert done["requests"][0]["body"] == {"source_id": shop.id, "snapshot_type": "incremental"}

    @pytest.mark.parametrize("named", ["public.orders", "source_{id}.public.orders"])
    def test_of_some_of_them(self, shop, order, named):
        assert order(tables=[named.format(id=shop.id)])["changed"]
        assert shop.snapshots[0]["tables"] == ["public.orders"]

    def test_by_the_sources_id(self, shop, order):
        assert order(source=None, source_id=shop.id)["snapshot"]["source"] == "shop"

    def test_of_what_fulfils_a_condition(self, shop, order):
        condition = "ordered_at >= '2026-01-01'"
        assert order(tables=["public.orders"], filters={"public.orders": condition}, surrogate_key="id")["changed"]
        (ordered,) = shop.snapshots
        assert ordered["additional_conditions"] == [{"data_collection": "public.orders", "filter": condition}]
        assert ordered["surrogate_key"] == "id"

    def test_blocking(self, shop, order):
        assert order(snapshot_type="blocking")["changed"]
        assert shop.snapshots[0]["snapshot_type"] == "blocking"

    def test_in_check_mode_is_only_said(self, streamkap, order):
        said = order(tables=["public.orders"], check=True)
        assert streamkap.changes == []
        done = order(tables=["public.orders"])
        assert (said["changed"], said["snapshot"], said["requests"]) == (True, done["snapshot"], done["requests"])

    def test_each_time(self, shop, order):
        """It is an order, and no state."""
        assert order(wait=True)["changed"]
        assert order(wait=True)["changed"]
        assert len(shop.snapshots) == 2

    def test_where_the_database_is_in_the_names_of_topics(self, shop, order, monkeypatch):
        monkeypatch.setattr(
            Source, "topics", property(lambda source: [f"source_{source.id}.neondb_{table}" for table in source.tables])
        )
        assert order(tables=["public.orders"])["snapshot"]["topics"] == [f"source_{shop.id}.neondb_public.orders"]


class TestAnother:
    """One that runs already."""

    def test_is_no_failure(self, streamkap, shop, order):
        streamkap.snapshot_seconds = 60
        order()
        other = order(tables=["public.orders"])
        assert not other.get("failed")
        assert not other["changed"]
        assert other["snapshot"]["status"] == "already running"
        assert other["requests"] == []
        assert other["warnings"] == [
            "A snapshot of the source shop runs already, and Streamkap takes one at a time: nothing was ordered."
        ]
        assert len(shop.snapshots) == 1

    def test_is_waited_for(self, streamkap, shop, order):
        streamkap.snapshot_seconds = 0.5
        order()
        done = order(tables=["public.orders"], wait=True)
        assert done["changed"]
        assert done["snapshot"]["status"] == "completed"
        assert [ordered["status"] for ordered in shop.snapshots] == ["completed", "completed"]
        assert len(done["requests"]) == 1

    def test_is_waited_for_so_long(self, streamkap, shop, order):
        streamkap.snapshot_seconds = 60
        order()
        failed = order(wait=True, streamkap_wait_timeout=1)
        assert (
            "Another snapshot of the source shop still runs after 1 seconds, and nothing was ordered" in failed["msg"]
        )
        assert len(shop.snapshots) == 1

    def test_is_told_from_a_kafka_connect_that_is_busy(self, streamkap, order):
        said = {"detail": "Kafka Connect API call failed with status code 409 and response {}"}
        streamkap.fail("POST", "/sources/snapshot", (409, said))
        failed = order()
        assert failed["failed"]
        assert "status code 409" in failed["msg"]


class TestWaited:
    def test_until_all_is_read(self, streamkap, shop, order):
        streamkap.snapshot_seconds = 0.5
        begun = time.monotonic()
        assert order(wait=True)["snapshot"]["status"] == "completed"
        assert time.monotonic() - begun >= 0.5
        assert shop.snapshots[0]["status"] == "completed"

    def test_for_this_one_and_not_the_one_before(self, streamkap, shop, order, monkeypatch):
        """As long as Streamkap tells of the snapshot that was before."""
        order(wait=True)
        monkeypatch.setattr(ordering, "_EARLIER_FOR", 30)
        old = streamkap._metrics(shop, {"time_type": "latest"})
        streamkap.fail("GET", "/metrics", (200, old), times=3)
        streamkap.snapshots_end = "failed"
        assert "has not read all of its tables" in order(wait=True)["msg"]
        monkeypatch.setattr(ordering, "_EARLIER_FOR", 0)
        streamkap.fail("GET", "/metrics", (200, old), times=2)
        assert order(wait=True)["snapshot"]["status"] == "completed"

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_fails_where_it_is_not_read(self, streamkap, shop, order, status):
        streamkap.snapshots_end = status
        failed = order(tables=["public.orders"], wait=True)
        assert failed["failed"]
        assert f"not read all of its tables: {topic(shop, 'public.orders')} ({status})." in failed["msg"]
        assert "streamkap.neon.readiness_info" in failed["hint"]

    def test_until_none_runs(self, streamkap, shop, order, monkeypatch):
        """Where all that is told of a topic is of an earlier snapshot, without a time."""
        order(wait=True)
        monkeypatch.setattr(ordering, "_EARLIER_FOR", 0)
        old = streamkap._metrics(shop, {"time_type": "latest"})
        old["data"]["SnapshotRunning"] = 1
        streamkap.snapshot_seconds = 0
        streamkap.fail("GET", "/metrics", (200, old), times=4)
        asked = streamkap.asked["GET /sources/{id}/metrics"]
        assert order(wait=True)["snapshot"]["status"] == "completed"
        # One before the order, and as many as one was told to run.
        assert streamkap.asked["GET /sources/{id}/metrics"] - asked == 5

    def test_so_long(self, streamkap, order):
        streamkap.snapshot_seconds = 60
        failed = order(wait=True, streamkap_wait_timeout=1)
        assert "is ordered, and has not ended within 1 seconds" in failed["msg"]
        assert "(running)" in failed["msg"]

    def test_where_nothing_is_told(self, streamkap, order):
        streamkap.fail("GET", "/metrics", (404, {"detail": "Metrics not found"}), times=99)
        assert order()["changed"]
        streamkap.snapshot_seconds = 0
        failed = order(wait=True, streamkap_wait_timeout=1)
        assert "(not told)" in failed["msg"]


class TestStopped:
    @pytest.mark.parametrize(
        ("options", "path"), [({}, "cancel_snapshot"), ({"tables": ["public.orders"]}, "stop_incremental_snapshot")]
    )
    def test_once(self, streamkap, shop, order, options, path):
        streamkap.snapshot_seconds = 60
        order()
        said = order(state="stopped", check=True, **options)
        done = order(state="stopped", wait=True, **options)
        assert done["changed"]
        assert (said["changed"], said["snapshot"], said["requests"]) == (True, done["snapshot"], done["requests"])
        assert done["requests"][0]["path"] == f"/sources/{path}"
        assert done["snapshot"]["status"] == "stopped"
        assert shop.snapshots[0]["status"] == "cancelled"
        for check in (True, False):
            again = order(state="stopped", check=check, **options)
            assert not again["changed"]
            assert again["snapshot"]["status"] == "not running"

    def test_is_waited_for(self, streamkap, order):
        streamkap.snapshot_seconds = 60
        order()
        streamkap.fail("POST", "/cancel_snapshot", (200, {}))
        failed = order(state="stopped", wait=True, streamkap_wait_timeout=1)
        assert "accepted to stop the snapshot of the source shop, and one still runs" in failed["msg"]

    def test_of_a_source_there_is_not(self, order):
        assert "There is no source other" in order(source="other", state="stopped")["msg"]
        assert not order(source="other", state="stopped", check=True)["changed"]


class TestFaults:
    @pytest.mark.parametrize("reply", [LOST, BAD_GATEWAY, (504, {})])
    def test_order_nothing_twice(self, streamkap, shop, order, reply):
        """It is looked whether one runs, before anything is said."""
        streamkap.snapshot_seconds = 60
        streamkap.fail("POST", "/sources/snapshot", reply, carried_out=True)
        assert order()["changed"]
        assert len(shop.snapshots) == 1
        assert streamkap.asked["POST /sources/snapshot"] == 1

    @pytest.mark.parametrize("reply", [LOST, BAD_GATEWAY, (504, {})])
    def test_leave_it_to_the_next_run(self, streamkap, shop, order, reply):
        streamkap.fail("POST", "/sources/snapshot", reply)
        failed = order()
        assert "Looked at afterwards, no snapshot was seen to run for it" in failed["msg"]
        assert streamkap.asked["POST /sources/snapshot"] == 1
        assert order()["changed"]
        assert len(shop.snapshots) == 1

    def test_of_a_limit_are_waited_for(self, streamkap, shop, order):
        streamkap.fail("POST", "/sources/snapshot", (429, {"detail": "Too Many Requests"}))
        assert order()["changed"]
        assert len(shop.snapshots) == 1


class TestRefused:
    """Before anything is ordered."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"source": "other"}, "There is no source other in Streamkap"),
            ({"tables": ["public.users"]}, "tables: the source shop has no topic of public.users"),
            ({"tables": []}, "tables is empty"),
            ({"filters": {"public.users": "true"}}, "filters: the source shop has no topic of public.users"),
            (
                {"tables": ["public.orders"], "filters": {"public.customers": "true"}},
                "filters holds what tables does not",
            ),
            ({"filters": {"public.orders": " "}}, "filters holds no condition for public.orders"),
            (
                {"snapshot_type": "blocking", "surrogate_key": "id"},
                "surrogate_key goes with incremental snapshots only",
            ),
            ({"snapshot_type": "blocking", "filters": {"public.orders": "true"}}, "filters goes with incremental"),
            ({"source_id": "1"}, "mutually exclusive"),
            ({"source": None}, "one of the following is required"),
        ],
    )
    def test_is_told(self, streamkap, order, options, words):
        failed = order(**options)
        assert failed["failed"]
        assert words in failed["msg"]
        assert streamkap.changes == []

    def test_of_a_source_that_does_not_run(self, streamkap, shop, order):
        shop.desired_state = "Paused"
        failed = order()
        assert "The source shop is Paused, and only one that is Active takes snapshots" in failed["msg"]
        assert "state: running" in failed["hint"]
        assert streamkap.changes == []

    @pytest.mark.parametrize("options", [{"source": "not made yet"}, {"source": "shop"}])
    def test_is_only_warned_of_in_check_mode(self, shop, order, options):
        """The task before this one may only have said that it would make the source, or start it."""
        shop.desired_state = "Paused"
        said = order(check=True, **options)
        assert said["changed"]
        assert "The task would fail, unless an earlier one changes that." in said["warnings"][0]

    def test_by_streamkap_is_told(self, streamkap, order):
        streamkap.fail("POST", "/sources/snapshot", (400, {"detail": "Signal table not found"}))
        failed = order()
        assert "Streamkap refused POST /sources/snapshot (400): Signal table not found." in failed["msg"]
        assert failed["error"]["status"] == 400


def test_every_key_that_is_returned_is_described(order: Order) -> None:
    module = importlib.import_module("ansible_collections.streamkap.neon.plugins.modules.streamkap_snapshot")
    described = yaml.safe_load(module.RETURN)
    done = order()
    assert set(done["snapshot"]) == set(described["snapshot"]["contains"])
    assert set(done["requests"][0]) == set(described["requests"]["contains"])
