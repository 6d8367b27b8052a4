#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slot
short_description: A logical replication slot, and its health
version_added: 0.1.0
description:
  - Makes, checks or drops the logical replication slot through which a connector reads the changes of a database
    (U(https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS)).
  - A slot's name is taken on the whole server. The task fails, and says what is wrong, for a slot of this name that is of another
    database or plugin, physical, or temporary, in either O(state).
  - What cannot be captured is found before anything is done. A server whose C(wal_level) is not C(logical), one whose slots are all
    taken, and a current role without C(REPLICATION) each fail the task.
  - Making a slot waits until every transaction that was writing when it began has ended, on the whole server
    (U(https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-CONSISTENCY)).
    O(statement_timeout) bounds this, O(lock_timeout) does not, because nobody is blocked meanwhile. When it runs out, no slot is left
    behind and the task fails with PostgreSQL's C(57014) and names who was in the way.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._connection
  - streamkap.neon._attributes
options:
  name:
    description: Name of the slot. Lower-case letters, digits and underscores, 63 at most.
    type: str
    default: streamkap_pgoutput_slot
  plugin:
    description: Output plugin of the slot. Streamkap reads through the default. Neon has V(wal2json) besides.
    type: str
    default: pgoutput
  publication:
    description:
      - The publication that is read through the slot.
      - If given, the slot is not made before it exists, because changes made before a publication exists cannot be read through it.
        For an existing slot without this publication there is a warning.
    type: str
  failover:
    description:
      - Whether the slot is synchronized to standbys, for a server with physical standbys. Needs PostgreSQL 17
        (U(https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION)).
        Neon has no use for it.
      - If not given, an existing slot is left as it is, and a new one has it off. SQL cannot change it for an existing slot, so a
        difference fails the task and the message says what can.
    type: bool
  two_phase:
    description:
      - Whether prepared transactions are decoded when they are prepared
        (U(https://www.postgresql.org/docs/current/logicaldecoding-two-phase-commits.html)).
      - If not given, an existing slot is left as it is, and a new one has it off. SQL cannot change it for an existing slot.
    type: bool
  state:
    description:
      - V(present) makes the slot when it does not exist.
      - V(absent) drops it. All changes that nobody has read through it are lost to its consumer.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - With O(state=absent), disconnect the consumer that is using the slot. Without it, a slot in use fails the task.
      - Takes a superuser, or a member of the consumer's role or of C(pg_signal_backend). A consumer that comes back at once fails the
        task.
    type: bool
    default: false
  recreate_lost:
    description:
      - With O(state=present), drop a lost slot and make it again. Without it, a lost slot fails the task.
      - The server loses a slot when it needs more WAL than C(max_slot_wal_keep_size) allows, and for other reasons
        (U(https://www.postgresql.org/docs/current/view-pg-replication-slots.html)). Changes are missing then in any case, and only a
        new snapshot of the tables brings the consumer up to date.
    type: bool
    default: false
notes:
  - ROLLBACK does not undo what is done to a slot. When the task fails half way, its message says what is still to be done.
  - An unused slot is a danger. The server keeps all WAL until it is read, unless C(max_slot_wal_keep_size) is set; Neon removes it after
    about 40 hours. The task warns of it when it makes a slot.
seealso:
  - module: streamkap.neon.publication
"""

EXAMPLES = r"""
- name: What is published, which must exist before the slot
  streamkap.neon.publication:
    name: streamkap_pub
    tables: [app.orders]

- name: The slot that the connector reads from
  streamkap.neon.slot:
    publication: streamkap_pub

- name: The same, made anew if its changes are lost already
  streamkap.neon.slot:
    publication: streamkap_pub
    recreate_lost: true

- name: How far the connector is behind
  streamkap.neon.slot:
    name: streamkap_pgoutput_slot
  check_mode: true
  register: found

- name: Behind by at most a gigabyte
  ansible.builtin.assert:
    that: found.slot.lag_bytes < 1024 ** 3

- name: No slot any more, even if a connector is reading from it
  streamkap.neon.slot:
    state: absent
    force: true
"""

RETURN = r"""
queries:
  description: The SQL statements that were executed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["SET LOCAL lock_timeout = 0", "SELECT pg_create_logical_replication_slot('streamkap_pgoutput_slot', 'pgoutput')"]
slot:
  description: The slot as it now stands. Everything but RV(slot.name) and RV(slot.exists) is null when it does not exist.
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
    slot_type:
      description: Its type.
      type: str
      sample: logical
    active:
      description: Whether a consumer is connected to it.
      type: bool
      sample: false
    active_pid:
      description: The server's process for that consumer, or null.
      type: int
      sample: 4711
    wal_status:
      description:
        - Whether the WAL that it needs is there. C(reserved) and C(extended) are well, C(unreserved) is in danger (the task warns of it),
          C(lost) cannot be read any more.
      type: str
      sample: reserved
    invalidation_reason:
      description: Why it is lost, or null. Before PostgreSQL 17 the server does not tell.
      type: str
      sample: wal_removed
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
    safe_wal_size:
      description: WAL, in bytes, that can still be written before it is in danger of getting lost, or null without such a limit.
      type: int
      sample: 1073741824
    failover:
      description: Whether it is synchronized to standbys. Null before PostgreSQL 17.
      type: bool
      sample: false
    two_phase:
      description: Whether prepared transactions are decoded when they are prepared.
      type: bool
      sample: false
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
  sample: "57014"
blockers:
  description: Whom the task has waited for in vain, as M(streamkap.neon.prerequisites) returns them.
  returned: failure, when it has waited for somebody
  type: list
  elements: dict
hint:
  description: What to do about a failure. It is part of RV(ignore:msg) too.
  returned: failure
  type: str
  sample: Stop the connector first, or set force to true to disconnect it.
"""

from ansible_collections.streamkap.neon.plugins.module_utils._resources.slot import Slot
from ansible_collections.streamkap.neon.plugins.module_utils._task import run


def main() -> None:
    run(
        Slot,
        {
            "name": {"type": "str", "default": "streamkap_pgoutput_slot"},
            "plugin": {"type": "str", "default": "pgoutput"},
            "publication": {"type": "str"},
            "failover": {"type": "bool"},
            "two_phase": {"type": "bool"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
            "recreate_lost": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
