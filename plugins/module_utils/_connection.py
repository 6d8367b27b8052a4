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
from ._connection_errors import NO_PASSWORD_SUPPLIED, WRONG_PASSWORD, ConnectionRefused
from ._connection_string import check_parameters, parse_connection_string
from ._errors import NOT_UTF8_HINT, Failure, is_loss, loss
from ._password import UnknownPassword, generate
from ._sql import MASK, SHORTEST_MASKED, ident
from ._streamkap.fields import is_secret

try:
    import psycopg2
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
_CONNECTION_STRING = re.compile(r"postgres(?:ql)?:/", re.IGNORECASE)
# user:password@host
_USER_AND_HOST = re.compile(r"[^@]+@")
# What a session begins with, among what a proxy reads in the same parameter, such as endpoint=ID.
_SESSION_OPTIONS = re.compile(r"(?<!\S)(?:-c\s*|--)(?:\\.|\S)*", re.DOTALL)

_FIRST_DELAY = 0.1  # seconds
_LONGEST_DELAY = 2.0  # seconds
_SHORTEST_ATTEMPT = 2  # seconds: libpq takes no less

# Settings of the server, the database or the role that change how the catalogs print names, values and expressions, how SQL is read, and
# what a session may read. Of lc_messages only a superuser may, and nothing depends on it.
_FIXED_SETTINGS = [
    # The first of all, and not serializable: a look behind the advisory lock must see what was committed while it was waited for.
    "SET LOCAL transaction_isolation = 'read committed'",
    "SET LOCAL search_path = pg_catalog, pg_temp",
    "SET LOCAL quote_all_identifiers = off",
    "SET LOCAL standard_conforming_strings = on",
    "SET LOCAL transform_null_equals = off",
    "SET LOCAL DateStyle = ISO",
    "SET LOCAL IntervalStyle = postgres",
    "SET LOCAL bytea_output = hex",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL row_security = on",
    "SET LOCAL check_function_bodies = on",
    "SET LOCAL client_min_messages = notice",
]

# SQLSTATEs of lock_timeout and statement_timeout.
_GIVEN_UP = ("55P03", "57014")

# What is left until the deadline, in milliseconds. That a single lock was waited for in vain is told as such, and not as a statement
# that took too long.
_REST = """SELECT set_config('lock_timeout', rest::text, true), set_config('statement_timeout', least(rest + 100, %d)::text, true)
  FROM (SELECT greatest(1, 1000 * extract(epoch FROM current_setting('streamkap_neon.deadline')::timestamptz - clock_timestamp()))::int
          AS rest) AS r"""

# How often a session connects anew to ask once more what was not answered. Who loses every connection is better told so.
_LOSSES = 2


