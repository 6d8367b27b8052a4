# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the server is, and what the current role may do on it."""

from __future__ import annotations

from dataclasses import dataclass

LOOK = """json_build_object(
    'version', current_setting('server_version_num')::int,
    'database', current_database(),
    'user', current_user,
    'in_recovery', pg_is_in_recovery(),
    'wal_level', current_setting('wal_level'),
    'neon_project', current_setting('neon.project_id', true),
    'neon_privileged', coalesce(pg_has_role(
        to_regrole(coalesce(current_setting('neon.privileged_role_name', true), 'neon_superuser'))::oid, 'MEMBER'), false),
    'superuser', r.rolsuper,
    'createrole', r.rolcreaterole,
    'replication', r.rolreplication,
    'bypassrls', r.rolbypassrls)
  FROM pg_roles r WHERE r.rolname = current_user"""


@dataclass(frozen=True)
class Server:
    """The server and the current role, as one look finds them.

    :param version: server_version_num, 170011 for 17.11. The printed version is no number on Neon.
    :param neon_project: Neon's project id, None on any other server.
    :param neon_privileged: whether the current role is a member of neon_superuser or of its like.
    """

    version: int
    database: str
    user: str
    in_recovery: bool
    wal_level: str
    neon_project: str | None
    neon_privileged: bool
    superuser: bool
    createrole: bool
    replication: bool
    bypassrls: bool

    @property
    def major(self) -> int:
        return self.version // 10000

    @property
    def is_neon(self) -> bool:
        return bool(self.neon_project)
