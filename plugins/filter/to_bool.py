# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_bool
short_description: A variable as a boolean, also where it is text
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Takes what modules take for a boolean, so V(no), V(n), V(off) and V("false") are false, and V(y) is true. Anything else is an error that
    names the variable, where the filter P(ansible.builtin.bool#filter) makes false of it.
positional: name
options:
  _input:
    description: The variable's value.
    type: raw
    required: true
  name:
    description: The variable's name, for the message.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Take the answer of a survey
  ansible.builtin.debug:
    msg: "{{ cdc_create_slot | streamkap.neon.to_bool('cdc_create_slot') }}"
"""

RETURN = r"""
_value:
  description: The boolean.
  type: bool
"""

from typing import Any, Callable

from ansible_collections.streamkap.neon.plugins.plugin_utils._variables import to_bool


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_bool": to_bool}
