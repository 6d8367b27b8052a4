# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script for a DBA: psql runs it, it does what the role would have done, and all of it; and it harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _password

from support import neon
from support.figures import Figures
from support.hurting import PASSWORD, variables
from support.hurting import lay_out_what_hurts as hurting
from support.modules import PlaybookRun, run_module, run_playbook
from support.neon import Database

# As commands of psql's, statements, templates and what steers a terminal they would leave something behind.
HARM = "harm_was_done"
HOSTILE = [
    f"a\n\\! touch {HARM}\n--",
    f"b\r\\! touch {HARM}",
    f"c `touch {HARM}`",
    f"d'; CREATE TABLE {HARM} (); --",
    "e :'streamkap_password' :HOST",
    "f {{ 40 + 2 }} {% raw %}",
    "g \x1b[31m\u2028\u202e",
    'h "quoted" \\',
]


def keyless(database: Database) -> None:
    database.sql("CREATE TABLE app.keyless (id int); CREATE TABLE billing.keyless (id int)")


def hurting_and_hostile(database: Database) -> None:
    hurting(database)
    database.sql("CREATE POLICY all_rows ON app.guarded FOR SELECT USING (true)")
    for name in HOSTILE:
        database.sql(f"CREATE TABLE app.{neon.quoted(name)} (id int PRIMARY KEY)")


def partitioned(database: Database) -> None:
    database.sql(
        """
        CREATE TABLE app.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        """
    )


@dataclass(frozen=True)
class Case:
    """A database, and how it is to be captured.

    lay_out: what is done in the database first
    given: variables of the role
    superuser: whether it takes one, on a server that is not Neon's
    partly: whether a part of it is done already, and undone by hand in parts
    on: the versions of PostgreSQL that it is tried on
    torn_down: those on which it is taken back by a script as well
    """

    lay_out: Callable[[Database], None] = lambda _database: None
    given: dict[str, object] = field(default_factory=dict)
    superuser: bool = False
    partly: bool = False
    on: tuple[int, ...] = ()
    torn_down: tuple[int, ...] = ()


# Each version of PostgreSQL has its share: all cases on all of them would take long, and find no more.
CASES = {
    "schemas": Case(on=(14, 15, 16, 17, 18), torn_down=(14, 17)),
    "hostile": Case(
        hurting_and_hostile, {"cdc_keyless_tables": "replica_identity_full"}, on=(14, 16, 18), torn_down=(18,)
    ),
    "partly": Case(
        keyless, {"cdc_keyless_tables": "replica_identity_full", "cdc_bypassrls": True}, True, True, on=(15, 17)
    ),
    "tables": Case(
        given={"cdc_schemas": [], "cdc_tables": ["app.orders", "billing.invoices"], "cdc_heartbeat": False}, on=(14, 18)
    ),
    "skip": Case(keyless, {"cdc_keyless_tables": "skip", "cdc_create_slot": False}, on=(16,)),
    "partitions": Case(
        partitioned, {"cdc_publish_via_partition_root": False, "cdc_exclude_tables": ["app.orders"]}, on=(14, 18)
    ),
    "own-schema": Case(
        given={"cdc_signal_schema": "app", "cdc_schema_privileges": ["USAGE"]}, on=(17,), torn_down=(17,)
    ),
    "everything": Case(given={"cdc_publication_scope": "all_tables"}, superuser=True, on=(15,)),
    "whole-schemas": Case(given={"cdc_publication_scope": "schemas"}, superuser=True, on=(16, 18)),
}


