#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: password_file
short_description: A generated password in a file, through a change that may be interrupted
version_added: 0.2.0
description:
  - Generates a password into a file on the controller, in two steps, with the change of the password on the server in between. So at
    every moment a password that logs in is in one of two files, whatever is interrupted.
  - With O(state=pending) a password is generated into O(path) with C(.new) behind it. If there is one already, which an interrupted
    change has left, that is kept, so that running again finishes with the same password.
  - With O(state=current) that file takes the place of O(path).
  - The files have the mode C(0600), and are on the disk when the task ends. The password is in no output and in no result.
  - It has 32 characters of every kind, none of which needs quotes in a URL, in YAML or in a shell. Neon takes it.
author:
  - The streamkap.neon contributors (@streamkap)
options:
  path:
    description: The file for the current password. Its folder must exist.
    type: path
    required: true
  state:
    description: Which of the two steps to take.
    type: str
    choices: [pending, current]
    default: pending
attributes:
  action:
    description: It runs on the controller.
    support: full
  async:
    description: It can be run in the background.
    support: none
  check_mode:
    description: It says whether a file would be written, and writes none.
    support: full
  diff_mode:
    description: What differs is secret.
    support: none
  idempotent:
    description: A second O(state=pending) keeps what the first has generated, and a second O(state=current) finds nothing to do.
    support: full
  platform:
    description: The systems that it is for.
    support: full
    platforms: posix
seealso:
  - module: streamkap.neon.role
    description: Sets the password.
"""

EXAMPLES = r"""
- name: A new password, which nobody has yet
  streamkap.neon.password_file:
    path: /srv/secrets/streamkap.password
  register: password

- name: The user gets it
  streamkap.neon.role:
    name: streamkap_user
    password: "{{ lookup('ansible.builtin.file', password.pending) }}"

- name: It takes the place of the old one
  streamkap.neon.password_file:
    path: /srv/secrets/streamkap.password
    state: current
"""

RETURN = r"""
path:
  description: The file for the current password, with links resolved.
  returned: success
  type: str
  sample: /srv/secrets/streamkap.password
pending:
  description: The file that holds the password to come, or null with O(state=current).
  returned: success
  type: str
  sample: /srv/secrets/streamkap.password.new
"""
