# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tests' double of Streamkap's API: what the modules' tests rely on, asked by plain HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from support.http_stub import LOST, Clock
from support.streamkap_api import BAD_GATEWAY, CLIENT_ID, CONFIG, Source, Streamkap
from support.streamkap_client import Client
from support.streamkap_config import FIELDS, Config
from support.streamkap_pipelines import DESTINATION


@pytest.fixture
def streamkap() -> Iterator[Streamkap]:
    with Streamkap() as streamkap:
        streamkap.clock = Clock()
        yield streamkap


@pytest.fixture
def ask(streamkap: Streamkap) -> Client:
    return Client.with_token(streamkap)


# Tokens


def test_a_token_is_needed_and_ends(streamkap: Streamkap) -> None:
    client = Client(streamkap)
    assert client("GET", "/sources").status == 401
    assert client.token(secret="another").status == 401
    assert client("POST", "/auth/access-token", {"client_id": CLIENT_ID}).status == 422
    told = client.token()
    assert told.body.keys() == {"accessToken", "refreshToken", "expires", "expiresIn"}
    assert told.body["expiresIn"] == 3600
    client.use(told.body)
    assert client("GET", "/sources").status == 200
    streamkap.clock.sleep(3599)
    assert client("GET", "/sources").status == 200
    streamkap.clock.sleep(1)
    assert client("GET", "/sources").status == 401
    assert client("POST", "/auth/access-token/refresh", {"refresh_token": "another"}).status == 401
    client.use(client("POST", "/auth/access-token/refresh", {"refresh_token": told.body["refreshToken"]}).body)
    assert client("GET", "/sources").status == 200
    streamkap.expire_tokens()
    assert client("GET", "/sources").status == 401


def test_no_more_requests_than_told_and_how_long_to_wait(streamkap: Streamkap, ask: Client) -> None:
    streamkap.limit = 2, 10.0
    streamkap.retry_after = 7
    assert [ask("GET", "/sources").status for _time in range(3)] == [200, 200, 429]
    refused = ask("GET", "/sources")
    assert (refused.headers["retry-after"], refused.detail) == ("7", "Too Many Requests")
    streamkap.clock.sleep(10)
    assert ask("GET", "/sources").status == 200
    assert streamkap.refused_for_pace == 2


# Finding


def test_pages_are_of_ten_unless_asked_for_more_and_names_match_in_part(streamkap: Streamkap, ask: Client) -> None:
    for number in range(23):
        streamkap.source(f"Shop {number}", {"slot.name": f"slot_{number}"})
    streamkap.source("billing", {"slot.name": "of_billing"})

    def look(query: str) -> tuple[int, bool, int]:
        told = ask("GET", f"/sources?{query}").body
        return len(told["result"]), told["has_next"], told["total"]

    assert look("") == (10, True, 24)
    assert look("partial_name=shop&page=2") == (10, True, 24)
    assert look("partial_name=shop&page=3") == (3, False, 24)
    assert look("partial_name=shop&page_size=100") == (23, False, 24)
    assert look("partial_name=shop%201&page_size=100") == (11, False, 24)
    assert look("partial_name=nobody") == (0, False, 24)
    assert look("status=Broken") == (0, False, 24)
    assert look("status=Starting,Broken&page_size=100") == (24, False, 24)
    too_long = ask("GET", "/sources?page_size=101")
    assert (too_long.status, too_long.detail[0]["loc"]) == (422, ["query", "page_size"])


def test_one_that_is_gone_is_an_empty_list_to_who_looks_and_404_to_who_changes(
    streamkap: Streamkap, ask: Client
) -> None:
    source_id = streamkap.source("shop").id
    assert ask("DELETE", f"/sources/{source_id}?wait=false").body["id"] == source_id
    assert ask("GET", f"/sources/{source_id}").body["result"] == []
    for method, end in (("DELETE", ""), ("PUT", ""), ("POST", "/actions/pause"), ("POST", "/deploy")):
        body = {"name": "shop", "connector": "postgresql", "config": CONFIG}
        refused = ask(method, f"/sources/{source_id}{end}", body)
        assert (refused.status, refused.detail) == (404, "Entity not found")
    assert ask("GET", "/nowhere").status == 404


