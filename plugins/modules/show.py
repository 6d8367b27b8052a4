#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Text for who reads the terminal
version_added: 0.1.0
description:
  - Prints text of many lines to the terminal as it is, where M(ansible.builtin.debug) prints JSON with C(\n) in it.
  - What cannot be printed is escaped, as C(\x1b) for instance, so that text from a database can neither steer the terminal nor
    turn around what is read. The ends of lines stay.
  - With the callbacks C(json) and C(jsonl), whose output programs read, nothing is printed. The text is in the result.
author:
  - The streamkap.neon contributors (@streamkap)
options:
  text:
    description: The text.
    type: str
    required: true
  failure:
    description: A sentence to fail with after the text was printed. Without it the task does not fail.
    type: str
    default: ""
    version_added: 0.2.0
attributes:
  action:
    description: It runs on the controller.
    support: full
  async:
    description: It can be run in the background.
    support: none
  check_mode:
    description: It changes nothing, and prints the text in check mode too.
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
seealso:
  - module: ansible.builtin.debug
"""

EXAMPLES = r"""
- name: Where to go on
  streamkap.neon.show:
    text: |
      The database is ready.
      Fill in the form of the connector next.
"""

RETURN = r"""
text:
  description: The text as it was printed.
  returned: success
  type: str
  sample: "The database is ready.\nFill in the form of the connector next."
"""
