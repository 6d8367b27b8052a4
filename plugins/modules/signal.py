#!/usr/bin/python
# astroid takes this file for the module signal of the standard library, and adds what that imports. pylint: disable=unused-import
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signal
short_description: Sends one Debezium signal
version_added: 0.1.0
description:
  - Writes one row into the signal table of a Debezium connector, which reads it from its replication slot and starts,
    stops, pauses or resumes a snapshot, or writes a line to its log
    (U(https://debezium.io/documentation/reference/stable/configuration/signalling.html)).
  - Debezium does not answer, and leaves out what it cannot use with no more than a warning in its log. So the task
    fails, and sends nothing, for what would be ignored. What is checked are the signal table and its publication, the
    tables with their keys, the surrogate key, the SQL of every condition, and the room that the signal table has.
  - The connector must be running on a slot and a publication that have the signal table, with its own option
    C(signal.data.collection) set to it, and must not be read-only. None of this can be seen in the database.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  schema:
    description: Schema of the signal table.
    type: str
    default: streamkap
  table:
    description: Name of the signal table.
    type: str
    default: streamkap_signal
  type:
    description:
      - V(execute-snapshot) takes a snapshot of tables.
      - V(stop-snapshot) stops the incremental snapshot of some tables, or of all.
      - V(pause-snapshot) and V(resume-snapshot) pause and resume the incremental snapshot that is running.
      - V(log) writes a line to the connector's log, which shows whether signals arrive.
    type: str
    required: true
    choices: [execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot, log]
  data_collections:
    description:
      - The tables, as C(schema.table). A part that holds a dot or a double quote is written as in SQL, in double
        quotes. Each is sent as a regular expression that matches this table only.
      - With O(regex=true), regular expressions.
      - Required by O(type=execute-snapshot). Without it O(type=stop-snapshot) stops everything. That is refused where any table of
        the database has white space within its name, or a dot at its beginning or end or beside another, because Debezium then
        hangs instead.
      - Of a partitioned table, what is named is what the publication publishes, which is the table itself with
        C(publish_via_partition_root) and its partitions without it.
    type: list
    elements: str
  regex:
    description:
      - Whether O(data_collections) are regular expressions, matched as Debezium does, on the whole name C(schema.table)
        without quotes. An incremental snapshot regards case, a blocking one does not.
      - Each must match at least one table that is published. Only what Java and Python understand alike is taken.
    type: bool
    default: false
  snapshot_type:
    description:
      - V(incremental) reads tables in chunks while streaming goes on. Each table needs a primary key or a unique index.
        At arrays in it, at C(timestamp), C(time), C(money) and C(bit), and at domains over these, Debezium breaks off or ends.
      - V(blocking) stops streaming until the tables are read, and needs no key.
    type: str
    choices: [incremental, blocking]
    default: incremental
  additional_conditions:
    description: What of a table to take, for tables that are not to be taken as a whole.
    type: list
    elements: dict
    suboptions:
      data_collection:
        description: The table, as C(schema.table), with O(regex=true) too. It must be one of O(data_collections).
        type: str
        required: true
      filter:
        description:
          - With O(snapshot_type=incremental), an SQL condition, as after C(WHERE).
          - With O(snapshot_type=blocking), a whole C(SELECT) statement that Debezium runs in place of its own.
          - PostgreSQL is asked whether it understands it. Nothing of it is executed.
        type: str
        required: true
  surrogate_key:
    description:
      - A column to read chunks by, in place of the primary key. Every table must have it. Its values should be unique,
        or rows may be left out, which the task warns of.
      - Only for O(snapshot_type=incremental). A table without any key still loses rows, because Debezium tells them
        apart by that. The task warns of this too.
    type: str
  log_message:
    description: The line for O(type=log), which requires it. Debezium puts its position in place of C({}).
    type: str
  id:
    description:
      - The id of the signal. With one, the signal is sent once, and a task that finds it sent changes nothing and
        checks no further. If another signal has the id, the task fails.
      - Without it an id is made up, so that every run of the task sends a signal. Such a task is not idempotent.
    type: str
  publication:
    description: What the connector reads. The signal table and the tables must be in it, and it must publish inserts.
    type: str
    default: streamkap_pub
notes:
  - Whoever may write to the signal table may have the connector read every table that it can. Grant it sparingly.
  - The connector's table filters and column filters are not known here. A table that it leaves out is not taken.
seealso:
  - module: streamkap.neon.signal_table
  - module: streamkap.neon.publication
"""

EXAMPLES = r"""
- name: The signal table
  streamkap.neon.signal_table:

- name: What the connector reads, the signal table included
  streamkap.neon.publication:
    tables: [app.orders, app.customers, app.order_items, streamkap.streamkap_signal]

- name: See in the connector's log whether signals arrive
  streamkap.neon.signal:
    type: log
    log_message: "A signal has arrived at {}"

- name: Take two tables again
  streamkap.neon.signal:
    type: execute-snapshot
    data_collections: [app.orders, app.customers]

- name: The same, once and never again
  streamkap.neon.signal:
    id: backfill-2026-03
    type: execute-snapshot
    data_collections: [app.orders, app.customers]

- name: Only the open orders
  streamkap.neon.signal:
    type: execute-snapshot
    data_collections: [app.orders]
    additional_conditions:
      - data_collection: app.orders
        filter: status = 'open'

- name: All tables of a schema, while streaming waits
  streamkap.neon.signal:
    type: execute-snapshot
    snapshot_type: blocking
    data_collections: ['app\..*']
    regex: true

- name: Stop the snapshots of all tables
  streamkap.neon.signal:
    type: stop-snapshot
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample:
    - >-
      INSERT INTO "streamkap"."streamkap_signal" (id, type, data)
      VALUES ('backfill-2026-03', 'execute-snapshot', '{"data-collections":["app.orders"],"type":"incremental"}')
signal:
  description: The signal.
  returned: success
  type: dict
  contains:
    id:
      description: Its id, given or made up.
      type: str
      sample: backfill-2026-03
    type:
      description: Its type.
      type: str
      sample: execute-snapshot
    data:
      description: Its data, the JSON that is in the signal table.
      type: str
      sample: '{"data-collections":["app.orders"],"type":"incremental"}'
    payload:
      description: The same as a dictionary.
      type: dict
      sample: {data-collections: [app.orders], type: incremental}
    tables:
      description: The published tables that its data collections match now.
      type: list
      elements: str
      sample: [app.orders]
    sent:
      description: Whether it has been sent, by this task or before.
      type: bool
      sample: true
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
  sample: Take a blocking snapshot of them (snapshot_type blocking), or give them a primary key.
differences:
  description: What is different about a signal table of another shape.
  returned: failure, when that is the reason
  type: list
  elements: str
  sample: ["data is jsonb, not character varying or text"]
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.signal import Signal
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        Signal,
        {
            "schema": {"type": "str", "default": "streamkap"},
            "table": {"type": "str", "default": "streamkap_signal"},
            "type": {
                "type": "str",
                "required": True,
                "choices": ["execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log"],
            },
            "data_collections": {"type": "list", "elements": "str"},
            "regex": {"type": "bool", "default": False},
            "snapshot_type": {"type": "str", "choices": ["incremental", "blocking"], "default": "incremental"},
            "additional_conditions": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "data_collection": {"type": "str", "required": True},
                    "filter": {"type": "str", "required": True},
                },
            },
            # No secret, whatever Ansible makes of its name.
            "surrogate_key": {"type": "str", "no_log": False},
            "log_message": {"type": "str"},
            "id": {"type": "str"},
            "publication": {"type": "str", "default": "streamkap_pub"},
        },
    )


if __name__ == "__main__":
    main()
