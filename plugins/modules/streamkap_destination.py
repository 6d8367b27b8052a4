#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_destination
short_description: A destination in Streamkap, how it is configured, and whether it runs
version_added: 0.2.0
description:
  - Makes, changes, pauses, starts or removes one destination through Streamkap's REST API, and waits until it is so.
  - It is configured by the keys of the API, whatever the system. Streamkap's Terraform provider documents them for each destination, with
    underscores in place of dots. What is not given is left alone, and has Streamkap's default in a new destination.
  - Rows go to it through a pipeline, see M(streamkap.neon.streamkap_pipeline).
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
attributes:
  idempotent:
    description: Run again, it changes nothing.
    support: partial
    details: With O(update_secrets=always) it does, where Streamkap does not tell the secrets that it has.
options:
  name:
    description: The destination's name, exactly. No two destinations of a tenant have the same.
    type: str
    required: true
  state:
    description:
      - V(present) makes the destination, or makes it as it is to be. Whether an existing one runs is left alone.
      - V(running) is the same, and starts one that is paused, stopped or not deployed yet, and one that is broken anew.
      - V(paused) is the same, and pauses it. What its sources capture is kept by Streamkap meanwhile, for as long as the topics keep it.
      - V(absent) removes it. What was written stays. A destination that pipelines write to is not removed; the task fails and names them.
    type: str
    choices: [present, absent, paused, running]
    default: present
  connector:
    description: Streamkap's code of the system, such as V(clickhouse), V(snowflake) or V(postgresql). Required for a new destination.
    type: str
  config:
    description:
      - Keys of the API's C(config), as they are there. Null empties one.
      - What is secret is not taken here.
    type: dict
  secret_config:
    description:
      - Those whose values are secret, such as C(connection.password). Null says that there is none. Secret.
    type: dict
  update_secrets:
    description:
      - V(on_create) gives a destination its secrets when it is made.
      - V(always) gives them whenever they are others. Streamkap may not tell those that it has; they are then given each time.
    type: str
    choices: [on_create, always]
    default: on_create
  tags:
    description:
      - The destination's tags, by their names or ids. It is the whole list, and an empty one clears them.
      - If not given, they are left alone.
    type: list
    elements: str
  wait:
    description:
      - Whether to return only when the destination is active and all of its tasks run, when it is paused, or when it is gone.
      - One without a pipeline has nothing to do, and is waited for no longer than until Streamkap has it.
    type: bool
    default: true
seealso:
  - module: streamkap.neon.streamkap_destination_info
  - module: streamkap.neon.streamkap_pipeline
notes:
  - A change is sent together with all that the destination is configured to, because that takes the place of what was there. For that the
    module reads the secrets that Streamkap has. Where Streamkap does not tell one, it has to be in O(secret_config).
"""

EXAMPLES = r"""
- name: A warehouse
  streamkap.neon.streamkap_destination:
    name: warehouse
    connector: clickhouse
    config:
      hostname: warehouse.example.com
      port: "8443"
      database: shop
      connection.username: streamkap
      ssl: true
    secret_config:
      connection.password: "{{ vault_warehouse_password }}"

- name: Another database of it
  streamkap.neon.streamkap_destination:
    name: warehouse
    config:
      database: shop_2
    secret_config:
      connection.password: "{{ vault_warehouse_password }}"
"""

RETURN = r"""
destination:
  description: The destination as it now stands, or in check mode would. Only its name and C(exists) where there is none.
  returned: success, and on failure where the destination is known
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: warehouse
    exists:
      description: Whether there is one.
      type: bool
      sample: true
    id:
      description: Its id, or null in check mode where it would be made.
      type: str
      sample: 65f1c0ffee0000000000d1e2
    connector:
      description: Streamkap's code of the system.
      type: str
      sample: clickhouse
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
      description: The topics that are written to it.
      type: list
      elements: str
      sample: [source_65f1c0ffee0000000000a1b2.app.orders]
    tags:
      description: The ids of its tags.
      type: list
      elements: str
      sample: []
    config:
      description: How it is configured, by the keys of the API and as Streamkap tells it, without what is secret.
      type: dict
      sample: {hostname: warehouse.example.com, port: "8443"}
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
      sample: /destinations/65f1c0ffee0000000000d1e2
    body:
      description: What is sent, without what is secret.
      type: dict
error:
  description: What Streamkap's API said, where it refused, with C(message), C(request_id) and C(status).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.destination import (
    DesiredDestination,
    converge_destination,
)
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.plan import PRESENT, STATES
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": PRESENT},
    "connector": {"type": "str"},
    "config": {"type": "dict"},
    "secret_config": {"type": "dict", "no_log": True},
    "update_secrets": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "tags": {"type": "list", "elements": "str"},
    "wait": {"type": "bool", "default": True},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    desired = DesiredDestination.of(options)
    return converge_destination(StreamkapApi.from_options(options), desired, check_mode, options["wait"])


def main() -> None:
    run(work, STREAMKAP_API_OPTIONS, OPTIONS)


if __name__ == "__main__":
    main()
