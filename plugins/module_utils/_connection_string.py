# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Read a connection string, and say which of the usual mistakes is in one that libpq cannot use.

libpq reads some malformed strings without complaint and takes a part of the password for the host, the port or the database, which its
messages then quote. So a string is checked before libpq gets it, and no message holds any part of it behind the user's name, but for
parameters that are known by name.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from ._errors import Failure
from ._sql import listed

try:
    from psycopg2 import Error
    from psycopg2.extensions import parse_dsn
except ImportError:  # said by the module that imports _connection
    Error = parse_dsn = None

_FORM = "Write postgresql://user:password@host:port/database?option=value, or keyword=value pairs with a blank between them."
_SEPARATED = "has its pairs of name and value separated by a ; or the like, as other drivers want it"
_ENCODE = (
    "Write such characters percent-encoded (@ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25), or leave the password out and "
    "give it by itself (login_password, in the role cdc cdc_login_password)."
)

_URI = re.compile(r"postgres(?:ql)?://")
# Or user:password@host, without any scheme.
_OTHER_URI = re.compile(r"[a-z][a-z0-9+._-]*:|[^=\s]*@", re.IGNORECASE)
_COMMAND = re.compile(r"\s*(?:sudo\s.*)?(?:\S*/)?(?:psql|pgcli|pg_dump|createdb)\s", re.IGNORECASE)
_VARIABLE = re.compile(
    r"\s*(?:export\s+|set\s+)?[a-z_][a-z0-9_]*(?:\s*=\s*|:\s+)['\"]?(?:jdbc:)?[a-z][a-z0-9+.-]*://", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\s*(?:\$|\{\{|%\(|<)")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_BARE_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_HIDDEN = re.compile(r"[*\u2022\u25cf]{4,}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}")
# Pairs as other drivers write them: host=...;password=...
_OTHER_SEPARATOR = re.compile(r"[;,&]\s*[A-Za-z_][A-Za-z0-9_ ]*=")

# Parameters of other drivers, by the name of who knows them. libpq refuses them.
_FOREIGN = {
    **dict.fromkeys(
        (
            "schema",
            "connection_limit",
            "pgbouncer",
            "pool_timeout",
            "socket_timeout",
            "sslaccept",
            "sslidentity",
            "statement_cache_size",
        ),
        "Prisma",
    ),
    **dict.fromkeys(
        (
            "currentSchema",
            "prepareThreshold",
            "sslfactory",
            "reWriteBatchedInserts",
            "channelBinding",
            "stringtype",
            "ApplicationName",
        ),
        "JDBC",
    ),
    **dict.fromkeys(("charset", "serverVersion"), "Doctrine"),
    **dict.fromkeys(("async_fallback", "prepared_statement_cache_size"), "SQLAlchemy"),
    **dict.fromkeys(("uselibpqcompat", "max", "idle_timeout"), "JavaScript drivers"),
    **dict.fromkeys(
        ("pool_max_conns", "pool_min_conns", "pool_mode", "default_query_exec_mode", "search_path"), "Go drivers"
    ),
}


def parse_connection_string(text: str) -> dict[str, str]:
    """Return the parameters of libpq that a connection string holds.

    :raises Failure: which says what is wrong with it and quotes nothing of it.
    """
    problem = _find_problem(text)
    if problem:
        raise Failure("The connection string (dsn) %s." % problem[0], hint=problem[1])
    try:
        return parse_dsn(text)
    except (Error, UnicodeError, ValueError):  # its message quotes the string
        if not _URI.match(text) and _OTHER_SEPARATOR.search(text):
            raise Failure("The connection string (dsn) %s." % _SEPARATED, hint=_FORM) from None
        raise Failure(
            "The dsn is not a valid libpq connection string.",
            hint="%s In the former special characters are percent-encoded; in the latter a value with blanks, quotes or backslashes stands "
            "in single quotes, with \\ before ' and \\." % _FORM,
        ) from None


def check_parameters(parameters: dict[str, Any]) -> None:
    """Fail for a host, port or name that can only have come from a mistake, and may hold a password.

    :param parameters: libpq's, wherever they were given.
    """
    for name in ("host", "hostaddr", "port", "user", "dbname"):
        value = str(parameters.get(name) or "")
        if _OTHER_SEPARATOR.search(value):
            raise Failure("The connection string, or what is given for the %s, %s." % (name, _SEPARATED), hint=_FORM)
    host = str(parameters.get("host") or "")
    # libpq takes a host that begins with @ for an abstract socket.
    if "@" in host[1:] or any(character.isspace() for character in host):
        raise Failure(
            "The host holds a @ or a blank, as no host's name does.",
            hint="Give the host alone, and the user and the password in options of their own. %s" % _ENCODE,
        )
    if re.fullmatch(r"[^:/,]+:\d+", host):
        raise Failure("The host has a port behind it.", hint="Give the port in login_port, or in the dsn.")
    port = str(parameters.get("port") or "")
    if not all(part.strip().isdigit() for part in port.split(",") if part.strip()):
        raise Failure(
            "The port is no number.", hint="Give the port alone, 5432 unless the server says otherwise. %s" % _ENCODE
        )


def _find_problem(text: str) -> tuple[str, str] | None:
    """What is wrong, to follow the words "The connection string", and what to do about it."""
    stripped = text.strip("".join(character for character in set(text) if _is_invisible(character)))
    if not stripped:
        return "is blank", "%s Or leave it out." % _FORM
    if _URI.match(text):
        return _find_problem_in_uri(text, stripped)
    if _URI.match(stripped):
        return _surrounded(text, stripped)
    if _COMMAND.match(stripped):
        return (
            "is a whole command, as consoles offer it for a terminal",
            "Give only the connection string that stands in it, mostly between quotes, from postgresql:// on.",
        )
    if stripped[0] in _QUOTES:
        return "begins with a quotation mark", "Take the quotation marks away: it begins with postgresql://."
    if stripped.lower().startswith("jdbc:"):
        return (
            "begins with jdbc:, and so is for a driver of Java's",
            "Leave out jdbc:. libpq wants user and password before the host: postgresql://user:password@host:port/database.",
        )
    if _VARIABLE.match(stripped):
        return (
            "begins with the name of a variable",
            "Give only what stands behind it, from postgresql:// on, without quotation marks.",
        )
    if _PLACEHOLDER.match(stripped):
        return (
            "is a placeholder that nothing was put in place of",
            "Set the variable that it names, or give the string itself.",
        )
    if _OTHER_URI.match(stripped):
        return (
            "begins with something else than postgresql:// or postgres:// in small letters",
            "Write postgresql://user:password@host:port/database. What stands there for the driver of another language is left out.",
        )
    return None


def _is_invisible(character: str) -> bool:
    return character.isspace() or not character.isprintable()


def _surrounded(text: str, stripped: str) -> tuple[str, str]:
    ends = (text[: text.index(stripped)], text[text.index(stripped) + len(stripped) :])
    where = " and ".join(verb for verb, end in zip(("begins", "ends"), ends) if end)
    kind = "a line break" if {"\n", "\r"} & {*ends[0], *ends[1]} else "a blank or another character that is not seen"
    return (
        "%s with %s" % (where, kind),
        "Take it away. In YAML, > and | keep the line break at the end, and >- and |- do not; a file is read without it by "
        "lookup('ansible.builtin.file', ...).",
    )


class _Uri(NamedTuple):
    """The parts of a URI as libpq tells them apart (conninfo_uri_parse_options), not decoded."""

    userinfo: str | None
    hosts: str
    path: str
    query: str


def _split(text: str) -> _Uri:
    rest = text[text.index("://") + 3 :]
    userinfo: str | None = None
    mark = re.search(r"[@/]", rest)
    if mark and mark.group() == "@":
        userinfo, rest = rest[: mark.start()], rest[mark.end() :]
    hosts, path, query = re.fullmatch(r"([^/?]*)(/[^?]*)?(?:\?(.*))?", rest, re.DOTALL).groups()
    return _Uri(userinfo, hosts, path or "", query or "")


def _find_problem_in_uri(text: str, stripped: str) -> tuple[str, str] | None:
    if text != stripped:
        return _surrounded(text, stripped)
    if {"\n", "\r", "\t"} & set(text):
        return (
            "has a line break or a tab within",
            "Write it in one line. In YAML a line that goes on in the next gets a blank there.",
        )
    uri = _split(text)
    unknown = _unknown_parameters(uri.query)
    if "@" in uri.hosts or "@" in uri.path or ("@" in uri.query and unknown):
        return "has a password or a name with a @ or a / that is not percent-encoded", _ENCODE
    if _BARE_PERCENT.search(text):
        return "has a % that does not begin a percent-encoded character", _ENCODE
    ports = re.findall(r":([^:,\]]*)(?=,|\Z)", uri.hosts)
    if not all(unquote(port).isdigit() for port in ports if port):
        what = "has something else than a number where the port stands"
        if uri.userinfo is None:
            return "%s, or no @ between user:password and the host" % what, "%s %s" % (_FORM, _ENCODE)
        return what, "%s %s" % (_FORM, _ENCODE)
    if _HIDDEN.fullmatch((uri.userinfo or "").partition(":")[2]):
        return (
            "has asterisks in place of the password",
            "It was copied while the password was hidden: show it first, then copy again. A password of asterisks is written %2A%2A...",
        )
    if unknown:
        return _describe_unknown(unknown, is_behind_host=uri.userinfo is not None)
    return None


def _unknown_parameters(query: str) -> list[str]:
    """The parameters of a URI that libpq does not know; an empty name for one without a value."""
    unknown = []
    for parameter in query.rstrip("&").split("&") if query else []:
        name, equals, value = parameter.partition("=")
        if not equals:
            unknown.append("")
        elif not (_is_known(name) or (name == "ssl" and value == "true")):  # which libpq takes from JDBC
            unknown.append(name)
    return unknown


def _is_known(name: str) -> bool:
    if not _PARAMETER.fullmatch(name):
        return False
    try:
        return bool(parse_dsn("%s=x" % name))
    except Error:
        return False


def _describe_unknown(unknown: list[str], is_behind_host: bool) -> tuple[str, str]:
    """Name the parameters, unless they may be a part of a password, as in user:12?34=5."""
    if not all(name in _FOREIGN or (is_behind_host and _PARAMETER.fullmatch(name)) for name in unknown):
        return (
            "has behind its ? something that is no parameter of libpq",
            "Write name=value, with & between several. A ? in the password is written %3F.",
        )
    named = ["%s (%s)" % (name, _FOREIGN[name]) if name in _FOREIGN else name for name in unknown]
    return (
        "has behind its ? a parameter that libpq does not know: %s" % listed(named),
        "Leave it out: it is for another driver, and this collection has an option of its own for all that it needs.",
    )
