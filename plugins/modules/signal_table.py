#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signal_table
short_description: Debezium's signal table, its schema, and the grants to use it
version_added: 0.1.0
description:
  - Makes the table that a Debezium connector takes signals from and writes the watermarks of its snapshots to, with its schema,
    and grants what the connector needs to use them.
  - Debezium inserts by position, so an existing table must have exactly the columns C(id), C(type), C(data)
    (U(https://debezium.io/documentation/reference/stable/configuration/signalling.html)). A table of another shape is never
    altered; the task fails and names every difference.
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
    default: streamkap_signal
  grant_to:
    description: Roles that get C(USAGE) on the schema and C(INSERT), C(SELECT) and C(UPDATE) on the table. Other grants stay as they are.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) makes the table and the grants.
      - V(absent) drops the table, and the schema too when it was made by this collection and nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
  dropped_before:
    description:
      - Names of tables of the schema that a task before this one drops. In check mode they are still there, and are then no reason to keep
        the schema with O(state=absent).
    type: list
    elements: str
    default: []
    version_added: 0.2.0
seealso:
  - module: streamkap.neon.heartbeat_table
  - module: streamkap.neon.publication
    description: The table must be in the publication, or no signal reaches the connector.
"""

EXAMPLES = r"""
- name: The signal table, usable by the connector's role
  streamkap.neon.signal_table:
    grant_to: [streamkap_role]

- name: No signal table any more
  streamkap.neon.signal_table:
    state: absent
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ['GRANT USAGE ON SCHEMA "streamkap" TO "streamkap_role"']
signal_table:
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
      sample: streamkap_signal
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
  sample: ["data is jsonb, not character varying or text"]
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.signal_table import SignalTable
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        SignalTable,
        {
            "schema": {"type": "str", "default": "streamkap"},
            "name": {"type": "str", "default": "streamkap_signal"},
            "grant_to": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "dropped_before": {"type": "list", "elements": "str", "default": []},
        },
    )


if __name__ == "__main__":
    main()