# Configuration


def test_a_source_is_told_with_its_defaults_and_without_its_password(ask: Client) -> None:
    made = ask.create(config={**CONFIG, "database.port.user.defined": 6432}, tags=["one"])
    assert made.status == 200
    config = made.body["config"]
    assert (config["database.port.user.defined"], config["streamkap.snapshot.parallelism"]) == ("6432", 1)
    # What is behind a switch that is off.
    assert (config["ssh.port"], config["ssh.user"]) == (None, None)
    assert (config["slot.name"], config["publication.name"]) == ("streamkap_pgoutput_slot", "streamkap_pub")
    assert config["ssh.public.key.user.displayed"].startswith("ssh-ed25519 ")
    assert set(config) - set(FIELDS) == {"connector.class", "database.hostname", "database.port"}
    assert (made.body["tags"], made.body["created_from"], made.body["connector"]) == (["one"], "api", "postgresql")
    assert made.body["topics"] == [f"source_{made.body['id']}.public.orders"]
    for told in (made.body, ask.get(made.body["id"]), ask("GET", "/sources").body["result"][0]):
        assert told["config"]["database.password"] is None
    for yes in ("true", "True"):
        asked_for = ask.get(made.body["id"], f"?secret_returned={yes}")
        assert asked_for["config"]["database.password"] == CONFIG["database.password"]
    assert ask("GET", "/sources?secret_returned=please").status == 422


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slot.nmae", "slot"),
        ("database.hostname", "a.neon.tech"),
        ("database.port.user.defined", "five"),
        ("database.port.user.defined", 65536),
        ("database.user", 7),
        ("database.sslmode", "verify-full"),
        ("heartbeat.enabled", "true"),
        ("snapshot.read.only.user.defined", True),
        ("streamkap.snapshot.parallelism", 11),
        ("streamkap.snapshot.parallelism", True),
        ("streamkap.snapshot.chunk.size.bytes", 4095),
        ("streamkap.snapshot.state.refresh.ms", "30000"),
        ("schema.include.list", ["public"]),
        ("schema.include.list", None),
    ],
)
def test_what_does_not_fit_a_field_is_refused_by_the_fields_name(
    streamkap: Streamkap, ask: Client, key: str, value: object
) -> None:
    refused = ask.create(config={**CONFIG, key: value})
    assert refused.status == 422
    (complaint,) = refused.detail
    assert (complaint["loc"], complaint["input"]) == (["body", "config", key], value)
    assert {"msg", "type"} < complaint.keys()
    assert not streamkap.sources


def test_what_fits_at_the_edges(ask: Client) -> None:
    edges = {
        "database.port.user.defined": "65535",
        "streamkap.snapshot.parallelism": 10,
        "streamkap.snapshot.chunk.size.bytes": 8388608,
        "signal.data.collection.schema.or.database": None,
    }
    assert ask.create(config={**CONFIG, **edges}).status == 200


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({key: value for key, value in CONFIG.items() if key != "database.password"}, "database.password"),
        ({**CONFIG, "database.dbname": ""}, "database.dbname"),
        ({**CONFIG, "ssh.enabled": True}, "ssh.host"),
    ],
)
def test_what_lacks_or_contradicts_is_refused_by_a_sentence(ask: Client, config: Config, said: str) -> None:
    refused = ask.create(config=config)
    assert refused.status == 400
    assert said in refused.detail


def test_a_body_without_its_parts_is_refused(ask: Client) -> None:
    refused = ask("POST", "/sources", {"connector": "postgresql", "config": CONFIG})
    assert (refused.status, refused.detail[0]["loc"]) == (422, ["body", "name"])
    # As FastAPI does: what was sent comes back, with all that is secret in it.
    assert refused.detail[0]["input"]["config"]["database.password"] == CONFIG["database.password"]
    assert ask.create(config=[]).status == 422
    assert ask.create(desired_state="Running").status == 422
    assert ask.create(created_from="ansible").status == 422
    assert ask.create(connector="neon").status == 400


