# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module streamkap_source, against Streamkap's API in small."""

from __future__ import annotations

import contextlib
import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils import _streamkap_api
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap import connector, entities

from support import streamkap_api, streamkap_config
from support.http_stub import LOST, Reply, Request, stub
from support.modules import run_module, run_playbook
from support.streamkap_api import BAD_GATEWAY, CLIENT_ID, SECRET, Source, Streamkap
from support.streamkap_pipelines import Tag

Run = Callable[..., dict[str, object]]

DIRECT = "ep-calm-sea-000001.us-east-2.aws.neon.tech"
PASSWORD = "Given-3-by-the-tests"
STORED = "Connector-3-of-the-tests"

SHOP: dict[str, object] = {
    "name": "shop",
    "database_hostname": DIRECT,
    "database_user": "streamkap_user",
    "database_password": PASSWORD,
    "database_dbname": "neondb",
    "schema_include_list": ["public"],
    "table_include_list": ["public.orders"],
}
SENT = {
    "database.hostname.user.defined": DIRECT,
    "database.user": "streamkap_user",
    "database.password": PASSWORD,
    "database.dbname": "neondb",
    "schema.include.list": "public",
    "table.include.list.user.defined": "public.orders",
}


def options(url: str, **more: object) -> dict[str, object]:
    return {"streamkap_api_url": url, "streamkap_client_id": CLIENT_ID, "streamkap_secret": SECRET, **more}


@pytest.fixture
def run(streamkap: Streamkap) -> Run:
    def run(**more: object) -> dict[str, object]:
        result = run_module("streamkap_source", **options(streamkap.url, **more))
        for secret in (SECRET, CLIENT_ID, PASSWORD, STORED):
            assert secret not in json.dumps(result)
        return result

    return run


@pytest.fixture
def shop(streamkap: Streamkap) -> Source:
    """The source as somebody has made it by hand, who has set more than the tasks below do."""
    source = streamkap.source("shop", {"preserve.null.values": True}, tags=["t1"])
    streamkap.clock = lambda now=streamkap.clock: now() + 1
    return source


def sent(streamkap: Streamkap, method: str) -> dict[str, object]:
    """What the last request of this method has sent."""
    return [request.body for request in streamkap.requests if request.method == method and "auth" not in request.path][
        -1
    ]


