# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Between Ansible's plugins on the controller and Neon's API."""

from __future__ import annotations

from typing import Any, Protocol

from ansible_collections.streamkap.neon.plugins.module_utils._http import Pace
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import (
    NEON_API_OPTIONS,
    REQUESTS_A_MINUTE,
    NeonApi,
)


class _Plugin(Protocol):
    def get_option(self, option: str) -> Any:
        """What it was given for an option."""


def neon_api(plugin: _Plugin, templar: Any, requests_a_minute: float = REQUESTS_A_MINUTE) -> NeonApi:
    """The client that the options of plugins/doc_fragments/_neon_api.py lead to.

    :param templar: a variable that an option is taken from is a template, and stands there as such.
    """
    options = {name: templar.template(plugin.get_option(name)) for name in NEON_API_OPTIONS}
    return NeonApi.from_options(options, Pace(requests_a_minute))
