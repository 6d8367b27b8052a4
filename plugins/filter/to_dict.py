# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_dict
short_description: A variable as a dictionary, also where it is text
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Text is JSON, or V(key=value) with commas between. What is not given at all is an empty dictionary.
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
- name: Show a dictionary
  ansible.builtin.debug:
    msg: "{{ 'max_lag=1000000' | streamkap.neon.to_dict('cdc_thresholds') }}"
"""

RETURN = r"""
_value:
  description: The dictionary.
  type: dict
"""

from typing import Any, Callable

from ansible_collections.streamkap.neon.plugins.plugin_utils._variables import to_dict


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_dict": to_dict}
