#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: readiness_info
short_description: Whether a connector can capture a database, and what it lacks
version_added: 0.1.0
description:
  - Makes every check that decides whether Streamkap, or any connector built on Debezium, can capture the database. All of them are made,
    whatever fails, and each failure comes with what was found and with its remedy, as SQL and as a task where these can mend it.
  - Changes nothing. It takes no lock that anybody waits for, gets no transaction id, writes no WAL, and works on a hot standby and as any
    role. What only some roles may see is skipped for others, and says so.
  - With O(connector_password) it also looks from the connector's side. It logs in as O(connector_user), reads every table (without
    fetching rows), has PostgreSQL plan what the connector writes, and opens a replication connection. The administrator's connection
    options serve for that too, but the user and the password.
  - However many tables there are, it takes two round trips on the administrator's connection and one or two on each of the
    connector's.
  - The task does not fail when a check does. It fails only when the server cannot be looked at. Use RV(ready).
  - All checks are listed in U(https://github.com/streamkap/streamkap.neon/blob/main/docs/checks.md).
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  connector_user:
    description: The role that the connector logs in as.
    type: str
    default: streamkap_user
  connector_password:
    description: Its password. Without it, the connector's side is not looked at.
    type: str
  connector_role:
    description:
      - The group role through which the connector's user has its privileges. Remedies grant to it where the user is a member of it, and
        to the user otherwise.
    type: str
    default: streamkap_role
  schemas:
    description: Schemas whose tables are to be captured.
    type: list
    elements: str
  tables:
    description: Single tables to be captured, as V(schema.table).
    type: list
    elements: str
  exclude_tables:
    description: Tables of O(schemas) that are not to be captured.
    type: list
    elements: str
  publication:
    description: The publication that the connector reads. Not looked at if empty.
    type: str
    default: streamkap_pub
  slot:
    description: The slot that it reads through. Not looked at if empty, for a connector that makes its own.
    type: str
    default: streamkap_pgoutput_slot
  signal_table:
    description: The table for signals. Not looked at if empty, for read-only snapshots.
    type: str
    default: streamkap.streamkap_signal
  heartbeat_table:
    description: The table for heartbeats. Not looked at if empty, for a connector without them.
    type: str
    default: streamkap.streamkap_heartbeat
  read_slot:
    description:
      - Whether to look into the slot where nothing else tells that it can be read through the publication, because that was made or altered
        since. Nothing is taken out of it.
      - For that moment the slot is in use, so that a connector that starts just then has to try again; and PostgreSQL may read much WAL,
        until O(statement_timeout). Needs O(connector_password).
    type: bool
    default: true
  bypassrls:
    description:
      - Whether to judge the connector's user as if it had C(BYPASSRLS), which a later task is about to give it. Row-level security is then
        no matter.
    type: bool
    default: false
  connector_running:
    description:
      - Whether the connector is to be running by now, so that it is a critical failure when nobody reads from the slot.
    type: bool
    default: false
    version_added: 0.2.0
  slot_before:
    description:
      - What an earlier task of this module has returned as RV(slot). The check C(slot_progress) then tells whether the connector has
        confirmed anything since, or whether WAL piles up. Needs O(connector_running).
    type: dict
    version_added: 0.2.0
  max_round_trip:
    description: From how many milliseconds on a round trip to the server is called slow.
    type: int
    default: 250
  max_transaction_age:
    description: From how many seconds on an open transaction is called old.
    type: int
    default: 1800
  max_idle:
    description: For how many seconds nobody may have read from the slot.
    type: int
    default: 86400
  max_lag:
    description: How many bytes of WAL the slot's consumer may be behind.
    type: int
    default: 1073741824
  max_retained:
    description: How many bytes of WAL the slot may hold back for long transactions.
    type: int
    default: 4294967296
  max_heartbeat_age:
    description: How many seconds ago the last heartbeat may have been while the connector runs.
    type: int
    default: 600
  max_signal_rows:
    description: How many rows the signal table may have.
    type: int
    default: 10000
seealso:
  - name: All checks
    description: Their ids, severities, and what each asks for.
    link: https://github.com/streamkap/streamkap.neon/blob/main/docs/checks.md
"""

EXAMPLES = r"""
- name: What is still to be done before a connector can capture
  streamkap.neon.readiness_info:
    schemas: [app, billing]
  register: readiness

- name: The remedies, as SQL
  ansible.builtin.debug:
    msg: "{{ readiness.checks | selectattr('status', 'eq', 'fail') | map(attribute='sql') | flatten }}"

- name: The same from the connector's side too
  streamkap.neon.readiness_info:
    schemas: [app]
    connector_password: "{{ streamkap_password }}"
  register: readiness

- name: Once the connector was started, whether it reads
  streamkap.neon.readiness_info:
    schemas: [app]
    connector_running: true
  register: running

- name: And whether it gets on
  streamkap.neon.readiness_info:
    schemas: [app]
    connector_running: true
    slot_before: "{{ running.slot }}"

- name: A connector that makes its own slot, snapshots read-only, and has no heartbeat table
  streamkap.neon.readiness_info:
    tables: [app.orders]
    slot: ""
    signal_table: ""
    heartbeat_table: ""
"""

RETURN = r"""
ready:
  description: Whether no critical check fails.
  returned: success
  type: bool
  sample: false
counts:
  description: How many checks failed, by severity, and how many did not.
  returned: success
  type: dict
  contains:
    critical:
      description: Failed checks without which nothing is captured, or not all, or the application's own statements fail.
      type: int
      sample: 1
    warning:
      description: Failed checks that may break capturing later.
      type: int
      sample: 2
    info:
      description: Failed checks that somebody may want to know of.
      type: int
      sample: 0
    passed:
      description: Checks that passed.
      type: int
      sample: 55
    skipped:
      description: Checks that were not made.
      type: int
      sample: 4
checks:
  description: All checks, always the same ones in the same order.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its name, which never changes.
      type: str
      sample: schema_usage
    area:
      description: What it is about. One of C(connection), C(server), C(user), C(tables), C(publication), C(slot), C(signal_table),
        C(heartbeat_table).
      type: str
      sample: tables
    severity:
      description: C(critical), C(warning) or C(info).
      type: str
      sample: critical
    title:
      description: What holds when it passes.
      type: str
      sample: The connector may use the schemas of all tables.
    status:
      description: C(pass), C(fail) or C(skipped).
      type: str
      sample: fail
    found:
      description: What was found, or null when it was skipped.
      type: str
      sample: "No USAGE on: billing."
    reason:
      description: Why it was skipped, or null.
      type: str
      sample: null
    objects:
      description: The names that a failure is about.
      type: list
      elements: str
      sample: [billing]
    remedy:
      description: What to do about a failure, or null.
      type: str
      sample: Grant it.
    sql:
      description: The statements that do it, for an administrator. Empty where SQL cannot.
      type: list
      elements: str
      sample: ['GRANT USAGE ON SCHEMA "billing" TO "streamkap_role"']
    task:
      description: The task that does it, as a dictionary of a module and its options, or null.
      type: dict
      sample: {"streamkap.neon.grant": {"role": "streamkap_role", "schemas": ["billing"], "schema_privileges": ["USAGE"]}}
tables:
  description: Everything that is to be captured.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name, as V(schema.table).
      type: str
      sample: app.orders
    kind:
      description: C(table), C(partitioned table), C(foreign table), C(materialized view) or C(view).
      type: str
      sample: table
    partition_of:
      description: The partitioned table that it is a partition of, the topmost one, or null.
      type: str
      sample: null
    owner:
      description: Its owner.
      type: str
      sample: neondb_owner
    replica_identity:
      description: C(default), C(full), C(nothing) or C(index).
      type: str
      sample: default
    published:
      description: Whether it is published.
      type: bool
      sample: true
    lacks:
      description: The ids of the checks that fail because of it.
      type: list
      elements: str
      sample: [tables_readable]
captured:
  description:
    - The names under which the changes of RV(tables) come, sorted, as Debezium and Streamkap write names, without quotes.
    - Partitions come under the name of the partitioned table, unless the publication publishes them under their own.
  returned: success
  type: list
  elements: str
  sample: [app.orders, billing.invoices]
captured_not_matched:
  description:
    - Those of RV(captured) whose names Debezium does not match as they stand, because its list of tables is one of regular expressions with
      commas between. What Streamkap makes of such a name is not known.
  returned: success
  type: list
  elements: str
  sample: ['app.price, net']
publication:
  description: The publication, or null when none was named.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: streamkap_pub
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    owner:
      description: Its owner.
      type: str
      sample: neondb_owner
    all_tables:
      description: Whether it is FOR ALL TABLES.
      type: bool
      sample: false
    publish:
      description: What is published of each table.
      type: list
      elements: str
      sample: [insert, update, delete, truncate]
    publish_via_partition_root:
      description: Whether partitions are published as the table that they are partitions of.
      type: bool
      sample: true
    tables:
      description: How many tables it publishes.
      type: int
      sample: 8
slot:
  description: The slot, or null when none was named. All but its name is null when it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: streamkap_pgoutput_slot
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    plugin:
      description: Its output plugin.
      type: str
      sample: pgoutput
    database:
      description: The database that it belongs to.
      type: str
      sample: neondb
    active:
      description: Whether somebody reads from it.
      type: bool
      sample: true
    active_pid:
      description: The server's process for that consumer, or null.
      type: int
      sample: 4711
    wal_status:
      description: C(reserved) and C(extended) are well, C(unreserved) is in danger, C(lost) cannot be read any more.
      type: str
      sample: reserved
    invalidation_reason:
      description: Why it is lost, or null. Before PostgreSQL 17 the server does not tell.
      type: str
      sample: null
    restart_lsn:
      description: The oldest WAL that it needs.
      type: str
      sample: 0/1B39788
    confirmed_flush_lsn:
      description: Up to where its consumer has confirmed to have everything.
      type: str
      sample: 0/1B397C0
    lag_bytes:
      description: WAL, in bytes, that was written after RV(slot.confirmed_flush_lsn).
      type: int
      sample: 5528
    retained_bytes:
      description: WAL, in bytes, from RV(slot.restart_lsn) to RV(slot.confirmed_flush_lsn).
      type: int
      sample: 56
    safe_wal_size:
      description: WAL, in bytes, that can still be written before it is in danger of getting lost, or null without such a limit.
      type: int
      sample: 1073741824
    idle_seconds:
      description: For how many seconds nobody has read from it. Null while somebody does, and before PostgreSQL 17.
      type: int
      sample: null
    failover:
      description: Whether it is synchronized to standbys. Null before PostgreSQL 17.
      type: bool
      sample: false
connector:
  description: The connector's side.
  returned: success
  type: dict
  contains:
    user:
      description: The role that it logs in as.
      type: str
      sample: streamkap_user
    looked:
      description: Whether it was looked at, too.
      type: bool
      sample: true
server:
  description: The server that was spoken to, as M(streamkap.neon.prerequisites) returns it.
  returned: success
  type: dict
sqlstate:
  description: PostgreSQL's error code, when the server refused something.
  returned: failure
  type: str
  sample: "28P01"
blockers:
  description: Whom the task has waited for in vain, as M(streamkap.neon.prerequisites) returns them.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
hint:
  description: What to do about a failure of the task. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Check the user and the password.
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.readiness import Readiness
from ansible_collections.streamkap.neon.plugins.module_utils._task import inform


def main() -> None:
    inform(
        Readiness,
        {
            "connector_user": {"type": "str", "default": "streamkap_user"},
            "connector_password": {"type": "str", "no_log": True},
            "connector_role": {"type": "str", "default": "streamkap_role"},
            "schemas": {"type": "list", "elements": "str"},
            "tables": {"type": "list", "elements": "str"},
            "exclude_tables": {"type": "list", "elements": "str"},
            "publication": {"type": "str", "default": "streamkap_pub"},
            "slot": {"type": "str", "default": "streamkap_pgoutput_slot"},
            "signal_table": {"type": "str", "default": "streamkap.streamkap_signal"},
            "heartbeat_table": {"type": "str", "default": "streamkap.streamkap_heartbeat"},
            "read_slot": {"type": "bool", "default": True},
            "bypassrls": {"type": "bool", "default": False},
            "connector_running": {"type": "bool", "default": False},
            "slot_before": {"type": "dict"},
            "max_round_trip": {"type": "int", "default": 250},
            "max_transaction_age": {"type": "int", "default": 1800},
            "max_idle": {"type": "int", "default": 86400},
            "max_lag": {"type": "int", "default": 1024**3},
            "max_retained": {"type": "int", "default": 4 * 1024**3},
            "max_heartbeat_age": {"type": "int", "default": 600},
            "max_signal_rows": {"type": "int", "default": 10000},
        },
    )


if __name__ == "__main__":
    main()
