# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What the checks judge: everything that was seen, in the shape in which they ask for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .._connection_errors import WRONG_PASSWORD
from .._engine import Line, OtherSide
from .._resources._catalog import BY_NAME, Relation
from .._server import Server
from .._sql import QualifiedName, ident, relations
from .check import SettingUnknown

LOCKED = "55P03"  # lock_not_available: somebody holds a lock, which says nothing about a right

# A GRANT or ALTER PUBLICATION of more tables than this is cut, so that it fits a screen and the server's lock space.
_MOST_NAMED = 500

_QUANTITY = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
# To the unit in which PostgreSQL keeps the setting: milliseconds, kilobytes, ...
_TIMES = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES = {"B": 1 / 1024, "kB": 1, "MB": 1024, "GB": 1024**2, "TB": 1024**3}


@dataclass(frozen=True)
class Options:
    """What was asked for, parsed.

    :param role: whom remedies grant to, where the user is a member of it.
    :param publication: empty when it is not looked at; and so the slot.
    :param connector_running: whether the slot is to be read by now.
    :param slot_before: what an earlier look told of the slot, if there was one.
    :param limits: thresholds by the name of their option.
    """

    user: str
    role: str
    schemas: list[str]
    tables: list[QualifiedName]
    exclude_tables: list[QualifiedName]
    publication: str
    slot: str
    signal_table: QualifiedName | None
    heartbeat_table: QualifiedName | None
    read_slot: bool
    connector_running: bool
    slot_before: dict[str, Any] | None
    limits: dict[str, int]


class Connector:
    """What the connector's side gave.

    ``withheld`` has the oids of tables that its session has no right to read, although its user has.
    """

    def __init__(self, side: OtherSide) -> None:
        seen = side.seen or {"acts_as": None, "settings": {}, "answers": [], "withheld": []}
        self.refused = side.refused
        self.has_wrong_password = side.refused_sqlstate == WRONG_PASSWORD
        self.refused_hint = side.refused_hint
        self.used_password = side.used_password
        self.walsender = side.walsender
        self.unanswered = side.unanswered
        self.notices = side.notices
        self.acts_as: str | None = seen["acts_as"]
        self.settings: dict[str, str] = seen["settings"]
        self.withheld: set[int] = set(seen["withheld"])
        self._answers: list[dict[str, str]] = seen["answers"]

    def errors(self, kind: str) -> list[dict[str, str]]:
        """What the server refused of what was tried, with its SQLSTATE."""
        return [answer for answer in self._answers if answer["kind"] == kind]


@dataclass(eq=False)
class Table(Relation):
    """A relation, and what capturing it takes.

    :param key_types: columns of the primary key, with their types, that make poor keys.
    :param wanted: whether it is to be captured.
    :param published: whether it is in the publication by itself, its schema or with all others.
    :param readable: yes, no or not inherited.
    :param row_security: whether row-level security hides rows from the connector.
    :param toasted: whether values of it are stored out of line.
    :param stored: generated columns that are stored, and ``virtual`` those that are not.
    :param unsupported: columns with types that Debezium leaves out.
    :param column_list: the published columns, or None for all.
    :param filter: the row filter, and ``filter_columns`` what it uses.
    """

    key_types: list[str] = field(default_factory=list)
    wanted: bool = True
    published: bool = True
    readable: str = "yes"
    row_security: bool = False
    toasted: bool = False
    stored: list[str] = field(default_factory=list)
    virtual: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    column_list: list[str] | None = None
    filter: str | None = None
    filter_columns: list[str] = field(default_factory=list)


