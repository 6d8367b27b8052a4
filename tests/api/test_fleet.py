# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role on a fleet, from Neon's inventory to real databases, as docs/neon_fleet.md has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import neon
from support.console import KEY, Console
from support.hurting import PASSWORD, make_user_where_sql_cannot
from support.modules import PlaybookRun, run_playbook
from support.neon import Database
from support.postgres import Server

SCHEMAS = ["app", "billing"]


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    """How many databases the fleet has."""
    return 20 if request.config.getoption("full") else 6


@pytest.fixture
def shops(server: Server, console: Console, size: int) -> Iterator[list[Database]]:
    """Databases of one server, each the only one of a Neon project."""
    with server.restarted(max_replication_slots=size, max_wal_senders=size, max_connections=200), neon.isolated(server):
        make_user_where_sql_cannot(server)
        shops = [neon.fresh_database(server) for _number in range(size)]
        for shop in shops:
            console.real_project(shop)
        yield shops


@pytest.fixture
def fleet(console: Console, tmp_path: Path) -> Path:
    (tmp_path / "fleet.neon.yml").write_text(
        yaml.safe_dump(
            {
                "plugin": "streamkap.neon.neon",
                "neon_api_url": console.url,
                # All of them are on one server here.
                "compose": {"cdc_slot": "'streamkap_' ~ (neon_database | lower | regex_replace('[^a-z0-9_]', '_'))"},
            }
        )
    )
    variables = {
        "neon_api_url": console.url,
        "cdc_dsn": "{{ lookup('streamkap.neon.neon_connection_uri', project=neon_project_id, branch=neon_branch_id,"
        " database=neon_database, role=neon_owner) }}",
        "cdc_password": PASSWORD,
        "cdc_schemas": SCHEMAS,
        "cdc_keyless_tables": "replica_identity_full",
        # These servers speak no TLS.
        "cdc_ssl_mode": "prefer",
    }
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "neon.yml").write_text(yaml.safe_dump(variables))
    return tmp_path / "fleet.neon.yml"


def play(playbook: str, fleet: Path, **options: object) -> PlaybookRun:
    return run_playbook(
        f"streamkap.neon.{playbook}",
        inventory=fleet,
        extra_vars={"cdc_hosts": "neon"},
        env={"NEON_API_KEY": KEY, "ANSIBLE_FORKS": "20"},
        **options,
    )


@pytest.mark.postgres(17)
def test_every_database_is_made_ready_and_stays_so(shops: list[Database], console: Console, fleet: Path) -> None:
    size = len(shops)
    first = play("setup", fleet)
    assert first.rc == 0, first.stdout + first.stderr
    assert len(first.stats) == size
    assert first.changed >= size
    for shop in shops:
        assert shop.admin("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'streamkap_pub'")[0][0] > 2
        assert shop.admin("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == [(1,)]

    # What the inventory takes, and a request each time that something looks up the connection string.
    before = len(console.requests)
    again = play("setup", fleet)
    assert again.rc == 0, again.stdout
    assert again.changed == 0
    asked = len(console.requests) - before
    assert asked <= 1 + 3 * size + 5 * size


@pytest.mark.full
@pytest.mark.postgres(17)
def test_no_secret_is_shown_at_any_verbosity(shops: list[Database], fleet: Path) -> None:
    run = play("verify", fleet, verbosity=4)
    assert len(run.stats) == len(shops)
    for secret in (KEY, neon.OWNER_PASSWORD, PASSWORD, *[shop.dsn for shop in shops]):
        assert secret not in run.stdout + run.stderr
