#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_variables
short_description: Fails for variables that cannot be meant as they are
version_added: 0.2.0
description:
  - The roles and playbooks of this collection begin with it, so that a misspelt variable or host does not pass in silence.
author:
  - The streamkap.neon contributors (@streamkap)
options:
  role:
    description:
      - The role whose variables are looked at, all that begin with its prefix (V(connector) has C(connector_) and C(streamkap_)).
      - A variable that it does not have is an error where it is nearly one that is not given, and a warning otherwise.
      - For V(cdc) it is also an error that neither a variable nor the environment says which database to connect to.
    type: str
    choices: [cdc, connector, neon, ssh_tunnel]
  errors:
    description: Sentences on what else is wrong, to fail with.
    type: list
    elements: str
    default: []
  hosts:
    description: The hosts that a playbook was to run on, where it runs on C(localhost) if there are none.
    type: raw
  hosts_variable:
    description:
      - The variable that they come from.
      - It is an error that they match no host, that it is not given where hosts of the inventory have databases, and that C(--tags) leaves
        out all tasks.
    type: str
attributes:
  action:
    description: It runs on the controller.
    support: full
  async:
    description: It can be run in the background.
    support: none
  check_mode:
    description: It changes nothing, and does the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
  idempotent:
    description: It never changes anything.
    support: full
  platform:
    description: The systems that it is for. Nothing is run on them.
    support: full
    platforms: all
"""

EXAMPLES = r"""
- name: Validate the names of variables before roles use them
  streamkap.neon.validate_variables:
    role: cdc

- name: Validate the hosts of a play that takes them from a variable
  streamkap.neon.validate_variables:
    hosts: "{{ cdc_hosts | default('localhost') }}"
    hosts_variable: cdc_hosts
  tags: always
"""

RETURN = r"""# Nothing of its own."""
