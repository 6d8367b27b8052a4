#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_pipeline_info
short_description: Pipelines in Streamkap, and what goes through them
version_added: 0.2.0
description:
  - Looks at one pipeline in Streamkap, or at all that the API token may see. It changes nothing.
  - There are no secrets in it, and none are asked for.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
options:
  name:
    description: The pipeline's name, exactly. All pipelines, if neither this nor O(id) is given.
    type: str
  id:
    description: The pipeline's id.
    type: str
seealso:
  - module: streamkap.neon.streamkap_pipeline
"""

EXAMPLES = r"""
- name: One pipeline
  streamkap.neon.streamkap_pipeline_info:
    name: shop to warehouse
  register: found

- name: All of them
  streamkap.neon.streamkap_pipeline_info:
  register: found

- name: Those that read a source
  ansible.builtin.debug:
    msg: "{{ found.pipelines | selectattr('source.name', 'eq', 'shop') | map(attribute='name') }}"
"""

RETURN = r"""
pipelines:
  description: The pipelines, in the order of their names. None, where there is no such pipeline.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: shop to warehouse
    exists:
      description: Always true, as in what M(streamkap.neon.streamkap_pipeline) returns.
      type: bool
      sample: true
    id:
      description: Its id.
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
error:
  description: What Streamkap's API said, where it refused, with C(message), C(request_id) and C(status).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.entities import INFO_OPTIONS, PIPELINE, Entities
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.pipeline import describe_pipeline
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi


def work(options: dict[str, Any], _check_mode: bool) -> Outcome:
    api = StreamkapApi.from_options(options)
    found = Entities(api, PIPELINE).select(options["name"], options["id"])
    return Outcome(result={"pipelines": [describe_pipeline(one, "") for one in found]})


def main() -> None:
    run(work, STREAMKAP_API_OPTIONS, INFO_OPTIONS, mutually_exclusive=[("name", "id")])


if __name__ == "__main__":
    main()