def test_the_fields_are_told_by_the_api(ask: Client) -> None:
    (connector,) = ask("GET", "/sources/connectors?connector_code=postgresql").body
    assert {told["name"] for told in connector["config"]} == set(FIELDS)


# Once, and no second


def test_names_and_places_are_taken_once(streamkap: Streamkap, ask: Client) -> None:
    assert ask.create().status == 200
    again = ask.create(config={**CONFIG, "slot.name": "another"})
    assert (again.status, again.detail) == (409, "Entity with this name already exists")
    taken = ask.create("billing")
    assert taken.status == 400
    assert taken.detail.startswith("Replication Slot Name and Publication Name already exist")
    assert [source.name for source in streamkap.sources] == ["shop"]
    assert ask.create("billing", {**CONFIG, "database.dbname": "billing"}).status == 200
    third = ask.create("third", {**CONFIG, "slot.name": "third"}).body
    renamed = ask.update(third["id"], {**CONFIG, "slot.name": "third"}, name="billing")
    assert renamed.status == 409


@pytest.mark.parametrize("key", ["slot.name", "publication.name"])
def test_slot_and_publication_are_set_once(streamkap: Streamkap, ask: Client, key: str) -> None:
    source = streamkap.source("shop")
    refused = ask.update(source.id, {**CONFIG, key: "another"})
    assert refused.status == 400
    assert key in refused.detail
    assert source.config[key] != "another"
    named = {**CONFIG, "slot.name": "streamkap_pgoutput_slot", "publication.name": "streamkap_pub"}
    assert ask.update(source.id, named).status == 200


def test_put_replaces_the_configuration_and_starts_anew(streamkap: Streamkap, ask: Client) -> None:
    source = streamkap.source("shop", {"database.sslmode": "disable", "binary.handling.mode": "hex"}, tags=["one"])
    streamkap.clock.sleep(1)
    assert ask.states(source.id)[0] == "Active"
    told = ask.update(source.id, {**CONFIG, "database.sslmode": "disable"}).body
    assert told["config"]["binary.handling.mode"] == "bytes"
    assert told["config"]["database.sslmode"] == "disable"
    assert (told["connector_status"], source.starts) == ("Starting", 2)
    refused = ask.update(source.id, {key: value for key, value in CONFIG.items() if key != "database.password"})
    assert (refused.status, source.starts) == (400, 2)


def test_tags_are_left_when_null_and_cleared_when_empty(streamkap: Streamkap, ask: Client) -> None:
    source = streamkap.source("shop", tags=["one"])
    assert ask.update(source.id, CONFIG).body["tags"] == ["one"]
    assert ask.update(source.id, CONFIG, tags=None).body["tags"] == ["one"]
    assert ask.update(source.id, CONFIG, tags=["two"]).body["tags"] == ["two"]
    assert ask.update(source.id, CONFIG, tags=[]).body["tags"] == []


# What becomes of it


def test_a_source_starts_and_is_active(streamkap: Streamkap, ask: Client) -> None:
    made = ask.create().body
    assert (made["connector_status"], made["desired_state"]) == ("Starting", "Active")
    streamkap.clock.sleep(streamkap.start_seconds - 0.01)
    assert ask.states(made["id"]) == ("Starting", {"0": "UNASSIGNED"})
    streamkap.clock.sleep(0.01)
    assert ask.states(made["id"]) == ("Active", {"0": "RUNNING"})


def test_a_source_starts_and_breaks_and_is_mended(streamkap: Streamkap, ask: Client) -> None:
    streamkap.error = 'FATAL: password authentication failed for user "streamkap_user"'
    source_id = ask.create().body["id"]
    assert ask.states(source_id)[0] == "Starting"
    streamkap.clock.sleep(1)
    assert ask.states(source_id) == ("Broken", {"0": "FAILED"})
    assert ask.get(source_id)["task_statuses"]["0"]["trace"] == streamkap.error
    streamkap.error = None
    assert ask.act(source_id, "restart").status == 200
    streamkap.clock.sleep(1)
    assert ask.states(source_id) == ("Active", {"0": "RUNNING"})


