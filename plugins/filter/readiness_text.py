# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: readiness_text
short_description: Result of readiness_info as text for the terminal
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Returns the verdict, and each check that fails with its remedy, what is critical first.
positional: _input
options:
  _input:
    description: The result of M(streamkap.neon.readiness_info).
    type: dict
    required: true
  folder:
    description: Where the reports are, as the text then says at its end.
    type: str
    default: ''
seealso:
  - module: streamkap.neon.show
"""

EXAMPLES = r"""
- name: Check the database
  streamkap.neon.readiness_info:
    connector_user: streamkap_user
  register: readiness

- name: Show the verdict
  streamkap.neon.show:
    text: "{{ readiness | streamkap.neon.readiness_text }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from typing import Any, Callable

from ansible_collections.streamkap.neon.plugins.plugin_utils import _reports


def readiness_text(result: dict[str, Any], folder: str = "") -> str:
    return _reports.readiness_text(_reports.plain(result), _reports.plain(folder))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"readiness_text": readiness_text}
