# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ground holds: what the other tests take for granted of their servers, databases and ways to run Ansible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2.errors
import pytest
import yaml

from support import binaries, modules, neon, postgres
from support.modules import run_playbook
from support.neon import Database
from support.postgres import Server
from support.waiting import eventually

TESTS = Path(__file__).resolve().parents[1]


def test_server_has_the_version_that_was_asked_for(server: Server, request: pytest.FixtureRequest) -> None:
    assert server.major == request.node.callspec.params["server"]
    assert server.sql("SHOW wal_level") == [("logical",)]


def test_server_runs_as_whoever_runs_the_tests_unless_that_is_root(server: Server) -> None:
    user = server.folder.joinpath("data", "postmaster.pid").stat().st_uid
    assert user != 0
    assert os.geteuid() in (0, user)


def test_password_is_required_over_tcp(database: Database) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        database.sql_as(neon.OWNER, "wrong", "SELECT 1")


def test_server_restarts_with_other_settings_and_back(server: Server) -> None:
    with server.restarted(wal_level="replica"):
        assert server.sql("SHOW wal_level") == [("replica",)]
    assert server.sql("SHOW wal_level") == [("logical",)]


def test_owner_is_no_superuser_but_owns_the_database(database: Database) -> None:
    assert database.sql("SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user") == [
        ("neondb_owner", False)
    ]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert database.sql(owner) == [("neondb_owner",)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.sql("CREATE ROLE another SUPERUSER")


@pytest.mark.postgres(16, 17, 18)
def test_owner_gives_replication_but_cannot_alter_a_role_of_the_console(database: Database) -> None:
    database.sql("CREATE ROLE connector LOGIN REPLICATION")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.sql(f"ALTER ROLE {neon.CONSOLE_USER} CONNECTION LIMIT 3")


@pytest.mark.postgres(14, 15)
def test_owner_cannot_give_replication(database: Database) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.sql("CREATE ROLE connector LOGIN REPLICATION")


def test_shop_has_two_owners_and_a_key_and_rows_everywhere(database: Database) -> None:
    tables = database.sql(
        "SELECT schemaname, tablename, tableowner FROM pg_tables WHERE schemaname ~ '^(app|billing)$'"
    )
    assert {f"{schema}.{table}" for schema, table, _owner in tables} == {
        "app.customers",
        "app.products",
        "app.orders",
        "app.order_items",
        "billing.invoices",
        "billing.payments",
    }
    assert {owner for _schema, _table, owner in tables} == {"app_owner", "neondb_owner"}
    for schema, table, _owner in tables:
        assert database.sql(f"SELECT count(*) > 10 FROM {schema}.{table}") == [(True,)]
        key = "SELECT count(*) FROM pg_index WHERE indisprimary AND indrelid = %s::regclass"
        assert database.sql(key, [f"{schema}.{table}"]) == [(1,)]


@pytest.mark.database(shop=False)
def test_database_without_the_shop_is_empty(database: Database) -> None:
    assert database.sql("SELECT count(*) FROM pg_tables WHERE schemaname IN ('app', 'billing', 'public')") == [(0,)]


def test_neon_is_recognised_only_where_asked_for(databases: Callable[..., Database]) -> None:
    setting = "SELECT current_setting('neon.project_id', true)"
    assert databases().sql(setting) == [(None,)]
    assert databases(neon=True).sql(setting) == [(neon.PROJECT_ID,)]


def test_what_a_test_leaves_is_removed(server: Server) -> None:
    before = _left(server)
    with neon.isolated(server):
        database = neon.fresh_database(server)
        database.sql('CREATE ROLE "Role ""left"""')
        database.sql(f'GRANT CONNECT ON DATABASE {database.name}, postgres TO "Role ""left"""')
        database.sql('GRANT "Role ""left""" TO neondb_owner')
        database.sql("CREATE DATABASE left_over")
        database.sql("SELECT pg_create_logical_replication_slot('left_over', 'pgoutput')")
        assert _left(server) != before
    assert _left(server) == before


def test_changing_a_role_that_stays_is_an_error(server: Server) -> None:
    try:
        with pytest.raises(AssertionError, match="changed roles that stay"), neon.isolated(server):
            server.sql(f"ALTER ROLE {neon.CONSOLE_USER} CONNECTION LIMIT 3")
    finally:
        server.sql(f"ALTER ROLE {neon.CONSOLE_USER} CONNECTION LIMIT -1")


def test_fresh_database_is_cheap(server: Server) -> None:
    with neon.isolated(server):
        neon.fresh_database(server)
        started = time.monotonic()
        neon.fresh_database(server)
        assert time.monotonic() - started < 1


def test_standby_follows_and_is_read_only(database: Database, standby: Database) -> None:
    database.sql("INSERT INTO app.customers (email, name) VALUES ('new@shop.example', 'New')")
    standby.server.catch_up()
    assert standby.sql("SELECT name FROM app.customers WHERE email = 'new@shop.example'") == [("New",)]
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        standby.sql("DELETE FROM app.customers")


@pytest.mark.postgres(17)
def test_server_ends_with_the_process_that_started_it(server: Server) -> None:
    program = """
import pathlib, sys, time
from support.postgres import Server
with Server(pathlib.Path(sys.argv[1])) as server:
    print(server.folder, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", program, str(server.installation)]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        postmaster = int(folder.joinpath("data", "postmaster.pid").read_text().splitlines()[0])
        process.kill()
    eventually(lambda: not folder.exists() and not _is_running(postmaster))


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that only this process's user can enter, in a path with spaces and other letters, at umask 077."""
    if os.geteuid() != 0:
        reason = "WHETHER A SERVER OF ANOTHER USER STARTS FROM A CLOSED FOLDER WAS NOT TESTED: this takes root."
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)
    before = os.umask(0o077)
    folder = tmp_path / "closed" / "mein Ordner \N{LATIN SMALL LETTER U WITH DIAERESIS}"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    yield folder
    os.umask(before)


