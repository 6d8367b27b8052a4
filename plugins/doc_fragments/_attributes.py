# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The attributes of every SQL module."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Computes what would be done and executes none of it.
    support: full
    details: It takes no lock and writes no WAL, so a hot standby serves for it.
  diff_mode:
    description: Shows what is changed as a small YAML document before and after.
    support: full
  idempotent:
    description: Run again, it changes nothing.
    support: full
  platform:
    description: The systems that it runs on, on the controller or on a bastion.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/streamkap.neon.postgres) in C(module_defaults) to give the connection options once.
    support: full
    membership:
      - streamkap.neon.postgres
"""
