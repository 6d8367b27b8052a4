#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: grant
short_description: What one role may do on the database, its schemas, their tables, and tables not made yet
version_added: 0.1.0
description:
  - Grants privileges to one role, on any number of schemas and tables in one task and few statements.
  - Only what was granted to the role itself counts as granted, not what it has by membership, from C(PUBLIC) or on single columns
    (U(https://www.postgresql.org/docs/current/ddl-priv.html)). An object that the role owns is left alone, as its owner may do anything
    with it.
  - What others were granted is never touched, and what else this role was granted only with O(exclusive) or with O(state=absent).
  - PostgreSQL only warns when a C(GRANT) grants nothing (U(https://www.postgresql.org/docs/current/sql-grant.html)). This module
    finds out beforehand, fails before anything is changed, and names every object and its owner.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  role:
    description:
      - The role that the privileges are granted to. It must exist; in check mode a missing one is a warning, because a task before this one
        may be about to make it.
      - Privileges of everybody, C(PUBLIC), are not managed.
    type: str
    required: true
  state:
    description:
      - V(present) grants the privileges that are given.
      - V(absent) takes them back. When no privileges are given at all, it takes back everything that the role was granted on the
        database, and on and in O(schemas) and O(tables). What does not exist needs nothing taken back, which a warning says of
        schemas and tables.
    type: str
    choices: [present, absent]
    default: present
  database_privileges:
    description: Privileges on the database. Left alone when not given, like each of the four kinds.
    type: list
    elements: str
    choices: [CONNECT, CREATE, TEMPORARY]
  schemas:
    description:
      - The schemas that the other privileges are about. They must exist.
      - When there are none, those of O(tables).
    type: list
    elements: str
  schema_privileges:
    description: Privileges on each of the schemas.
    type: list
    elements: str
    choices: [USAGE, CREATE]
  tables:
    description:
      - The tables that O(table_privileges) are granted on, as C(schema.table). A part with a dot or a double quote is written in double
        quotes, as in SQL. Views, materialized views and foreign tables can be named too. They must exist.
      - When not given, all ordinary and partitioned tables of O(schemas), partitions among them, but for those that belong to
        an extension. With O(state=absent), everything in O(schemas) that is like a table.
    type: list
    elements: str
  exclude_tables:
    description:
      - Tables of O(schemas), as C(schema.table), that get no privileges from this task, nor do their partitions. They must exist.
      - With O(exclusive) the role loses what it has on them. With O(state=absent) they are left alone.
      - A table not made yet cannot be excluded from O(default_table_privileges).
    type: list
    elements: str
  table_privileges:
    description: Privileges on tables. V(MAINTAIN) needs PostgreSQL 17 or newer.
    type: list
    elements: str
    choices: [SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN]
  default_table_privileges:
    description:
      - Privileges on the tables that will be made in O(schemas), by V(ALTER DEFAULT PRIVILEGES)
        (U(https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html)). They work for the owners in O(default_privileges_for)
        only. They are for views and foreign tables too.
      - Default privileges that an owner has given in all schemas count. They are never taken back, which a warning says.
    type: list
    elements: str
    choices: [SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN]
  default_privileges_for:
    description:
      - The roles whose future tables O(default_table_privileges) are about. Each must have the current role as a member; one that does
        not is a failure.
      - When not given, every role that owns a table in O(schemas), the owners of the schemas, and the current role. One of
        these that does not have the current role as a member is a warning, because its tables of today can be granted all the same.
        What is taken back, is taken back for every owner.
    type: list
    elements: str
  exclusive:
    description:
      - Whether the role is to have nothing else of each kind of privileges that is given, in this database, O(schemas) and everything in
        them that is like a table. An empty list takes back all of a kind.
      - Grant options, and privileges on single columns, are taken back too.
    type: bool
    default: false
notes:
  - What another role than the owner has granted can only be taken back by that role. When there is such a privilege to take back, or one
    that the role has passed on to others, the task fails and names it. Nothing is ever revoked with C(CASCADE).
  - From PostgreSQL 18 on, C(GRANT) locks each table that it names. Thousands at a time may not fit into the server's
    lock table; where the same is to be granted on all that a schema holds, it is done by the schema, without these locks.
seealso:
  - module: streamkap.neon.role
  - module: community.postgresql.postgresql_privs
    description: Privileges on other kinds of objects.
"""

EXAMPLES = r"""
- name: A role to hold the privileges
  streamkap.neon.role:
    name: streamkap_role
    login: false

- name: Read what is in two schemas, and what will be
  streamkap.neon.grant:
    role: streamkap_role
    database_privileges: [CONNECT]
    schemas: [app, billing]
    schema_privileges: [USAGE]
    table_privileges: [SELECT]
    default_table_privileges: [SELECT]

- name: Read two tables and nothing else in their schemas
  streamkap.neon.grant:
    role: streamkap_role
    tables: [app.orders, billing.invoices]
    schema_privileges: [USAGE]
    table_privileges: [SELECT]
    default_table_privileges: []
    exclusive: true

- name: Read everything but the payments
  streamkap.neon.grant:
    role: streamkap_role
    schemas: [app, billing]
    table_privileges: [SELECT]
    exclude_tables: [billing.payments]

- name: Take everything back
  streamkap.neon.grant:
    role: streamkap_role
    schemas: [app, billing]
    state: absent
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ['GRANT SELECT ON ALL TABLES IN SCHEMA "app", "billing" TO "streamkap_role"']
grant:
  description:
    - What the role has been granted, as it now stands. Lists of privileges are sorted; the right to pass C(SELECT) on is
      C(SELECT WITH GRANT OPTION), and C(SELECT) on single columns is C(SELECT ON COLUMNS), both items of their own.
  returned: success
  type: dict
  contains:
    role:
      description: Its name.
      type: str
      sample: streamkap_role
    exists:
      description: Whether there is such a role.
      type: bool
      sample: true
    database_privileges:
      description: What it has been granted on the database.
      type: list
      elements: str
      sample: [CONNECT]
    schemas:
      description: What it has been granted on each of the schemas.
      type: dict
      sample: {app: [USAGE], billing: [USAGE]}
    tables:
      description:
        - What it has been granted on each table that the task is about, and on whatever else in the schemas it has been granted something
          on. One entry for each table, however many they are.
      type: dict
      sample: {app.orders: [SELECT], billing.invoices: [SELECT]}
    default_privileges:
      description: What it gets on tables not made yet, for each owner and schema. The schema is null for default privileges in all schemas.
      type: list
      elements: dict
      sample: [{owner: app_owner, schema: app, privileges: [SELECT]}]
diff:
  description:
    - What the role has been granted, before and after, of what the options speak of.
    - Up to 50 entries of a kind are shown one by one. Where there are more, tables of one schema that have and get the same
      privileges are one entry, as in C(app.orders and 9999 more).
  returned: success
  type: dict
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
  sample: Run as the owner (session_role).
problems:
  description: Every single object that stands in the way, where RV(ignore:msg) may name the first twenty of each sort only.
  returned: failure, when objects stand in the way
  type: list
  elements: str
  sample: ["neondb_owner may not grant: SELECT on table app.audit (owner auditor)"]
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.grant import Grant
from ansible_collections.streamkap.neon.plugins.module_utils._task import run

_TABLE_PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]


def main() -> None:
    run(
        Grant,
        {
            "role": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "database_privileges": {"type": "list", "elements": "str", "choices": ["CONNECT", "CREATE", "TEMPORARY"]},
            "schemas": {"type": "list", "elements": "str"},
            "schema_privileges": {"type": "list", "elements": "str", "choices": ["USAGE", "CREATE"]},
            "tables": {"type": "list", "elements": "str"},
            "exclude_tables": {"type": "list", "elements": "str"},
            "table_privileges": {"type": "list", "elements": "str", "choices": _TABLE_PRIVILEGES},
            "default_table_privileges": {"type": "list", "elements": "str", "choices": _TABLE_PRIVILEGES},
            "default_privileges_for": {"type": "list", "elements": "str"},
            "exclusive": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
