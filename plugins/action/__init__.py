# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has in_process imported before Ansible forks its workers.

The process that forks looks a task's action up as an action plugin of the module's name. It does not read meta/runtime.yml for
the plugin to which modules are routed, but it imports this package on the way: what is imported here, no worker imports again.
"""

from __future__ import annotations

from . import in_process

__all__ = ["in_process"]
