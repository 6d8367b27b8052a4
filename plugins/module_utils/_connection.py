# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""From the connection options to a session on the server. The only place that opens a connection.

A Neon compute that sleeps wakes up when it is connected to, so what may pass is tried again, with backoff, until
``connect_timeout``. What will not pass (a wrong password, a database that does not exist) fails at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, TypeVar

from ._blockers import Watch
from ._errors import Failure, is_loss, loss
from ._sql import MASK, SHORTEST_MASKED, ident
from ._streamkap.fields import is_secret

try:
    import psycopg2
    from psycopg2.extensions import parse_dsn
    from psycopg2.extras import LogicalReplicationConnection

    PSYCOPG2_IMPORT_ERROR = None
except ImportError as error:
    psycopg2 = None
    PSYCOPG2_IMPORT_ERROR = error

T = TypeVar("T")

_LIBPQ_NAMES = {
    "login_host": "host",
    "login_port": "port",
    "login_user": "user",
    "login_password": "password",
    "login_db": "dbname",
    "ssl_mode": "sslmode",
    "ca_cert": "sslrootcert",
    "ssl_cert": "sslcert",
    "ssl_key": "sslkey",
}

# libpq's parameters that nobody else may see.
_SECRET = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")

_NEON_HOST = re.compile(r"ep-[^.]+\.(?:[^.]+\.)*neon\.[a-z]+\.?", re.IGNORECASE)
_POOLER = re.compile(r"^([^.]+)-pooler\.", re.IGNORECASE)
_CONNECTION_STRING = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)

_FIRST_DELAY = 0.1  # seconds
_LONGEST_DELAY = 2.0  # seconds
_SHORTEST_ATTEMPT = 2  # seconds: libpq takes no less

# SQLSTATEs of lock_timeout and statement_timeout.
_GIVEN_UP = ("55P03", "57014")

# What is left until the deadline, in milliseconds. That a single lock was waited for in vain is told as such, and not as a statement
# that took too long.
_REST = """SELECT set_config('lock_timeout', rest::text, true), set_config('statement_timeout', least(rest + 100, %d)::text, true)
  FROM (SELECT greatest(1, 1000 * extract(epoch FROM current_setting('streamkap_neon.deadline')::timestamptz - clock_timestamp()))::int
          AS rest) AS r"""

# How often a session connects anew to ask once more what was not answered. Who loses every connection is better told so.
_LOSSES = 2

# libpq tells no SQLSTATE of a connection that was refused, so its words have to do. Each: what it says, whether it may pass,
# its SQLSTATE, what to do.
_REFUSALS = [
    (
        "Connection refused",
        True,
        None,
        "Check the host and the port, and that the server runs and may be reached from here.",
    ),
    ("No such file or directory", True, None, "No server listens on that socket: give login_host, or a dsn."),
    (
        "timeout expired",
        True,
        None,
        "Check the host and the port, and that no firewall or IP allow list drops the connection.",
    ),
    (
        "timed out",
        True,
        None,
        "Check the host and the port, and that no firewall or IP allow list drops the connection.",
    ),
    ("Temporary failure in name resolution", True, None, "Check the name server."),
    ("server closed the connection unexpectedly", True, None, "Check that a PostgreSQL server listens on that port."),
    ("Connection reset by peer", True, None, "Check that a PostgreSQL server listens on that port."),
    ("could not receive data from server", True, None, "Check what is between here and the server."),
    ("could not send", True, None, "Check what is between here and the server."),
    ("SSL SYSCALL error", True, None, "Check what is between here and the server."),
    ("unexpected eof while reading", True, None, "Check what is between here and the server."),
    ("terminating connection due to", True, "57P01", "The server is stopping: run again later."),
    ("the database system is", True, "57P03", "The server is starting or stopping: run again later."),
    ("too many clients already", True, "53300", "Close some connections, or raise max_connections."),
    ("remaining connection slots are reserved", True, "53300", "Close some connections, or raise max_connections."),
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
        "The server has not proven that it knows the password, or TLS is not used: check the host and ssl_mode. A server whose pg_hba.conf "
        "asks for something else than scram-sha-256 cannot prove it.",
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
        "Connect by a name that the certificate is of. If that name does not resolve here, give the address by connect_params: "
        "{hostaddr: ADDRESS}.",
    ),
    (
        "certificate verify failed",
        False,
        None,
        "The server's certificate is not to be trusted: check the host, that ca_cert holds the authority that signed it, and that neither "
        "has expired.",
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
        "Give a certificate of the client's in ssl_cert, and its key in ssl_key. libpq passes over a certificate that does not exist.",
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
        "Check ssl_key: it must be the key of ssl_cert, readable by its owner only (mode 0600). An encrypted one "
        "is opened by connect_params: {sslpassword: PASSWORD}.",
    ),
    ("certificate file", False, None, "Check ssl_cert, the file of the client's certificate."),
    (
        "alert",
        False,
        None,
        "The server has broken TLS off. Most often it wants a certificate of the client's that it trusts: give it in ssl_cert, "
        "its key in ssl_key.",
    ),
    ("password authentication failed", False, "28P01", "Check the user and the password."),
    ("no password supplied", False, "28P01", "Give login_password, or a dsn with a password."),
    ("pg_hba.conf", False, "28000", "The server's pg_hba.conf does not let this user in from here."),
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
]