def secrets_among(options: dict[str, Any]) -> list[str]:
    """What is secret of options that are not, as the user gave them."""
    given = options.get("connect_params")
    named = given if isinstance(given, dict) else {}
    texts = [given] if isinstance(given, str) else []
    texts += [options.get(name) for name in ("login_host", "login_user", "login_db")]
    strings = [text for text in texts if isinstance(text, str) and (text is given or _CONNECTION_STRING.search(text))]
    host = options.get("login_host")
    strings += [host] if isinstance(host, str) and _USER_AND_HOST.match(host) else []
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
    :param awaits_limits: whether a limit of the role's or database's connections that is reached is worth another attempt.
    """

    parameters: dict[str, Any] = field(repr=False)
    session_role: str | None
    connect_timeout: int
    lock_timeout: int
    statement_timeout: int
    warnings: list[str] = field(default_factory=list)
    awaits_limits: bool = True

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Connection:
        """Merge ``dsn``, the ``login_*`` options and ``connect_params``; the later wins."""
        for name in ("connect_timeout", "lock_timeout", "statement_timeout"):
            if options[name] < 1:
                raise Failure("%s is %d." % (name, options[name]), hint="Give a number of seconds, 1 or more.")
        parameters: dict[str, Any] = parse_connection_string(options["dsn"]) if options["dsn"] else {}
        for name in ("login_host", "login_user", "login_db"):
            if _CONNECTION_STRING.search(options[name] or ""):
                raise Failure("%s is a connection string." % name, hint="Give it in dsn, which is kept secret.")
        given = {ours: value for ours, value in options.items() if ours in _LIBPQ_NAMES and value is not None}
        if "login_host" in given:
            parameters.pop("hostaddr", None)
        parameters.update({_LIBPQ_NAMES[ours]: value for ours, value in given.items()})
        parameters.update(options["connect_params"] or {})
        check_parameters(parameters)
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
        except ConnectionRefused as refused:
            within = " within %d seconds" % self.connect_timeout if self._is_worth_another(refused) else ""
            raise Failure("Cannot connect%s: %s." % (within, refused.masked), refused.hint, refused.sqlstate) from None

    def _is_worth_another(self, refused: ConnectionRefused) -> bool:
        return refused.transient and (self.awaits_limits or not refused.is_limited)

    def _persist(self, attempt: Callable[[float], T]) -> T:
        """Try again what may pass, with backoff, until ``connect_timeout`` is over.

        :param attempt: gets the seconds that are left.
        :raises ConnectionRefused: the last one.
        """
        deadline = time.monotonic() + self.connect_timeout
        delay = _FIRST_DELAY
        while True:
            try:
                return attempt(deadline - time.monotonic())
            except psycopg2.Error as error:
                refused = ConnectionRefused(str(error), self._masked)
            if not self._is_worth_another(refused) or time.monotonic() + delay >= deadline:
                raise refused
            time.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def as_user(self, user: str, password: str) -> Connection:
        """The same way to the same database, for another role, without what is the administrator's own.

        A limit of connections is told at once: it may be the connector itself that has reached it.
        """
        personal = ("sslcert", "sslkey", "sslpassword", "passfile", "options")
        parameters = {key: value for key, value in self.parameters.items() if key not in personal}
        if self._options:
            parameters["options"] = _SESSION_OPTIONS.sub("", self._options).strip()
        parameters.update(user=user, password=password)
        return replace(self, parameters=parameters, session_role=None, awaits_limits=False)

    @property
    def _options(self) -> str:
        return str(self.parameters.get("options") or os.environ.get("PGOPTIONS") or "")

    @property
    def own_settings(self) -> frozenset[str]:
        """The names of the settings that are made for this session alone."""
        options = [re.match(r"(?:-c\s*|--)([\w.-]+)", text) for text in _SESSION_OPTIONS.findall(self._options)]
        return frozenset(option[1].lower().replace("-", "_") for option in options if option)

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
        except ConnectionRefused as refused:
            raise Failure(
                "No replication connection was to be had: %s." % refused.masked, refused.hint, refused.sqlstate
            ) from None

    def probe_password(self, user: str, password: str) -> bool | UnknownPassword:
        """Find out whether the server takes this password of this user, by logging in.

        Only SQLSTATE 28P01 means that it does not. A limit, pg_hba.conf, a trigger on login and whatever else refuses a connection tell
        nothing of the password, or even that it was right.
        """
        connection = self.as_user(user, password)
        try:
            asked = connection._persist(lambda left: _used_password(connection.parameters, left))
        except ConnectionRefused as refused:
            if refused.sqlstate == WRONG_PASSWORD:
                return False
            if not refused.is_recognized and connection._is_refused_for_any_password(refused):
                return False
            return UnknownPassword("logging in with it was refused: %s." % refused.masked, refused.hint)
        if asked:
            return True
        return UnknownPassword(
            "the server lets %s in from here without asking for it." % user,
            "A line of the server's pg_hba.conf says so (trust, peer, cert): scram-sha-256 in its place asks for the password.",
        )

    def _is_refused_for_any_password(self, refused: ConnectionRefused) -> bool:
        """Tell a wrong password where the server's language is not understood: by comparison.

        A server that asks for the password, and refuses another one with the same words, has not got as far as anything else.
        """
        others = {"password": generate()}, {"password": "", "passfile": os.devnull}
        messages = []
        for parameters in others:
            try:
                _used_password({**self.parameters, **parameters}, _SHORTEST_ATTEMPT)
            except psycopg2.Error as error:
                messages.append(str(error))
        return len(messages) == len(others) and messages[0] == refused.message and NO_PASSWORD_SUPPLIED in messages[1]

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
        self.probe_password = connection.probe_password
        self.as_user = connection.as_user
        self.own_settings = connection.own_settings
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
        # The server reads a whole message in one way, before it executes the first statement of it.
        if pg.get_parameter_status("standard_conforming_strings") == "off":
            self._exchange(["SET standard_conforming_strings = on"])

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
            *_FIXED_SETTINGS,
            "SET LOCAL idle_in_transaction_session_timeout = '%ds'" % self._connection.statement_timeout,
            *self.patience,
        ]
        if self.version >= 170000:
            # It would end the session without a word that reaches the client. Each statement has its own limit.
            settings.append("SET LOCAL transaction_timeout = 0")
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
            try:
                row = cursor.fetchone() if cursor.description else None
            except UnicodeDecodeError:
                raise Failure("The server has answered with what is not UTF-8.", hint=NOT_UTF8_HINT) from None
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


def _used_password(parameters: dict[str, Any], seconds: float) -> bool:
    """Log in and out, and tell whether the server has asked for the password."""
    with contextlib.closing(_connect(parameters, seconds)) as pg:
        return pg.info.used_password
