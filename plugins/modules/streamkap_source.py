#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_source
short_description: A PostgreSQL source in Streamkap, how it is configured, and whether it runs
version_added: 0.2.0
description:
  - Makes, changes, pauses, starts or removes one PostgreSQL source through Streamkap's REST API, and waits until it is so.
  - The options have the names that they have in Streamkap's Terraform provider. What is not given is left alone, and has Streamkap's
    default in a new source.
  - What can be told to be wrong without asking is told before anything is sent, such as a pooled host or a signal table without a schema.
  - The database itself is not looked at. M(streamkap.neon.readiness_info) does that, and a source that breaks points to it.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
attributes:
  idempotent:
    description: Run again, it changes nothing.
    support: partial
    details: With O(update_password=always) it does, where Streamkap does not tell the password that it has.
options:
  name:
    description:
      - The source's name, exactly. No two sources of a tenant have the same.
      - Where O(database_hostname), O(database_port) or O(database_dbname) are given and the source of this name is of another database, the
        task fails and says what differs, also with O(state=absent). See O(adopt).
    type: str
    required: true
  state:
    description:
      - V(present) makes the source, or makes it as it is to be. A new one starts. Whether an existing one runs is left alone.
        One that was saved and never deployed (C(Pending)) is not waited for, and the task warns.
      - V(running) is the same, and starts a source that is paused, stopped or not deployed yet, and one that is broken anew.
      - V(paused) is the same, and pauses it. A new one is never started, where Streamkap takes it as paused. Its slot then keeps what the
        server has to keep for it, and that grows.
      - V(absent) removes it. What it has read so far is not forgotten by the slot, which M(streamkap.neon.slot) removes. A source that
        pipelines read is not removed; the task fails and names them.
      - A source that Streamkap is about to remove (C(Pending Delete)) counts as none. But for V(absent), its end is waited for and
        another one is made.
    type: str
    choices: [present, absent, paused, running]
    default: present
  adopt:
    description:
      - Whether a source of another database is taken over, or removed.
      - It has read nothing of the new one. So order a snapshot afterwards, with M(streamkap.neon.streamkap_snapshot).
    type: bool
    default: false
  wait:
    description:
      - Whether to return only when the source is active and all of its tasks run, when it is paused, or when it is gone.
      - Where Streamkap calls it active and does not tell how its tasks are, the task warns after a few seconds, and does not fail.
      - Where it breaks, the task fails with what its tasks say. A source that somebody has paused is not waited for with O(state=present).
    type: bool
    default: true
  database_hostname:
    description:
      - The server's host (C(database.hostname.user.defined)). Required for a new source.
      - On Neon it is the direct host, without C(-pooler).
    type: str
  database_port:
    description: The server's port (C(database.port.user.defined)), from 1 to 65535. Streamkap's default is V(5432).
    type: int
  database_user:
    description: The user that the connector logs in as (C(database.user)). Required for a new source.
    type: str
  database_password:
    description:
      - Its password (C(database.password)). Required for a new source. Secret.
      - Where an SSH tunnel leads to Neon, it is the password behind C(endpoint=ENDPOINT-ID;), because the tunnel hides the host name from
        which Neon knows the compute.
    type: str
  update_password:
    description:
      - V(on_create) gives a source its password when it is made.
      - V(always) gives it whenever it is another one. Streamkap may not tell the one that it has; it is then given each time.
    type: str
    choices: [on_create, always]
    default: on_create
  database_dbname:
    description: The database (C(database.dbname)). Required for a new source.
    type: str
  database_sslmode:
    description:
      - Whether the connection is encrypted (C(database.sslmode)). Streamkap's default is V(require).
      - Neon takes no other.
    type: str
    choices: [require, disable]
  schema_include_list:
    description: The schemas to capture (C(schema.include.list)). Required for a new source.
    type: list
    elements: str
  table_include_list:
    description:
      - The tables to capture, as C(schema.table) (C(table.include.list.user.defined)). Required for a new source.
      - It is the whole list. A table that is taken out is captured no longer.
    type: list
    elements: str
  column_include_list_toggled:
    description:
      - Whether it is O(column_include_list) that counts, V(true), or O(column_exclude_list), V(false) (C(column.include.list.toggled)).
      - If not given and one of the lists is, that one counts. Streamkap's default is V(true).
    type: bool
  column_include_list:
    description:
      - The only columns to capture, as regular expressions like C(app\.orders\.(id|name)) (C(column.include.list.user.defined)).
      - Together with O(column_exclude_list), O(column_include_list_toggled) says which of them counts. An empty list empties it.
    type: list
    elements: str
  column_exclude_list:
    description:
      - The columns not to capture, as regular expressions of C(schema.table.column) (C(column.exclude.list.user.defined)).
      - Together with O(column_include_list), O(column_include_list_toggled) says which of them counts. An empty list empties it.
    type: list
    elements: str
  snapshot_read_only:
    description:
      - Whether snapshots write nothing to the database (C(snapshot.read.only.user.defined)). Streamkap's default is V(true).
      - V(false) takes O(signal_data_collection_schema_or_database), and does not go with a read replica.
    type: bool
  signal_data_collection_schema_or_database:
    description:
      - The full path of the signal table, C(schema.streamkap_signal) (C(signal.data.collection.schema.or.database)). Other
        forms, which older versions of Streamkap took, are sent with a warning.
      - It is to be in the publication. Two sources do not share one.
    type: str
  heartbeat_enabled:
    description: Whether there is a heartbeat (C(heartbeat.enabled)). Streamkap's default is V(true).
    type: bool
  heartbeat_data_collection_schema_or_database:
    description:
      - The schema of the table C(streamkap_heartbeat), which is then written to (C(heartbeat.data.collection.schema.or.database)).
      - Without it, the heartbeat does not reach the database. An empty text empties it.
    type: str
  heartbeat_use_logical_message:
    description:
      - Whether the heartbeat is a message in the write-ahead log, in place of a table (C(heartbeat.use.logical.message)). It takes
        PostgreSQL 14, and no privilege.
      - Streamkap's default is V(false).
    type: bool
  slot_name:
    description:
      - The replication slot (C(slot.name)). Streamkap's default is V(streamkap_pgoutput_slot).
      - This module gives it only when a source is made, because changes would be lost in between. The task fails where it is another one.
    type: str
  publication_name:
    description:
      - The publication (C(publication.name)). Streamkap's default is V(streamkap_pub).
      - This module gives it only when a source is made, because changes would be lost in between. The task fails where it is another one.
    type: str
  include_source_db_name_in_table_name:
    description:
      - Whether names of topics begin with the database's (C(include.source.db.name.in.table.name.user.defined)).
      - Streamkap's default is V(false).
    type: bool
  binary_handling_mode:
    description: How binary values are written (C(binary.handling.mode)). Streamkap's default is V(bytes).
    type: str
    choices: [bytes, base64, base64-url-safe, hex]
  ssh_enabled:
    description: Whether an SSH tunnel leads to the database (C(ssh.enabled)). Streamkap's default is V(false).
    type: bool
  ssh_host:
    description: The bastion (C(ssh.host)). Required with O(ssh_enabled=true).
    type: str
  ssh_port:
    description: The bastion's port (C(ssh.port)), from 1 to 65535. Streamkap's default is V(22).
    type: int
  ssh_user:
    description:
      - The bastion's user (C(ssh.user)). Streamkap's default is V(streamkap).
      - Streamkap makes the key. It is in RV(source.ssh_public_key), once there is a source.
    type: str
  streamkap_snapshot_parallelism:
    description:
      - How many parts of a table are read at a time (C(streamkap.snapshot.parallelism)), from 1 to 10. Streamkap's default is V(1).
    type: int
  streamkap_snapshot_chunk_size_bytes:
    description:
      - How large such a part is, in bytes (C(streamkap.snapshot.chunk.size.bytes)), from 4096 to 8388608.
      - Streamkap's default is V(524288).
    type: int
  streamkap_snapshot_state_refresh_ms:
    description:
      - How often it is said how far a snapshot is, in milliseconds (C(streamkap.snapshot.state.refresh.ms)), from 1000 to 60000.
      - Streamkap's default is V(30000).
    type: int
  source_regex_support_enabled:
    description:
      - Whether O(table_include_list) holds regular expressions, and several tables go to one topic (C(SourceRegexSupport.enabled)).
      - Streamkap's default is V(false).
    type: bool
  transforms_source_regex_support_regex_replacement:
    description:
      - What stands in a topic's name for what is matched (C(transforms.SourceRegexSupport.regex.replacement)).
      - Streamkap's default is V(_REGEX_).
    type: str
  transforms_source_regex_support_key_field_template:
    description:
      - What is put into the key, to tell the tables apart (C(transforms.SourceRegexSupport.key.field.template)).
      - Streamkap's default is V({{database}}.{{table}}). Mark such a value C(!unsafe) in a playbook.
    type: str
  transforms_source_regex_support_metadata_field_name:
    description:
      - The field that says where a row is from (C(transforms.SourceRegexSupport.metadata.field.name)).
      - Streamkap's default is V(_streamkap_source_metadata).
    type: str
  predicates_is_topic_to_enrich_pattern:
    description:
      - Which topics the static fields below are added to, as a regular expression (C(predicates.IsTopicToEnrich.pattern)).
      - Streamkap's default is V($^), which is none.
    type: str
  transforms_insert_static_key1_static_field:
    description: The name of a field that is added to the key (C(transforms.InsertStaticKey1.static.field)).
    type: str
  transforms_insert_static_key1_static_value:
    description: The value of the field that is added to the key (C(transforms.InsertStaticKey1.static.value)).
    type: str
  transforms_insert_static_key2_static_field:
    description: The name of a field that is added to the key (C(transforms.InsertStaticKey2.static.field)).
    type: str
  transforms_insert_static_key2_static_value:
    description: The value of the field that is added to the key (C(transforms.InsertStaticKey2.static.value)).
    type: str
  transforms_insert_static_value1_static_field:
    description: The name of a field that is added to the value (C(transforms.InsertStaticValue1.static.field)).
    type: str
  transforms_insert_static_value1_static_value:
    description: The value of the field that is added to the value (C(transforms.InsertStaticValue1.static.value)).
    type: str
  transforms_insert_static_value2_static_field:
    description: The name of a field that is added to the value (C(transforms.InsertStaticValue2.static.field)).
    type: str
  transforms_insert_static_value2_static_value:
    description: The value of the field that is added to the value (C(transforms.InsertStaticValue2.static.value)).
    type: str
  transforms_value_to_key_fields_include_list:
    description: Columns that are moved from the value into the key, as C(table.column) (C(transforms.ValueToKey.fields.include.list)).
    type: list
    elements: str
  transforms_value_to_key_replace_null_with_default:
    description:
      - Whether a default of the table takes the place of null there (C(transforms.ValueToKey.replace.null.with.default)).
      - Streamkap's default is V(true).
    type: bool
  preserve_null_values:
    description:
      - Whether null stays null where the column has a default (C(preserve.null.values)). Streamkap's default is V(false).
    type: bool
  transforms_oversized_records_fields_include_list:
    description:
      - Columns whose values are cut when they are too large, as C(table.column) (C(transforms.OversizedRecords.fields.include.list)).
      - None of a primary key may be among them.
    type: list
    elements: str
  transforms_oversized_records_fields_exclude_list:
    description: Columns that are not (C(transforms.OversizedRecords.fields.exclude.list)).
    type: list
    elements: str
  transforms_oversized_records_max_field_size_bytes:
    description:
      - How large a value may be, in bytes (C(transforms.OversizedRecords.max.field.size.bytes)), from 1048576 to 104857600.
      - Streamkap's default is V(1048576).
    type: int
  transforms_oversized_records_oversized_field_behavior:
    description:
      - Whether a value that is larger is cut, or is null (C(transforms.OversizedRecords.oversized.field.behavior)).
      - Streamkap's default is V(TRUNCATE).
    type: str
    choices: [TRUNCATE, NULLIFY]
  transforms_oversized_records_truncation_suffix:
    description: What is put behind a value that was cut (C(transforms.OversizedRecords.truncation.suffix)). Streamkap's default is nothing.
    type: str
  transforms_oversized_records_max_record_size_bytes:
    description:
      - From which size on, in bytes, a record is warned of (C(transforms.OversizedRecords.max.record.size.bytes)), from -1 to 104857600.
      - Streamkap's default is V(-1), which is never.
    type: int
  transforms_oversized_records_semantic_types_exclude:
    description:
      - Types whose values are never cut (C(transforms.OversizedRecords.semantic.types.exclude)).
      - Streamkap's default is V(io.debezium.data.Json) and V(io.debezium.data.Xml).
    type: list
    elements: str
  transforms_oversized_records_replace_null_with_default:
    description:
      - Whether a default of the table takes the place of null there (C(transforms.OversizedRecords.replace.null.with.default)).
      - Streamkap's default is V(true).
    type: bool
  insert_topic_name_enabled:
    description:
      - Whether each row has the name of its topic in the field C(_streamkap_topic) (C(InsertTopicName.enabled)).
      - Streamkap's default is V(false).
    type: bool
  config:
    description:
      - Further keys of the API's C(config), as they are there, for what is newer than this module.
      - The keys that there are options for are taken too, and mean the same. So does what the role P(streamkap.neon.cdc#role) has in
        C(cdc_connector.config). Null is Streamkap's default.
      - What is secret is not taken.
    type: dict
  tags:
    description:
      - The source's tags, by their names or ids. It is the whole list, and an empty one clears them.
      - If not given, they are left alone.
    type: list
    elements: str
  kc_cluster_id:
    description: The Kafka Connect cluster that the source runs on. If not given, it is left alone. For a new one it is Streamkap's default.
    type: str
seealso:
  - module: streamkap.neon.streamkap_source_info
  - module: streamkap.neon.streamkap_snapshot
  - module: streamkap.neon.readiness_info
notes:
  - A change is sent together with all that the source is configured to, because that takes the place of what was there. For that the module
    reads the password that Streamkap has, where Streamkap tells it, and shows it to nobody.
  - An option that does not count by the others (O(ssh_user) without O(ssh_enabled), for example) is left alone where Streamkap does not
    keep it, and the task warns.
"""

EXAMPLES = r"""
- name: The source of a database that the role cdc has prepared
  streamkap.neon.streamkap_source:
    name: "{{ cdc_connector.name }}"
    config: "{{ cdc_connector.config }}"
    database_password: "{{ vault_streamkap_password }}"
    state: running

- name: The same, by hand
  streamkap.neon.streamkap_source:
    name: shop
    database_hostname: ep-cool-darkness-123456.us-east-2.aws.neon.tech
    database_user: streamkap_user
    database_password: "{{ vault_streamkap_password }}"
    database_dbname: shop
    schema_include_list: [app]
    table_include_list: [app.orders, app.customers]
    snapshot_read_only: false
    signal_data_collection_schema_or_database: streamkap.streamkap_signal
    heartbeat_data_collection_schema_or_database: streamkap

- name: What another list of tables would change
  streamkap.neon.streamkap_source:
    name: shop
    table_include_list: [app.orders, app.customers, app.invoices]
  check_mode: true
  diff: true

- name: A new password
  streamkap.neon.streamkap_source:
    name: shop
    database_password: "{{ vault_new_password }}"
    update_password: always

- name: Nothing is read during the maintenance
  streamkap.neon.streamkap_source:
    name: shop
    state: paused

- name: No such source any more, if it is the one of this database
  streamkap.neon.streamkap_source:
    name: shop
    database_hostname: ep-cool-darkness-123456.us-east-2.aws.neon.tech
    database_dbname: shop
    state: absent
"""

RETURN = r"""
source:
  description: The source as it now stands, or in check mode would. Only RV(source.name) and RV(source.exists) where there is none.
  returned: success, and on failure where the source is known
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: shop
    exists:
      description: Whether there is one.
      type: bool
      sample: true
    id:
      description: Its id, or null in check mode where it would be made.
      type: str
      sample: 65f1c0ffee0000000000a1b2
    connector:
      description: The kind of source.
      type: str
      sample: postgresql
    status:
      description: >-
        C(Active), C(Paused), C(Stopped), C(Broken), C(Starting), C(Unassigned), C(Pending), C(Pending Update), C(Pending Delete) or
        C(Unknown).
      type: str
      sample: Active
    desired_state:
      description: >-
        What Streamkap is to make of it, C(Active), C(Paused), C(Stopped), C(Pending), C(Pending Update) or C(Pending Delete).
      type: str
      sample: Active
    tasks:
      description: Its tasks.
      type: list
      elements: dict
      contains:
        id:
          description: The task's number.
          type: str
          sample: "0"
        state:
          description: Kafka Connect's state of it, such as C(RUNNING) or C(FAILED), or null where it is not told.
          type: str
          sample: RUNNING
        error:
          description: What it failed by, 2000 characters at most, or null.
          type: str
    topics:
      description: The topics that it writes to.
      type: list
      elements: str
      sample: [source_65f1c0ffee0000000000a1b2.app.orders]
    tags:
      description: The ids of its tags.
      type: list
      elements: str
      sample: []
    kc_cluster_id:
      description: The Kafka Connect cluster that it runs on, or null for the default one.
      type: str
    ssh_public_key:
      description: The key that Streamkap logs in to a bastion with.
      type: str
      sample: ssh-ed25519 AAAA... streamkap
    settings:
      description:
        - How a PostgreSQL source is configured, by the options of M(streamkap.neon.streamkap_source) and as they have it.
        - What Streamkap does not tell is its default.
      type: dict
      sample: {database_port: 5432, schema_include_list: [app]}
    config:
      description: The same, and more, by the keys of the API and as Streamkap tells it, without what is secret.
      type: dict
      sample: {database.port.user.defined: "5432", schema.include.list: app}
requests:
  description: The requests that were sent to change something, or in check mode would be. Of a change, only what is new in it is shown.
  returned: success
  type: list
  elements: dict
  contains:
    method:
      description: The method of HTTP.
      type: str
      sample: PUT
    path:
      description: What follows O(streamkap_api_url).
      type: str
      sample: /sources/65f1c0ffee0000000000a1b2
    body:
      description: What is sent, without what is secret.
      type: dict
error:
  description: What Streamkap's API said, where it refused.
  returned: failure
  type: dict
  contains:
    message:
      description: Its message, or null.
      type: str
    request_id:
      description: By which Streamkap's support can find it.
      type: str
    status:
      description: The status of HTTP.
      type: int
      sample: 422
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.convergence import converge
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.fields import argument_spec
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.plan import PRESENT, STATES
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.source import Desired
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": PRESENT},
    "adopt": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "database_password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    **argument_spec(),
    "config": {"type": "dict"},
    "tags": {"type": "list", "elements": "str"},
    "kc_cluster_id": {"type": "str"},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    desired = Desired.of(options)
    return converge(StreamkapApi.from_options(options), desired, check_mode, options["wait"])


def main() -> None:
    run(work, STREAMKAP_API_OPTIONS, OPTIONS)


if __name__ == "__main__":
    main()