# What a server says after it took the password.
_AFTER_AUTHENTICATION = (
    "permission denied for database",
    "is not permitted to log in",
    "too many connections for role",
    "does not exist",
)


def secrets_among(options: dict[str, Any]) -> list[str]:
    """What is secret of options that are not, as the user gave them."""
    given = options.get("connect_params")
    named = given if isinstance(given, dict) else {}
    texts = [given] if isinstance(given, str) else []
    texts += [options.get(name) for name in ("login_host", "login_user", "login_db")]
    strings = [text for text in texts if isinstance(text, str) and (text is given or _CONNECTION_STRING.match(text))]
    return (
        [str(named[key]) for key in _SECRET if named.get(key)]
        + [text for text in strings if text]
        + _configured(options)
    )


def _configured(options: dict[str, Any]) -> list[str]:
    """What somebody has put where the keys of Streamkap's API belong, and is secret."""
    given = options.get("config")
    return (
        [str(value) for key, value in given.items() if value and is_secret(str(key))] if isinstance(given, dict) else []
    )


@dataclass
class Connection:
    """The connection options, merged into libpq's own parameters.

    :param parameters: libpq's keywords. Secret.
    :param connect_timeout: seconds in all, retries included.
    :param lock_timeout: seconds.
    :param statement_timeout: seconds.
    """

    parameters: dict[str, Any] = field(repr=False)
    session_role: str | None
    connect_timeout: int
    lock_timeout: int
    statement_timeout: int
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Connection:
        """Merge ``dsn``, the ``login_*`` options and ``connect_params``; the later wins."""
        for name in ("connect_timeout", "lock_timeout", "statement_timeout"):
            if options[name] < 1:
                raise Failure("%s is %d." % (name, options[name]), hint="Give a number of seconds, 1 or more.")
        try:
            parameters = parse_dsn(options["dsn"]) if options["dsn"] else {}
        except (psycopg2.Error, UnicodeError, ValueError):  # its message quotes the DSN
            raise Failure(
                "The dsn is not a valid libpq connection string.",
                hint="Write postgresql://user:password@host:port/database?option=value with special characters percent-encoded, "
                "or keyword=value pairs.",
            ) from None
        for name in ("login_host", "login_user", "login_db"):
            if _CONNECTION_STRING.match(options[name] or ""):
                raise Failure("%s is a connection string." % name, hint="Give it in dsn, which is kept secret.")
        given = {ours: value for ours, value in options.items() if ours in _LIBPQ_NAMES and value is not None}
        if "login_host" in given:
            parameters.pop("hostaddr", None)
        parameters.update({_LIBPQ_NAMES[ours]: value for ours, value in given.items()})
        parameters.update(options["connect_params"] or {})
        connection = cls(
            parameters,
            session_role=options["session_role"],
            connect_timeout=options["connect_timeout"],
            lock_timeout=options["lock_timeout"],
            statement_timeout=options["statement_timeout"],
        )
        connection._go_direct()
        return connection

    def _go_direct(self) -> None:
        """Neon's pooler cannot carry replication nor a session's settings: take the host behind it."""
        host = str(self.parameters.get("host") or os.environ.get("PGHOST", ""))
        if not _NEON_HOST.fullmatch(host):
            return
        if not os.environ.get("PGSSLMODE"):
            self.parameters.setdefault("sslmode", "require")
        direct = _POOLER.sub(r"\1.", host)
        if direct != host:
            self.parameters["host"] = direct
            self.warnings.append("%s is Neon's connection pooler; the direct host %s is used instead." % (host, direct))

    @property
    def secrets(self) -> list[str]:
        return [str(self.parameters[key]) for key in _SECRET if self.parameters.get(key)]

    def open(self) -> Session:
        """Connect, trying again what may pass until ``connect_timeout`` is over."""
        return Session(self, self.connect())

    def connect(self) -> Any:
        """A psycopg2 connection, for a session that begins or has lost its own."""
        try:
            return self._persist(lambda left: _connect(self.parameters, left))
        except _Refusal as refusal:
            within = " within %d seconds" % self.connect_timeout if refusal.may_pass else ""
            raise Failure("Cannot connect%s: %s." % (within, refusal.said), refusal.hint, refusal.sqlstate) from None

    def _persist(self, attempt: Callable[[float], T]) -> T:
        """Try again what may pass, with backoff, until ``connect_timeout`` is over.

        :param attempt: gets the seconds that are left.
        :raises _Refusal: the last one.
        """
        deadline = time.monotonic() + self.connect_timeout
        delay = _FIRST_DELAY
        while True:
            try:
                return attempt(deadline - time.monotonic())
            except psycopg2.Error as error:
                refusal = _Refusal(str(error), self._masked)
            if not refusal.may_pass or time.monotonic() + delay >= deadline:
                raise refusal
            time.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def as_user(self, user: str, password: str) -> Connection:
        """The same way to the same database, for somebody else."""
        personal = ("sslcert", "sslkey", "sslpassword", "passfile")
        parameters = {key: value for key, value in self.parameters.items() if key not in personal}
        return replace(self, parameters={**parameters, "user": user, "password": password}, session_role=None)

    def look_beside(self, query: str) -> Any:
        """Ask from a second session while a first one waits: the one value of the query, or None when there is no answer to be had."""
        try:
            with Session(replace(self, session_role=None), _connect(self.parameters, _SHORTEST_ATTEMPT)) as session:
                return session.ask_unwatched(query)
        except psycopg2.Error:
            return None

    def identify_system(self) -> None:
        """Open a replication connection, as a connector does, and close it.

        :raises Failure: when there is none to be had.
        """

        def identify(left: float) -> None:
            with (
                contextlib.closing(
                    _connect(self.parameters, left, connection_factory=LogicalReplicationConnection)
                ) as pg,
                pg.cursor() as cursor,
            ):
                cursor.execute("IDENTIFY_SYSTEM")

        try:
            self._persist(identify)
        except _Refusal as refusal:
            raise Failure(
                "No replication connection was to be had: %s." % refusal.said, refusal.hint, refusal.sqlstate
            ) from None

    def can_login(self, user: str, password: str) -> bool:
        """Whether the server takes this password of this user.

        :raises Failure: when there is no telling, because the server does not ask for it or does not get so far.
        """
        connection = self.as_user(user, password)

        def log_in(left: float) -> bool:
            with contextlib.closing(_connect(connection.parameters, left)) as pg:
                return pg.info.used_password

        why = "the server lets %s in from here without one" % user
        sqlstate = None
        try:
            if connection._persist(log_in):
                return True
        except _Refusal as refusal:
            if any(text in refusal.words for text in _AFTER_AUTHENTICATION):
                return True
            sqlstate = refusal.sqlstate
            if not refusal.may_pass and sqlstate != "28000":
                return False
            why = refusal.said
        raise Failure(
            "Whether the password of %s is the given one cannot be told: its verifier may not be read, and logging in with it tells "
            "nothing: %s." % (user, why),
            hint="Run as a role that may read pg_authid, or set update_password: on_create.",
            sqlstate=sqlstate,
        )

    def _masked(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= SHORTEST_MASKED:
                text = text.replace(secret, MASK)
        return text


class Session:
    """A connection that stands, and another one when that is lost. Sends statements, all of a call in one message."""

    def __init__(self, connection: Connection, pg: Any) -> None:
        self._connection = connection
        self.Error = psycopg2.Error
        self.can_login = connection.can_login
        self.as_user = connection.as_user
        self._use(pg)

    def _use(self, pg: Any) -> None:
        self._pg = pg
        self._pg.autocommit = True
        self.version: int = pg.server_version
        self.host: str = pg.info.host
        self.port: int = pg.info.port
        self.encrypted: bool = pg.info.ssl_in_use
        self.used_password: bool = pg.info.used_password
        # The process of the server that serves it.
        self.pid: int = pg.info.backend_pid

    def reconnect(self, error: Any) -> None:
        """Go on with another connection.

        :param error: how the connection was lost, a psycopg2.Error.
        :raises Failure: when there is none to be had.
        """
        self._pg.close()
        try:
            self._use(self._connection.connect())
        except Failure as failure:
            raise Failure("%s %s" % (loss(error), failure.msg), failure.hint, failure.sqlstate) from None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._pg.close()

    @property
    def notices(self) -> list[str]:
        """What the server has remarked so far."""
        return list(self._pg.notices)

    def round_trip(self) -> float:
        """How long the server takes to answer, in milliseconds."""

        def measure() -> float:
            begin = time.monotonic()
            self.send(["SELECT 1"])
            return 1000 * (time.monotonic() - begin)

        return self._answered(measure)

    @property
    def settings(self) -> list[str]:
        """What holds for each transaction and no longer: nothing is found before pg_catalog, and nobody waits for long.

        Nor does the server wait for who begins a transaction and is not heard of again, while the application waits for its locks.
        """
        settings = [
            "SET LOCAL search_path = pg_catalog, pg_temp",
            "SET LOCAL idle_in_transaction_session_timeout = '%ds'" % self._connection.statement_timeout,
            *self.patience,
        ]
        if self._connection.session_role:
            settings.append("SET LOCAL ROLE %s" % ident(self._connection.session_role))
        return settings

    @property
    def patience(self) -> list[str]:
        """How long each statement may wait, and take."""
        options = self._connection
        return [
            "SET LOCAL lock_timeout = '%ds'" % options.lock_timeout,
            "SET LOCAL statement_timeout = '%ds'" % options.statement_timeout,
        ]

    def shared_patience(self, first: bool) -> list[str]:
        """To go before each of several statements that must not take longer than lock_timeout together."""
        options = self._connection
        deadline = "SELECT set_config('streamkap_neon.deadline', (clock_timestamp() + '%ds')::text, true)"
        rest = _REST % (1000 * options.statement_timeout)
        return [deadline % options.lock_timeout, rest] if first else [rest]

    def ask(self, statements: list[str]) -> Any:
        """Send statements as one transaction, under the settings, and return the one value that the last of them gives.

        They could not write if they wanted to, so when the connection is lost they are sent again through another.
        """
        return self._answered(lambda: self.send([*self.settings, "SET LOCAL transaction_read_only = on", *statements]))

    def _answered(self, question: Callable[[], T]) -> T:
        """Only for what may be asked twice."""
        for _loss in range(_LOSSES):
            try:
                return question()
            except psycopg2.Error as error:
                if not is_loss(error):
                    raise
                self.reconnect(error)
        return question()

    def send(self, statements: list[str]) -> Any:
        """Send statements as they are, in one message, and return the one value that the last of them gives, if any.

        The server makes one transaction of them unless they hold BEGIN or COMMIT. What was waited for too long is in the error, as
        ``waiting``.
        """
        options = self._connection
        patience = min(options.lock_timeout, options.statement_timeout)
        with Watch(options.look_beside, self.pid, patience) as watch:
            try:
                return self._exchange(statements)
            except psycopg2.Error as error:
                if error.pgcode in _GIVEN_UP:
                    error.waiting = watch.seen
                raise

    def ask_unwatched(self, statement: str) -> Any:
        """As ``ask``, for who watches over another session."""
        return self._exchange([*self.settings, statement])

    def _exchange(self, statements: list[str]) -> Any:
        with self._pg.cursor() as cursor:
            cursor.execute(";\n".join(statements))
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def roll_back(self) -> None:
        """End the transaction, if the connection still stands; otherwise the server has done so."""
        try:
            self.send(["ROLLBACK"])
        except psycopg2.Error:
            self._pg.close()


def _connect(parameters: dict[str, Any], seconds: float, **arguments: Any) -> Any:
    try:
        return psycopg2.connect(
            **arguments,
            **{
                "fallback_application_name": "streamkap.neon",
                **parameters,
                "client_encoding": "utf8",
                "connect_timeout": max(_SHORTEST_ATTEMPT, math.ceil(seconds)),
            },
        )
    except (UnicodeError, ValueError):
        raise Failure(
            "An option of the connection holds what libpq cannot take: a NUL character, or what is not UTF-8.",
            hint="Look for it in %s." % ", ".join(sorted(parameters)),
        ) from None


class _Refusal(Exception):
    """Why there is no connection.

    :param words: libpq's.
    :param masked: takes the secrets out of them.
    """

    def __init__(self, words: str, masked: Callable[[str], str]) -> None:
        super().__init__("the connection was refused")
        self.words = words
        self.said = _one_line(masked(words))
        self.may_pass, self.sqlstate, self.hint = _known(words)


def _known(words: str) -> tuple[bool, str | None, str | None]:
    for text, may_pass, sqlstate, hint in _REFUSALS:
        if text in words:
            return may_pass, sqlstate, hint
    if re.search(r'database ".*" does not exist', words):
        return False, "3D000", "Check the name of the database."
    return False, None, None


def _one_line(words: str) -> str:
    return " ".join(words.split()).rstrip(".")
