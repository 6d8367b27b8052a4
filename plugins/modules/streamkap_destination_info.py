#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_destination_info
short_description: Destinations in Streamkap, how they are configured, and how they are
version_added: 0.2.0
description:
  - Looks at one destination in Streamkap, or at all that the API token may see. It changes nothing.
  - There are no secrets in it, and none are asked for.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
options:
  name:
    description: The destination's name, exactly. All destinations, if neither this nor O(id) is given.
    type: str
  id:
    description: The destination's id.
    type: str
seealso:
  - module: streamkap.neon.streamkap_destination
"""

EXAMPLES = r"""
- name: One destination
  streamkap.neon.streamkap_destination_info:
    name: warehouse
  register: found

- name: All of them
  streamkap.neon.streamkap_destination_info:
  register: found
"""

RETURN = r"""
destinations:
  description: The destinations, in the order of their names. None, where there is no such destination.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: warehouse
    exists:
      description: Always true, as in what M(streamkap.neon.streamkap_destination) returns.
      type: bool
      sample: true
    id:
      description: Its id.
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
error:
  description: What Streamkap's API said, where it refused, with C(message), C(request_id) and C(status).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.entities import (
    DESTINATION,
    INFO_OPTIONS,
    Entities,
)
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.told import describe_connector
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi


def work(options: dict[str, Any], _check_mode: bool) -> Outcome:
    api = StreamkapApi.from_options(options)
    found = Entities(api, DESTINATION).select(options["name"], options["id"])
    return Outcome(result={"destinations": [describe_connector(one, "", api.hide) for one in found]})


def main() -> None:
    run(work, STREAMKAP_API_OPTIONS, INFO_OPTIONS, mutually_exclusive=[("name", "id")])


if __name__ == "__main__":
    main()
