# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The connection options of every SQL module. Their argument spec is CONNECTION_OPTIONS in module_utils/_task.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  dsn:
    description:
      - The database to connect to, as a libpq connection URI C(postgresql://user:password@host:port/database?option=value)
        or as C(keyword=value) pairs
        (U(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING)).
      - In a URI a password with C(@), C(/), C(%) and the like is percent-encoded. A string with another driver's parameters or prefix,
        with C(psql) or quotation marks around it, or with a line break at its end is refused by a sentence that says so, and is not quoted.
      - A given O(login_host) and its like win over the same part of it.
      - If not given, the environment variable E(NEON_DATABASE_URL) is used, then E(DATABASE_URL).
        Ansible writes the keyword C(environment) of a task into the command line of a module on another host, where all users of that
        host can read it. Give O(dsn) instead.
    type: str
  login_host:
    description:
      - Host name, address or socket directory of the server.
      - The pooled host of a Neon endpoint (C(ep-...-pooler...)) is replaced by the direct one, with a warning, because a pooler
        carries neither replication nor settings of a session.
    type: str
  login_port:
    description: Port of the server. libpq's default is 5432.
    type: int
  login_user:
    description: Role to connect as.
    type: str
  login_password:
    description: Password of O(login_user).
    type: str
  login_db:
    description: Database to connect to, in which everything is done.
    type: str
  ssl_mode:
    description:
      - Whether TLS is used and what is checked, as libpq's C(sslmode).
      - If not given, it is what E(PGSSLMODE) says, else V(require) for a host of Neon's and libpq's default, C(prefer), for any other.
      - V(require) encrypts, but does not ask who the server is. With V(verify-full) and O(ca_cert), or with C(channel_binding) set to
        C(require) in O(connect_params), nobody gets the password who has not proven to be the server.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File of certificates of the authorities that are trusted, as libpq's C(sslrootcert).
    type: path
  ssl_cert:
    description: File of the client's certificate, as libpq's C(sslcert).
    type: path
  ssl_key:
    description: File of the client's private key, as libpq's C(sslkey).
    type: path
  session_role:
    description:
      - Role to change to (C(SET ROLE)) for all that is done; what is made belongs to it.
      - The role that connects must be a member of it.
    type: str
  connect_params:
    description:
      - Further parameters of libpq by their names. They win over all others.
      - The password of an encrypted O(ssl_key) is C(sslpassword). It is kept secret, as C(password) is.
    type: dict
  connect_timeout:
    description:
      - Seconds in all to wait for a connection. A server that starts, or a suspended Neon compute that wakes up, is tried again
        within them. A wrong password or database is not.
      - A connection that is lost on the way is made anew in the same manner, and what became of what was sent is looked at, not guessed.
    type: int
    default: 30
  lock_timeout:
    description:
      - Seconds that a statement may wait for a lock, and the application behind it. Who held it is in the error.
      - What keeps the application off several tables waits for all of them together no longer than that.
    type: int
    default: 10
  statement_timeout:
    description: Seconds that a statement may take, and that the server waits for the next one before it ends the transaction.
    type: int
    default: 60
notes:
  - Everything is done in the one database that is connected to, in one transaction, or not at all. Each task opens one connection.
  - A task that would take more than half of the server's lock table (C(max_locks_per_transaction)), with thousands of tables, is done in
    several transactions instead, and warns of it. When one of them fails, the message says what stays, and the next run does the rest.
  - While an answer is long in coming, more than half of O(lock_timeout) or O(statement_timeout), a second connection asks who is in
    the way.
requirements:
  - psycopg2 2.8 or newer on the host that runs the module
"""