def test_a_task_may_fail_where_the_connector_is_active(streamkap: Streamkap, ask: Client) -> None:
    source = streamkap.source("shop", task_statuses={"0": {"state": "FAILED", "trace": "gone"}})
    streamkap.clock.sleep(1)
    assert ask.states(source.id) == ("Active", {"0": "FAILED"})


def test_actions(streamkap: Streamkap, ask: Client) -> None:
    source = streamkap.source("shop")
    for action, status in (("pause", "Paused"), ("resume", "Active"), ("stop", "Stopped"), ("restart", "Active")):
        assert ask.act(source.id, action).status == 200
        streamkap.clock.sleep(1)
        assert ask.states(source.id)[0] == status
    assert source.starts == 3
    refused = ask.act(source.id, "explode")
    assert (refused.status, refused.detail[0]["loc"]) == (422, ["path", "action"])


def test_a_source_is_made_as_it_is_desired(streamkap: Streamkap, ask: Client) -> None:
    made = ask.create(desired_state="Pending").body
    assert (made["connector_status"], streamkap.sources[0].starts) == ("Pending", 0)
    ask("POST", f"/sources/{made['id']}/deploy")
    streamkap.clock.sleep(1)
    assert ask.states(made["id"])[0] == "Active"
    paused = ask.create("billing", {**CONFIG, "slot.name": "another"}, desired_state="Paused").body
    assert paused["connector_status"] == "Paused"
    # It does not start by being changed.
    changed = ask.update(paused["id"], {**CONFIG, "slot.name": "another"}, name="billing").body
    assert changed["connector_status"] == "Paused"


def test_until_it_is_deployed_nothing_can_be_done_with_it(streamkap: Streamkap, ask: Client) -> None:
    streamkap.deploy_seconds = 5
    made = ask.create(query="?wait=false").body
    assert made["connector_status"] == "Unassigned"
    refused = ask.act(made["id"], "pause")
    assert refused.status == 500
    assert refused.detail.startswith("Kafka Connect API call failed with status code 404")
    streamkap.clock.sleep(5)
    assert ask.states(made["id"])[0] == "Starting"
    waited_for = ask.create("billing", {**CONFIG, "slot.name": "another"}).body
    assert waited_for["connector_status"] == "Starting"


# Snapshots


@pytest.fixture
def active(streamkap: Streamkap) -> str:
    """The id of an active source."""
    source = streamkap.source("shop", {"table.include.list.user.defined": "public.orders, public.customers"})
    streamkap.clock.sleep(1)
    return source.id


def test_a_snapshot_runs_for_a_while_and_no_second_beside_it(streamkap: Streamkap, ask: Client, active: str) -> None:
    assert ask.metrics(active)["snapshotState"] is None
    orders = f"source_{active}.public.orders"
    order = {"source_id": active, "topic_names": [orders], "snapshot_type": "incremental"}
    assert ask("POST", "/sources/snapshot", order).status == 200
    running = ask.metrics(active)
    assert (running["snapshotState"], running["SnapshotRunning"]) == ("running", 1)
    assert running["snapshotStatus"] == [{"topic_id": orders, "status": "running", "submit_timestamp": None}]
    assert ask("POST", "/sources/snapshot", order).status == 409
    streamkap.clock.sleep(streamkap.snapshot_seconds)
    assert ask.metrics(active)["snapshotStatus"][0]["status"] == "completed"
    assert ask("POST", "/sources/snapshot", {"source_id": active}).status == 200
    assert [done["tables"] for done in streamkap.sources[0].snapshots] == [
        ["public.orders"],
        ["public.orders", "public.customers"],
    ]