class TestMade:
    def test_with_what_was_given_and_nothing_else(self, streamkap, run):
        made = run(**SHOP)
        assert made["changed"]
        assert sent(streamkap, "POST") == {
            "name": "shop",
            "connector": "postgresql",
            "created_from": "api",
            "config": SENT,
        }
        (source,) = streamkap.sources
        assert (source.name, source.config["database.password"]) == ("shop", PASSWORD)
        assert made["source"]["id"] == source.id
        assert made["source"]["status"] == "Active"
        assert made["source"]["ssh_public_key"].startswith("ssh-ed25519 ")
        assert made["requests"][0]["body"]["config"]["database.password"] == "********"
        assert made["diff"]["before"] == ""
        assert "database_hostname: %s\n" % DIRECT in made["diff"]["after"]

    def test_once(self, streamkap, run):
        run(**SHOP)
        streamkap.requests.clear()
        again = run(**SHOP)
        assert not again["changed"]
        assert again["requests"] == []
        assert again["diff"]["before"] == again["diff"]["after"]
        assert streamkap.asked == {"POST /auth/access-token": 1, "GET /sources": 1}

    def test_by_all_options_there_are(self, streamkap, run):
        module = importlib.import_module("ansible_collections.streamkap.neon.plugins.module_utils._streamkap.fields")
        every = {option: _another(field) for option, field in module.FIELDS.items()}
        every.update(SHOP, heartbeat_data_collection_schema_or_database="", column_exclude_list=[])
        every.update(signal_data_collection_schema_or_database="streamkap.streamkap_signal", heartbeat_enabled=True)
        every.update(column_include_list_toggled=True, database_sslmode="require")
        assert run(**every)["changed"]
        assert not run(**every)["changed"]
        (source,) = streamkap.sources
        assert source.config["transforms.InsertStaticKey2.static.value"] == "x"
        assert source.config["snapshot.read.only.user.defined"] == "No"
        assert source.config["column.include.list.user.defined"] == "a,b"
        assert source.config["ssh.port"] == 23

    def test_from_what_the_role_cdc_hands_over(self, run):
        config = {key: value for key, value in SENT.items() if key != "database.password"}
        config.update({"slot.name": "streamkap_pgoutput_slot", "heartbeat.data.collection.schema.or.database": None})
        assert run(name="shop", config=config, database_password=PASSWORD)["changed"]
        assert not run(name="shop", config=config, database_password=PASSWORD)["changed"]
        assert not run(**SHOP)["changed"]

    def test_in_check_mode_is_only_said(self, streamkap, run):
        said = run(**SHOP, state="paused", check=True)
        assert said["changed"]
        assert streamkap.changes == []
        assert [request["method"] for request in said["requests"]] == ["POST"]
        assert said["source"]["id"] is None
        made = run(**SHOP, state="paused")
        assert said["diff"] == made["diff"]
        assert said["requests"] == made["requests"]

    def test_paused_without_ever_being_started(self, streamkap, run):
        assert run(**SHOP, state="paused")["source"]["status"] == "Paused"
        assert sent(streamkap, "POST")["desired_state"] == "Paused"
        assert streamkap.sources[0].starts == 0
        assert not run(**SHOP, state="paused")["changed"]

    @pytest.mark.parametrize("refused", [False, True])
    def test_paused_afterwards_where_streamkap_does_not_take_it_so(self, streamkap, run, monkeypatch, refused):
        create = streamkap._create

        def without(body: dict[str, object], query: dict[str, str]) -> dict[str, object]:
            if refused and "desired_state" in body:
                raise streamkap_api.Refused(422, [{"loc": ["body", "desired_state"], "msg": "Extra inputs"}])
            return create({key: value for key, value in body.items() if key != "desired_state"}, query)

        monkeypatch.setattr(streamkap, "_create", without)
        made = run(**SHOP, state="paused")
        assert made["source"]["status"] == "Paused"
        assert [request["path"].rpartition("/")[2] for request in made["requests"]][-1] == "pause"

    def test_not_without_what_it_takes(self, streamkap, run):
        failed = run(name="shop", database_hostname=DIRECT)
        assert failed["failed"]
        assert "to make one it takes database_user, database_dbname" in failed["msg"]
        assert streamkap.changes == []

    def test_not_on_the_slot_of_another(self, streamkap, run):
        streamkap.source("shop of somebody")
        failed = run(**SHOP)
        assert failed["failed"]
        assert "Replication Slot Name and Publication Name already exist" in failed["msg"]
        assert "two that share a slot lose data" in failed["hint"]
        assert len(streamkap.sources) == 1

    def test_not_where_the_name_is_taken_out_of_sight(self, streamkap, run, shop):
        streamkap.fail("GET", "/sources", (200, {"result": []}))
        failed = run(**SHOP)
        assert failed["failed"]
        assert failed["error"]["status"] == 409
        assert "belongs to another service of the same tenant" in failed["hint"]
        assert streamkap.sources == [shop]

    def test_is_found_among_many_by_its_whole_name(self, streamkap, run):
        for number in range(120):
            streamkap.source(f"SHOP {number} shop", {"slot.name": f"slot_{number}"})
        assert run(**SHOP)["changed"]
        assert not run(**SHOP)["changed"]
        assert sum(source.name == "shop" for source in streamkap.sources) == 1

    def test_not_of_a_pooled_host(self, streamkap, run):
        failed = run(**{**SHOP, "database_hostname": DIRECT.replace(".", "-pooler.", 1)})
        assert f"Give the direct host, {DIRECT}" in failed["msg"]
        assert streamkap.requests == []


def _another(field: object) -> object:
    """A value that is not the default."""
    if field.choices:
        return field.choices[1]
    if field.kind == "number":
        return field.default + 1
    return {"text": "x", "names": ["a", "b"]}.get(field.kind, not field.default)


