#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: heartbeat_table
short_description: Streamkap's heartbeat table, its first row, and the grants to use it
version_added: 0.1.0
description:
  - Makes the table that the connector writes to now and then, so that the replication slot moves on and the server can free WAL
    while the captured tables are idle, with its schema and its first row, and grants what the connector needs to use them, the
    sequence of its C(id) among them.
  - A table of another shape is never altered; the task fails and names every difference.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  schema:
    description: Schema of the table. It is made when it does not exist.
    type: str
    default: streamkap
  name:
    description: Name of the table. Streamkap recognizes only the default.
    type: str
    default: streamkap_heartbeat
  grant_to:
    description:
      - Roles that get C(USAGE) on the schema and on the sequence of C(id), and C(INSERT), C(SELECT) and C(UPDATE) on the table.
        Other grants stay as they are.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) makes the table, its first row when it is empty, and the grants.
      - V(absent) drops the table, and the schema too when it was made by this collection and nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: streamkap.neon.signal_table
  - module: streamkap.neon.publication
    description: The table must be in the publication, or no heartbeat reaches the connector.
"""

EXAMPLES = r"""
- name: The heartbeat table, usable by the connector's role
  streamkap.neon.heartbeat_table:
    grant_to: [streamkap_role]

- name: No heartbeat table any more
  streamkap.neon.heartbeat_table:
    state: absent
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["INSERT INTO \"streamkap\".\"streamkap_heartbeat\" (text) VALUES ('test_heartbeat')"]
heartbeat_table:
  description: The table as it now stands.
  returned: success
  type: dict
  contains:
    schema:
      description: Its schema.
      type: str
      sample: streamkap
    name:
      description: Its name.
      type: str
      sample: streamkap_heartbeat
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    owner:
      description: The role that owns it, or null.
      type: str
      sample: neondb_owner
    grants:
      description: The privileges on it by grantee, its owner among them.
      type: dict
      sample: {streamkap_role: [INSERT, SELECT, UPDATE]}
plan:
  description: What the task has found to do, as M(streamkap.neon.prerequisites) returns it.
  returned: success
  type: dict
server:
  description: The server that was spoken to, as M(streamkap.neon.prerequisites) returns it.
  returned: success
  type: dict
sqlstate:
  description: PostgreSQL's error code, when the server refused something.
  returned: failure
  type: str
  sample: "42501"
blockers:
  description: Whom the task has waited for in vain, as M(streamkap.neon.prerequisites) returns them.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
hint:
  description: What to do about a failure. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Run as the owner, or GRANT the owner to the current role.
differences:
  description: What is different about an existing table of another shape.
  returned: failure, when that is the reason
  type: list
  elements: str
  sample: ["id has no default"]
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.heartbeat_table import HeartbeatTable
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        HeartbeatTable,
        {
            "schema": {"type": "str", "default": "streamkap"},
            "name": {"type": "str", "default": "streamkap_heartbeat"},
            "grant_to": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    )


if __name__ == "__main__":
    main()
