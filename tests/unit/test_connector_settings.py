# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a Streamkap source, and the errors about what they cannot be made of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.streamkap.neon.plugins.filter import connector_settings as module

SERVER = {"host": "127.0.0.1", "port": 5433, "database": "shop", "version": 170011, "neon_project": None}
NEON = {
    **SERVER,
    "host": "ep-cool-darkness-123456.us-east-2.aws.neon.tech",
    "port": 5432,
    "neon_project": "cool-cloud-12345678",
}


def settings(server: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    fixed = {
        "user": "streamkap_user",
        "slot": "the_slot",
        "publication": "the_publication",
        "signal_schema": "streamkap",
    }
    return module.connector_settings(server or SERVER, **{**fixed, **given})


def test_all_of_them() -> None:
    made = settings(schemas=["billing"], tables=["app.orders"], captured=["app.orders", "billing.invoices"])
    assert made == {
        "name": "shop",
        "hostname": "127.0.0.1",
        "port": 5433,
        "username": "streamkap_user",
        "heartbeat": True,
        "heartbeat_schema": "streamkap",
        "signal_schema": "streamkap",
        "signal_table": "streamkap.streamkap_signal",
        "database": "shop",
        "slot": "the_slot",
        "publication": "the_publication",
        "ssh_tunnel": False,
        "ssh_host": None,
        "ssh_port": None,
        "ssh_user": None,
        "password_prefix": "",
        "binary_handling_mode": "bytes",
        "schemas": ["billing"],
        "tables": ["app.orders"],
        "upload": ["billing", "app.orders"],
        "config": {
            "database.hostname.user.defined": "127.0.0.1",
            "database.port.user.defined": 5433,
            "database.user": "streamkap_user",
            "database.dbname": "shop",
            "database.sslmode": "require",
            "snapshot.read.only.user.defined": "No",
            "signal.data.collection.schema.or.database": "streamkap.streamkap_signal",
            "heartbeat.enabled": True,
            "heartbeat.data.collection.schema.or.database": "streamkap",
            "heartbeat.use.logical.message": False,
            "schema.include.list": "billing,app",
            "table.include.list.user.defined": "app.orders,billing.invoices",
            "column.include.list.toggled": True,
            "include.source.db.name.in.table.name.user.defined": False,
            "slot.name": "the_slot",
            "publication.name": "the_publication",
            "binary.handling.mode": "bytes",
            "ssh.enabled": False,
        },
    }


def test_the_name_of_the_source_can_be_given() -> None:
    assert settings(name="Shop & <Sons>")["name"] == "Shop & <Sons>"


@pytest.mark.parametrize("heartbeat", [False, "false", "no"])
def test_without_a_heartbeat_table(heartbeat: bool | str) -> None:
    made = settings(heartbeat=heartbeat)
    assert (made["heartbeat"], made["heartbeat_schema"]) == (False, None)
    assert made["config"]["heartbeat.enabled"] is False
    assert made["config"]["heartbeat.data.collection.schema.or.database"] is None


def test_text_is_converted_as_in_an_option_of_a_module() -> None:
    made = settings(schemas="app,billing", captured="app.orders", list_tables="yes", ssh_host="b", ssh_port="2222")
    assert (made["schemas"], made["upload"], made["ssh_port"]) == (["app", "billing"], ["app.orders"], 2222)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heartbeat": "maybe"}, "argument 'heartbeat' is of type .* and we were unable to convert to bool"),
        ({"ssh_port": "ssh"}, "argument 'ssh_port' is of type .* and we were unable to convert to int"),
        ({"scheams": ["app"]}, "scheams"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"connector_settings: .*{message}"):
        settings(**given)


def test_missing_options_are_named() -> None:
    with pytest.raises(
        AnsibleFilterError, match=r"connector_settings: missing required arguments: publication, .*user"
    ):
        module.connector_settings(SERVER, slot="the_slot")


def test_the_options_are_those_of_the_documentation() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    del documented["_input"]
    kept = ("type", "required", "elements", "default")
    specified = {name: {key: option[key] for key in kept if key in option} for name, option in documented.items()}
    assert specified == module._OPTIONS


@pytest.mark.parametrize(("mode", "sent"), [("disable", "disable"), ("verify-full", "require"), (None, "require")])
def test_encryption(mode: str | None, sent: str) -> None:
    assert settings(ssl_mode=mode)["config"]["database.sslmode"] == sent


def test_names_are_written_without_quotes() -> None:
    tables = ['"my.schema"."my ""table"""', "app.orders", "Z.a", 'app."com,ma"']
    made = settings(tables=tables, schemas=["app"])
    assert made["tables"] == tables
    assert made["upload"] == ["app", 'my.schema.my "table"', "app.orders", "Z.a", "app.com,ma"]
    assert made["config"]["schema.include.list"] == "app,my.schema,Z"
    assert made["config"]["table.include.list.user.defined"] == 'Z.a,app.com,ma,app.orders,my.schema.my "table"'


def test_a_schema_of_which_tables_are_left_out_is_listed_by_table() -> None:
    captured = ["app.orders", "app.products"]
    assert settings(schemas=["app"], captured=captured, list_tables=True)["upload"] == captured
    assert settings(schemas=["app"], captured=captured, list_tables=False)["upload"] == ["app"]
    assert settings(schemas=["app"], captured=[], list_tables=True)["upload"] == ["app"]


def test_through_a_bastion() -> None:
    made = settings(ssh_host="bastion.example.com", ssh_port="2222", ssh_user="tunnel")
    assert {key: made[key] for key in made if key.startswith("ssh")} == {
        "ssh_tunnel": True,
        "ssh_host": "bastion.example.com",
        "ssh_port": 2222,
        "ssh_user": "tunnel",
    }
    assert {key: value for key, value in made["config"].items() if key.startswith("ssh")} == {
        "ssh.enabled": True,
        "ssh.host": "bastion.example.com",
        "ssh.port": 2222,
        "ssh.user": "tunnel",
    }


@pytest.mark.parametrize(
    ("of", "ssh_host", "prefix"),
    [
        (NEON, "bastion.example.com", "endpoint=ep-cool-darkness-123456;"),
        (NEON, "", ""),
        (SERVER, "bastion.example.com", ""),
        ({**NEON, "host": "database.example.com"}, "bastion.example.com", ""),
    ],
)
def test_only_neon_through_a_bastion_is_told_the_endpoint(of: dict[str, Any], ssh_host: str, prefix: str) -> None:
    assert settings(of, ssh_host=ssh_host)["password_prefix"] == prefix


def test_ansible_finds_the_filter() -> None:
    assert module.FilterModule().filters() == {"connector_settings": module.connector_settings}
