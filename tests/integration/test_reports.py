# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reports of cdc_output_dir, written by the role and made of what the modules read from a real server.

Their contents are tested in tests/unit/test_reports.py, and how they are written in tests/unit/test_report_files.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.streamkap.neon.plugins.filter.connector_settings import connector_settings
from ansible_collections.streamkap.neon.plugins.plugin_utils import _reports

from support import neon
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, VARIABLES, set_up
from support.modules import run_module, run_playbook
from support.neon import Database
from support.reports import CONNECTOR_FILES, HOSTILE_NAMES, READINESS_FILES, Page, check_readable, csv_rows


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def play(playbook: str, database: Database, **given: object):
    run = {key: given.pop(key) for key in ("check", "diff") if key in given}
    return run_playbook(f"streamkap.neon.{playbook}", extra_vars={**VARIABLES, "cdc_dsn": database.dsn, **given}, **run)


@pytest.mark.newest_version
@pytest.mark.core_version
@pytest.mark.postgres(14, 18)
def test_setup_writes_them_once_and_the_second_run_changes_nothing(databases, tmp_path: Path) -> None:
    database = databases()
    if database.server.major < 16:
        database.admin(f"CREATE ROLE streamkap_user LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    given = {
        "cdc_output_dir": str(tmp_path / "new" / "folder"),
        "cdc_schemas": ["app"],
        "cdc_tables": ["billing.invoices"],
    }
    check = play("setup", database, check=True, **given)
    assert check.rc == 0, check.stdout
    assert list(tmp_path.iterdir()) == []
    first = play("setup", database, diff=True, **given)
    assert first.rc == 0, first.stdout
    (folder,) = (tmp_path / "new" / "folder" / "localhost").iterdir()
    assert folder.name == f"{database.name}@127.0.0.1_{database.server.port}"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    before = files(folder)
    assert set(before) == CONNECTOR_FILES | READINESS_FILES
    assert f"+++ after: {folder}/tables.csv" in first.stdout
    assert f"Reports: {folder}" in first.stdout
    assert csv_rows(before["tables.csv"]) == ["app", "billing.invoices"]
    source = json.loads(before["connector.json"])
    assert (source["name"], source["connector"]) == (database.name, "postgresql")
    assert source["config"]["database.port.user.defined"] == database.server.port
    assert source["config"]["heartbeat.enabled"] is True
    assert source["config"]["slot.name"] == SLOT
    second = play("setup", database, **given)
    assert (second.rc, second.changed) == (0, 0), second.stdout
    after = files(folder)
    assert {name: after[name] for name in CONNECTOR_FILES} == {name: before[name] for name in CONNECTOR_FILES}
    for text in after.values():
        assert PASSWORD not in text
        assert neon.OWNER_PASSWORD not in text


@pytest.mark.postgres(18)
def test_names_from_the_database_do_no_harm(database: Database) -> None:
    for name in HOSTILE_NAMES:
        database.sql("CREATE TABLE app.%s (id int PRIMARY KEY)" % neon.quoted(name).replace("%", "%%"), [])
    set_up(database)
    check_readable(reports(database), ["orders", *HOSTILE_NAMES], ready=True)
    database.sql(f"DROP PUBLICATION {PUBLICATION}")
    database.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE app.orders, streamkap.streamkap_signal")
    check_readable(reports(database), ["orders", *HOSTILE_NAMES], ready=False)


def reports(database: Database) -> dict[str, str]:
    """The files that report_files writes of what the modules return."""
    common = {"schemas": ["app"], "slot": SLOT, "publication": PUBLICATION}
    result = run_module("readiness_info", dsn=database.dsn, connector_user=USER, connector_password=PASSWORD, **common)
    settings = connector_settings(
        result["server"], user=USER, signal_schema="streamkap", captured=result["captured"], list_tables=True, **common
    )
    return {**_reports.connector_files(settings), **_reports.readiness_files(result, datetime.now(UTC))}


@pytest.mark.postgres(18)
def test_the_verdict_is_written_before_the_run_fails(database: Database, tmp_path: Path) -> None:
    run = play("verify", database, cdc_output_dir=str(tmp_path))
    assert run.rc == 2
    (folder,) = tmp_path.glob("*/*")
    written = files(folder)
    assert json.loads(written["readiness.json"])["counts"]["critical"] > 0
    assert "# " + database.name + " is NOT ready to be captured" in written["readiness.md"]
    assert "pg_create_logical_replication_slot" in Page(written["readiness.html"]).text
