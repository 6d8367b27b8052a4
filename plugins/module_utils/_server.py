# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the server is, and what the current role may do on it."""

from __future__ import annotations

from dataclasses import dataclass

from ._sql import ident, idents

LOOK = """json_build_object(
    'pid', pg_backend_pid(),
    'version', current_setting('server_version_num')::int,
    'database', current_database(),
    'user', current_user,
    'session_user', session_user,
    'in_recovery', pg_is_in_recovery(),
    'wal_level', current_setting('wal_level'),
    'neon_project', current_setting('neon.project_id', true),
    'max_locks_per_transaction', current_setting('max_locks_per_transaction')::int,
    'lock_holders', current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int,
    'neon_privileged', coalesce(pg_has_role(
        to_regrole(coalesce(current_setting('neon.privileged_role_name', true), 'neon_superuser'))::oid, 'MEMBER'), false),
    'superuser', r.rolsuper,
    'inherits', r.rolinherit,
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
    :param session_user: the role that has logged in; ``user`` is another one after SET ROLE.
    :param inherits: whether the current role has the privileges of those that it is a member of, as far as it says so itself.
    :param pid: the process that serves this session. What libpq takes for it may be a number of a proxy's.
    :param lock_holders: connections and prepared transactions that there may be; the lock table has room for
        ``max_locks_per_transaction`` objects for each.
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
    max_locks_per_transaction: int = 64
    lock_holders: int = 100
    pid: int = 0
    session_user: str = ""
    inherits: bool = True

    @property
    def lock_room(self) -> int:
        """How many locks one transaction may take.

        All sessions share one lock table, and who finds it full is refused, be it the application. So at most one half is taken, of
        what is documented: the server has a little more
        (https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-MAX-LOCKS-PER-TRANSACTION). How many are held at the
        moment tells nothing of the next one, and reading pg_locks would hold up everybody who takes a lock.
        """
        return self.max_locks_per_transaction * self.lock_holders // 2

    def grant_membership(self, *roles: str) -> str:
        """The SQL by which the current role gets the privileges of others: a membership that does not inherit gives it none."""
        grant = "GRANT %s TO %s" % (idents(roles), ident(self.user))
        if self.major >= 16:
            return "%s WITH INHERIT TRUE" % grant
        return grant if self.inherits else "%s; ALTER ROLE %s INHERIT" % (grant, ident(self.user))

    @property
    def major(self) -> int:
        return self.version // 10000

    @property
    def is_neon(self) -> bool:
        return bool(self.neon_project)