@pytest.mark.usefixtures("shop")
class TestChanged:
    def test_is_what_was_given_and_nothing_else(self, run, shop):
        changed = run(name="shop", table_include_list=["public.orders", "public.customers"])
        assert changed["changed"]
        assert changed["diff"] == {
            "before": "table_include_list:\n  - public.orders\n",
            "after": "table_include_list:\n  - public.orders\n  - public.customers\n",
        }
        assert changed["requests"][0]["body"] == {
            "name": "shop",
            "connector": "postgresql",
            "config": {"table.include.list.user.defined": "public.orders,public.customers"},
        }
        assert shop.config["table.include.list.user.defined"] == "public.orders,public.customers"
        assert shop.config["preserve.null.values"] is True
        assert shop.config["database.password"] == STORED
        assert shop.tags == ["t1"]
        assert changed["source"]["status"] == "Active"
        assert not run(name="shop", table_include_list=["public.customers", "public.orders"])["changed"]

    def test_sends_no_keys_of_streamkaps_own(self, streamkap, run):
        run(name="shop", database_user="other")
        config = sent(streamkap, "PUT")["config"]
        assert set(config) <= set(streamkap_config.FIELDS)
        assert "ssh.public.key.user.displayed" not in config
        assert config["preserve.null.values"] is True

    def test_in_check_mode_is_only_said(self, streamkap, run):
        said = run(name="shop", database_user="other", check=True)
        assert said["changed"]
        assert streamkap.changes == []
        assert said["source"]["settings"]["database_user"] == "other"
        done = run(name="shop", database_user="other")
        assert (said["diff"], said["requests"]) == (done["diff"], done["requests"])

    def test_by_a_key_that_is_newer_than_the_module(self, run, shop, monkeypatch):
        monkeypatch.setitem(
            streamkap_config.FIELDS, "poll.interval.ms", streamkap_config.Field(streamkap_config.INTEGER, 500)
        )
        shop.config["poll.interval.ms"] = 500
        assert run(name="shop", config={"poll.interval.ms": 250})["changed"]
        assert not run(name="shop", config={"poll.interval.ms": 250})["changed"]
        # What is not given any more is left alone, though a change takes the place of all there was.
        assert run(name="shop", database_user="other")["changed"]
        assert shop.config["poll.interval.ms"] == 250

    def test_warns_where_it_is_not_told_what_may_be_kept(self, streamkap, run):
        streamkap.fail("GET", "/sources/connectors", (200, {"connectors": []}))
        changed = run(name="shop", database_user="other")
        assert "does not tell which keys" in changed["warnings"][0]
        assert "connector.class" in changed["warnings"][0]

    def test_by_a_key_that_there_is_not(self, run):
        failed = run(name="shop", config={"slot.nmae": "s"})
        assert "config.slot.nmae: Extra inputs are not permitted" in failed["msg"]
        assert failed["error"]["status"] == 422

    def test_not_without_what_is_accepted_being_there(self, streamkap, run, shop):
        """An answer of success that nothing comes of."""
        streamkap.fail("PUT", shop.id, (200, {"id": shop.id}))
        failed = run(name="shop", database_user="other")
        assert "accepted the source shop, and does not have now what was sent: database_user." in failed["msg"]

    @pytest.mark.parametrize(
        ("tags", "changed", "then"),
        [
            (None, False, ["t1"]),
            ([], True, []),
            (["t1"], False, ["t1"]),
            (["Team"], False, ["t1"]),
            (["b", "Production"], True, ["a", "b"]),
        ],
    )
    def test_are_tags(self, streamkap, run, shop, tags, changed, then):
        streamkap.tags += [Tag("t1", "Team"), Tag("a", "Production"), Tag("b", "Staging")]
        assert run(name="shop", tags=tags)["changed"] is changed
        assert shop.tags == then
        assert not run(name="shop", tags=tags)["changed"]

    def test_keeps_tags_that_were_not_given(self, streamkap, run, shop):
        run(name="shop", database_user="other")
        assert "tags" not in sent(streamkap, "PUT")
        assert shop.tags == ["t1"]

    def test_is_not_what_no_tag_is(self, streamkap, run):
        streamkap.tags += [Tag("x", "Team"), Tag("y", "Team")]
        for name, words in (("Other", "there is no tag Other"), ("Team", "2 tags are called Team: x, y")):
            assert words in run(name="shop", tags=[name])["msg"]
        assert streamkap.changes == []

    def test_empties(self, streamkap, run, shop):
        shop.config["heartbeat.data.collection.schema.or.database"] = "streamkap"
        empty = {"name": "shop", "heartbeat_data_collection_schema_or_database": ""}
        assert run(**empty)["changed"]
        assert shop.config["heartbeat.data.collection.schema.or.database"] is None
        # As the Terraform provider does it, and not by leaving it out.
        assert sent(streamkap, "PUT")["config"]["heartbeat.data.collection.schema.or.database"] is None
        assert not run(**empty)["changed"]

    def test_is_left_alone_where_a_switch_is_off(self, streamkap, run):
        """What is sent for it is told as null."""
        for _time in range(2):
            left = run(name="shop", ssh_user="tunnel")
            assert not left["changed"]
            assert "ssh_user does not count by the other options" in left["warnings"][0]
        assert streamkap.changes == []

    def test_is_left_alone_where_streamkap_says_that_a_switch_is_off(self, run, shop, monkeypatch):
        """One that is newer than the module."""
        monkeypatch.setitem(streamkap_config.CONDITIONS, "binary.handling.mode", {"InsertTopicName.enabled": True})
        shop.config["binary.handling.mode"] = None
        left = run(name="shop", binary_handling_mode="hex")
        assert not left["changed"]
        assert "binary_handling_mode does not count" in left["warnings"][0]
        assert run(name="shop", binary_handling_mode="hex", insert_topic_name_enabled=True)["changed"]
        assert shop.config["binary.handling.mode"] == "hex"
        assert not run(name="shop", binary_handling_mode="hex")["changed"]

    def test_may_be_told_as_null(self, run, shop, monkeypatch):
        """By a rule that nobody knows of here."""
        told = Streamkap._told

        def without(streamkap: Streamkap, source: Source, query: dict[str, str]) -> dict[str, object]:
            answer = told(streamkap, source, query)
            answer["config"]["binary.handling.mode"] = None
            return answer

        monkeypatch.setattr(Streamkap, "_told", without)
        changed = run(name="shop", binary_handling_mode="hex")
        assert not changed.get("failed")
        assert "tells nothing of what was sent for binary_handling_mode" in changed["warnings"][0]
        assert shop.config["binary.handling.mode"] == "hex"

    def test_is_the_list_of_columns_that_is_given(self, run, shop):
        assert run(name="shop", column_exclude_list=["public.orders.note"])["changed"]
        assert shop.config["column.include.list.toggled"] is False
        assert not run(name="shop", column_exclude_list=["public.orders.note"])["changed"]
        assert run(name="shop", column_include_list=["public.orders.id"])["changed"]
        assert shop.config["column.include.list.toggled"] is True

    def test_is_not_the_signal_table_of_another_source(self, streamkap, run, shop):
        """As the live service refuses it."""
        said = {"detail": "Signal table streamkap.streamkap_signal is already in use by another connector"}
        for method, path, task in (("PUT", shop.id, {"name": "shop"}), ("POST", "/sources", {**SHOP, "name": "two"})):
            streamkap.fail(method, path, (400, said))
            failed = run(**{**task, "database_user": "other"})
            assert "already in use by another connector" in failed["msg"]
            assert "a signal table of its own" in failed["hint"]
            assert "cdc_signal_schema" in failed["hint"]

    @pytest.mark.parametrize("option", ["slot_name", "publication_name"])
    def test_is_never_slot_nor_publication(self, streamkap, run, option):
        failed = run(name="shop", **{option: "other"})
        assert failed["failed"]
        assert "This module gives that only when a source is made" in failed["msg"]
        assert "remove the source (state: absent) and make it anew" in failed["hint"]
        assert streamkap.changes == []


