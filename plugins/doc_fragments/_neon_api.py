# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The options that lead to Neon's API. Their argument spec is NEON_API_OPTIONS in module_utils/_neon_api.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  neon_api_key:
    description:
      - A key of Neon's API, personal, of an organization or of one project (U(https://neon.com/docs/manage/api-keys)). Secret.
      - The environment variable E(NEON_API_KEY), if not given.
    type: str
  neon_api_url:
    description:
      - Where the API is. C(http://) only for this machine itself, because the key would go unencrypted.
    type: str
    default: https://console.neon.tech/api/v2
  neon_api_timeout:
    description: Seconds that one request may take to be answered. A request that only reads is sent again a few times.
    type: int
    default: 30
  neon_wait_timeout:
    description:
      - Seconds in all to wait for what Neon must finish first. That is a project that is locked by running operations (HTTP status 423), a
        rate limit (429), and the operations that a change has started.
    type: int
    default: 600
  org_id:
    description: The organization whose projects are meant. A personal key needs it to find projects by name, others do not.
    type: str
"""

    # Where plugins take an option from besides, which modules cannot have. It goes with the above.
    PLUGINS = r"""
options:
  neon_api_key:
    env:
      - name: NEON_API_KEY
    vars:
      - name: neon_api_key
  neon_api_url:
    vars:
      - name: neon_api_url
  neon_api_timeout:
    vars:
      - name: neon_api_timeout
  neon_wait_timeout:
    vars:
      - name: neon_wait_timeout
  org_id:
    vars:
      - name: neon_org_id
"""

    MODULES = r"""
attributes:
  check_mode:
    description: Looks, and says what would be done. Nothing is sent that changes anything.
    support: full
  diff_mode:
    description: Shows what is changed as a small YAML document before and after.
    support: full
  platform:
    description: The systems that it runs on, on the controller or on a bastion.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/streamkap.neon.neon_api) in C(module_defaults) to give the key once.
    support: full
    membership:
      - streamkap.neon.neon_api
notes:
  - Errors of the API are in the result as RV(ignore:error), with C(code), C(message), C(request_id) and C(status).
  - A request that changes something is sent again only where Neon says that it was not carried out (423, 429, 503), or where no connection
    came about. Of any other that fails, the module looks at what became of it.
"""
