# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything happens: one server, databases of a size in it, and a network in front of it.

with stage() as it:
    with it.database(Size(10, 100)) as database:
        ...
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from support import binaries, neon
from support.neon import Database
from support.postgres import Server
from support.proxy import Proxy, proxy

MAJOR = 17

# What counts for the work is as PostgreSQL comes; the servers of the tests are smaller, and log every statement.
SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": 100,
    "max_wal_size": "1GB",
    "max_replication_slots": 60,
    "log_statement": "none",
}

# A transaction for each schema, because a table that is made takes four locks until the end of its transaction.
MAKE_TABLES = """
DO $$
BEGIN
    FOR s IN 1..{schemas} LOOP
        EXECUTE format('CREATE SCHEMA s%s', s);
        FOR t IN 1..{tables} LOOP
            EXECUTE format('CREATE TABLE s%s.t%s (id bigint PRIMARY KEY, a text)', s, t);
        END LOOP;
        COMMIT;
    END LOOP;
END $$
"""
CATALOGS = """
SELECT string_agg(oid::regclass::text, ', ')
FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""


@dataclass(frozen=True)
class Size:
    """How much there is to capture.

    tables: in each schema
    """

    schemas: int
    tables: int

    def __str__(self) -> str:
        return f"{self.schemas} schema{'s' * (self.schemas > 1)} of {self.tables} tables"

    @property
    def all_tables(self) -> int:
        return self.schemas * self.tables

    @property
    def names(self) -> list[str]:
        """Of the schemas."""
        return [f"s{number}" for number in range(1, self.schemas + 1)]


class Stage:
    """The server, and what makes databases in it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._templates: dict[Size, Database] = {}

    @property
    def version(self) -> str:
        return self.server.sql("SHOW server_version")[0][0]

    @contextlib.contextmanager
    def databases(self, size: Size, count: int = 1) -> Iterator[list[Database]]:
        """New databases that nobody has prepared yet. All that was made in the meantime goes at the end, slots and roles too."""
        template = self._template(size)
        with neon.isolated(self.server):
            yield [
                neon.create_database(self.server, f"bench_{number}", template=template.name)
                for number in range(1, count + 1)
            ]

    @contextlib.contextmanager
    def network(self, round_trip: float) -> Iterator[Proxy]:
        with proxy(self.server.port, round_trip=round_trip) as between:
            yield between

    def forget(self, size: Size) -> None:
        """Makes room: fifty thousand tables are four times as many files."""
        if size in self._templates:
            self.server.sql(f'DROP DATABASE "{self._templates.pop(size).name}"')

    def _template(self, size: Size) -> Database:
        if size not in self._templates:
            template = neon.create_database(self.server, f"size_{size.schemas}_{size.tables}", shop=False)
            template.sql(MAKE_TABLES.format(schemas=size.schemas, tables=size.tables))
            tidy(template)
            self._templates[size] = template
        return self._templates[size]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with Server(binaries.matrix(MAJOR)) as server:
        server.restart(**SETTINGS)
        neon.prepare(server)
        yield Stage(server)


def tidy(database: Database) -> None:
    """Does to the catalogs what autovacuum, which is off so that it disturbs no run, does within a minute."""
    database.admin(f"VACUUM ANALYZE {database.admin(CATALOGS)[0][0]}")