@pytest.mark.usefixtures("shop")
class TestPassword:
    def test_is_left_alone(self, run, shop):
        assert not run(name="shop", database_password=PASSWORD)["changed"]
        assert run(name="shop", database_password=PASSWORD, database_user="other")["changed"]
        assert shop.config["database.password"] == STORED

    def test_is_given_always_and_only_when_it_is_another_one(self, run, shop):
        new = {"name": "shop", "database_password": PASSWORD, "update_password": "always"}
        said = run(**new, check=True)
        assert said["changed"]
        assert shop.config["database.password"] == STORED
        done = run(**new)
        assert done["diff"] == {
            "before": "database_password: another one\n".replace("another one", '"another one"'),
            "after": "database_password: new\n",
        }
        assert done["requests"] == said["requests"]
        assert shop.config["database.password"] == PASSWORD
        assert not run(**new)["changed"]

    def test_that_is_not_told_is_given_each_time(self, run, shop, monkeypatch):
        _tell_no_passwords(monkeypatch)
        new = {"name": "shop", "database_password": PASSWORD, "update_password": "always"}
        assert run(**new)["changed"]
        assert run(**new)["changed"]
        assert shop.config["database.password"] == PASSWORD

    def test_that_is_not_told_is_taken_from_the_task(self, streamkap, run, shop, monkeypatch):
        _tell_no_passwords(monkeypatch)
        failed = run(name="shop", database_user="other")
        assert "does not tell the password of the source shop" in failed["msg"]
        assert streamkap.changes == []
        assert run(name="shop", database_user="other", database_password=PASSWORD)["changed"]
        assert shop.config["database.password"] == PASSWORD

    def test_is_asked_for_only_where_it_is_needed(self, streamkap, run):
        run(name="shop", database_password=PASSWORD, state="running")
        assert [request for request in streamkap.requests if request.query.get("secret_returned") == "true"] == []


