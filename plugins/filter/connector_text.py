# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: connector_text
short_description: Settings of a Streamkap source as text for the terminal
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Returns what Streamkap's form asks for, a line a field. The password is not shown.
positional: _input
options:
  _input:
    description: The settings, as the fact C(cdc_connector) or the filter P(streamkap.neon.connector_settings#filter) has them.
    type: dict
    required: true
  folder:
    description: Where the reports are, with the file for the form's bulk upload.
    type: str
    default: ''
seealso:
  - plugin: streamkap.neon.connector_settings
    plugin_type: filter
  - module: streamkap.neon.show
"""

EXAMPLES = r"""
- name: Show what the form asks for
  streamkap.neon.show:
    text: "{{ cdc_connector | streamkap.neon.connector_text }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from typing import Any, Callable

from ansible_collections.streamkap.neon.plugins.plugin_utils import _reports


def connector_text(connector: dict[str, Any], folder: str = "") -> str:
    return _reports.connector_text(_reports.plain(connector), _reports.plain(folder))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"connector_text": connector_text}
