# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook onboard: from a project without logical replication to a database that is ready, by Neon's API and by SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support import neon
from support.console import KEY, Console, Project
from support.http_stub import LOST
from support.hurting import PASSWORD, SLOT, USER, VARIABLES
from support.modules import PlaybookRun, run_module, run_playbook
from support.neon import Database
from support.postgres import Server

PATCH = "PATCH /projects/shiny-wind-000001"
POST = "POST /projects/shiny-wind-000001/branches/br-calm-sea-000001/roles"

Play = Callable[..., PlaybookRun]


@pytest.fixture
def project(server: Server, database: Database, console: Console) -> Iterator[Project]:
    """One that has no logical replication, and its server neither."""
    with server.restarted(wal_level="replica"):
        yield console.real_project(database, logical_replication=False)


@pytest.fixture
def made_by_sql(server: Server) -> bool:
    """Whether SQL can make the connector's user."""
    return server.major >= 16


@pytest.fixture
def onboard(project: Project, console: Console, made_by_sql: bool) -> Play:
    given = {
        "neon_api_url": console.url,
        "neon_project": project.name,
        "neon_wait_timeout": 60,
        "cdc_schemas": VARIABLES["cdc_schemas"],
        "cdc_keyless_tables": "replica_identity_full",
        # These servers speak no TLS.
        "cdc_ssl_mode": "prefer",
        **({"cdc_password": PASSWORD} if made_by_sql else {}),
    }

    def onboard(*, allowed: bool = True, key: str = KEY, **options: object) -> PlaybookRun:
        variables = {**given, "neon_allow_restart": allowed}
        return run_playbook("streamkap.neon.onboard", extra_vars=variables, env={"NEON_API_KEY": key}, **options)

    return onboard


def password_of(project: Project, made_by_sql: bool) -> str:
    return PASSWORD if made_by_sql else project.main.roles[USER]


@pytest.mark.newest_version
@pytest.mark.core_version
@pytest.mark.database(neon=True)
def test_a_project_without_logical_replication_becomes_ready_once(
    onboard: Play, project: Project, database: Database, console: Console, made_by_sql: bool
) -> None:
    first = onboard()
    assert first.rc == 0, first.stdout + first.stderr
    assert first.changed
    changes = [PATCH] if made_by_sql else [PATCH, POST]
    assert console.changes == changes
    assert database.sql("SHOW wal_level") == [("logical",)]
    assert database.admin("SELECT database, active FROM pg_replication_slots WHERE slot_name = %s", [SLOT]) == [
        (database.name, False)
    ]

    password = password_of(project, made_by_sql)
    ready = run_module(
        "readiness_info",
        dsn=database.dsn,
        schemas=VARIABLES["cdc_schemas"],
        connector_password=password,
        connector_user=USER,
    )
    assert ready["ready"], [check for check in ready["checks"] if check["status"] == "fail"]

    again = onboard()
    assert again.rc == 0, again.stdout + again.stderr
    assert again.changed == 0
    assert console.changes == changes

    for secret in (KEY, password, neon.OWNER_PASSWORD, database.dsn):
        for run in (first, again):
            assert secret not in run.stdout + run.stderr


@pytest.mark.newest_version
@pytest.mark.database(neon=True)
@pytest.mark.postgres(15, 18)
def test_check_mode_tells_what_is_to_come_and_changes_nothing(
    onboard: Play, project: Project, database: Database, console: Console
) -> None:
    for allowed in (True, False):
        run = onboard(allowed=allowed, check=True, diff=True)
        assert run.rc == 0, run.stdout + run.stderr
        assert run.changed
        assert "drops every connection to them" in run.stdout + run.stderr
        assert "Nothing more was looked at." in run.stdout
    assert console.changes == []
    assert not project.settings["enable_logical_replication"]
    assert database.sql("SHOW wal_level") == [("replica",)]


@pytest.mark.postgres(17)
def test_what_is_not_allowed_stops_it_before_anything_is_changed(
    onboard: Play, database: Database, console: Console
) -> None:
    run = onboard(allowed=False)
    assert run.rc == 2
    assert "Set neon_allow_restart: true when that may happen." in run.stdout + run.stderr
    assert console.changes == []
    assert database.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'") == []


@pytest.mark.postgres(15)
def test_a_run_that_was_cut_is_taken_up_by_the_next(
    onboard: Play, project: Project, console: Console, database: Database
) -> None:
    # The role is made, and its password lost on the way.
    console.fail("POST", "/roles", LOST, carried_out=True)
    cut = onboard()
    assert cut.rc == 2
    assert "its password was in the answer that did not come" in cut.stdout + cut.stderr
    # Neon stores it, and tells it again in the connection string.
    run = onboard()
    assert run.rc == 0, run.stdout + run.stderr
    assert console.changes == [PATCH, POST]
    assert database.sql_as(USER, project.main.roles[USER], "SELECT count(*) > 0 FROM app.orders") == [(True,)]


@pytest.mark.newest_version
@pytest.mark.core_version
@pytest.mark.database(neon=True)
@pytest.mark.postgres(15, 17)
@pytest.mark.parametrize("key", [KEY, "napi_wrong-one-of-the-tests"])
def test_no_secret_is_shown_at_any_verbosity(
    onboard: Play, project: Project, database: Database, made_by_sql: bool, key: str
) -> None:
    run = onboard(key=key, verbosity=4, diff=True)
    assert (run.rc == 0) == (key == KEY), run.stdout
    passwords = [password_of(project, made_by_sql)] if key == KEY else []
    for secret in (key, neon.OWNER_PASSWORD, database.dsn, *passwords):
        assert secret not in run.stdout + run.stderr
