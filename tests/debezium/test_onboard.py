# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a connector gets of a database that the playbook onboard has prepared: all the way from Neon's API."""

from __future__ import annotations

import pytest

from debezium.engine import FENCE, Engine
from support.console import KEY, Console
from support.hurting import PASSWORD, USER, VARIABLES
from support.modules import run_playbook
from support.neon import Database
from support.postgres import Server


@pytest.mark.database(neon=True)
@pytest.mark.postgres(15, 18)
def test_from_a_project_without_logical_replication_to_a_row_that_is_captured(
    server: Server, database: Database, console: Console
) -> None:
    with server.restarted(wal_level="replica"):
        project = console.real_project(database, logical_replication=False)
        database.sql(f"CREATE TABLE {FENCE} (id serial PRIMARY KEY)")
        variables = {
            **VARIABLES,
            "neon_api_url": console.url,
            "neon_project": project.id,
            "neon_allow_restart": True,
            "cdc_ssl_mode": "prefer",
        }
        if server.major < 16:
            # Neon gives it one.
            del variables["cdc_password"]
        run = run_playbook("streamkap.neon.onboard", extra_vars=variables, env={"NEON_API_KEY": KEY})
        assert run.rc == 0, run.stdout + run.stderr
        password = project.main.roles.get(USER, PASSWORD)
        with Engine(database, {"database.password": password}) as engine:
            database.sql("INSERT INTO app.products VALUES ('new', 'New', 1)")
            (event,) = engine.received()
            assert (event.operation, event.table, event.after["sku"]) == ("c", "app.products", "new")