def _tell_no_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Streamkap._told

    def masked(streamkap: Streamkap, source: Source, query: dict[str, str]) -> dict[str, object]:
        return told(streamkap, source, {**query, "secret_returned": "false"})

    monkeypatch.setattr(Streamkap, "_told", masked)


@pytest.mark.usefixtures("shop")
class TestAnotherDatabase:
    PLACE = ({"database_hostname": "ep-other-000002.aws.neon.tech"}, {"database_port": 5433}, {"database_dbname": "b"})

    @pytest.mark.parametrize("state", ["present", "paused", "absent"])
    @pytest.mark.parametrize("place", PLACE)
    def test_is_not_taken_silently(self, streamkap, run, shop, place, state):
        failed = run(**{**SHOP, **place}, state=state)
        assert failed["failed"]
        assert "of another database" in failed["msg"]
        assert "Nothing was changed." in failed["msg"]
        assert "adopt: true" in failed["hint"]
        assert failed["source"]["id"] == shop.id
        assert streamkap.changes == []

    def test_is_shown_before_it_is_taken_over(self, run, shop):
        other = {**SHOP, "database_dbname": "b"}
        said = run(**other, check=True)
        assert "The task refuses that" in said["warnings"][0]
        assert "database_dbname: neondb" in said["diff"]["before"]
        assert "database_dbname: b" in said["diff"]["after"]
        taken = run(**other, adopt=True)
        assert taken["changed"]
        assert taken["diff"] == said["diff"]
        assert "order a snapshot" in taken["warnings"][0]
        assert shop.config["database.dbname"] == "b"
        assert not run(**other)["changed"]

    def test_is_removed_where_that_is_asked_for(self, streamkap, run):
        assert run(name="shop", database_dbname="b", state="absent", adopt=True)["changed"]
        assert streamkap.sources == []


class TestRunning:
    @pytest.mark.usefixtures("shop")
    def test_is_paused_and_started(self, streamkap, run):
        for state, status in (("paused", "Paused"), ("running", "Active")):
            assert run(name="shop", state=state, check=True)["changed"]
            done = run(name="shop", state=state)
            assert done["changed"]
            assert done["source"]["status"] == status
            assert not run(name="shop", state=state)["changed"]
        assert [change.rpartition("/")[2] for change in streamkap.changes] == ["pause", "resume"]

    @pytest.mark.usefixtures("shop")
    def test_is_left_alone(self, run):
        run(name="shop", state="paused")
        assert run(name="shop", database_user="other")["source"]["status"] == "Paused"
        assert not run(name="shop")["changed"]

    def test_anew_where_it_was_broken(self, run, shop):
        shop.error = "57P01"
        assert "57P01" in run(name="shop")["msg"]
        started = run(name="shop", state="running")
        assert started["changed"]
        assert started["source"]["status"] == "Active"

    def test_fails_with_the_tasks_own_error(self, streamkap, run):
        streamkap.error = (
            "org.apache.kafka.connect.errors.ConnectException: failed\n\tat x\n"
            f'Caused by: org.postgresql.util.PSQLException: FATAL: password "{PASSWORD}" is not right'
        )
        failed = run(**SHOP)
        assert failed["failed"]
        assert "The source shop is Broken. task 0: org.postgresql.util.PSQLException: FATAL: password" in failed["msg"]
        assert "streamkap.neon.readiness_info" in failed["hint"]
        assert failed["source"]["status"] == "Broken"
        assert failed["source"]["tasks"][0]["state"] == "FAILED"
        streamkap.error = None
        assert run(**SHOP, state="running")["source"]["status"] == "Active"
        assert len(streamkap.sources) == 1

    def test_is_waited_for_so_long(self, streamkap, run):
        streamkap.start_seconds = 60
        failed = run(**SHOP, streamkap_wait_timeout=1)
        assert "is Starting after 1 seconds, and its tasks are: 0 UNASSIGNED" in failed["msg"]
        assert run(**SHOP, wait=False)["source"]["status"] == "Starting"
        assert len(streamkap.sources) == 1


