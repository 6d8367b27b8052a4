#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_source_info
short_description: Sources in Streamkap, how they are configured, and how they are
version_added: 0.2.0
description:
  - Looks at one source in Streamkap, or at all that the API token may see. It changes nothing.
  - There are no passwords in it, and none are asked for.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
options:
  name:
    description: The source's name, exactly. All sources, if neither this nor O(id) is given.
    type: str
  id:
    description: The source's id.
    type: str
seealso:
  - module: streamkap.neon.streamkap_source
  - module: streamkap.neon.readiness_info
"""

EXAMPLES = r"""
- name: One source
  streamkap.neon.streamkap_source_info:
    name: shop
  register: found

- name: It captures
  ansible.builtin.assert:
    that: found.sources | map(attribute='status') == ['Active']
    fail_msg: "{{ found.sources | map(attribute='tasks') | flatten | map(attribute='error') | select | join(' ') }}"

- name: All of them
  streamkap.neon.streamkap_source_info:
  register: found

- name: Those that are broken
  ansible.builtin.debug:
    msg: "{{ found.sources | selectattr('status', 'eq', 'Broken') | map(attribute='name') }}"
"""

RETURN = r"""
sources:
  description: The sources, in the order of their names. None, where there is no such source.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: shop
    exists:
      description: Always true, as in what M(streamkap.neon.streamkap_source) returns.
      type: bool
      sample: true
    id:
      description: Its id.
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
error:
  description: What Streamkap's API said, where it refused, with C(message), C(request_id) and C(status).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.entities import INFO_OPTIONS, SOURCE, Entities
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.told import describe
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi


def work(options: dict[str, Any], _check_mode: bool) -> Outcome:
    api = StreamkapApi.from_options(options)
    found = Entities(api, SOURCE).select(options["name"], options["id"])
    return Outcome(result={"sources": [describe(source, "", api.hide) for source in found]})


def main() -> None:
    run(
        work,
        STREAMKAP_API_OPTIONS,
        INFO_OPTIONS,
        mutually_exclusive=[("name", "id")],
    )


if __name__ == "__main__":
    main()
