#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: streamkap_snapshot
short_description: Orders a snapshot of a source in Streamkap, or stops one
version_added: 0.2.0
description:
  - Has Streamkap read all rows of tables that a source captures, or those that fulfil a condition. It is an order, and each run of the task
    is another one.
  - A new source begins with what changes from then on. A snapshot is how it gets what was there before.
  - M(streamkap.neon.signal) orders one too, past Streamkap, which then does not know of it. So use this module where the source is
    Streamkap's.
  - With O(state=stopped) it stops the one that runs. What was read is kept.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._streamkap_api
attributes:
  diff_mode:
    description: Nothing is there before and after an order.
    support: none
options:
  source:
    description: The source's name, exactly. Either this or O(source_id) is required.
    type: str
  source_id:
    description: The source's id.
    type: str
  state:
    description:
      - V(ordered) orders one.
      - V(stopped) stops the one that runs, of whichever type. Where none runs, it changes nothing.
      - A blocking one is stopped by a restart of the connector, and then has to be ordered again as a whole.
    type: str
    choices: [ordered, stopped]
    default: ordered
  tables:
    description:
      - The tables to read, as C(schema.table). A name of a topic is taken too. All tables of the source, if not given.
      - With O(state=stopped), those that an incremental snapshot is to read no longer.
    type: list
    elements: str
  snapshot_type:
    description:
      - V(incremental) reads in parts, while changes go on to be captured. It takes a primary key, or O(surrogate_key).
      - V(blocking) captures no changes while it reads. It may hold locks, and takes no key.
    type: str
    choices: [incremental, blocking]
    default: incremental
  filters:
    description: For each table that is not read as a whole, the condition in SQL that its rows are to fulfil. Only with V(incremental).
    type: dict
  surrogate_key:
    description: The column that rows are read in the order of, in place of a primary key. Only with V(incremental).
    type: str
  wait:
    description:
      - Whether to return only when all is read, which may take long (see O(streamkap_wait_timeout)). Where another snapshot runs already,
        its end is waited for first. With O(state=stopped), when none runs any more.
      - Without it, a snapshot that runs already is no failure. The task then warns that nothing was ordered, and has changed nothing.
    type: bool
    default: false
seealso:
  - module: streamkap.neon.streamkap_source
  - module: streamkap.neon.signal
"""

EXAMPLES = r"""
- name: All that a new source has not seen
  streamkap.neon.streamkap_snapshot:
    source: shop
    wait: true
    streamkap_wait_timeout: 7200

- name: This year's orders, again
  streamkap.neon.streamkap_snapshot:
    source: shop
    tables: [app.orders]
    filters:
      app.orders: ordered_at >= '2026-01-01'

- name: Not during business hours
  streamkap.neon.streamkap_snapshot:
    source: shop
    state: stopped

- name: A table without a primary key
  streamkap.neon.streamkap_snapshot:
    source: shop
    tables: [app.log]
    snapshot_type: blocking
"""

RETURN = r"""
snapshot:
  description: What was ordered.
  returned: success
  type: dict
  contains:
    source:
      description: The source's name.
      type: str
      sample: shop
    source_id:
      description: The source's id.
      type: str
      sample: 65f1c0ffee0000000000a1b2
    snapshot_type:
      description: C(incremental) or C(blocking).
      type: str
      sample: incremental
    topics:
      description: The topics of the tables to read.
      type: list
      elements: str
      sample: [source_65f1c0ffee0000000000a1b2.app.orders]
    status:
      description: >-
        C(ordered), in check mode too. C(completed) when it was waited for. C(already running) when another one was in the way, and nothing
        was ordered. C(stopped), or C(not running) where there was none to stop.
      type: str
      sample: ordered
requests:
  description: The requests that were sent to change something, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    method:
      description: The method of HTTP.
      type: str
      sample: POST
    path:
      description: What follows O(streamkap_api_url).
      type: str
      sample: /sources/snapshot
    body:
      description: What is sent.
      type: dict
error:
  description: What Streamkap's API said, where it refused, with C(message), C(request_id) and C(status).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.snapshot import (
    INCREMENTAL,
    TYPES,
    Order,
    order,
    stop,
)
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import STREAMKAP_API_OPTIONS, StreamkapApi

OPTIONS: dict[str, dict[str, Any]] = {
    "source": {"type": "str"},
    "source_id": {"type": "str"},
    "state": {"type": "str", "choices": ["ordered", "stopped"], "default": "ordered"},
    "tables": {"type": "list", "elements": "str"},
    "snapshot_type": {"type": "str", "choices": list(TYPES), "default": INCREMENTAL},
    "filters": {"type": "dict"},
    "surrogate_key": {"type": "str", "no_log": False},
    "wait": {"type": "bool", "default": False},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    wanted = Order(
        **{name: options[name] for name in OPTIONS if name not in ("filters", "state", "wait")},
        filters=options["filters"] or {},
    )
    carry_out = stop if options["state"] == "stopped" else order
    return carry_out(StreamkapApi.from_options(options), wanted, check_mode, options["wait"])


def main() -> None:
    run(
        work,
        STREAMKAP_API_OPTIONS,
        OPTIONS,
        mutually_exclusive=[("source", "source_id")],
        required_one_of=[("source", "source_id")],
    )


if __name__ == "__main__":
    main()
