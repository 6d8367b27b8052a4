# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of most users: they have followed the vendor's page, and now want to know what is missing."""

from __future__ import annotations

import re

import pytest

from support import pgoutput
from support.modules import run_playbook
from support.neon import Database
from support.vendor_page import PASSWORD, follow

pytestmark = pytest.mark.newest_version

# What the page forgets, and what of it is unwise.
FORGOTTEN = {
    "publication_exists",
    "slot_exists",
    "signal_table_privileges",
    "heartbeat_table_exists",
    "default_privileges",
    "group_role_without_login",
}
OF_THE_SERVER = {"encryption", "wal_kept_is_bounded"}


def failures(stdout: str) -> set[str]:
    return set(re.findall(r"^(?:CRITICAL|WARNING|REMARK) (\w+)$", stdout, re.MULTILINE)) - OF_THE_SERVER


def test_what_the_vendors_page_forgets_is_named_and_mended(database: Database) -> None:
    follow(database, ["app", "billing"])
    variables = {"cdc_dsn": database.dsn, "cdc_password": PASSWORD, "cdc_schemas": ["app", "billing"]}

    verified = run_playbook("streamkap.neon.verify", extra_vars=variables)
    assert verified.rc != 0
    assert failures(verified.stdout) == FORGOTTEN
    assert "USAGE on the schema streamkap" in verified.stdout
    assert re.search(r"Tables made later by these owners cannot be read: app_owner", verified.stdout)
    assert PASSWORD not in verified.stdout

    setup = run_playbook("streamkap.neon.setup", extra_vars=variables)
    assert setup.rc == 0, setup.stdout
    again = run_playbook("streamkap.neon.verify", extra_vars=variables)
    assert again.rc == 0, again.stdout
    # The password that the page gave to the group role is a warning, and nobody's to take away unasked.
    assert failures(again.stdout) <= {"group_role_without_login"}
    assert again.changed == 0

    database.sql("UPDATE app.orders SET status = 'shipped' WHERE id = 2")
    (change,) = pgoutput.changes(
        database.dsn_as("streamkap_user", PASSWORD),
        slot="streamkap_pgoutput_slot",
        publication="streamkap_pub",
        count=1,
    )
    assert (change.kind, change.table, change.row["status"]) == ("update", "app.orders", "shipped")