@pytest.mark.postgres(17)
@pytest.mark.parametrize("kind", ["matrix", "embedded"])
@pytest.mark.parametrize("room", [0, 2**62], ids=["in memory", "in a temporary folder"])
def test_server_of_another_user_starts_from_a_closed_folder(
    server: Server, closed_folder: Path, kind: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ROOM_NEEDED", room)
    monkeypatch.setattr(tempfile, "tempdir", str(closed_folder))
    installation = binaries.matrix(server.major) if kind == "matrix" else binaries.embedded()
    parts = binaries.wheel_folders(installation)
    assert bool(parts) == (kind == "embedded")
    for part in parts or [installation]:
        copy = shutil.copytree(part, closed_folder / part.name, symlinks=True)
        for path in copy.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
    with Server(closed_folder / installation.relative_to((parts or [installation])[0].parent)) as another:
        assert another.sql("SELECT 1") == [(1,)]
        assert another.folder.joinpath("data", "postmaster.pid").stat().st_uid != 0
        with another.standby() as standby:
            assert standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
    assert not another.folder.exists()


@pytest.mark.matrix
def test_playbook_runs_against_a_database(database: Database) -> None:
    run = run_playbook(
        """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: The extra variable arrives, and so does a host's own
      ansible.builtin.assert:
        that: dsn is search(database)
""",
        inventory=f"all:\n  hosts:\n    one:\n      database: {database.name}\n",
        extra_vars={"dsn": database.dsn},
    )
    assert run.rc == 0, run.stdout + run.stderr
    assert run.stats["one"]["ok"] == 1
    assert run.changed == 0


def _left(server: Server) -> list[tuple]:
    return server.sql(
        "SELECT rolname::text FROM pg_roles UNION SELECT datname FROM pg_database"
        " UNION SELECT slot_name FROM pg_replication_slots ORDER BY 1"
    )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.matrix
@pytest.mark.postgres(18)
def test_playbooks_go_the_way_that_was_chosen(database: Database) -> None:
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"streamkap.neon.slot": {"dsn": database.dsn}}]}]
    run = run_playbook(yaml.safe_dump(play), check=True, verbosity=3)
    assert ("Using module file" in run.stdout) == (modules.WAY == modules.ORDINARY)
