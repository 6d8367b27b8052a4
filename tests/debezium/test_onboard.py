# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook onboard, from Neon's API to rows that Debezium captures for a source in Streamkap, and teardown, back to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from debezium.engine import FENCE, Engine
from debezium.streamkap import Connectors
from support import bastion, neon, streamkap_api
from support.bastion import Bastion, sessions
from support.console import KEY, Console, Project
from support.hurting import PASSWORD, SLOT, USER, VARIABLES
from support.modules import PlaybookRun, run_playbook
from support.neon import Database
from support.postgres import Server
from support.streamkap_api import Streamkap
from support.waiting import eventually

Play = Callable[..., PlaybookRun]

pytestmark = pytest.mark.database(neon=True)


@pytest.fixture
def project(server: Server, database: Database, console: Console) -> Iterator[Project]:
    """One that has no logical replication, and its server neither."""
    with server.restarted(wal_level="replica"):
        yield console.real_project(database, logical_replication=False)


@pytest.fixture
def tunnel(request: pytest.FixtureRequest) -> Bastion | None:
    """The bastion that a test is to go through, if any."""
    if not request.param:
        return None
    if bastion.lacking():
        pytest.skip(bastion.LACKING)
    return request.getfixturevalue("open_bastion")


@pytest.fixture
def open_bastion(database: Database) -> Iterator[Bastion]:
    """A real sshd that the role ssh_tunnel has prepared for the database."""
    with Bastion() as host:
        host.apply(ssh_tunnel_databases=[f"{database.server.host}:{database.server.port}"])
        yield host


@pytest.fixture
def connectors(tunnel: Bastion | None) -> Iterator[Connectors]:
    with Connectors(key=tunnel.folder / "key" if tunnel else None) as connectors:
        yield connectors


@pytest.fixture
def streamkap(connectors: Connectors) -> Iterator[Streamkap]:
    with Streamkap(connectors.start) as streamkap:
        yield streamkap


@pytest.fixture
def variables(project: Project, console: Console) -> dict[str, object]:
    variables = {
        **VARIABLES,
        "neon_api_url": console.url,
        "neon_project": project.id,
        "neon_allow_restart": True,
        "cdc_keyless_tables": "replica_identity_full",
        # These servers speak no TLS.
        "cdc_ssl_mode": "disable",
    }
    if project.pg_version < 16:
        # Neon gives it one.
        del variables["cdc_password"]
    return variables


# On this version Neon gives the password. The next test goes the same way on the newest one.
@pytest.mark.postgres(15)
def test_from_a_project_without_logical_replication_to_a_row_that_is_captured(
    variables: dict[str, object], project: Project, database: Database
) -> None:
    database.sql(f"CREATE TABLE {FENCE} (id serial PRIMARY KEY)")
    run = run_playbook("streamkap.neon.onboard", extra_vars=variables, env={"NEON_API_KEY": KEY})
    assert run.rc == 0, run.stdout + run.stderr
    with Engine(database, {"database.password": project.main.roles.get(USER, PASSWORD)}) as engine:
        database.sql("INSERT INTO app.products VALUES ('new', 'New', 1)")
        (event,) = engine.received()
        assert (event.operation, event.table, event.after["sku"]) == ("c", "app.products", "new")


@pytest.fixture
def play(variables: dict[str, object], streamkap: Streamkap, project: Project, tunnel: Bastion | None) -> Play:
    if tunnel:
        variables |= {"cdc_ssh_host": "127.0.0.1", "cdc_ssh_port": tunnel.port, "cdc_ssh_user": tunnel.user}

    def play(playbook: str, **options: object) -> PlaybookRun:
        # The password that Neon gave is in no variable.
        run = run_playbook(
            f"streamkap.neon.{playbook}",
            extra_vars={**variables, "connector_api_url": streamkap.url, "connector_name": "shop"},
            env={"NEON_API_KEY": KEY, **streamkap.env},
            **options,
        )
        secrets = (KEY, streamkap_api.SECRET, streamkap_api.CLIENT_ID, neon.OWNER_PASSWORD, PASSWORD)
        for secret in (*secrets, *project.main.roles.values()):
            assert secret not in run.stdout + run.stderr
        return run

    return play


@pytest.mark.parametrize(
    "tunnel",
    [
        pytest.param(True, id="through a tunnel", marks=pytest.mark.postgres(18)),
        pytest.param(
            True, id="through a tunnel with Neon's password", marks=[pytest.mark.postgres(15), pytest.mark.full]
        ),
        pytest.param(False, id="directly", marks=[pytest.mark.postgres(15, 18), pytest.mark.full]),
    ],
    indirect=True,
)
def test_from_nothing_to_a_source_that_captures_and_back(
    play: Play,
    variables: dict[str, object],
    streamkap: Streamkap,
    connectors: Connectors,
    database: Database,
    tunnel: Bastion | None,
) -> None:
    first = play("onboard", verbosity=4)
    assert first.rc == 0, first.stdout + first.stderr
    (source,) = streamkap.sources
    assert source.name == "shop"
    assert source.config["ssh.enabled"] == bool(tunnel)
    if tunnel:
        assert sessions(tunnel.user)
    database.sql("INSERT INTO app.products VALUES ('new', 'New', 1)")
    eventually(lambda: connectors.saw("c", "app.products", sku="new"))
    assert database.admin("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [SLOT]) == [(True,)]

    changes = list(streamkap.changes)
    again = play("onboard")
    assert again.rc == 0, again.stdout + again.stderr
    assert again.changed == 0
    assert streamkap.changes == changes
    assert len(connectors.started) == 1

    variables["cdc_dsn"] = database.dsn
    planned = play("teardown", check=True)
    assert planned.rc == 0, planned.stdout + planned.stderr
    assert planned.changed
    assert streamkap.changes == changes

    gone = play("teardown")
    assert gone.rc == 0, gone.stdout + gone.stderr
    assert streamkap.sources == []
    assert database.admin("SELECT slot_name FROM pg_replication_slots") == []
    assert database.admin("SELECT pubname FROM pg_publication") == []
    assert database.admin("SELECT 1 FROM pg_namespace WHERE nspname = 'streamkap'") == []
    gone_again = play("teardown")
    assert gone_again.rc == 0, gone_again.stdout + gone_again.stderr
    assert gone_again.changed == 0
