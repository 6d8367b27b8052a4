# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role connector, and onboard and teardown around it, against Streamkap's API in small on real databases.

That Debezium captures for such a source is shown in tests/debezium/test_onboard.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from support import neon, streamkap_api, streamkap_pipelines
from support.console import KEY, Console
from support.http_stub import LOST
from support.hurting import PASSWORD, VARIABLES, make_user_where_sql_cannot
from support.modules import PlaybookRun, run_playbook
from support.neon import Database
from support.streamkap_api import SECRETS, Streamkap

Play = Callable[..., PlaybookRun]

PLAY = [{"hosts": "localhost", "gather_facts": False, "roles": ["streamkap.neon.cdc", "streamkap.neon.connector"]}]
ALONE = yaml.safe_dump([{**PLAY[0], "roles": ["streamkap.neon.connector"]}])
CREATE = "POST /sources"


@pytest.fixture
def play(database: Database, streamkap: Streamkap) -> Play:
    make_user_where_sql_cannot(database.server)
    given = {
        **VARIABLES,
        "cdc_dsn": database.dsn,
        "cdc_keyless_tables": "replica_identity_full",
        # These servers speak no TLS.
        "cdc_ssl_mode": "disable",
        "connector_api_url": streamkap.url,
        "connector_wait_timeout": 60,
    }

    def play(playbook: str = yaml.safe_dump(PLAY), *, check: bool = False, **more: object) -> PlaybookRun:
        run = run_playbook(playbook, extra_vars={**given, **more}, env=streamkap.env, check=check, verbosity=4)
        for secret in (streamkap_api.SECRET, streamkap_api.CLIENT_ID, PASSWORD, neon.OWNER_PASSWORD, database.dsn):
            assert secret not in run.stdout + run.stderr
        return run

    return play


def said(run: PlaybookRun) -> str:
    return " ".join((run.stdout + run.stderr).split())


@pytest.mark.newest_version
@pytest.mark.matrix
@pytest.mark.postgres(14, 18)
def test_a_source_is_made_as_the_database_is_prepared(play: Play, database: Database, streamkap: Streamkap) -> None:
    planned = play(check=True)
    assert planned.rc == 0, planned.stdout
    assert planned.changed
    assert streamkap.changes == []

    first = play()
    assert first.rc == 0, first.stdout
    (source,) = streamkap.sources
    assert source.name == database.name
    assert source.config["database.hostname.user.defined"] == database.server.host
    assert int(source.config["database.port.user.defined"]) == database.server.port
    assert source.config["database.password"] == PASSWORD
    assert source.config["table.include.list.user.defined"].split(",") == [
        "app.customers",
        "app.order_items",
        "app.orders",
        "app.products",
        "billing.invoices",
        "billing.payments",
    ]
    again = play()
    assert again.rc == 0, again.stdout
    assert again.changed == 0
    assert streamkap.changes == [CREATE]

    paused = play(connector_state="paused", connector_config={"preserve.null.values": True})
    assert paused.rc == 0, paused.stdout
    assert source.desired_state == "Paused"
    assert source.config["preserve.null.values"] is True


@pytest.mark.postgres(18)
def test_the_password_through_a_tunnel_says_which_endpoint_is_meant(play: Play, streamkap: Streamkap) -> None:
    told = {
        "name": "shop",
        "password_prefix": "endpoint=ep-calm-sea-000001;",
        "config": {
            **{key: value for key, value in streamkap_api.CONFIG.items() if key not in SECRETS},
            "ssh.enabled": True,
            "ssh.host": "bastion.example",
            "ssh.port": 22,
            "ssh.user": "streamkap",
        },
    }
    run = play(ALONE, cdc_connector=told, cdc_password=PASSWORD)
    assert run.rc == 0, run.stdout
    (source,) = streamkap.sources
    assert source.config["database.password"] == f"endpoint=ep-calm-sea-000001;{PASSWORD}"


@pytest.mark.postgres(18)
def test_a_source_can_wait_until_the_bastion_knows_its_key(play: Play, streamkap: Streamkap) -> None:
    # As docs/connector.md has it. Nobody can log in to the bastion yet.
    streamkap.error = "SSH tunnel error: Permission denied (publickey)."
    tasks = [{"ansible.builtin.debug": {"msg": "The key is {{ connector_source.ssh_public_key }}."}}]
    first = play(
        yaml.safe_dump([{**PLAY[0], "post_tasks": tasks}]),
        cdc_ssh_host="bastion.example",
        connector_state="paused",
        connector_wait=False,
    )
    assert first.rc == 0, first.stdout
    assert f"The key is {streamkap_api.PUBLIC_KEY}." in first.stdout
    (source,) = streamkap.sources
    assert source.desired_state == "Paused"
    streamkap.error = source.error = None
    assert play(cdc_ssh_host="bastion.example").rc == 0
    assert source.desired_state == "Active"
    assert streamkap.changes.count(CREATE) == 1


