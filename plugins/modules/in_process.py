#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documents the action plugin of the same name, which is no module for tasks.

from __future__ import annotations

DOCUMENTATION = r"""
module: in_process
short_description: How the modules of this collection run
version_added: 0.1.0
description:
  - No module for tasks, but what the modules of this collection run through, for SQL and for the APIs. It runs them in the process that
    Ansible has for the task, which spares the start of another Python, where that makes no difference.
  - They run as any other module where the connection is not V(local), where the task uses C(become), C(async) or C(timeout),
    where C(ansible_python_interpreter) names another Python than the controller's, and where psycopg2 is not installed for that.
author:
  - The streamkap.neon contributors (@streamkap)
options: {}
attributes:
  action:
    description: It runs on the controller.
    support: full
  platform:
    description: The systems that it is for.
    support: full
    platforms: all
seealso:
  - module: streamkap.neon.prerequisites
"""

EXAMPLES = r"""
- name: In Ansible's own process
  streamkap.neon.role:
    name: streamkap_role
    login: false

- name: In a process of its own, on a bastion
  streamkap.neon.role:
    name: streamkap_role
    login: false
  delegate_to: bastion.example.com
"""

RETURN = r"""
"""