class TestRemoved:
    def test_once(self, streamkap, run, shop):
        said = run(name="shop", state="absent", check=True)
        assert said["changed"]
        assert streamkap.sources == [shop]
        done = run(name="shop", state="absent")
        assert done["source"] == {"name": "shop", "exists": False}
        assert (done["diff"], done["requests"]) == (said["diff"], said["requests"])
        assert streamkap.sources == []
        assert not run(name="shop", state="absent")["changed"]

    @pytest.mark.usefixtures("shop")
    def test_and_no_other(self, streamkap, run):
        others = [streamkap.source(name, {"slot.name": name.lower()}) for name in ("Shop", "shop2", "my_shop")]
        run(name="shop", state="absent")
        assert streamkap.sources == others

    @pytest.mark.parametrize("reply", [LOST, BAD_GATEWAY])
    def test_though_the_answer_is_lost(self, streamkap, run, shop, reply):
        streamkap.fail("DELETE", shop.id, reply, carried_out=True)
        assert run(name="shop", state="absent")["changed"]
        assert streamkap.sources == []

    @pytest.mark.usefixtures("shop")
    def test_takes_a_while(self, streamkap, run):
        streamkap.delete_seconds = 0.3
        assert run(name="shop", state="absent", wait=False)["changed"]
        assert streamkap.sources[0].removed_at
        said = run(**SHOP, check=True)
        assert said["changed"]
        assert "about to remove the source shop" in said["warnings"][0]
        assert not run(name="shop", state="absent")["changed"]
        assert streamkap.sources == []

    def test_not_while_pipelines_read_it(self, streamkap, run, shop):
        flow = streamkap.pipeline("shop to warehouse", shop, streamkap.destination())
        words = "The source shop is read by the pipelines shop to warehouse."
        assert words in run(name="shop", state="absent", check=True)["warnings"][0]
        failed = run(name="shop", state="absent")
        assert words in failed["msg"]
        assert "Remove the pipeline first" in failed["hint"]
        assert streamkap.changes == []
        streamkap.pipelines.remove(flow)
        assert run(name="shop", state="absent")["changed"]

    def test_not_while_a_pipeline_reads_it_that_is_not_seen(self, streamkap, run, shop):
        streamkap.pipeline("hidden", shop, streamkap.destination())
        streamkap.fail("GET", "/pipelines", (403, {"detail": "Forbidden"}))
        failed = run(name="shop", state="absent")
        assert failed["error"]["status"] == 409
        assert "Remove the pipeline first" in failed["hint"]
        assert streamkap.sources == [shop]

    def test_though_it_is_gone_already(self, streamkap, run, shop):
        gone = (400, {"detail": f"Source {shop.id} does not exist"})
        for method in ("DELETE", "GET"):
            streamkap.fail(method, shop.id, gone)
        assert run(name="shop", state="absent")["changed"]

    def test_is_waited_for(self, streamkap, run, shop):
        """Streamkap says that it will, and goes on having it."""
        streamkap.fail("DELETE", shop.id, (200, {}))
        failed = run(name="shop", state="absent", streamkap_wait_timeout=1)
        assert "accepted to remove the source shop, and still has it" in failed["msg"]


