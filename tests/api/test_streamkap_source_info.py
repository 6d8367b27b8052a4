# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module streamkap_source_info, against Streamkap's API in small."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import pytest
import yaml

from support.modules import run_module
from support.streamkap_api import CLIENT_ID, CONFIG, SECRET, Streamkap

Look = Callable[..., dict[str, object]]


@pytest.fixture
def look(streamkap: Streamkap) -> Look:
    def look(**options: object) -> dict[str, object]:
        found = run_module(
            "streamkap_source_info",
            **{
                "streamkap_api_url": streamkap.url,
                "streamkap_client_id": CLIENT_ID,
                "streamkap_secret": SECRET,
                **options,
            },
        )
        told = json.dumps(found)
        assert CONFIG["database.password"] not in told
        assert SECRET not in told
        assert streamkap.changes == []
        return found

    return look


def names(found: dict[str, object]) -> list[str]:
    return [source["name"] for source in found["sources"]]


def test_all_sources_by_their_names(streamkap: Streamkap, look: Look) -> None:
    """There are more than a page of them."""
    for number in reversed(range(203)):
        streamkap.source(f"shop {number:03}", {"slot.name": f"slot_{number}"})
    assert names(look()) == [f"shop {number:03}" for number in range(203)]
    assert streamkap.asked["GET /sources"] == 3


def test_one_by_its_whole_name(streamkap: Streamkap, look: Look) -> None:
    shop, _other = streamkap.source("shop"), streamkap.source("shop 2", {"slot.name": "other"})
    (found,) = look(name="shop")["sources"]
    assert found["id"] == shop.id
    assert found["settings"]["database_port"] == 5432
    assert found["settings"]["table_include_list"] == ["public.orders"]
    assert found["topics"] == [f"source_{shop.id}.public.orders"]
    assert look(name="Shop")["sources"] == []


def test_one_by_its_id(streamkap: Streamkap, look: Look) -> None:
    shop = streamkap.source("shop")
    assert names(look(id=shop.id)) == ["shop"]
    assert look(id="0" * 24)["sources"] == []


def test_an_empty_list_is_none_of_its_settings(streamkap: Streamkap, look: Look) -> None:
    shop = streamkap.source("shop")
    shop.config["table.include.list.user.defined"] = None
    assert look(id=shop.id)["sources"][0]["settings"]["table_include_list"] == []


def test_how_it_is(streamkap: Streamkap, look: Look) -> None:
    streamkap.start_seconds = 60
    shop = streamkap.source("shop")
    assert look(name="shop")["sources"][0]["status"] == "Starting"
    shop.error, streamkap.start_seconds = "ERROR: no such slot", 0
    (found,) = look(name="shop")["sources"]
    assert (found["status"], found["desired_state"]) == ("Broken", "Active")
    assert found["tasks"] == [{"id": "0", "state": "FAILED", "error": "ERROR: no such slot"}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "shop", "id": "1"}, "mutually exclusive"),
        ({"streamkap_secret": "Wrong-9-of-the-tests"}, "takes no API token by this"),
        ({"streamkap_client_id": ""}, "streamkap_client_id is missing"),
        ({"streamkap_api_timeout": 0}, "streamkap_api_timeout is 0"),
        ({"streamkap_api_url": "http://example.com"}, "would send the credentials unencrypted"),
    ],
)
def test_what_fails_is_told(look: Look, options: dict[str, object], words: str) -> None:
    found = look(**options)
    assert found["failed"]
    assert words in found["msg"]


def test_the_environment_has_the_credentials(streamkap: Streamkap, monkeypatch: pytest.MonkeyPatch) -> None:
    streamkap.source("shop")
    for name, value in streamkap.env.items():
        monkeypatch.setenv(name, value)
    assert names(run_module("streamkap_source_info")) == ["shop"]
    monkeypatch.delenv("STREAMKAP_SECRET")
    assert "streamkap_secret is missing" in run_module("streamkap_source_info")["msg"]
    monkeypatch.setenv("STREAMKAP_CLIENT_SECRET", SECRET)
    assert names(run_module("streamkap_source_info")) == ["shop"]


def test_every_key_that_is_returned_is_described(streamkap: Streamkap, look: Look) -> None:
    module = importlib.import_module("ansible_collections.streamkap.neon.plugins.modules.streamkap_source_info")
    described = yaml.safe_load(module.RETURN)["sources"]["contains"]
    streamkap.source("shop")
    (found,) = look()["sources"]
    assert set(found) == set(described)
    assert set(found["tasks"][0]) == set(described["tasks"]["contains"])
