#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_project_info
short_description: Neon projects with their branches, computes, databases and roles, and what capturing needs of them
version_added: 0.2.0
description:
  - Looks at one Neon project, or at all that the key may see, through Neon's management API. It changes nothing.
  - Each branch has its verdict, RV(projects[].branches[].capture), whether a connector can capture it as far as Neon's side of it goes.
    What the database itself needs is looked at by M(streamkap.neon.readiness_info).
  - There are no passwords in it. P(streamkap.neon.neon_connection_uri#lookup) has those.
author:
  - The streamkap.neon contributors (@streamkap)
extends_documentation_fragment:
  - streamkap.neon._neon_api
  - streamkap.neon._neon_api.modules
options:
  project:
    description: The project's id, or its name where only one project has it. All projects, if not given.
    type: str
  branch:
    description:
      - The id or the name of the branch to look at. The project's default branch, if not given.
      - Without O(project), projects that do not have it are there without branches.
    type: str
  all_branches:
    description: Whether all branches are looked at.
    type: bool
    default: false
  gather:
    description:
      - What is looked at besides the projects themselves. V(databases) and V(roles) are those of branches, and so bring V(branches)
        along, which have their computes with them.
      - It takes one request for 400 projects; two for the branches of a project; and one each for the databases and the roles of a branch.
        They are sent side by side, at most 600 in a minute, of the 700 that Neon takes.
    type: list
    elements: str
    choices: [branches, databases, roles]
    default: [branches, databases]
seealso:
  - module: streamkap.neon.neon_project
  - module: streamkap.neon.readiness_info
  - plugin: streamkap.neon.neon
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: One project
  streamkap.neon.neon_project_info:
    project: shop
  register: found

- name: Its default branch can be captured
  ansible.builtin.assert:
    that: found.projects[0].branches[0].capture.ready
    fail_msg: "{{ found.projects[0].branches[0].capture.lacks | join(' ') }}"

- name: All projects of an organization, with a personal key
  streamkap.neon.neon_project_info:
    org_id: org-orange-breeze-12345678
    gather: []
  register: fleet

- name: Those in which nothing can be captured yet
  ansible.builtin.debug:
    msg: "{{ fleet.projects | rejectattr('enable_logical_replication') | map(attribute='name') }}"

- name: Every branch of one project, and who may log in there
  streamkap.neon.neon_project_info:
    project: shiny-wind-028834
    all_branches: true
    gather: [databases, roles]
"""

RETURN = r"""
projects:
  description: The projects, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
      sample: shiny-wind-028834
    name:
      description: Its name.
      type: str
      sample: shop
    org_id:
      description: The organization that it belongs to, or null.
      type: str
      sample: org-orange-breeze-12345678
    region_id:
      description: Where it is.
      type: str
      sample: aws-us-east-2
    pg_version:
      description: The major version of PostgreSQL.
      type: int
      sample: 17
    store_passwords:
      description: Whether Neon keeps passwords, without which it can tell no connection string.
      type: bool
      sample: true
    history_retention_seconds:
      description: For how long, in seconds, a branch can be restored to an earlier state. A restore removes its slots.
      type: int
      sample: 86400
    enable_logical_replication:
      description: Whether logical replication is enabled, for all branches of the project.
      type: bool
      sample: true
    allowed_ips:
      description: Who may connect; empty where every address may.
      type: list
      elements: str
      sample: []
    protected_branches_only:
      description: Whether RV(projects[].allowed_ips) holds for protected branches only.
      type: bool
      sample: false
    block_public_connections:
      description: Whether only private networking leads to it, whatever RV(projects[].allowed_ips) holds.
      type: bool
      sample: false
    branches:
      description: The branches that were asked for, the default one first.
      returned: with anything in O(gather)
      type: list
      elements: dict
      contains:
        id:
          description: Its id.
          type: str
          sample: br-aged-salad-637688
        name:
          description: Its name.
          type: str
          sample: main
        default:
          description: Whether it is the project's default branch.
          type: bool
          sample: true
        protected:
          description: Whether it is protected.
          type: bool
          sample: false
        parent_id:
          description: The branch that it was made of, or null. Slots are not inherited.
          type: str
          sample: br-cool-base-123456
        current_state:
          description: C(ready), C(init), C(resetting) or C(archived).
          type: str
          sample: ready
        expires_at:
          description: When it is deleted by itself, or null.
          type: str
          sample: "2026-12-09T18:02:16Z"
        endpoints:
          description: Its computes.
          type: list
          elements: dict
          contains:
            id:
              description: Its id.
              type: str
              sample: ep-cool-darkness-123456
            type:
              description: C(read_write), of which a branch has one at most, or C(read_only).
              type: str
              sample: read_write
            host:
              description: The host that leads to it directly, as capturing needs it.
              type: str
              sample: ep-cool-darkness-123456.us-east-2.aws.neon.tech
            pooled_host:
              description: The host of the pooler in front of it, through which nothing can be captured.
              type: str
              sample: ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech
            current_state:
              description: C(active), C(idle) or C(init), when it was looked at.
              type: str
              sample: idle
            disabled:
              description: Whether nobody may connect to it.
              type: bool
              sample: false
            suspends_after_seconds:
              description: The seconds without a connection after which it is suspended; null for never.
              type: int
              sample: 300
        databases:
          description: Its databases.
          returned: with V(databases) in O(gather)
          type: list
          elements: dict
          contains:
            name:
              description: Its name.
              type: str
              sample: neondb
            owner:
              description: The role that owns it.
              type: str
              sample: neondb_owner
        roles:
          description: Its roles, as far as Neon knows them.
          returned: with V(roles) in O(gather)
          type: list
          elements: dict
          contains:
            name:
              description: Its name.
              type: str
              sample: neondb_owner
            protected:
              description: Whether it is Neon's own.
              type: bool
              sample: false
            authentication_method:
              description: C(password), C(oauth) or C(no_login); null where Neon does not tell.
              type: str
              sample: password
        capture:
          description: What capturing needs of the branch, and whether it is there.
          type: dict
          contains:
            ready:
              description: Whether nothing lacks.
              type: bool
              sample: false
            lacks:
              description: What nothing can be captured without, a sentence each.
              type: list
              elements: str
              sample: [Logical replication is not enabled for the project.]
            cautions:
              description:
                - What may be in the way, a sentence each, which Neon alone cannot tell. An example is whether the connector is among the
                  addresses that may connect.
              type: list
              elements: str
              sample: []
            logical_replication:
              description: Whether it is enabled for the project.
              type: bool
              sample: false
            endpoint_id:
              description: The compute to capture from, or null.
              type: str
              sample: ep-cool-darkness-123456
            host:
              description: Its host, or null.
              type: str
              sample: ep-cool-darkness-123456.us-east-2.aws.neon.tech
            allowed_ips:
              description: The addresses that may connect to this branch; empty where every one may.
              type: list
              elements: str
              sample: []
            public_connections_blocked:
              description: Whether only private networking leads to it.
              type: bool
              sample: false
            suspends_after_seconds:
              description:
                - The seconds without a connection after which the compute is suspended; null for never, or without a compute.
                - A connector that is connected keeps it awake, which is paid for.
              type: int
              sample: 300
            slot_removed_after_hours:
              description:
                - About how many hours after its consumer was last there Neon removes a slot. This is what Neon documents
                  (U(https://neon.com/docs/guides/logical-replication-neon)), and not told by the API. What is counted in fact are
                  snapshots of the server, so that it may be sooner or later.
              type: int
              sample: 40
error:
  description: What Neon's API said, where it refused, as M(streamkap.neon.neon_project) returns it.
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._neon.fleet import PARTS, Names, Selection, survey
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import NEON_API_OPTIONS, NeonApi


def work(options: dict[str, Any], _check_mode: bool) -> Outcome:
    wanted = Selection(
        project=options["project"],
        branch=options["branch"],
        branches=Names(include=["*"] if options["all_branches"] else []),
        parts=frozenset(options["gather"]),
    )
    fleet = survey(NeonApi.from_options(options), wanted)
    return Outcome(warnings=fleet.gone, result={"projects": fleet.projects})


def main() -> None:
    run(
        work,
        NEON_API_OPTIONS,
        {
            "project": {"type": "str"},
            "branch": {"type": "str"},
            "all_branches": {"type": "bool", "default": False},
            "gather": {
                "type": "list",
                "elements": "str",
                "choices": list(PARTS),
                "default": ["branches", "databases"],
            },
        },
        mutually_exclusive=[("branch", "all_branches")],
    )


if __name__ == "__main__":
    main()
