# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Why a connection was refused, whether it is worth another attempt, and the remedy.

libpq gives no SQLSTATE of a refused connection, so its words have to do. A server that speaks another language than English is understood
where its message holds what is not translated. Otherwise the reason is not known, and nothing is concluded from it.
"""

from __future__ import annotations

import re
from typing import Callable, NamedTuple

WRONG_PASSWORD = "28P01"
# libpq's own words for a server that has asked for one.
NO_PASSWORD_SUPPLIED = "no password supplied"


class KnownError(NamedTuple):
    """One reason for which a connection is refused.

    :param words: a part of the message.
    :param transient: whether it is worth another attempt.
    """

    words: str
    transient: bool
    sqlstate: str | None
    hint: str


_NOT_REACHED = "Check the host and the port, and that no firewall or IP allow list drops the connection."
_NO_SERVER = "Check that a PostgreSQL server listens on that port."
_IN_BETWEEN = "Check what is between here and the server."
_NO_CONNECTION_LEFT = "Close some connections, or raise max_connections."

# The first one that fits.
CONNECTION_ERRORS = [
    KnownError(*row)
    for row in (
        (
            "Connection refused",
            True,
            None,
            "Check the host and the port, and that the server runs and may be reached from here.",
        ),
        ("No such file or directory", True, None, "No server listens on that socket: give login_host, or a dsn."),
        ("timeout expired", True, None, _NOT_REACHED),
        ("timed out", True, None, _NOT_REACHED),
        ("Temporary failure in name resolution", True, None, "Check the name server."),
        ("server closed the connection unexpectedly", True, None, _NO_SERVER),
        ("Connection reset by peer", True, None, _NO_SERVER),
        ("could not receive data from server", True, None, _IN_BETWEEN),
        ("could not send", True, None, _IN_BETWEEN),
        ("SSL SYSCALL error", True, None, _IN_BETWEEN),
        ("unexpected eof while reading", True, None, _IN_BETWEEN),
        ("terminating connection due to", True, "57P01", "The server is stopping: run again later."),
        ("the database system is", True, "57P03", "The server is starting or stopping: run again later."),
        ("too many clients already", True, "53300", _NO_CONNECTION_LEFT),
        ("remaining connection slots are reserved", True, "53300", _NO_CONNECTION_LEFT),
        (
            "too many connections for database",
            True,
            "53300",
            "The database has a connection limit of its own, which is reached: close some of its connections, or raise it "
            "(ALTER DATABASE ... CONNECTION LIMIT).",
        ),
        (
            "too many connections for role",
            True,
            "53300",
            "The role has a connection limit of its own, which is reached: close some of its connections, or raise it "
            "(ALTER ROLE ... CONNECTION LIMIT).",
        ),
        (
            "is not currently accepting connections",
            False,
            "55000",
            "Let the database take connections again: ALTER DATABASE ... ALLOW_CONNECTIONS true.",
        ),
        (
            "cannot connect to invalid database",
            False,
            "55000",
            "A DROP DATABASE was interrupted: the database can only be dropped.",
        ),
        (
            "is not permitted to log in",
            False,
            "28000",
            "Give the role LOGIN (ALTER ROLE ... LOGIN), or take another one.",
        ),
        (
            "permission denied for database",
            False,
            "42501",
            "Grant it: GRANT CONNECT ON DATABASE ... TO the role, or to a role that it is a member of.",
        ),
        (
            "permission denied to set role",
            False,
            "42501",
            "The role may not become the one that a setting makes it begin as: take that out of the options, or of the "
            "role's settings (ALTER ROLE ... RESET role).",
        ),
        (
            "session is read-only",
            False,
            "25006",
            "target_session_attrs asks for a session that may write. On a standby, connect to the primary. On the primary "
            "default_transaction_read_only is on, for the server, the database or the role: leave target_session_attrs out,"
            " or set it to primary.",
        ),
        (
            "server is in hot standby mode",
            False,
            "25006",
            "target_session_attrs asks for the primary: connect to that.",
        ),
        (
            "server is not in hot standby mode",
            False,
            None,
            "target_session_attrs asks for a standby: leave it out, or name the standby's host.",
        ),
        (
            "session is not read-only",
            False,
            None,
            "target_session_attrs asks for a session that may only read: leave it out.",
        ),
        ("endpoint is disabled", False, None, "Enable the endpoint in Neon's console or by its API."),
        (
            "requested endpoint could not be found",
            False,
            None,
            "Check the endpoint's ID, which is the first part of the host, in Neon's console.",
        ),
        (
            "Couldn't connect to compute node",
            True,
            None,
            "Neon's compute did not start: check its state in Neon's console.",
        ),
        ("Control plane request failed", True, None, "Neon's control plane did not answer: run again later."),
        ("Failed to acquire permit", True, None, "Neon's proxy has too many connections waiting: run again later."),
        (
            "channel binding",
            False,
            None,
            "The server has not proven that it knows the password, or TLS is not used: check the host and ssl_mode. A "
            "server whose pg_hba.conf asks for something else than scram-sha-256 cannot prove it.",
        ),
        (
            "root certificate file",
            False,
            None,
            "Name the file of the authorities that are trusted in ca_cert, readable and in PEM format.",
        ),
        (
            "does not match host name",
            False,
            None,
            "Connect by a name that the certificate is of. If that name does not resolve here, give the address by "
            "connect_params: {hostaddr: ADDRESS}.",
        ),
        (
            "certificate verify failed",
            False,
            None,
            "The server's certificate is not to be trusted: check the host, that ca_cert holds the authority that signed "
            "it, and that neither has expired.",
        ),
        (
            "server does not support SSL",
            False,
            None,
            "The server takes no TLS, which ssl_mode asks for: switch it on there, or check the host and the port.",
        ),
        (
            "requires a valid client certificate",
            False,
            "28000",
            "Give a certificate of the client's in ssl_cert, and its key in ssl_key. libpq passes over a certificate that "
            "does not exist.",
        ),
        (
            "certificate authentication failed",
            False,
            "28000",
            "The certificate in ssl_cert is of somebody else: it must be of the user who logs in.",
        ),
        (
            "private key",
            False,
            None,
            "Check ssl_key: it must be the key of ssl_cert, readable by its owner only (mode 0600). An encrypted one is "
            "opened by connect_params: {sslpassword: PASSWORD}.",
        ),
        ("certificate file", False, None, "Check ssl_cert, the file of the client's certificate."),
        (
            "alert",
            False,
            None,
            "The server has broken TLS off. Most often it wants a certificate of the client's that it trusts: give it in "
            "ssl_cert, its key in ssl_key.",
        ),
        ("password authentication failed", False, "28P01", "Check the user and the password."),
        ("no password supplied", False, "28P01", "Give login_password, or a dsn with a password."),
        (
            "Peer authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf lets a role in over this socket only where the user of the operating system has its "
            "name, whatever the password (peer). Connect over TCP (login_host: 127.0.0.1), or change the line of "
            "pg_hba.conf to scram-sha-256.",
        ),
        (
            "Ident authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf asks the client's machine which user of the operating system connects, whatever the "
            "password (ident). Change the line to scram-sha-256.",
        ),
        (
            "LDAP authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to LDAP whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "PAM authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to PAM whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "RADIUS authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to RADIUS whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "GSSAPI authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to GSSAPI whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "SSPI authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to SSPI whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "BSD authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to BSD whether the role is let in, not to the password that PostgreSQL "
            "stores.",
        ),
        (
            "OAuth bearer authentication failed",
            False,
            "28000",
            "The server's pg_hba.conf leaves it to OAuth bearer whether the role is let in, not to the password that "
            "PostgreSQL stores.",
        ),
        (
            "pg_hba.conf rejects",
            False,
            "28000",
            "A line of the server's pg_hba.conf refuses this user from here: let the line before it let it in. If that line is of "
            "connections without encryption only, set ssl_mode: require.",
        ),
        # With ssl_mode prefer the server has refused both.
        (
            "SSL encryption",
            False,
            "28000",
            "The server's pg_hba.conf does not let this user in from here: add a line for it.",
        ),
        (
            "no encryption",
            False,
            "28000",
            "The server's pg_hba.conf does not let this user in from here without encryption: set ssl_mode: require, or add"
            " a line for it.",
        ),
        (
            "pg_hba.conf",
            False,
            "28000",
            "The server's pg_hba.conf does not let this user in from here: add a line for it.",
        ),
        (
            "is not allowed to connect to this endpoint",
            False,
            None,
            "Add this address to the project's IP Allow list in Neon.",
        ),
        (
            "Endpoint ID is not specified",
            False,
            None,
            "Connect by the endpoint's own host name, or give connect_params: {options: endpoint=ID}.",
        ),
        ("could not translate host name", False, None, "Check the host's spelling."),
        ("SSL", False, None, "Check ssl_mode, ca_cert, and that the certificate is of this host."),
    )
]


class ConnectionRefused(Exception):
    """Why there is no connection.

    :param message: libpq's.
    :param mask: takes the secrets out of it.
    """

    def __init__(self, message: str, mask: Callable[[str], str]) -> None:
        super().__init__("the connection was refused")
        self.message = message
        self.masked = " ".join(mask(message).split()).rstrip(".")
        known = _find_known_error(message)
        self.is_recognized = known is not None
        # Other than the server's, the limit of a role or database may be 0, or used up by the connector itself.
        self.is_limited = "too many connections for" in message
        self.transient = bool(known and known.transient)
        self.sqlstate = known and known.sqlstate
        self.hint = known and known.hint


def _find_known_error(message: str) -> KnownError | None:
    for known in CONNECTION_ERRORS:
        if known.words in message:
            return known
    if re.search(r'database ".*" does not exist', message):
        return KnownError("", False, "3D000", "Check the name of the database.")
    if re.search(r'role ".*" does not exist', message):
        return KnownError("", False, "28000", "Check the name of the user.")
    return None