class TestFaults:
    @pytest.mark.parametrize("reply", [LOST, BAD_GATEWAY, (504, {}), (500, {"detail": "Request timed out"})])
    @pytest.mark.parametrize("carried_out", [False, True])
    def test_make_no_second_source(self, streamkap, run, reply, carried_out):
        streamkap.fail("POST", "/sources", reply, carried_out=carried_out)
        assert run(**SHOP)["changed"]
        (source,) = streamkap.sources
        assert source.config["database.password"] == PASSWORD
        # The name is looked up before anything is sent again.
        about = [str(request) for request in streamkap.requests if request.path == "/sources"]
        assert about == ["GET /sources", "POST /sources", "GET /sources"] + ["POST /sources"] * (not carried_out)

    def test_that_last_are_told(self, streamkap, run):
        streamkap.fail("POST", "/sources", BAD_GATEWAY, times=99)
        failed = run(**SHOP)
        assert "A gateway in front of Streamkap answered to POST /sources in its place" in failed["msg"]
        assert "Looked at afterwards, there was no source shop" in failed["msg"]
        assert "Run again" in failed["hint"]

    @pytest.mark.parametrize("reply", [LOST, BAD_GATEWAY, (429, {"detail": "Too Many Requests"})])
    def test_of_a_change_are_passed_over(self, streamkap, run, shop, reply):
        streamkap.fail("PUT", shop.id, reply, times=2)
        assert run(name="shop", database_user="other")["changed"]
        assert shop.config["database.user"] == "other"

    def test_of_a_limit_are_waited_for(self, streamkap, run):
        streamkap.limit = (3, 2)
        assert run(**SHOP)["changed"]
        assert streamkap.refused_for_pace

    def test_of_tokens_are_passed_over(self, streamkap, run, monkeypatch):
        """Each of them is one for a single request."""
        answer = streamkap._answer

        def once(request: Request) -> object:
            answered = answer(request)
            if not request.path.startswith("/auth/"):
                streamkap.expire_tokens()
            return answered

        monkeypatch.setattr(streamkap, "_answer", once)
        assert run(**SHOP)["changed"]
        assert len(streamkap.sources) == 1

    def test_of_credentials_are_told(self, streamkap, run):
        failed = run(**SHOP, **{"streamkap_secret": "Wrong-9-of-the-tests"})
        assert failed["failed"]
        assert "Streamkap takes no API token by this streamkap_client_id" in failed["msg"]
        assert "Wrong-9" not in json.dumps(failed)
        assert streamkap.asked == {"POST /auth/access-token": 1}

    def test_of_what_was_sent_do_not_repeat_it(self, streamkap, run):
        """The refusal holds the whole of the body, with the password in it."""
        streamkap.fail(
            "POST", "/sources", (422, {"detail": [{"loc": ["body"], "msg": "Field required", "input": SENT}]})
        )
        failed = run(**SHOP)
        assert "Field required" in failed["msg"]
        assert "database.hostname" not in json.dumps(failed["error"])


@contextlib.contextmanager
def cut(streamkap: Streamkap, number: int, carried_out: bool) -> Iterator[str]:
    """Streamkap behind a line that breaks at a request, and for good.

    :param carried_out: whether that request still arrives.
    """
    count = 0

    def reply(request: Request) -> Reply:
        nonlocal count
        count += 1
        if count > number or (count == number and not carried_out):
            return LOST
        answer = forward(streamkap.url, request)
        return LOST if count == number else answer

    with stub(reply) as server:
        yield server.url


