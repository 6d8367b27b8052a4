# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_list
short_description: A variable as a list, also where it is text
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Text is separated at commas and at the ends of lines, but not inside of double quotes. Text that begins with a bracket is a list as JSON
    or YAML writes it. What is not given at all is an empty list.
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
- name: Show two names
  ansible.builtin.debug:
    msg: "{{ 'app, billing' | streamkap.neon.to_list('cdc_schemas') }}"
"""

RETURN = r"""
_value:
  description: The list.
  type: list
"""

from typing import Any, Callable

from ansible_collections.streamkap.neon.plugins.plugin_utils._variables import to_list


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_list": to_list}
