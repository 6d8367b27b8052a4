#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prerequisites
short_description: All that a connector needs of a database, at once
version_added: 0.1.0
description:
  - Converges the group role, the connector's user, their privileges, the signal table, the heartbeat table, replica identities, the
    publication and the slot, as the modules of these names do, but over one connection and with one look at all of them. The role
    P(streamkap.neon.cdc#role) is made of this module and M(streamkap.neon.readiness_info).
  - Whatever cannot be done, of all of it, fails the task before anything is changed.
  - Everything is then made in one transaction, which is undone as a whole when anything of it does not take. Two things are not in it, and
    have transactions of their own after it. These are full replica identities (O(keyless_tables=replica_identity_full)), because changing
    one locks its table against reading and writing, followed by the publication, which needs them; and at last the slot, which is no object
    of a transaction. Should one of them fail all the same, what was done before it stays, the message says so, and the next run goes on
    from there.
  - What was granted or added besides stays. Only the publication publishes nothing but what is named here, with its
    inserts, updates, deletes and truncates.
  - A slot whose changes are lost is left as it is, with a warning. Somebody has to decide about it, see M(streamkap.neon.slot).
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  connector_user:
    description: The role that the connector logs in as. It gets REPLICATION, and is a member of O(connector_role).
    type: str
    default: streamkap_user
  connector_password:
    description:
      - Its password, which is set when the present one is another.
      - Neon refuses a password of less than 60 bits of entropy. Other servers are sent a verifier and never see it.
    type: str
    required: true
  connector_role:
    description: The group role that holds the privileges.
    type: str
    default: streamkap_role
  bypassrls:
    description:
      - Whether O(connector_user) has BYPASSRLS. A table under row-level security snapshots as empty without it.
      - If not given, an existing user is left as it is.
    type: bool
  schemas:
    description: Schemas whose tables are captured, and readable also when they are made later, whoever makes them.
    type: list
    elements: str
    default: []
  tables:
    description:
      - Single tables to capture besides those of O(schemas), each as C(schema.table). A part that holds a dot or a double quote goes into
        double quotes as in SQL.
      - One of O(schemas) and O(tables) must name something.
    type: list
    elements: str
    default: []
  exclude_tables:
    description: Tables of O(schemas) that are neither captured nor made readable. A privilege that was already granted stays.
    type: list
    elements: str
    default: []
  database_privileges:
    description: Privileges of O(connector_role) on the database.
    type: list
    elements: str
    choices: [CONNECT, CREATE, TEMPORARY]
    default: [CONNECT]
  schema_privileges:
    description: Privileges of O(connector_role) on the schemas. The default is what the vendor documents; V(USAGE) is enough to capture.
    type: list
    elements: str
    choices: [USAGE, CREATE]
    default: [USAGE, CREATE]
  signal_schema:
    description: Schema of the signal table and the heartbeat table. It is made when it does not exist.
    type: str
    default: streamkap
  heartbeat:
    description: Whether the heartbeat table is made and published, so that the slot moves on while the captured tables are idle.
    type: bool
    default: true
  keyless_tables:
    description:
      - What to do about a table whose updates and deletes would fail in the application as soon as it is published, because it has neither
        a primary key nor another replica identity.
      - V(fail) names them and changes nothing.
      - V(skip) leaves them out of the publication, with a warning.
      - V(replica_identity_full) makes the whole row their replica identity, which makes their updates and deletes write more WAL.
    type: str
    choices: [fail, skip, replica_identity_full]
    default: fail
  publication:
    description: Name of the publication.
    type: str
    default: streamkap_pub
  publication_scope:
    description:
      - V(tables) publishes the tables that there are now, one by one. Every owner can do so. A table made later is published by the next
        run.
      - V(schemas) publishes the schemas, with all that is made in them later. It needs a superuser, or a member of C(neon_superuser) on
        Neon, and PostgreSQL 15 or newer.
      - V(all_tables) publishes everything in the database. It needs the same rights.
    type: str
    choices: [tables, schemas, all_tables]
    default: tables
  publish_via_partition_root:
    description:
      - Whether changes of partitions are published as changes of the partitioned table.
      - If V(false), they come under the partitions' own names, and O(connector_role) gets SELECT on each of them, and USAGE on their
        schemas, wherever they lie.
    type: bool
    default: true
  slot:
    description:
      - Name of the replication slot, of small letters, digits and underscores. Empty for none.
      - A slot that no connector reads keeps WAL on the server; Neon removes it after about 40 hours.
    type: str
    default: streamkap_pgoutput_slot
notes:
  - Whether a connector can capture then, M(streamkap.neon.readiness_info) tells.
  - To take it all back, run the role P(streamkap.neon.cdc#role) with C(cdc_state=absent), or the single modules with C(state=absent).
seealso:
  - module: streamkap.neon.readiness_info
  - module: streamkap.neon.role
  - module: streamkap.neon.grant
  - module: streamkap.neon.signal_table
  - module: streamkap.neon.heartbeat_table
  - module: streamkap.neon.replica_identity
  - module: streamkap.neon.publication
  - module: streamkap.neon.slot
"""

EXAMPLES = r"""
- name: All that the connector needs
  streamkap.neon.prerequisites:
    dsn: "{{ lookup('ansible.builtin.env', 'NEON_DATABASE_URL') }}"
    connector_password: "{{ streamkap_password }}"
    schemas: [app, billing]
    exclude_tables: [billing.payments]

- name: What of it is lacking, without doing anything
  streamkap.neon.prerequisites:
    dsn: "{{ lookup('ansible.builtin.env', 'NEON_DATABASE_URL') }}"
    connector_password: "{{ streamkap_password }}"
    schemas: [app, billing]
    exclude_tables: [billing.payments]
  check_mode: true
  diff: true
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be, in their order. Secrets are masked.
  returned: success
  type: list
  elements: str
  sample: ['CREATE ROLE "streamkap_role" NOLOGIN']
prerequisites:
  description: All of it as it now stands.
  returned: success
  type: dict
  contains:
    connector_role:
      description: The group role, as M(streamkap.neon.role) returns it.
      type: dict
    connector_user:
      description: The connector's user, as M(streamkap.neon.role) returns it.
      type: dict
    signal_table:
      description: The signal table, as M(streamkap.neon.signal_table) returns it.
      type: dict
    heartbeat_table:
      description: The heartbeat table, as M(streamkap.neon.heartbeat_table) returns it; null when there is to be none.
      type: dict
    publication:
      description: The publication, as M(streamkap.neon.publication) returns it, but without its tables.
      type: dict
    captured:
      description:
        - The tables that are captured, sorted, as Debezium and Streamkap write names, without quotes.
        - Null where the publication does not name them, that is with another O(publication_scope) than V(tables) and without
          O(publish_via_partition_root). M(streamkap.neon.readiness_info) tells then.
      type: list
      elements: str
      sample: [app.orders]
    captured_not_matched:
      description:
        - Published tables whose names Debezium does not match as they stand, because its list of tables is one of regular expressions with
          commas between. What Streamkap makes of such a name is not known.
      type: list
      elements: str
      sample: ['app.price, net']
    slot:
      description: The slot, as M(streamkap.neon.slot) returns it; null when there is to be none.
      type: dict
plan:
  description: What the task has found to do, for who does it by hand or only wants to know.
  returned: success
  type: dict
  contains:
    differences:
      description: What differs from what is wanted, a sentence each.
      type: list
      elements: str
      sample: ["The role streamkap_user, login: off, and should be on."]
    warnings:
      description: What to know about it.
      type: list
      elements: str
      sample: []
    begin:
      description: The statements that each transaction begins with.
      type: list
      elements: str
      sample: [BEGIN, "SET LOCAL search_path = pg_catalog, pg_temp"]
    transactions:
      description:
        - The statements of each transaction, in their order. C(sql) is a statement for psql, to which C(:'streamkap_password') stands for
          the password, and C(part) is what it is of.
      type: list
      elements: list
      sample: [[{part: role, sql: 'ALTER ROLE "streamkap_user" LOGIN'}]]
server:
  description: The server that was spoken to.
  returned: success
  type: dict
  contains:
    host:
      description: Its host.
      type: str
      sample: ep-cool-cloud-a1b2c3d4.eu-central-1.aws.neon.tech
    port:
      description: Its port.
      type: int
      sample: 5432
    database:
      description: The database that was connected to.
      type: str
      sample: neondb
    version:
      description: Its version as C(server_version_num).
      type: int
      sample: 170011
    neon_project:
      description: The id of its Neon project, or null on any other server.
      type: str
      sample: cool-cloud-12345678
sqlstate:
  description: PostgreSQL's error code, when the server refused something.
  returned: failure
  type: str
  sample: "42501"
blockers:
  description:
    - Who was in the way, the oldest transaction first, when O(lock_timeout) or O(statement_timeout) had run out.
    - A prepared transaction has a C(gid) and no C(pid). What the current role may not see is null.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
  sample:
    - pid: 4711
      gid: null
      user: alice
      database: neondb
      application: psql
      state: idle in transaction
      transaction_seconds: 62
      state_seconds: 60
      autovacuum: false
drift:
  description:
    - What differs besides what could not be planned, in sentences. Nothing of it was changed. The first of them are part of
      RV(ignore:msg) too.
  returned: failure, when something else differs
  type: list
  elements: str
  sample: ['The privileges of streamkap_role, tables, app.orders: nothing, and should be SELECT.']
hint:
  description: What to do about a failure. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Run as the database's owner, or GRANT CREATE ON DATABASE to the current role.
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.prerequisites import Prerequisites
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        Prerequisites,
        {
            "connector_user": {"type": "str", "default": "streamkap_user"},
            "connector_password": {"type": "str", "required": True, "no_log": True},
            "connector_role": {"type": "str", "default": "streamkap_role"},
            "bypassrls": {"type": "bool"},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "tables": {"type": "list", "elements": "str", "default": []},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "database_privileges": {
                "type": "list",
                "elements": "str",
                "choices": ["CONNECT", "CREATE", "TEMPORARY"],
                "default": ["CONNECT"],
            },
            "schema_privileges": {
                "type": "list",
                "elements": "str",
                "choices": ["USAGE", "CREATE"],
                "default": ["USAGE", "CREATE"],
            },
            "signal_schema": {"type": "str", "default": "streamkap"},
            "heartbeat": {"type": "bool", "default": True},
            "keyless_tables": {
                "type": "str",
                "choices": ["fail", "skip", "replica_identity_full"],
                "default": "fail",
            },
            "publication": {"type": "str", "default": "streamkap_pub"},
            "publication_scope": {"type": "str", "choices": ["tables", "schemas", "all_tables"], "default": "tables"},
            "publish_via_partition_root": {"type": "bool", "default": True},
            "slot": {"type": "str", "default": "streamkap_pgoutput_slot"},
        },
    )


if __name__ == "__main__":
    main()