@dataclass(frozen=True)
class Host:
    """A case on a database of its own: a host of the inventory."""

    name: str
    database: Database
    given: dict[str, object]
    script: Path

    def psql(self, **env: str) -> subprocess.CompletedProcess:
        installation = self.database.server.installation
        return subprocess.run(
            [
                str(installation / "bin" / "psql"),
                "--no-psqlrc",
                f"--file={self.script}",
                f"--dbname={self.given['cdc_dsn']}",
            ],
            # The libraries of the installation name the place where they were built as the place of their libpq.
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": str(installation / "lib"), **env},
            cwd=self.script.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def host(name: str, case: Case, database: Database, folder: Path) -> Host:
    """Roles and slots belong to the server: each case has its own."""
    own = name.replace("-", "_")
    case.lay_out(database)
    given = {
        **variables(database),
        "cdc_schemas": ["app", "billing"],
        "cdc_exclude_tables": [],
        "cdc_keyless_tables": "fail",
        "cdc_dsn": database.admin_dsn if case.superuser else database.dsn,
        "cdc_user": f"user_{own}",
        "cdc_role": f"role_{own}",
        "cdc_slot": f"slot_{own}",
        "cdc_script": str(folder / f"{name}.sql"),
        **case.given,
    }
    if database.server.major < 16:
        attributes = "LOGIN REPLICATION" + " BYPASSRLS" * bool(given.get("cdc_bypassrls"))
        database.server.sql(f"CREATE ROLE user_{own} {attributes} PASSWORD %s", [PASSWORD])
    if case.partly:
        names = {"connector_user": given["cdc_user"], "connector_role": given["cdc_role"], "slot": given["cdc_slot"]}
        made = run_module(
            "prerequisites",
            dsn=given["cdc_dsn"],
            connector_password="Former-2-of-the-tests",
            schemas=["billing"],
            keyless_tables="skip",
            **names,
        )
        assert made["changed"], made
        database.admin(
            f"""
            REVOKE {given["cdc_role"]} FROM {given["cdc_user"]};
            REVOKE SELECT ON billing.invoices FROM {given["cdc_role"]};
            ALTER PUBLICATION streamkap_pub DROP TABLE streamkap.streamkap_signal;
            DROP TABLE streamkap.streamkap_signal;
            DELETE FROM streamkap.streamkap_heartbeat
            """
        )
    return Host(name, database, given, Path(given["cdc_script"]))


def play(playbook: str, hosts: list[Host], check: bool = False, **options: object) -> PlaybookRun:
    inventory = {"all": {"hosts": {host.name: host.given for host in hosts}}}
    extra_vars = {"cdc_hosts": "all", "ansible_connection": "local", **options}
    # JSON is YAML.
    return run_playbook(
        f"streamkap.neon.{playbook}", inventory=json.dumps(inventory, indent=1), extra_vars=extra_vars, check=check
    )


@pytest.fixture
def hosts(databases: Callable[..., Database], tmp_path: Path) -> list[Host]:
    """The cases of this version, each with a script that was written for it."""
    major = databases().server.major
    cases = {name: case for name, case in CASES.items() if major in case.on}
    hosts = [host(name, case, databases(), tmp_path) for name, case in cases.items()]
    write_scripts("setup", hosts)
    return hosts


def write_scripts(playbook: str, hosts: list[Host]) -> None:
    written = play(playbook, hosts)
    assert written.rc == 0, written.stdout
    for each in hosts:
        assert written.stats[each.name]["changed"] == 1, f"{each.name}: only the file\n{written.stdout}"


def run_scripts(hosts: list[Host]) -> None:
    for each in hosts:
        ran = each.psql(STREAMKAP_PASSWORD=PASSWORD)
        assert ran.returncode == 0, f"{each.name}\n{ran.stderr}"
        assert "WARNING" not in ran.stderr, f"{each.name}\n{ran.stderr}"


def assert_nothing_is_left_to_do(playbook: str, hosts: list[Host], figures: Figures) -> None:
    """By the role itself, with its look at the whole where it has one."""
    after = play(playbook, hosts, cdc_script="")
    assert after.rc == 0, after.stdout
    incomplete = [each.name for each in hosts if after.stats[each.name]["changed"]]
    figures.add("scripts", len(hosts))
    figures.add("scripts_incomplete", len(incomplete))
    assert incomplete == [], after.stdout


def test_after_the_script_the_role_finds_nothing_to_change(hosts: list[Host], tmp_path: Path, figures: Figures) -> None:
    run_scripts(hosts)
    assert_nothing_is_left_to_do("setup", hosts, figures)
    assert not (tmp_path / HARM).exists()
    for each in hosts:
        assert PASSWORD not in each.script.read_text()
        assert each.database.admin("SELECT count(*) FROM pg_class WHERE relname = %s", [HARM]) == [(0,)]
    back = [each for each in hosts if each.database.server.major in CASES[each.name].torn_down]
    if not back:
        return
    write_scripts("teardown", back)
    run_scripts(back)
    assert_nothing_is_left_to_do("teardown", back, figures)
    for each in back:
        left = (
            "SELECT nspname FROM pg_namespace WHERE nspname = 'streamkap' UNION ALL SELECT pubname FROM pg_publication"
        )
        assert each.database.admin(left) == []


@pytest.mark.postgres(17)
def test_a_script_that_cannot_be_run_fails_and_leaves_everything_as_it_was(
    databases: Callable[..., Database], tmp_path: Path
) -> None:
    each = host("schemas", CASES["schemas"], databases(), tmp_path)
    another = databases()
    write_scripts("setup", [each])
    before = state(each.database)
    elsewhere = Host(each.name, another, {**each.given, "cdc_dsn": another.dsn}, each.script)
    assert "for another database than" in refused(elsewhere.psql(STREAMKAP_PASSWORD=PASSWORD))
    assert "has no STREAMKAP_PASSWORD" in refused(each.psql())
    # Somebody has been faster: of the transaction's last statement, after all others.
    each.database.sql("CREATE PUBLICATION streamkap_pub")
    assert 'publication "streamkap_pub" already exists' in refused(each.psql(STREAMKAP_PASSWORD=PASSWORD))
    each.database.sql("DROP PUBLICATION streamkap_pub")
    assert state(each.database) == before


@pytest.mark.postgres(16)
def test_a_verifier_serves_as_the_password_and_the_script_is_written_in_check_mode_too(
    databases: Callable[..., Database], tmp_path: Path
) -> None:
    each = host("schemas", CASES["schemas"], databases(), tmp_path)
    checked = play("setup", [each], check=True)
    assert checked.rc == 0, checked.stdout
    logged_before = len(each.database.server.log)
    ran = each.psql(STREAMKAP_PASSWORD=_password.make_verifier(PASSWORD, 4096))
    assert ran.returncode == 0, ran.stderr
    assert each.database.sql_as(each.given["cdc_user"], PASSWORD, "SELECT 1") == [(1,)]
    assert PASSWORD not in each.database.server.log[logged_before:]
    again = play("setup", [each], check=True)
    assert (again.rc, again.changed) == (0, 1), again.stdout
    assert "-- There is nothing to do." in each.script.read_text().splitlines()


def refused(ran: subprocess.CompletedProcess) -> str:
    assert ran.returncode == 3, ran.stderr
    return ran.stderr


def state(database: Database) -> list[list[tuple]]:
    return [
        database.admin("SELECT rolname FROM pg_roles ORDER BY 1"),
        database.admin("SELECT oid, relacl::text FROM pg_class WHERE oid >= 16384 ORDER BY 1"),
        database.admin("SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1"),
        database.admin("SELECT slot_name FROM pg_replication_slots"),
    ]
