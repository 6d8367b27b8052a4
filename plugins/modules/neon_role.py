#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_role
short_description: A role made by Neon itself, which has REPLICATION
version_added: 0.2.0
description:
  - Makes or removes a role through Neon's management API. For PostgreSQL 14 and 15, where SQL lets only a superuser give REPLICATION, and
    nobody is one on Neon. From 16 on use M(streamkap.neon.role), which gives a role no more than it needs.
  - B(Such a role can do everything.) Neon makes it a member of C(neon_superuser), with C(REPLICATION), C(CREATEROLE), C(CREATEDB) and
    C(BYPASSRLS), and the API has nothing less. The task warns of it when it makes one.
  - Neon generates the password. It is returned once, when the role is made or the password reset, and Ansible shows nothing of such a
    result at any verbosity. Register it, and hand it on in tasks with C(no_log). Where Neon stores passwords, as it does by default,
    P(streamkap.neon.neon_connection_uri#lookup) has it later too.
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
  branch:
    description: The branch's id or name. If not given, the project's default branch.
    type: str
  name:
    description: The role's name, 63 bytes at most.
    type: str
    required: true
  state:
    description:
      - V(present) makes the role when it does not exist.
      - V(absent) removes it.
    type: str
    choices: [present, absent]
    default: present
  reset_password:
    description: Whether an existing role gets a new password, each time that the task is run. A new role gets one in any case.
    type: bool
    default: false
  allow_restart:
    description:
      - Whether Neon may drop every connection to the branch's computes, which it does when it gives a role a password
        (U(https://api-docs.neon.tech/reference/createprojectbranchrole)). Not needed while no compute of the branch is active.
    type: bool
    default: false
seealso:
  - module: streamkap.neon.role
  - module: streamkap.neon.neon_project
  - plugin: streamkap.neon.neon_connection_uri
    plugin_type: lookup
notes:
  - The output of a module that runs on another host is shown by Ansible's SSH connection at C(-vvv), before anything can hide it. So
    run this one on the controller.
"""

EXAMPLES = r"""
- name: The connector's user, on PostgreSQL 15
  streamkap.neon.neon_role:
    project: shiny-wind-028834
    name: streamkap_user
    allow_restart: true
  register: made

- name: Its password, for the role cdc
  ansible.builtin.set_fact:
    cdc_password: "{{ made.password }}"
  no_log: true
  when: made is changed

- name: A password that was lost
  streamkap.neon.neon_role:
    project: shiny-wind-028834
    name: streamkap_user
    reset_password: true
    allow_restart: true
  register: made

- name: No such role any more
  streamkap.neon.neon_role:
    project: shiny-wind-028834
    name: streamkap_user
    state: absent
"""

RETURN = r"""
role:
  description: The role as it now stands. Everything but its place and RV(role.exists) is null when it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: streamkap_user
    exists:
      description: Whether it exists.
      type: bool
      sample: true
    project:
      description: The id of the project.
      type: str
      sample: shiny-wind-028834
    branch:
      description: The id of the branch.
      type: str
      sample: br-aged-salad-637688
    protected:
      description: Whether Neon itself needs it.
      type: bool
      sample: false
    authentication_method:
      description: How it logs in, or null where Neon does not say.
      type: str
      sample: password
password:
  description: The password that Neon has generated. Secret. With it, Ansible shows nothing of the result.
  returned: when the role was made, or its password reset
  type: str
error:
  description: What Neon's API said, where it refused, with C(code), C(message), C(request_id) and C(status).
  returned: failure
  type: dict
operation:
  description: >-
    The operation that failed, or did not end in time, with C(id), C(action), C(status), C(error), C(endpoint_id) and C(branch_id).
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.streamkap.neon.plugins.module_utils._api_task import Outcome, run
from ansible_collections.streamkap.neon.plugins.module_utils._neon.role import Desired, converge
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import NEON_API_OPTIONS, NeonApi

OPTIONS: dict[str, dict[str, Any]] = {
    "project": {"type": "str", "required": True},
    "branch": {"type": "str"},
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    # The option holds no secret, which its name suggests.
    "reset_password": {"type": "bool", "default": False, "no_log": False},
    "allow_restart": {"type": "bool", "default": False},
}


def work(options: dict[str, Any], check_mode: bool) -> Outcome:
    desired = Desired(**{name: options[name] for name in ("name", "state", "reset_password", "allow_restart")})
    return converge(NeonApi.from_options(options), options["project"], options["branch"], desired, check_mode)


def main() -> None:
    run(work, NEON_API_OPTIONS, OPTIONS)


if __name__ == "__main__":
    main()
