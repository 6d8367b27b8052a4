#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_project
short_description: Logical replication of a Neon project, and which addresses may connect to it
version_added: 0.2.0
description:
  - Converges what SQL cannot set, through Neon's management API. That is whether the servers of a project have C(wal_level = logical),
    without which nothing can be captured, and which addresses may connect (IP Allow).
  - What is sent is one request with only what differs. It is waited for until all computes are back, and looked at again.
  - What drops connections, or shuts anybody out, is done only where an option allows it. Otherwise the task fails, says what would
    happen, and changes nothing; in check mode it warns of it.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._neon_api
  - streamkap.neon._neon_api.modules
options:
  project:
    description: The project's id, or its name where only one project has it.
    type: str
    required: true
  enable_logical_replication:
    description:
      - V(true) enables logical replication for all branches and databases of the project. Neon suspends all of its computes for that and
        drops every connection to them (U(https://neon.com/docs/guides/logical-replication-neon)), so it takes O(allow_restart=true).
      - Neon cannot disable it again. V(false) fails the task where it is enabled.
      - If not given, it is left alone.
    type: bool
  allow_restart:
    description: Whether computes may be suspended, which drops their connections.
    type: bool
    default: false
  allowed_ips:
    description:
      - Addresses (V(203.0.113.7)), ranges (V(203.0.113.1-203.0.113.9)) and networks (V(203.0.113.0/24)) that may connect. They are
        added to those that are there. Needs Neon's plan Scale (U(https://neon.com/docs/introduction/ip-allow)).
      - An empty list at Neon means that every address may connect. So the first entry shuts out everybody else, and takes
        O(allow_lockout=true).
      - If not given, they are left alone.
    type: list
    elements: str
  exclusive:
    description: Whether other entries than O(allowed_ips) are removed. With an empty list, every address may connect afterwards.
    type: bool
    default: false
  allow_lockout:
    description: Whether those may be shut out who can connect now. Be sure that all who need the project are in O(allowed_ips).
    type: bool
    default: false
  protected_branches_only:
    description:
      - Whether O(allowed_ips) holds for protected branches only, and every address may connect to the others.
      - If not given, it is left alone.
    type: bool
  dsn:
    description:
      - A connection string of one of the project's branches, as a libpq URI or keywords. Secret.
      - If given together with O(enable_logical_replication=true), the task ends when its server answers C(wal_level = logical), within
        O(neon_wait_timeout). Needs psycopg2.
    type: str
seealso:
  - module: streamkap.neon.neon_project_info
  - module: streamkap.neon.neon_role
  - name: Access restrictions
    description: IP Allow, private networking and the SSH tunnel.
    link: https://github.com/streamkap/streamkap.neon/blob/main/docs/access_restrictions.md
notes:
  - Two runs that add addresses at the same moment may lose those of one of them, because Neon takes whole lists. Run again, it adds
    what lacks.
"""

EXAMPLES = r"""
- name: What would happen
  streamkap.neon.neon_project:
    project: shiny-wind-028834
    enable_logical_replication: true
  check_mode: true

- name: Logical replication, in a maintenance window
  streamkap.neon.neon_project:
    project: shiny-wind-028834
    enable_logical_replication: true
    allow_restart: true
    dsn: "{{ lookup('streamkap.neon.neon_connection_uri', project='shiny-wind-028834') }}"

- name: Streamkap's addresses beside those that may connect already
  streamkap.neon.neon_project:
    project: shop
    allowed_ips: "{{ streamkap_addresses }}"

- name: Nobody but these, on protected branches
  streamkap.neon.neon_project:
    project: shop
    allowed_ips: [203.0.113.7, 198.51.100.0/24]
    exclusive: true
    protected_branches_only: true
    allow_lockout: true
"""

RETURN = r"""
project:
  description: The project as it now stands, or in check mode would.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
      sample: shiny-wind-028834
    name:
      description: Its name.
      type: str
      sample: shop
    pg_version:
      description: The major version of PostgreSQL.
      type: int
      sample: 17
    enable_logical_replication:
      description: Whether logical replication is enabled.
      type: bool
      sample: true
    allowed_ips:
      description: Who may connect; empty where every address may.
      type: list
      elements: str
      sample: [203.0.113.7]
    protected_branches_only:
      description: Whether RV(project.allowed_ips) holds for protected branches only.
      type: bool
      sample: false
    block_public_connections:
      description: Whether only private networking leads to it, whatever RV(project.allowed_ips) holds.
      type: bool
      sample: false
requests:
  description: The requests that were sent to change something, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    method:
      description: The method of HTTP.
      type: str
      sample: PATCH
    path:
      description: What follows O(neon_api_url).
      type: str
      sample: /projects/shiny-wind-028834
    body:
      description: What is sent.
      type: dict
      sample: {project: {settings: {enable_logical_replication: true}}}
operations:
  description: Neon's operations that were waited for.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The operation's id.
      type: str
      sample: d8ac46eb-a757-42b1-9907-f78322ee394e
    action:
      description: What it does.
      type: str
      sample: start_compute
error:
  description: What Neon's API said, where it refused.
  returned: failure
  type: dict
  contains:
    code:
      description: Neon's code for it, or null.
      type: str
    message:
      description: Neon's message.
      type: str
      sample: project already has running conflicting operations, scheduling of new ones is prohibited
    request_id:
      description: By which Neon's support can find it.
      type: str
    status:
      description: The status of HTTP.
      type: int
      sample: 423
operation:
  description: The operation that failed, or did not end in time.
  returned: failure
  type: dict
  contains:
    id:
      description: The operation's id.
      type: str
      sample: d8ac46eb-a757-42b1-9907-f78322ee394e
    action:
      description: What it does.
      type: str
      sample: start_compute
    status:
      description: How far it is.
      type: str
      sample: running
    error:
      description: Neon's message on why it failed, or null.
      type: str
    endpoint_id:
      description: The compute that it is about, or null.
      type: str
      sample: ep-cool-darkness-123456
    branch_id:
      description: The branch that it is about, or null.
      type: str
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._neon.project import Desired, converge
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import NEON_API_OPTIONS, NeonApi
from ansible_collections.streamkap.neon.plugins.module_utils._resources.wal_level import WalLevel
from ansible_collections.streamkap.neon.plugins.module_utils._task import look_through

OPTIONS: dict[str, dict[str, Any]] = {
    "project": {"type": "str", "required": True},
    "enable_logical_replication": {"type": "bool"},
    "allow_restart": {"type": "bool", "default": False},
    "allowed_ips": {"type": "list", "elements": "str"},
    "exclusive": {"type": "bool", "default": False},
    "allow_lockout": {"type": "bool", "default": False},
    "protected_branches_only": {"type": "bool"},
    "dsn": {"type": "str", "no_log": True},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    desired = Desired(**{name: options[name] for name in OPTIONS if name not in ("project", "dsn")})
    return converge(
        NeonApi.from_options(options),
        options["project"],
        desired,
        check_mode,
        wal_level=(lambda: look_through(options["dsn"], WalLevel())["wal_level"]) if options["dsn"] else None,
        patience=options["neon_wait_timeout"],
    )


def main() -> None:
    run(work, NEON_API_OPTIONS, OPTIONS)


if __name__ == "__main__":
    main()
