#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_pipeline
short_description: A pipeline in Streamkap, from a source to a destination
version_added: 0.2.0
description:
  - Makes, changes or removes one pipeline through Streamkap's REST API. It says which topics of a source are written to a destination.
  - It waits until the source and the destination run.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
attributes:
  idempotent:
    description: Run again, it changes nothing.
    support: full
options:
  name:
    description: The pipeline's name, exactly.
    type: str
    required: true
  state:
    description:
      - V(present) makes the pipeline, or makes it as it is to be.
      - V(absent) removes it. Its source and its destination stay, and what was written stays.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - The name of the source that it reads. Either this or O(source_id) is required for a new pipeline.
      - A pipeline that reads another source is left alone, and the task fails.
    type: str
  source_id:
    description: The id of that source.
    type: str
  destination:
    description:
      - The name of the destination that it writes to. Either this or O(destination_id) is required for a new pipeline.
      - A pipeline that writes to another destination is left alone, and the task fails.
    type: str
  destination_id:
    description: The id of that destination.
    type: str
  topics:
    description:
      - What goes through it, as C(schema.table). A name of a topic is taken too. It is the whole list.
      - If not given, a new pipeline gets all that its source captures, and an existing one is left alone.
    type: list
    elements: str
  snapshot_new_tables:
    description:
      - Whether the rows that a table has when it comes into the pipeline are read, too. Otherwise only what changes from then on goes
        through.
      - If not given, a new pipeline gets V(true), as in Streamkap's Terraform provider, and an existing one is left alone.
    type: bool
  tags:
    description:
      - The pipeline's tags, by their names or ids. It is the whole list, and an empty one clears them.
      - If not given, they are left alone.
    type: list
    elements: str
  wait:
    description:
      - Whether to return only when the source and the destination are active, or when the pipeline is gone. Where one of them breaks, the
        task fails with what its tasks say.
      - One that is paused, stopped or was never deployed is not waited for, and the task warns.
    type: bool
    default: true
seealso:
  - module: streamkap.neon.streamkap_pipeline_info
  - module: streamkap.neon.streamkap_source
  - module: streamkap.neon.streamkap_destination
notes:
  - Transforms, and a periodic audit, are made in Streamkap. A change keeps those that a pipeline has.
"""

EXAMPLES = r"""
- name: All that the source captures goes to the warehouse
  streamkap.neon.streamkap_pipeline:
    name: shop to warehouse
    source: shop
    destination: warehouse

- name: Two tables, and only what changes from now on
  streamkap.neon.streamkap_pipeline:
    name: orders to warehouse
    source: shop
    destination: warehouse
    topics: [app.orders, app.customers]
    snapshot_new_tables: false
    tags: [Production]
"""

RETURN = r"""
pipeline:
  description: The pipeline as it now stands, or in check mode would. Only its name and C(exists) where there is none.
  returned: success, and on failure where the pipeline is known
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: shop to warehouse
    exists:
      description: Whether there is one.
      type: bool
      sample: true
    id:
      description: Its id, or null in check mode where it would be made.
      type: str
      sample: 65f1c0ffee0000000000f3e4
    source:
      description: The source that it reads, with C(id), C(name), C(connector), and C(status) where Streamkap tells it.
      type: dict
      sample: {id: 65f1c0ffee0000000000a1b2, name: shop, connector: postgresql, status: Active}
    destination:
      description: The destination that it writes to, likewise.
      type: dict
      sample: {id: 65f1c0ffee0000000000d1e2, name: warehouse, connector: clickhouse, status: Active}
    topics:
      description: The topics that go through it, without the source's id in front.
      type: list
      elements: str
      sample: [app.orders, app.customers]
    snapshot_new_tables:
      description: Whether tables that are new in it are read as a whole.
      type: bool
      sample: true
    tags:
      description: The ids of its tags.
      type: list
      elements: str
      sample: []
requests:
  description: The requests that were sent to change something, or in check mode would be.
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
      sample: /pipelines/65f1c0ffee0000000000f3e4
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
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.pipeline import (
    DesiredPipeline,
    converge_pipeline,
)
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.plan import ABSENT, PRESENT
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": [PRESENT, ABSENT], "default": PRESENT},
    "source": {"type": "str"},
    "source_id": {"type": "str"},
    "destination": {"type": "str"},
    "destination_id": {"type": "str"},
    "topics": {"type": "list", "elements": "str"},
    "snapshot_new_tables": {"type": "bool"},
    "tags": {"type": "list", "elements": "str"},
    "wait": {"type": "bool", "default": True},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    desired = DesiredPipeline.of(options)
    return converge_pipeline(StreamkapApi.from_options(options), desired, check_mode, options["wait"])


def main() -> None:
    run(
        work,
        STREAMKAP_API_OPTIONS,
        OPTIONS,
        mutually_exclusive=[("source", "source_id"), ("destination", "destination_id")],
    )


if __name__ == "__main__":
    main()
