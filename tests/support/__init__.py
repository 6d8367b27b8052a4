# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every test and the demo stand on: real PostgreSQL servers that look like Neon, and Ansible run against them.

binaries    where the PostgreSQL programs come from
postgres    a throw-away server, and a hot standby of it
pooler      what lets everything through but replication
proxy       a network that takes its time, and counts round trips
neon        Neon's roles and an application's database on such a server
bastion     a real sshd, to which the role ssh_tunnel comes
console     Neon's management API in small, and `prism`, by which Neon's own description judges it
streamkap_api  Streamkap's API in small
line        what goes wrong on the way to either
modules     a module of the collection in this process, or a real ansible-playbook
fixtures    pytest: a server for each version, and a fresh database for each test
"""

from __future__ import annotations
