# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: connector_settings
short_description: Settings of a Streamkap source for a prepared database
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Returns what Streamkap's form and Streamkap's API ask for to capture a database. The role P(streamkap.neon.cdc#role) sets the fact
    C(cdc_connector) to it.
  - No password is among the settings.
positional: _input
options:
  _input:
    description: >-
      The field C(server) of the result of M(streamkap.neon.readiness_info), or of any other module of this collection for databases.
    type: dict
    required: true
  user:
    description: The user that the connector logs in as.
    type: str
    required: true
  slot:
    description: The replication slot.
    type: str
    required: true
  publication:
    description: The publication.
    type: str
    required: true
  signal_schema:
    description: The schema of the signal table, and of the heartbeat table.
    type: str
    required: true
  heartbeat:
    description: Whether there is a heartbeat table.
    type: bool
    default: true
  schemas:
    description: Schemas whose tables are captured.
    type: list
    elements: str
    default: []
  tables:
    description: Single tables that are captured, as C(schema.table). A part with a dot or a double quote is in double quotes, as in SQL.
    type: list
    elements: str
    default: []
  captured:
    description:
      - All tables that are captured, as they are read from the database, each as its schema and name with a dot in between.
      - The field C(captured) of the result of M(streamkap.neon.readiness_info) has them. Without them O(tables) are listed.
    type: list
    elements: str
    default: []
  list_tables:
    description: Whether the bulk upload lists every table of O(captured), because not every table of O(schemas) is captured.
    type: bool
    default: false
  name:
    description: Name of the source in Streamkap. If empty, it is the database's name.
    type: str
  ssl_mode:
    description: The value V(disable) turns encryption off for the connector. Any other one requires it.
    type: str
  ssh_host:
    description: The bastion through which Streamkap connects. If empty, it connects directly.
    type: str
  ssh_port:
    description: Port of the bastion's SSH server.
    type: int
    default: 22
  ssh_user:
    description: User of the bastion.
    type: str
    default: streamkap
seealso:
  - plugin: streamkap.neon.connector_text
    plugin_type: filter
  - module: streamkap.neon.report_files
"""

EXAMPLES = r"""
- name: Check the database
  streamkap.neon.readiness_info:
    connector_user: streamkap_user
    schemas: [app]
  register: readiness

- name: Set the settings of the source
  ansible.builtin.set_fact:
    cdc_connector: >-
      {{
        readiness.server | streamkap.neon.connector_settings(
          user='streamkap_user', slot='streamkap_pgoutput_slot', publication='streamkap_pub', signal_schema='streamkap',
          schemas=['app'], captured=readiness.captured
        )
      }}
"""

RETURN = r"""
_value:
  description:
    - The fields of the form under plain names, the rows of the form's bulk upload as C(upload), and the keys of the API as C(config).
    - C(password_prefix) is what goes in front of the password. It is empty but for a database on Neon that is reached through a bastion,
      and then names the endpoint, which the tunnel hides.
  type: dict
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.streamkap.neon.plugins.module_utils._sql import QualifiedName
from ansible_collections.streamkap.neon.plugins.plugin_utils._reports import plain

# Fixed by Streamkap, which recognizes its table by this name only.
_SIGNAL_TABLE = "streamkap_signal"
_BINARY_HANDLING_MODE = "bytes"

_OPTIONS: dict[str, dict[str, Any]] = {
    "user": {"type": "str", "required": True},
    "slot": {"type": "str", "required": True},
    "publication": {"type": "str", "required": True},
    "signal_schema": {"type": "str", "required": True},
    "heartbeat": {"type": "bool", "default": True},
    "schemas": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "captured": {"type": "list", "elements": "str", "default": []},
    "list_tables": {"type": "bool", "default": False},
    "name": {"type": "str"},
    "ssl_mode": {"type": "str"},
    "ssh_host": {"type": "str"},
    "ssh_port": {"type": "int", "default": 22},
    "ssh_user": {"type": "str", "default": "streamkap"},
}


def connector_settings(server: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return the settings of a Streamkap source. The order of the keys is that of the form and of Streamkap's documentation."""
    # A variable may be text where another type is documented, as with the options of a module.
    validated = ArgumentSpecValidator(_OPTIONS).validate(plain(options))
    if validated.error_messages:
        raise AnsibleFilterError(f"connector_settings: {' '.join(validated.error_messages)}")
    return _settings(plain(server), **validated.validated_parameters)


def _settings(
    server: dict[str, Any],
    *,
    user: str,
    slot: str,
    publication: str,
    signal_schema: str,
    heartbeat: bool,
    schemas: list[str],
    tables: list[str],
    captured: list[str],
    list_tables: bool,
    name: str | None,
    ssl_mode: str | None,
    ssh_host: str | None,
    ssh_port: int,
    ssh_user: str,
) -> dict[str, Any]:
    parsed = [QualifiedName.parse(table) for table in tables]
    plain_tables = [table.plain for table in parsed]
    heartbeat_schema = signal_schema if heartbeat else None
    signal_table = f"{signal_schema}.{_SIGNAL_TABLE}"
    # Streamkap and Debezium write a name without quotes. A table that no module has read from the database is listed as it is given.
    included_schemas = list(dict.fromkeys(schemas + [table.schema for table in parsed]))
    included_tables = captured or sorted(plain_tables)
    config = {
        "database.hostname.user.defined": server["host"],
        "database.port.user.defined": server["port"],
        "database.user": user,
        "database.dbname": server["database"],
        "database.sslmode": "disable" if ssl_mode == "disable" else "require",
        # There is a signal table, so that snapshots need not be read-only.
        "snapshot.read.only.user.defined": "No",
        "signal.data.collection.schema.or.database": signal_table,
        "heartbeat.enabled": heartbeat,
        "heartbeat.data.collection.schema.or.database": heartbeat_schema,
        "heartbeat.use.logical.message": False,
        "schema.include.list": ",".join(included_schemas),
        "table.include.list.user.defined": ",".join(included_tables),
        "column.include.list.toggled": True,
        "include.source.db.name.in.table.name.user.defined": False,
        "slot.name": slot,
        "publication.name": publication,
        "binary.handling.mode": _BINARY_HANDLING_MODE,
        "ssh.enabled": bool(ssh_host),
    }
    if ssh_host:
        config.update({"ssh.host": ssh_host, "ssh.port": ssh_port, "ssh.user": ssh_user})
    return {
        "name": name or server["database"],
        "hostname": server["host"],
        "port": server["port"],
        "username": user,
        "heartbeat": heartbeat,
        "heartbeat_schema": heartbeat_schema,
        "signal_schema": signal_schema,
        "signal_table": signal_table,
        "database": server["database"],
        "slot": slot,
        "publication": publication,
        "ssh_tunnel": bool(ssh_host),
        "ssh_host": ssh_host or None,
        "ssh_port": ssh_port if ssh_host else None,
        "ssh_user": ssh_user if ssh_host else None,
        "password_prefix": _password_prefix(server) if ssh_host else "",
        "binary_handling_mode": _BINARY_HANDLING_MODE,
        "schemas": schemas,
        "tables": tables,
        # A whole schema includes the tables that are created in it later, but also those that are left out.
        "upload": captured if list_tables and captured else schemas + plain_tables,
        "config": config,
    }


def _password_prefix(server: dict[str, Any]) -> str:
    """Name Neon's endpoint for a connection through a tunnel.

    Neon's proxy reads the endpoint from the host name in TLS, which a tunnel hides. Of the other ways to name it
    (https://neon.com/docs/connect/connection-errors) only the one in the password needs nothing of the client.
    """
    if server["neon_project"] and server["host"].startswith("ep-"):
        return f"endpoint={server['host'].split('.')[0]};"
    return ""


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"connector_settings": connector_settings}