@pytest.mark.postgres(18)
def test_without_what_the_role_cdc_tells_it_says_what_lacks(play: Play, streamkap: Streamkap) -> None:
    run = play(ALONE)
    assert run.rc == 2
    assert "Run the role streamkap.neon.cdc before this one" in said(run)
    assert streamkap.requests == []


@pytest.mark.postgres(18)
def test_a_source_of_another_database_is_left_alone(play: Play, database: Database, streamkap: Streamkap) -> None:
    other = streamkap.source(database.name)
    for playbook in (yaml.safe_dump(PLAY), "streamkap.neon.teardown"):
        run = play(playbook)
        assert run.rc == 2
        assert "adopt" in said(run)
    assert streamkap.changes == []
    assert streamkap.sources == [other]
    assert play(connector_adopt=True).rc == 0
    assert other.config["database.dbname"] == database.name


@pytest.mark.postgres(18)
def test_a_broken_source_is_explained_by_its_task_and_by_the_database(
    play: Play, database: Database, streamkap: Streamkap
) -> None:
    assert play().rc == 0
    (source,) = streamkap.sources
    streamkap.error = "org.postgresql.util.PSQLException: FATAL: replication slot does not exist"
    explained = play(ALONE, cdc_connector=told(database), connector_state="running")
    assert explained.rc == 0
    source.desired_state, source.error = "Active", streamkap.error
    database.admin("SELECT pg_drop_replication_slot('streamkap_pgoutput_slot')")
    explained = play(ALONE, cdc_connector=told(database))
    assert explained.rc == 2
    assert streamkap.error in said(explained)
    assert "The database itself is in the way: There is no slot streamkap_pgoutput_slot" in said(explained)


def told(database: Database) -> dict[str, object]:
    """What the role cdc tells, shortened to what changes nothing."""
    return {"name": database.name, "password_prefix": "", "config": {}}


@pytest.mark.postgres(18)
def test_teardown_takes_the_source_away_first(play: Play, streamkap: Streamkap) -> None:
    assert play().rc == 0
    planned = play("streamkap.neon.teardown", check=True)
    assert planned.rc == 0, planned.stdout
    assert len(streamkap.sources) == 1
    gone = play("streamkap.neon.teardown")
    assert gone.rc == 0, gone.stdout
    assert streamkap.sources == []
    again = play("streamkap.neon.teardown")
    assert again.rc == 0, again.stdout
    assert again.changed == 0


@pytest.mark.postgres(18)
def test_a_pipeline_follows_the_source_and_goes_before_it(play: Play, streamkap: Streamkap) -> None:
    config = {key: value for key, value in streamkap_api.CONFIG.items() if key not in SECRETS}
    secrets = {"connection.password": streamkap_pipelines.DESTINATION["connection.password"]}
    given = {
        "cdc_connector": {
            "name": "shop",
            "password_prefix": "",
            "hostname": config["database.hostname.user.defined"],
            "port": 5432,
            "database": config["database.dbname"],
            "config": {**config, "table.include.list.user.defined": "public.orders, public.customers"},
        },
        "cdc_password": PASSWORD,
        "connector_destination": "warehouse",
        "connector_destination_connector": "clickhouse",
        "connector_destination_config": {"hostname": "warehouse.example.com", "connection.username": "streamkap"},
        "connector_destination_secrets": secrets,
        # As a survey gives it.
        "connector_wait": "true",
    }
    first = play(ALONE, **given)
    assert first.rc == 0, first.stdout
    (pipeline,) = streamkap.pipelines
    assert (pipeline.name, pipeline.topics) == ("shop to warehouse", ["public.orders", "public.customers"])
    assert streamkap.destinations[0].config["connection.password"] == secrets["connection.password"]
    assert secrets["connection.password"] not in first.stdout + first.stderr
    again = play(ALONE, **given)
    assert (again.rc, again.changed) == (0, 0), again.stdout

    left = play(ALONE, **{**given, "connector_destination": ""}, connector_state="absent")
    assert left.rc == 2
    assert "The source shop is read by the pipelines shop to warehouse." in said(left)
    gone = play(ALONE, **given, connector_state="absent")
    assert gone.rc == 0, gone.stdout
    assert (streamkap.pipelines, streamkap.sources, len(streamkap.destinations)) == ([], [], 1)


@pytest.mark.postgres(18)
def test_setup_knows_nothing_of_sources(play: Play, streamkap: Streamkap) -> None:
    assert play("streamkap.neon.setup").rc == 0
    assert streamkap.requests == []


@pytest.mark.postgres(18)
@pytest.mark.database(neon=True)
def test_onboard_that_was_cut_makes_no_second_source(
    play: Play, database: Database, console: Console, streamkap: Streamkap
) -> None:
    project = console.real_project(database)
    of_neon = {"neon_api_url": console.url, "neon_project": project.id, "neon_api_key": KEY}
    streamkap.fail("POST", "/sources", LOST, carried_out=True)
    # Whatever the client makes of it.
    play("streamkap.neon.onboard", **of_neon, cdc_connector_timeout=1)
    play("streamkap.neon.onboard", **of_neon, cdc_connector_timeout=1)
    assert streamkap.changes == [CREATE]
    assert len(streamkap.sources) == 1