def test_metrics_tell_of_a_snapshot_later(streamkap: Streamkap, ask: Client, active: str) -> None:
    streamkap.metrics_seconds = 30
    ask("POST", "/sources/snapshot", {"source_id": active})
    streamkap.clock.sleep(29)
    assert ask.metrics(active)["snapshotStatus"] == []
    streamkap.clock.sleep(1)
    assert [topic["status"] for topic in ask.metrics(active)["snapshotStatus"]] == ["completed"] * 2
    streamkap.snapshots_end = "failed"
    ask("POST", "/sources/snapshot", {"source_id": active})
    streamkap.clock.sleep(29)
    assert ask.metrics(active)["snapshotState"] == "completed"
    streamkap.clock.sleep(1)
    assert ask.metrics(active)["snapshotState"] == "failed"


def test_a_snapshot_fails_or_is_stopped(streamkap: Streamkap, ask: Client, active: str) -> None:
    streamkap.snapshots_end = "failed"
    ask("POST", "/sources/snapshot", {"source_id": active})
    streamkap.clock.sleep(1)
    assert ask.metrics(active)["snapshotState"] == "failed"
    assert ask("POST", "/sources/stop_incremental_snapshot", {"source_id": active}).status == 404
    ask("POST", "/sources/snapshot", {"source_id": active})
    assert ask("POST", "/sources/cancel_snapshot", {"source_id": active}).status == 200
    assert ask.metrics(active)["snapshotState"] == "cancelled"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"snapshot_type": "blocking"}, 200),
        ({"surrogate_key": "created_at"}, 200),
        ({"additional_conditions": [{"data_collection": "public.orders", "filter": "id > 3"}]}, 200),
        ({"additional_conditions": [{"data_collection": "public.orders"}]}, 422),
        ({"snapshot_type": "blocking", "surrogate_key": "created_at"}, 400),
        ({"snapshot_type": "full"}, 422),
        ({"topic_names": ["public.orders"]}, 400),
        ({"source_id": None}, 422),
        ({"source_id": "f" * 24}, 404),
    ],
)
def test_what_a_snapshot_may_be(ask: Client, active: str, more: dict[str, object], status: int) -> None:
    assert ask("POST", "/sources/snapshot", {"source_id": active, **more}).status == status


def test_no_snapshot_of_a_source_that_is_not_active(ask: Client, active: str) -> None:
    ask.act(active, "pause")
    refused = ask("POST", "/sources/snapshot", {"source_id": active})
    assert refused.status == 400
    assert "Paused" in refused.detail


# What goes wrong


def test_it_fails_as_told(streamkap: Streamkap, ask: Client) -> None:
    streamkap.fail("GET", "/sources", BAD_GATEWAY, times=2)
    for _time in range(2):
        broken = ask("GET", "/sources")
        assert (broken.status, broken.headers["content-type"]) == (502, "text/html")
        assert broken.body.startswith("<html>")
    told = ask("GET", "/sources")
    assert told.status == 200
    assert told.headers["x-request-id"]


@pytest.mark.parametrize("carried_out", [False, True])
def test_an_answer_is_lost_and_what_was_asked_is_done_or_not(
    streamkap: Streamkap, ask: Client, carried_out: bool
) -> None:
    streamkap.fail("POST", "/sources", LOST, carried_out=carried_out)
    with pytest.raises((http.client.HTTPException, OSError)):
        ask.create()
    assert [source.name for source in streamkap.sources] == ["shop"] * carried_out
    assert streamkap.changes == ["POST /sources"]
    ask("GET", "/sources/" + "f" * 24)
    assert streamkap.asked == {"POST /auth/access-token": 1, "POST /sources": 1, "GET /sources/{id}": 1}


# Who captures


@dataclass
class Capture:
    config: Config
    streaming: bool = False
    error: str | None = None
    snapshotting: bool = False
    stopped: bool = False
    orders: list[dict[str, object]] = field(default_factory=list)

    def snapshot(self, order: dict[str, object]) -> None:
        self.orders.append(order)
        self.snapshotting = True

    def stop_snapshot(self) -> None:
        self.snapshotting = False

    def stop(self) -> None:
        self.stopped = True


