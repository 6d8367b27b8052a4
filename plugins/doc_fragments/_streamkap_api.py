# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The options that lead to Streamkap's API. Their argument spec is STREAMKAP_API_OPTIONS in module_utils/_streamkap_api.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  streamkap_client_id:
    description:
      - The client id of an API token, which is made in Streamkap's project settings under API. Secret.
      - The environment variable E(STREAMKAP_CLIENT_ID), if not given.
    type: str
  streamkap_secret:
    description:
      - The secret of that API token. Secret.
      - The environment variable E(STREAMKAP_SECRET), or else E(STREAMKAP_CLIENT_SECRET), if not given.
    type: str
  streamkap_api_url:
    description:
      - Where the API is. C(http://) only for this machine itself, because the credentials would go unencrypted.
      - The environment variable E(STREAMKAP_HOST), if not given.
    type: str
    default: https://api.streamkap.com
  streamkap_api_timeout:
    description: Seconds that one request may take to be answered.
    type: int
    default: 60
  streamkap_wait_timeout:
    description: Seconds in all to wait for what is busy, and for a source or a snapshot to be as it is to be.
    type: int
    default: 600
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
    description: Use C(group/streamkap.neon.streamkap_api) in C(module_defaults) to give the credentials once.
    support: full
    membership:
      - streamkap.neon.streamkap_api
notes:
  - Streamkap's API was rebuilt for this collection from public sources, and it was not run against the live service.
    U(https://github.com/streamkap/streamkap.neon/blob/main/docs/streamkap_api.md) says of what is known from where.
  - Errors of the API are in the result as RV(ignore:error), with C(message), C(request_id) and C(status).
  - What Streamkap says will pass (HTTP status 429, 502, 503 and 504, and what it says of a Kafka Connect that is busy) is asked for again
    up to five times, after 10 to 60 seconds. What it does not take is not. A source is made once. Whenever an answer to that is lost, its
    name is looked up before anything is sent again.
"""
