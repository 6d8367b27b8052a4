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
from .._sql import QualifiedName, ident, literal, relations
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
    :param event_key: the columns by which Debezium tells rows apart; ``lost_key`` those of them, with their types, that no event has,
        ``generated_key`` generated ones, ``loose_key`` those that need not be unique, and ``snapshot_key`` those, with their types, that an
        incremental snapshot fails at.
    :param children: the tables that inherit from it in the way that is not partitioning, directly or not.
    :param wanted: whether it is to be captured.
    :param included: whether it is a partition of one that is, without being named itself.
    :param published: whether it is in the publication by itself, its schema or with all others.
    :param readable: yes, no or not inherited.
    :param row_security: whether row-level security hides rows from the connector.
    :param toasted: whether values of it are stored out of line.
    :param stored: generated columns that are stored, and ``virtual`` those that are not.
    :param unsupported: columns with types that Debezium leaves out, and ``ending`` those that end its snapshots.
    :param column_list: the published columns, or None for all.
    :param filter: the row filter.
    :param narrow: the publications that publish a part of it; see `narrowing`.
    """

    key_types: list[str] = field(default_factory=list)
    event_key: list[str] = field(default_factory=list)
    lost_key: list[str] = field(default_factory=list)
    generated_key: list[str] = field(default_factory=list)
    loose_key: list[str] = field(default_factory=list)
    snapshot_key: list[str] = field(default_factory=list)
    children: list[dict[str, Any]] = field(default_factory=list)
    wanted: bool = True
    included: bool = False
    published: bool = True
    readable: str = "yes"
    row_security: bool = False
    toasted: bool = False
    stored: list[str] = field(default_factory=list)
    virtual: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    ending: list[str] = field(default_factory=list)
    column_list: list[str] | None = None
    filter: str | None = None
    narrow: list[dict[str, Any]] = field(default_factory=list)


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
        """
        value = self.setting_text(name)
        return None if value is None else quantity(value)

    def setting_text(self, name: str) -> str | None:
        """The same in the server's own words.

        :raises SettingUnknown: where only the administrator's is known.
        """
        if self.connector and name in self.connector.settings:
            return self.connector.settings[name]
        own = [given["value"] for given in self.role_settings(name)]
        server = self.seen["settings"].get(name)
        if not own and name.lower() in self.line.session_settings.union(self.seen["own_settings"]):
            raise SettingUnknown(
                "%s is set for the administrator's role or session alone, and what the connector's user gets is known with "
                "connector_password only." % name
            )
        return own[-1] if own and server is not None else server

    def role_settings(self, name: str) -> list[dict[str, Any]]:
        """What the connector's user and the database have for a setting of their own; the last one wins."""
        found = []
        for given in self.seen["role_settings"]:
            key, value = given["setting"].split("=", 1)
            if key.lower() == name.lower():
                found.append({**given, "value": value})
        return found

    def set_for_connector(self, name: str, value: str) -> list[str]:
        """The statements that make this the value of the connector's sessions."""
        user, database = ident(self.options.user), ident(self.server.database)
        where = "ALTER ROLE %s IN DATABASE %s" % (user, database)
        sql = [
            "%s RESET %s" % (where if given["database"] else "ALTER ROLE %s" % user, name)
            for given in self.role_settings(name)
            if given["role"]
        ]
        # What is left then is the database's or the server's, which others use too.
        others = [given["value"] for given in self.role_settings(name) if not given["role"]]
        if others or not sql or self.seen["settings"].get(name) != value:
            sql.append("ALTER ROLE %s SET %s = %s" % (user, name, literal(value)))
        return sql

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

    @property
    def via_root(self) -> bool:
        """Whether the changes of partitions come under the name of what they are partitions of."""
        return not self.publication or self.publication["via_root"]

    @cached_property
    def captured(self) -> list[Table]:
        """The tables under whose names rows come: of partitioned ones the root, or the partitions."""
        return [
            table
            for table in self.tables
            if (table.wanted or (table.included and not self.via_root))
            and table.is_permanent_table
            and table.name not in self.own
            and (
                not any(above.wanted for above in self.lineage(table)[1:])
                if self.via_root
                else table.kind != "p" or not self.has_partitions(table)
            )
        ]

    @cached_property
    def _with_partitions(self) -> set[int]:
        return {table.parent for table in self.tables if table.parent is not None}

    def has_partitions(self, table: Table) -> bool:
        return table.oid in self._with_partitions

    @cached_property
    def _partitions(self) -> dict[int, list[Table]]:
        found: dict[int, list[Table]] = {}
        for table in self.tables:
            for above in self.lineage(table)[1:]:
                found.setdefault(above.oid, []).append(table)
        return found

    def partitions_of(self, table: Table) -> list[Table]:
        """Its partitions, their partitions, and so on."""
        return self._partitions.get(table.oid, [])

    def governing(self, table: Table) -> Table:
        """The table whose column list and row filter hold for the changes of this one."""
        published = [member for member in self.lineage(table) if member.published]
        return published[-1] if published and self.via_root else table

    def part(self, table: Table) -> dict[str, Any]:
        """The part of a table that the publication publishes; see `narrowing`."""
        return next((part for part in table.narrow if part["publication"] == self.options.publication), {})

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
            and (table.wanted or table.included or any(member.published for member in self.lineage(table)))
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