class Subject:
    """Everything that was seen.

    :param side: None when no password was given to log in with.
    """

    def __init__(
        self, options: Options, server: Server, seen: dict[str, Any], line: Line, side: OtherSide | None
    ) -> None:
        self.options = options
        self.server = server
        self.seen = seen
        self.line = line
        self.connector = Connector(side) if side else None

    @property
    def user(self) -> dict[str, Any]:
        return self.seen["user"]

    @property
    def publication(self) -> dict[str, Any]:
        return self.seen["publication"]

    @property
    def slot(self) -> dict[str, Any]:
        return {**self.seen["slot"]["slot"], **self.seen["slot_more"]}

    @property
    def grantee(self) -> str:
        """Whom remedies grant to."""
        return self.options.role if self.user["group"] else self.options.user

    def limit(self, name: str) -> int:
        return self.options.limits[name]

    def setting(self, name: str) -> int | None:
        """The number that the connector's sessions get for a setting, in its own unit: milliseconds or kilobytes.

        None on a server that does not have it.

        :raises SettingUnknown: where only the administrator's is known.
        """
        if self.connector and name in self.connector.settings:
            return quantity(self.connector.settings[name])
        given = [setting.split("=", 1) for setting in self.seen["role_settings"]]
        own = [value for key, value in given if key.lower() == name]
        server = self.seen["settings"].get(name)
        if not own and name in self.line.session_settings.union(self.seen["own_settings"]):
            raise SettingUnknown(
                "%s is set for the administrator's role or session alone, and what the connector's user gets is known with "
                "connector_password only." % name
            )
        return quantity(own[-1]) if own and server is not None else self.server_setting(name)

    def server_setting(self, name: str) -> int | None:
        value = self.seen["settings"].get(name)
        return None if value is None else quantity(value)

    @cached_property
    def tables(self) -> list[Table]:
        """Every relation that is to be captured or is published, its partitions and what it is a partition of; by name."""
        found = [
            Table(
                name=QualifiedName(row["schema"], row["name"]),
                **{key: value for key, value in row.items() if key not in ("schema", "name")},
            )
            for row in self.seen["tables"]
        ]
        return sorted(found, key=BY_NAME)

    @cached_property
    def _by_oid(self) -> dict[int, Table]:
        return {table.oid: table for table in self.tables}

    @cached_property
    def own(self) -> set[QualifiedName]:
        """The connector's own tables."""
        return {name for name in (self.options.signal_table, self.options.heartbeat_table) if name}

    @cached_property
    def captured(self) -> list[Table]:
        """The tables to be captured; of partitioned ones the root, which stands for its partitions."""
        return [
            table
            for table in self.tables
            if table.wanted
            and table.is_permanent_table
            and table.name not in self.own
            and not any(above.wanted for above in self.lineage(table)[1:])
        ]

    def lineage(self, table: Table) -> list[Table]:
        """The table, the partitioned table that it is a partition of, and so on to the root."""
        lineage = [table]
        while lineage[-1].parent is not None:
            lineage.append(self._by_oid[lineage[-1].parent])
        return lineage

    def is_published(self, table: Table) -> bool:
        return any(member.published for member in self.lineage(table))

    @cached_property
    def written(self) -> list[Table]:
        """The tables that hold rows, partitions but not what they are partitions of, and are captured or published."""
        return [
            table
            for table in self.tables
            if table.kind == "r"
            and table.persistence == "p"
            and any(member.wanted or member.published for member in self.lineage(table))
        ]

    @property
    def publishes_changes(self) -> bool:
        """Whether updates or deletes are published, or would be by a publication that is not there yet."""
        published = self.seen["publication"]
        return not published or published["publish"]["update"] or published["publish"]["delete"]


def quantity(text: str) -> int:
    """The number in a setting such as 5min, 64MB or on, in PostgreSQL's base unit; 0 for what is none."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        return 0
    number, unit = match.groups()
    return round(float(number) * {**_TIMES, **_SIZES}.get(unit, 1))


def grants(privileges: str, kind: str, names: Iterable[QualifiedName], grantee: str) -> list[str]:
    """GRANT statements, cut to a size that servers and people can take."""
    return [
        "GRANT %s ON %s %s TO %s" % (privileges, kind, relations(some), ident(grantee))
        for some in _portions(list(names))
    ]


def alter_publication(publication: str, action: str, tables: Iterable[Relation | QualifiedName]) -> list[str]:
    return [
        "ALTER PUBLICATION %s %s TABLE %s" % (ident(publication), action, ", ".join(table.sql for table in some))
        for some in _portions(list(tables))
    ]


def _portions(names: list[Any]) -> list[list[Any]]:
    return [names[start : start + _MOST_NAMED] for start in range(0, len(names), _MOST_NAMED)]