def test_a_source_is_what_becomes_of_who_captures_for_it(streamkap: Streamkap, ask: Client) -> None:
    captures: list[Capture] = []

    def start(source: Source) -> Capture:
        captures.append(Capture(source.config))
        return captures[-1]

    streamkap.on_start = start
    source_id = ask.create().body["id"]
    assert captures[0].config["database.password"] == CONFIG["database.password"]
    assert captures[0].config["slot.name"] == "streamkap_pgoutput_slot"
    streamkap.clock.sleep(1000)
    assert ask.states(source_id)[0] == "Starting"
    captures[0].streaming = True
    assert ask.states(source_id) == ("Active", {"0": "RUNNING"})
    ask("POST", "/sources/snapshot", {"source_id": source_id})
    assert captures[0].orders[0]["tables"] == ["public.orders"]
    streamkap.clock.sleep(1000)
    assert ask.metrics(source_id)["snapshotState"] == "running"
    captures[0].snapshotting = False
    assert ask.metrics(source_id)["snapshotState"] == "completed"
    captures[0].error = "the slot is gone"
    assert ask.get(source_id)["task_statuses"]["0"]["trace"] == "the slot is gone"
    ask.act(source_id, "restart")
    assert (captures[0].stopped, captures[1].stopped) == (True, False)
    assert ask.states(source_id)[0] == "Starting"
    ask("DELETE", f"/sources/{source_id}")
    assert captures[1].stopped


def test_who_cannot_start_breaks_the_source(streamkap: Streamkap, ask: Client) -> None:
    def start(_source: Source) -> Capture:
        raise ValueError("there is no such field")

    streamkap.on_start = start
    source_id = ask.create().body["id"]
    streamkap.clock.sleep(1)
    assert ask.states(source_id) == ("Broken", {"0": "FAILED"})
    assert ask.get(source_id)["task_statuses"]["0"]["trace"] == "there is no such field"


# Behind the sources


def test_a_pipeline_keeps_what_it_uses_and_is_replaced_as_a_whole(
    streamkap: Streamkap, ask: Client, active: str
) -> None:
    warehouse = {"name": "warehouse", "connector": "clickhouse", "config": DESTINATION}
    destination_id = ask("POST", "/destinations", warehouse).body["id"]
    assert ask("POST", "/destinations", warehouse).status == 422
    ends = {
        "source": {"id": active, "name": "shop", "connector": "postgresql", "topics": ["public.orders"]},
        "destination": {"id": destination_id, "name": "warehouse", "connector": "clickhouse"},
    }
    audit = {"topics": ["public.orders"], "timestamp_column": "at", "interval_minutes": 5}
    made = ask("POST", "/pipelines", {"name": "flow", **ends, "periodic_audit": audit, "tags": ["one"]}).body
    assert (made["periodic_audit"], made["tags"], made["source"]["config"]["database.password"]) == (
        audit,
        ["one"],
        None,
    )
    assert ask("GET", f"/destinations/{destination_id}").body["result"][0]["connector_status"] == "Active"
    for used in (f"/sources/{active}", f"/destinations/{destination_id}"):
        assert ask("DELETE", used).status == 409
    changed = ask("PUT", f"/pipelines/{made['id']}", {"name": "flow", **ends}).body
    assert (changed["periodic_audit"], changed["tags"]) == (None, ["one"])
    assert ask("DELETE", f"/pipelines/{made['id']}").status == 200
    assert ask("GET", f"/pipelines/{made['id']}").status == 404
    assert ask("DELETE", f"/destinations/{destination_id}").status == 200
    streamkap.tag("Production")
    assert [tag["name"] for tag in ask("GET", "/tags").body["tags"]] == ["Production"]


def test_a_source_is_gone_a_while_after_it_was_removed(streamkap: Streamkap, ask: Client, active: str) -> None:
    streamkap.delete_seconds = 90
    ask("DELETE", f"/sources/{active}")
    assert ask.get(active)["desired_state"] == "Pending Delete"
    streamkap.clock.sleep(91)
    assert ask("GET", f"/sources/{active}").body["result"] == []
