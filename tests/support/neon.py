# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a vanilla server look like Neon's: the same roles with the same rights, and an application's database.

    neon.prepare(server)
    database = neon.create_database(server, "neondb")
    database.sql("SELECT count(*) FROM app.customers")

What only Neon's fork of PostgreSQL does cannot be had this way: its control plane that refuses passwords at COMMIT,
and FOR ALL TABLES or TABLES IN SCHEMA in publications of members of neon_superuser.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .postgres import Server, verifier

OWNER = "neondb_owner"
OWNER_PASSWORD = "Owner-of-neondb-7-of-the-tests"
# Made by Neon's console or API: on PostgreSQL 16 and newer nobody but cloud_admin can alter it.
CONSOLE_USER = "console_user"
CONSOLE_PASSWORD = "Console-user-9-of-the-tests"
PROJECT_ID = "emulated-project-1"

TEMPLATE = "neondb_template"
PLAIN_TEMPLATE = "neondb_plain_template"

ROLES = Path(__file__).with_name("neon_like.sql")
SHOP = Path(__file__).resolve().parents[2] / "demo" / "shop.sql"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One database of a server, and the ways into it."""

    server: Server
    name: str

    @property
    def dsn(self) -> str:
        """As neondb_owner, who owns the database and is no superuser."""
        return self.dsn_as(OWNER, OWNER_PASSWORD)

    @property
    def admin_dsn(self) -> str:
        """As cloud_admin, the superuser that nobody has on Neon."""
        return self.server.dsn(database=self.name)

    def dsn_as(self, user: str, password: str) -> str:
        return self.server.dsn(user, password, self.name)

    def sql(self, statement: str, parameters: object = None) -> list[tuple]:
        """Runs SQL as neondb_owner; see Server.sql."""
        return self.sql_as(OWNER, OWNER_PASSWORD, statement, parameters)

    def admin(self, statement: str, parameters: object = None) -> list[tuple]:
        """Runs SQL as cloud_admin; see Server.sql."""
        return self.server.sql(statement, parameters, database=self.name)

    def sql_as(self, user: str, password: str, statement: str, parameters: object = None) -> list[tuple]:
        """Runs SQL as any role; see Server.sql."""
        return self.server.sql(statement, parameters, database=self.name, user=user, password=password)


def prepare(server: Server) -> None:
    """Makes Neon's roles on a new server."""
    server.sql(ROLES.read_text(), {"owner": verifier(OWNER_PASSWORD), "console": verifier(CONSOLE_PASSWORD)})


def create_database(
    server: Server, name: str, *, shop: bool = True, neon: bool = False, template: str | None = None
) -> Database:
    """Makes a database of neondb_owner.

    shop: with the application of demo/shop.sql in it
    neon: with the setting by which a server is recognised as Neon's
    template: a database made by this function to copy instead; `shop` is then the template's
    """
    # Copying files takes a third of the time of the way through the WAL, PostgreSQL's default from 15 on.
    strategy = "STRATEGY FILE_COPY" if server.major > 14 else ""
    server.maintain(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE {template or "template0"} {strategy}')
    # A copy has the template's objects, but neither the privileges nor the settings of the database itself.
    server.maintain(f'GRANT ALL ON DATABASE "{name}" TO neon_superuser')
    if neon:
        server.maintain(f"ALTER DATABASE \"{name}\" SET neon.project_id = '{PROJECT_ID}'")
    database = Database(server, name)
    if not template:
        _lay_out(database, shop)
    return database


def create_templates(server: Server) -> None:
    """Makes what `fresh_database` copies."""
    create_database(server, TEMPLATE)
    create_database(server, PLAIN_TEMPLATE, shop=False)


def fresh_database(server: Server, *, shop: bool = True, neon: bool = False) -> Database:
    """Copies a template to a database with a name of its own: much faster than `create_database`."""
    template = TEMPLATE if shop else PLAIN_TEMPLATE
    return create_database(server, f"shop_{next(_numbers)}", neon=neon, template=template)


@contextlib.contextmanager
def isolated(server: Server) -> Iterator[None]:
    """Removes at the end every slot, database and role that was not there at the beginning.

    Raises AssertionError when a role that stays was changed: the tests that follow would see that.
    """
    before = _objects(server)
    roles_before = _definitions(server, before["role"])
    try:
        yield
    finally:
        left = {kind: names - before[kind] for kind, names in _objects(server).items()}
        _drop_slots(server, left["slot"])
        for name in left["database"]:
            server.maintain(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
        _drop_roles(server, left["role"])
    after = _definitions(server, before["role"])
    assert after == roles_before, "the test changed roles that stay for the tests after it"


def _lay_out(database: Database, shop: bool) -> None:
    if database.server.major == 14:
        database.admin(f"ALTER SCHEMA public OWNER TO {OWNER}")
    for kind in ("TABLES", "SEQUENCES"):
        database.admin(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO neon_superuser WITH GRANT OPTION"
        )
    if shop:
        database.sql(SHOP.read_text())


def _objects(server: Server) -> dict[str, set[str]]:
    """The names of all roles, databases and slots."""
    names: dict[str, set[str]] = {"role": set(), "database": set(), "slot": set()}
    for kind, name in server.maintain(
        """
        SELECT 'role', rolname FROM pg_roles
        UNION ALL SELECT 'database', datname FROM pg_database
        UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots
        """
    ):
        names[kind].add(name)
    return names


def _drop_slots(server: Server, names: set[str]) -> None:
    if names:
        # A slot cannot be dropped while somebody reads it.
        server.maintain(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
            " WHERE slot_name = ANY (%s) AND active",
            [list(names)],
        )
        server.maintain(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = ANY (%s)",
            [list(names)],
        )


def _drop_roles(server: Server, names: set[str]) -> None:
    if names:
        roles = ", ".join(map(quoted, names))
        # Their objects went with the databases; what is left are privileges on what all databases share.
        server.maintain(f"DROP OWNED BY {roles} CASCADE; DROP ROLE {roles}")


def _definitions(server: Server, roles: set[str]) -> list[tuple]:
    return server.maintain(
        """
        SELECT rolname, to_jsonb(pg_authid), setconfig, array(
            SELECT to_jsonb(pg_auth_members) - 'oid' FROM pg_auth_members WHERE member = pg_authid.oid ORDER BY 1)
        FROM pg_authid LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid
        WHERE rolname = ANY (%s)
        ORDER BY rolname, setdatabase
        """,
        [list(roles)],
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
