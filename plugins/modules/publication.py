#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: publication
short_description: Which tables a connector captures, and what of them
version_added: 0.1.0
description:
  - Makes, changes or drops a publication, which says what a logical replication slot gives to its reader
    (U(https://www.postgresql.org/docs/current/logical-replication-publication.html)).
  - An existing publication is altered by what differs, all in one transaction. It is never dropped and made again, because a slot that
    reads it would get stuck. Where thousands of tables take several transactions, a table that is to be published differently leaves and
    comes in the same one. Tables are locked in C(SHARE UPDATE EXCLUSIVE) mode, which no reading or writing of rows waits for, and only
    those that are added or removed.
  - A publication that is C(FOR ALL TABLES) cannot become a list of tables, nor the reverse. The task fails and says what can be done.
  - PostgreSQL refuses to update and delete rows of a published table without a replica identity. So that no application runs into it,
    tables are checked for it first, see O(keyless_tables). So are row filters that use columns outside the replica identity, and column
    lists that leave columns of it out. These always fail the task. From PostgreSQL 18 on, a replica identity with a generated column that
    is not published is none that serves; C(REPLICA IDENTITY FULL) of a table with a generated column is such a one.
  - What the current role may not do fails the task before anything is changed. Making a publication takes C(CREATE) on the database,
    altering one its ownership, adding a table the table's ownership. Publishing schemas or all tables takes a superuser; on Neon a
    member of C(neon_superuser) may make such a publication, but nobody can add schemas to an existing one.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  name:
    description: Name of the publication.
    type: str
    default: streamkap_pub
  state:
    description:
      - V(present) makes or alters the publication so that it publishes what is named. Something must be.
      - V(absent) drops it. All other options are without effect.
      - Reading a slot fails for good when its publication is dropped. So V(absent) fails while a C(pgoutput) slot of this database reads
        it, which is for sure when the slot's connected reader has asked for it, or when the database has no other publication. With
        other publications and a slot whose reader is not connected nobody can tell, and there is a warning that names the slot. In
        check mode both are warnings.
    type: str
    choices: [present, absent]
    default: present
  all_tables:
    description: Publish all tables of the database, now or later (C(FOR ALL TABLES)).
    type: bool
    default: false
  schemas:
    description:
      - Publish all tables that these schemas hold, now or later (C(FOR TABLES IN SCHEMA)). Needs PostgreSQL 15. Where this is not allowed,
        see O(tables_from_schemas).
      - A schema that does not exist fails the task, and so does an empty list.
    type: list
    elements: str
  tables:
    description:
      - Tables to publish, each as C(schema.table) or as a dictionary. Names are taken as written, no case is folded. A part that holds a
        dot or a double quote goes into double quotes as in SQL.
      - C(name) is the table, as above.
      - C(columns) is a list of the columns to publish. If not given, all are, those to come too. Needs PostgreSQL 15
        (U(https://www.postgresql.org/docs/current/logical-replication-col-lists.html)).
      - C(where) is a row filter, an SQL expression over the table's columns as for C(CREATE PUBLICATION ... WHERE). Needs PostgreSQL 15
        (U(https://www.postgresql.org/docs/current/logical-replication-row-filter.html)).
      - A row filter is compared with the existing one by how PostgreSQL plans the two, so it may be written in any way, also as
        RV(publication.tables) shows it, and only a difference in meaning is a change. The order of what C(AND) or C(OR) connects, however,
        counts as a difference. Columns may be qualified by the table's name, not by its schema.
      - Row filters and column lists of partitioned tables need O(publish_via_partition_root=true).
      - Only ordinary and partitioned tables that are neither temporary nor unlogged can be published; others fail the task by name. So does
        a table that does not exist. In check mode that is a warning, because an earlier task may be about to make it.
      - A partitioned table stands for all its partitions, those to come too. Tables that inherit from a table in the way that is not
        partitioning (C(INHERITS)) are not published along with it; name them.
    type: list
    elements: raw
  tables_from_schemas:
    description:
      - Publish the tables that these schemas hold now, one by one, except O(exclude_tables). Any owner of the tables can do so. Tables that
        are made later are published by the next run.
      - These are permanent ordinary and partitioned tables that no extension owns. A partition is left to the partitioned table when that
        is published too, in whatever schema it lies. Unlogged tables are left out with a warning, views and foreign tables without.
      - A table that is also in O(tables) is published as is said there.
      - A schema that does not exist fails the task, and so does an empty list.
    type: list
    elements: str
  exclude_tables:
    description:
      - Tables of O(tables_from_schemas) that are not published; of a partitioned one neither are the partitions.
      - A table that does not exist, or is in no schema of O(tables_from_schemas), fails the task, so that no slip of spelling publishes
        what is to stay unpublished.
    type: list
    elements: str
  keyless_tables:
    description:
      - What to do about tables whose updates and deletes PostgreSQL refuses to the application while they are published, because they have
        no replica identity. These are tables without a primary key or with a deferrable one, with C(REPLICA IDENTITY NOTHING), or with one
        of an index that is gone. Of a partitioned table the partitions count, each on its own.
      - It does not matter when neither updates nor deletes are published, see O(publish).
      - V(fail) fails the task, naming them.
      - V(skip) leaves them out, a partitioned table as a whole, with a warning. What O(all_tables) and O(schemas) cover cannot be left out
        and fails the task.
      - V(include) publishes them all the same, with a warning.
    type: str
    choices: [fail, skip, include]
    default: fail
  publish:
    description:
      - The operations that are published. If not given, an existing publication is left as it is, and a new one publishes all four.
    type: list
    elements: str
    choices: [insert, update, delete, truncate]
  publish_via_partition_root:
    description:
      - Whether changes of partitions are published as changes of the topmost published partitioned table. If not given, an existing
        publication is left as it is, and a new one publishes them under the partitions' own names.
    type: bool
  owner:
    description:
      - Role that owns the publication. If not given, an existing publication is left as it is, and a new one belongs to the current role.
      - The current role must be able to C(SET ROLE) to it, and it needs C(CREATE) on the database.
    type: str
  exclusive:
    description:
      - Whether the publication publishes nothing but what is named here. What else it published is removed; the diff and
        RV(queries) name it.
      - With V(false) tables and schemas are only added. A table that is named here is published as is said here, in either case.
    type: bool
    default: true
  dropped_before:
    description:
      - Slots that tasks before this one drop, so that a check of O(state=absent) does not say that the publication is read through them.
    type: list
    elements: str
    default: []
notes:
  - Make the publication before the slot. A slot cannot be read through a publication that was made after it, from before that time on.
  - To show a row filter PostgreSQL locks its table like a reader does. So looking at a filtered table, in check mode too, waits for whoever
    holds an C(ACCESS EXCLUSIVE) lock on it, O(lock_timeout) at most.
  - The parameter C(publish_generated_columns) of PostgreSQL 18 is left alone.
seealso:
  - module: streamkap.neon.slot
  - module: streamkap.neon.replica_identity
  - module: streamkap.neon.signal_table
    description: The table must be in the publication, or no signal reaches the connector.
"""

EXAMPLES = r"""
- name: The signal table
  streamkap.neon.signal_table:

- name: The tables that two schemas hold now, but for one, and the signal table
  streamkap.neon.publication:
    tables_from_schemas: [app, billing]
    exclude_tables: [billing.payments]
    tables: [streamkap.streamkap_signal]
    publish_via_partition_root: true

- name: One more table, whatever else is published
  streamkap.neon.publication:
    tables: [billing.payments]
    exclusive: false
  register: first

- name: For a second connector inserts only, of one table all and of another a part
  when: first.server.version >= 150000
  streamkap.neon.publication:
    name: streamkap_pub_2
    tables:
      - app.customers
      - name: app.orders
        columns: [id, status, ordered_at]
        where: status IN ('paid', 'shipped') AND ordered_at > '2026-01-01'
    publish: [insert]

- name: No second publication any more
  streamkap.neon.publication:
    name: streamkap_pub_2
    state: absent
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ['ALTER PUBLICATION "streamkap_pub" DROP TABLE "app"."drafts"', 'ALTER PUBLICATION "streamkap_pub" ADD TABLE "app"."orders"']
publication:
  description: The publication as it now stands.
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
      description: The role that owns it, or null when it does not exist.
      type: str
      sample: neondb_owner
    all_tables:
      description: Whether it publishes all tables, or null when it does not exist.
      type: bool
      sample: false
    schemas:
      description: The schemas that it publishes, sorted.
      type: list
      elements: str
      sample: []
    tables:
      description: The tables that it names, sorted. Partitions, and tables of the schemas, are not among them unless they are named.
      type: list
      elements: dict
      contains:
        name:
          description: The table, as O(tables) takes it.
          type: str
          sample: app.orders
        columns:
          description: The columns that are published, in the table's order, or null for all.
          type: list
          elements: str
          sample: [id, status]
        where:
          description: The row filter as PostgreSQL shows it, or null.
          type: str
          sample: (status = ANY (ARRAY['paid'::text, 'shipped'::text]))
    publish:
      description: The operations that it publishes.
      type: list
      elements: str
      sample: [insert, update, delete, truncate]
    publish_via_partition_root:
      description: Whether changes of partitions are published as changes of the partitioned table, or null when it does not exist.
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
  sample: Run as the database's owner, or GRANT CREATE ON DATABASE to the current role.
keyless_tables:
  description: The tables whose updates and deletes would fail in the application, partitions by their own names.
  returned: failure, when that is the reason
  type: list
  elements: str
  sample: [app.audit_log]
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.publication import Publication
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        Publication,
        {
            "name": {"type": "str", "default": "streamkap_pub"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "all_tables": {"type": "bool", "default": False},
            "schemas": {"type": "list", "elements": "str"},
            "tables": {"type": "list", "elements": "raw"},
            "tables_from_schemas": {"type": "list", "elements": "str"},
            "exclude_tables": {"type": "list", "elements": "str"},
            "keyless_tables": {"type": "str", "choices": ["fail", "skip", "include"], "default": "fail"},
            "publish": {"type": "list", "elements": "str", "choices": ["insert", "update", "delete", "truncate"]},
            "publish_via_partition_root": {"type": "bool"},
            "owner": {"type": "str"},
            "exclusive": {"type": "bool", "default": True},
            "dropped_before": {"type": "list", "elements": "str", "default": []},
        },
    )


if __name__ == "__main__":
    main()
