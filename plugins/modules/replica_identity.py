#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replica_identity
short_description: The replica identity of tables, so that updates and deletes can be captured
version_added: 0.1.0
description:
  - Sets what an update or delete writes to the WAL to tell which row it changed
    (U(https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY)).
  - A table without a primary key and with the default replica identity cannot be updated any more once it is in a publication that
    publishes updates. V(full) mends that, at the price of the whole old row in the WAL.
  - Every partition has a replica identity of its own, and it is theirs that count. The partitions of a partitioned table are changed
    along, in whatever schema they are.
  - A change takes an ACCESS EXCLUSIVE lock on the table until the end of the transaction. It neither rewrites nor scans it. O(lock_timeout)
    bounds how long it waits for the lock, and with it how long the application waits behind it; when it runs out for one table, none of the
    same transaction is changed. The tables are locked in the order of their names, partitions after what they are partitions of.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  tables:
    description:
      - Tables as C(schema.table), ordinary, partitioned or unlogged ones. A part that holds a dot or a double quote is written in double
        quotes, as in SQL.
      - Exactly one of O(tables) and O(schemas) is required.
    type: list
    elements: str
  schemas:
    description: Schemas, for all their permanent tables but those of extensions.
    type: list
    elements: str
  exclude_tables:
    description: Tables to leave alone, with their partitions.
    type: list
    elements: str
  identity:
    description:
      - V(default) is the primary key, V(full) the whole row, V(nothing) nothing, V(index) the columns of O(index).
      - V(nothing), and V(default) for a table without a primary key, are refused while the table's updates or deletes are published.
      - So is everything else that would make the application's updates fail, whatever the publication. V(full) does under a column list,
        and on PostgreSQL 18 for a table with a generated column that is not published. V(default) and V(index) do where a column list
        lacks their columns or a row filter uses others. Of a partitioned table the partitions are judged, each by itself.
    type: str
    choices: [default, full, nothing, index]
    required: true
  index:
    description: >-
      Name of a unique index of the one table, neither partial nor deferrable, on columns that are C(NOT NULL).
      Partitions get the index that belongs to it. Required with O(identity=index).
    type: str
  only_keyless:
    description:
      - Whether to change only tables whose updates cannot be published as it is. These have no primary key and the identity V(default),
        or V(nothing), or an index that was dropped since.
    type: bool
    default: false
seealso:
  - module: streamkap.neon.publication
"""

EXAMPLES = r"""
- name: Full rows of deleted orders and payments
  streamkap.neon.replica_identity:
    tables: [app.orders, billing.payments]
    identity: full

- name: Publishable updates for tables without a key, and no change for the others
  streamkap.neon.replica_identity:
    schemas: [app, billing]
    identity: full
    only_keyless: true

- name: The primary key again
  streamkap.neon.replica_identity:
    tables: [app.orders, billing.payments]
    identity: default
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ['ALTER TABLE ONLY "app"."orders" REPLICA IDENTITY FULL']
replica_identity:
  description: What was looked at, as it now stands.
  returned: success
  type: dict
  contains:
    tables:
      description: The replica identity by table, with the name of the index if it is one.
      type: dict
      sample: {app.orders: full, app.products: index products_sku_key}
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
  sample: "55P03"
blockers:
  description: Whom the task has waited for in vain, as M(streamkap.neon.prerequisites) returns them.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
hint:
  description: What to do about a failure. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Take the tables out of the publication first, or give them a primary key.
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.replica_identity import ReplicaIdentity
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        ReplicaIdentity,
        {
            "tables": {"type": "list", "elements": "str"},
            "schemas": {"type": "list", "elements": "str"},
            "exclude_tables": {"type": "list", "elements": "str"},
            "identity": {"type": "str", "choices": ["default", "full", "nothing", "index"], "required": True},
            "index": {"type": "str"},
            "only_keyless": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("tables", "schemas")],
        required_one_of=[("tables", "schemas")],
    )


if __name__ == "__main__":
    main()
