# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Identifiers, qualified names, literals and statements: the text that is sent to the server, and the text that is shown.

Nothing here talks to a server, so that plans stay pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ._errors import Failure
from ._text import printable

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL cuts longer names silently
MASK = "********"
PSQL_SECRET = "streamkap_password"  # the only secret in statements is the password of one role
SHORTEST_MASKED = 4  # characters of a secret that is masked in the middle of a text

T = TypeVar("T")

_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
_NEEDS_QUOTES = re.compile(r'[".]|^\s|\s$')


def ident(name: str) -> str:
    """Quote one identifier. Always, so that capitals and reserved words need no special case."""
    return '"%s"' % name.replace('"', '""')


def literal(value: str) -> str:
    """Quote one string, right under either setting of standard_conforming_strings."""
    quoted = "'%s'" % value.replace("'", "''")
    if "\\" in quoted:
        return "E" + quoted.replace("\\", "\\\\")
    return quoted


def array(values: Iterable[str]) -> str:
    """A text[] expression."""
    return "ARRAY[%s]::text[]" % ", ".join(literal(value) for value in values)


def check_name(name: str, what: str) -> str:
    """Return the name of one object as it is, or fail when PostgreSQL would refuse it or cut it.

    :param what: what the name is of, for the message: "schema", "role", ...
    """
    if not name:
        raise Failure("The name of a %s is empty." % what, hint="Give it a name or leave the option out.")
    if "\x00" in name:
        raise Failure("The name of the %s %r holds a NUL character, which PostgreSQL cannot store." % (what, name))
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Failure("The name of the %s %r is not valid UTF-8." % (what, name), hint="Correct it.") from None
    if size > MAX_NAME_BYTES:
        raise Failure(
            "The name of the %s %r has %d bytes, and PostgreSQL cuts names at %d." % (what, name, size, MAX_NAME_BYTES),
            hint="Use a shorter name.",
        )
    return name


@dataclass(frozen=True, order=True)
class QualifiedName:
    """A relation by schema and name, both as the catalogs store them."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, what: str = "table") -> QualifiedName:
        """Read ``schema.name``.

        A part is taken as written: no case is folded. A part that holds a dot or a double quote is written as in SQL, in double quotes.
        """
        parts, position = [], 0
        while position < len(text):
            match = _PART.match(text, position)
            if not match:
                break
            quoted, plain = match.groups()
            parts.append(plain if quoted is None else quoted.replace('""', '"'))
            position = match.end()
            if text[position : position + 1] != ".":
                break
            position += 1
        if len(parts) != 2 or position != len(text):
            raise Failure(
                "%r is not the name of a %s." % (text, what),
                hint="Write schema.%s, and put a part that holds a dot or a double quote into double quotes as in SQL: "
                '"my.schema"."my ""%s""".' % (what, what),
            )
        return cls(check_name(parts[0], "schema"), check_name(parts[1], what))

    @property
    def sql(self) -> str:
        return "%s.%s" % (ident(self.schema), ident(self.name))

    @property
    def plain(self) -> str:
        """As Debezium and Streamkap write it: the parts with a dot between them, without quotes."""
        return "%s.%s" % (self.schema, self.name)

    def __str__(self) -> str:
        """As ``parse`` reads it."""
        return ".".join(ident(part) if _NEEDS_QUOTES.search(part) else part for part in (self.schema, self.name))


def idents(names: Iterable[str]) -> str:
    return ", ".join(ident(name) for name in names)


def relations(names: Iterable[QualifiedName]) -> str:
    return ", ".join(name.sql for name in names)


def guarded(condition: str, query: str, column: str) -> str:
    """An expression for the one value of a query that may only run where a condition holds, else NULL, as text.

    PostgreSQL checks that tables exist and may be read before it evaluates anything, CASE or not; so the query travels as a
    text. ts_stat is the function that runs one on every server: query_to_xml needs a server with libxml, DO needs plpgsql.

    :param query: an expression for the text of the query.
    :param column: its column; not empty, and at most 2046 bytes long.
    """
    lexeme = "'SELECT array_to_tsvector(ARRAY[%s::text]) FROM (' || %s || ') AS guarded WHERE %s IS NOT NULL'" % (
        column,
        query,
        column,
    )
    return "CASE WHEN %s THEN (SELECT word FROM ts_stat(%s)) END" % (condition, lexeme)


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names for a message: all of them, or the first few and how many more."""
    shown = [str(name) for name in names]
    if len(shown) > most:
        return "%s and %d more" % (", ".join(shown[:most]), len(shown) - most)
    return ", ".join(shown)


@dataclass(frozen=True)
class Secret:
    """A value that the server must see and nobody else."""

    value: str

    def __repr__(self) -> str:
        return "Secret(%s)" % MASK


def written(secret: str) -> set[str]:
    """How a secret may stand in a message: as it is, in SQL, in SQL that is quoted once more, and each of them escaped."""
    if len(secret) < SHORTEST_MASKED:
        return {secret}
    once = literal(secret).partition("'")[2][:-1]
    texts = {secret, once, literal(once).partition("'")[2][:-1], repr(secret)[1:-1]}
    return texts | set(map(printable, texts))


def portions(items: Iterable[T], most: int) -> list[list[T]]:
    """Cut into as few as possible, none of which has more than ``most``, which may be less than one and is then one."""
    items, most = list(items), max(most, 1)
    return [items[start : start + most] for start in range(0, len(items), most)]


class Statement:
    """One SQL statement, in parts: text, and secrets between the text. Two that read the same are the same.

    :param locks: how many entries of the server's lock table it takes until the end of its transaction, besides those that the
        statements before it have taken already. A few more or less do not matter. What takes none is never parted from the statement
        before it.
    :param exclusive: whether until then nobody else can read or write tables that are the application's.
    """

    def __init__(self, *parts: str | Secret, locks: int = 0, exclusive: bool = False) -> None:
        self._parts = parts
        self.locks = locks
        self.exclusive = exclusive

    @property
    def sql(self) -> str:
        """As it is sent."""
        return "".join(literal(part.value) if isinstance(part, Secret) else part for part in self._parts)

    @property
    def for_psql(self) -> str:
        """As a script for psql has it: the variable PSQL_SECRET stands for a secret."""
        return "".join(":'%s'" % PSQL_SECRET if isinstance(part, Secret) else part for part in self._parts)

    def __str__(self) -> str:
        """As it is shown: secrets masked."""
        return "".join("'%s'" % MASK if isinstance(part, Secret) else part for part in self._parts)

    def __repr__(self) -> str:
        return "Statement(%r)" % str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statement) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)