def forward(url: str, request: Request) -> Reply:
    query = "?" + urlencode(request.query) if request.query else ""
    names = ("authorization", "content-type")
    passed_on = urllib.request.Request(
        url + request.path + query,
        method=request.method,
        data=None if request.body is None else json.dumps(request.body).encode(),
        headers={name: request.headers[name] for name in names if name in request.headers},
    )
    try:
        with urllib.request.urlopen(passed_on) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_run_that_is_cut_at_any_request_is_run_again(
    streamkap: Streamkap, run: Run, carried_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing to a source that runs, to one that is changed and paused, to nothing."""
    streamkap.start_seconds = 0
    # There are many runs, and nothing comes of waiting or trying again.
    monkeypatch.setattr(connector, "_ACTIVE_BEFORE", 0)
    for part in (_streamkap_api, entities):
        monkeypatch.setattr(part, "FURTHER_TRIES", 1)
    steps = [
        (SHOP, lambda: [source.config["database.user"] for source in streamkap.sources] == ["streamkap_user"]),
        (
            {**SHOP, "database_user": "other", "state": "paused"},
            lambda: (
                [(one.config["database.user"], one.desired_state) for one in streamkap.sources] == [("other", "Paused")]
            ),
        ),
        ({"name": "shop", "state": "absent"}, lambda: streamkap.sources == []),
    ]
    for task, is_done in steps:
        number, failed = 0, True
        while failed:
            number += 1
            before = [(source.name, dict(source.config), source.desired_state) for source in streamkap.sources]
            with cut(streamkap, number, carried_out) as url:
                failed = bool(run_module("streamkap_source", **options(url, **task)).get("failed"))
            assert len(streamkap.sources) <= 1
            assert not run(**task).get("failed")
            assert is_done()
            assert not run(**task)["changed"]
            if failed:
                _undo(streamkap, before)
        # Where it was not cut any more, it had sent all of these.
        assert number > 3


def _undo(streamkap: Streamkap, before: list[tuple[str, dict[str, object], str]]) -> None:
    streamkap.sources.clear()
    for name, config, state in before:
        streamkap.source(name, config, desired_state=state)


def test_every_key_that_is_returned_is_described(run: Run) -> None:
    module = importlib.import_module("ansible_collections.streamkap.neon.plugins.modules.streamkap_source")
    described = yaml.safe_load(module.RETURN)
    made = run(**SHOP)
    assert set(made["source"]) == set(described["source"]["contains"])
    assert set(made["source"]["tasks"][0]) == set(described["source"]["contains"]["tasks"]["contains"])
    assert set(made["requests"][0]) == set(described["requests"]["contains"])
    assert set(run(name="shop", config={"x": 1})["error"]) == set(described["error"]["contains"])


def test_nothing_secret_is_shown_at_any_verbosity(streamkap: Streamkap) -> None:
    """In a real playbook, with the credentials given once for the group."""
    play = yaml.safe_dump(
        [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "module_defaults": {
                    "group/streamkap.neon.streamkap_api": {
                        "streamkap_api_url": streamkap.url,
                        "streamkap_client_id": "{{ vault_id }}",
                        "streamkap_secret": "{{ vault_secret }}",
                    }
                },
                "tasks": [
                    {"streamkap.neon.streamkap_source": {**SHOP, "database_password": "{{ vault_password }}"}},
                    {"streamkap.neon.streamkap_source": {"name": "old", "database_user": "other"}},
                    {
                        "streamkap.neon.streamkap_source": {"name": "old", "slot_name": "other"},
                        "ignore_errors": True,
                    },
                    {
                        "streamkap.neon.streamkap_source": {
                            "name": "old",
                            "config": {"database.password": "{{ vault_misplaced }}"},
                        },
                        "ignore_errors": True,
                    },
                    {
                        "streamkap.neon.streamkap_source": {"name": "old", "config": {"no.such.key": 1}},
                        "ignore_errors": True,
                    },
                    {"streamkap.neon.streamkap_source_info": {}},
                    {"streamkap.neon.streamkap_snapshot": {"source": "shop"}},
                    {
                        "streamkap.neon.streamkap_destination": {
                            "name": "warehouse",
                            "connector": "clickhouse",
                            "config": {"hostname": "warehouse.example.com", "connection.username": "streamkap"},
                            "secret_config": {"connection.password": "{{ vault_warehouse }}"},
                        }
                    },
                    {
                        "streamkap.neon.streamkap_pipeline": {
                            "name": "flow",
                            "source": "shop",
                            "destination": "warehouse",
                        }
                    },
                    {"streamkap.neon.streamkap_source": {"name": "shop", "streamkap_secret": "{{ vault_wrong }}"}},
                ],
            }
        ]
    )
    streamkap.source("old", {"slot.name": "old"})
    secrets = {
        "vault_id": CLIENT_ID,
        "vault_secret": SECRET,
        "vault_password": PASSWORD,
        "vault_wrong": "Wrong-9-of-the-tests",
        "vault_misplaced": "Misplaced-8-of-the-tests",
        "vault_warehouse": "Warehouse-6-of-the-tests",
    }
    ran = run_playbook(play, verbosity=4, diff=True, extra_vars=secrets)
    told = ran.stdout + ran.stderr
    assert ran.stats["localhost"]["ignored"] == 3, told
    assert ran.stats["localhost"]["failed"] == 1
    assert ran.changed == 5
    for secret in (*secrets.values(), STORED, *streamkap._tokens, *streamkap._refresh_tokens):
        assert secret not in told
