# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees who runs the playbooks, in success and in failure, compared with the approved files in terminal/.

`make screens` writes these files, with the oldest and the newest ansible-core; what has changed is then for somebody to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from support import neon
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, set_up
from support.modules import another_python
from support.neon import Database
from support.terminal import NEW, Screen, compare, screen

pytestmark = [pytest.mark.core_version, pytest.mark.newest_version, pytest.mark.postgres(18)]

NEON_YML = """\
cdc_dsn: "{{ lookup('ansible.builtin.env', 'NEON_DATABASE_URL') }}"
cdc_password: "{{ lookup('ansible.builtin.env', 'STREAMKAP_PASSWORD') }}"
cdc_schemas: [app, billing]
"""
DATABASES_YML = """\
databases:
  hosts:
    orders:
      ansible_connection: local
      cdc_login_host: 127.0.0.1
"""
# Python, as far as the modules need it, without what is installed beside it.
_BARE_PYTHON = '#!/bin/sh\nexec "%s" -S "$@"\n'

Prepare = Callable[[Database], None]


@dataclass(frozen=True)
class Case:
    """A command, and what it is to show.

    says: what the first lines of a failure say: the reason, and the remedy
    prepare: what happens before
    proves: whether the database is then as it is to be
    everywhere: whether it is run on the oldest ansible-core too without --full
    """

    arguments: str
    says: tuple[str, ...] = ()
    prepare: Prepare | None = None
    proves: Prepare | None = None
    env: dict[str, str] = field(default_factory=dict)
    everywhere: bool = False


def drop_the_slot(database: Database) -> None:
    set_up(database)
    database.sql("SELECT pg_drop_replication_slot(%s)", [SLOT])


def let_it_drift(database: Database) -> None:
    set_up(database)
    database.sql(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE app.products")


def nothing_was_made_that_the_text_denied(database: Database) -> None:
    assert database.admin("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", [SLOT]) == [(0,)]
    assert database.admin("SELECT rolbypassrls FROM pg_roles WHERE rolname = %s", [USER]) == [(False,)]
    assert database.admin("SELECT to_regclass('streamkap.streamkap_heartbeat')") == [(None,)]
    assert database.admin("SELECT pubviaroot FROM pg_publication WHERE pubname = %s", [PUBLICATION]) == [(False,)]
    assert database.admin(
        "SELECT schemaname FROM pg_publication_tables WHERE pubname = %s GROUP BY 1 ORDER BY 1", [PUBLICATION]
    ) == [("app",), ("billing",), ("streamkap",)]


def nothing_was_changed(database: Database) -> None:
    assert database.admin("SELECT count(*) FROM pg_roles WHERE rolname ~ '^streamkap'") == [(0,)]


SETUP = "streamkap.neon.setup -e @neon.yml"
TEXT = "-e cdc_bypassrls=false -e cdc_create_slot=no -e cdc_heartbeat=off -e cdc_publish_via_partition_root=n"

CASES = {
    "setup-by-text": Case(
        f"{SETUP} {TEXT} -e cdc_schemas=app,billing -e cdc_fail_on_drift=false",
        proves=nothing_was_made_that_the_text_denied,
        everywhere=True,
    ),
    "setup-unchanged": Case(SETUP, prepare=set_up),
    "setup-check-finds-drift": Case(
        f"{SETUP} --check -e cdc_fail_on_drift=yes",
        ("differs from what setup makes", "app.products"),
        prepare=let_it_drift,
    ),
    "setup-wrong-password": Case(
        f"{SETUP} -e cdc_login_password=wrong",
        ("password authentication failed", "Check the user and the password"),
        proves=nothing_was_changed,
        everywhere=True,
    ),
    "setup-no-server": Case(
        f"{SETUP} -e cdc_login_port=1 -e cdc_connect_timeout=1", ("Connection refused", "Check the host and the port")
    ),
    "setup-misspelt-schema": Case(f"{SETUP} -e cdc_schemas=app,biling", ("biling",), proves=nothing_was_changed),
    "setup-misspelt-variable": Case(
        f"{SETUP} -e cdc_exclude_table=app.customers",
        ("cdc_exclude_table is no variable", "Write cdc_exclude_tables"),
        proves=nothing_was_changed,
    ),
    "setup-unclear-boolean": Case(
        f"{SETUP} -e cdc_create_slot=perhaps", ("cdc_create_slot", "perhaps"), proves=nothing_was_changed
    ),
    "setup-no-database": Case(
        SETUP, ("cdc_dsn is not given", "NEON_DATABASE_URL"), env={"NEON_DATABASE_URL": ""}, everywhere=True
    ),
    "setup-misspelt-hosts": Case(
        f"{SETUP} -i databases.yml -e cdc_hosts=databse",
        ("no host or group databse", "-e cdc_hosts=NAME"),
        env={"NEON_DATABASE_URL": ""},
    ),
    "verify-no-psycopg2": Case(
        "streamkap.neon.verify -e @neon.yml -e ansible_python_interpreter=BARE_PYTHON",
        ("psycopg2 is missing", "-m pip install psycopg2-binary"),
    ),
    "verify-slot-dropped": Case(
        "streamkap.neon.verify -e @neon.yml -e cdc_connector_running=true",
        ("is NOT ready to be captured", "is not ready to be captured: 1 critical check fails"),
        prepare=drop_the_slot,
        everywhere=True,
    ),
}
FULL = {
    # A password that was rotated is set back by the old variables, which is said.
    "setup-other-password": Case(f"{SETUP} --check -e cdc_password=Other-5-of-the-tests", prepare=set_up),
    "setup-first": Case(SETUP),
    "setup-several-errors": Case(
        f"{SETUP} -e cdc_schemas= -e cdc_password= -e cdc_role={USER}",
        ("cdc_schemas and cdc_tables are both empty", "cdc_password is missing", "cdc_user and cdc_role are both"),
    ),
    "setup-no-hosts": Case(
        f"{SETUP} -i databases.yml", ("cdc_hosts is not given", "-e cdc_hosts=NAME"), env={"NEON_DATABASE_URL": ""}
    ),
    "setup-tags": Case(f"{SETUP} --tags roles", ("has no tags", "Run it without --tags")),
    "setup-keyless-table": Case(
        SETUP,
        ("app.keyless", "cdc_keyless_tables"),
        prepare=lambda database: database.sql("CREATE TABLE app.keyless (id int)"),
        proves=nothing_was_changed,
    ),
    "teardown": Case("streamkap.neon.teardown -e @neon.yml", prepare=set_up, proves=nothing_was_changed),
    "snapshot": Case(
        "streamkap.neon.snapshot -e @neon.yml -e cdc_snapshot_tables=app.orders,app.customers -e cdc_snapshot_id=first",
        prepare=set_up,
    ),
    "snapshot-no-tables": Case(
        "streamkap.neon.snapshot -e @neon.yml", ("missing required arguments: cdc_snapshot_tables",)
    ),
    "rotate_password": Case(
        "streamkap.neon.rotate_password -e @neon.yml -e cdc_password_file=streamkap.password", prepare=set_up
    ),
    "rotate_password-no-source": Case(
        "streamkap.neon.rotate_password -e @neon.yml", ("Give either cdc_password_file",)
    ),
    "onboard-no-project": Case("streamkap.neon.onboard -e @neon.yml", ("missing required arguments: neon_project",)),
    "bastion-no-hosts": Case(
        "streamkap.neon.bastion -i databases.yml", ("no host or group bastion", "-e ssh_tunnel_hosts=NAME")
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Without --full, the oldest ansible-core has those screens only that differ most."""
    if "name" not in metafunc.fixturenames:
        return
    full = metafunc.config.getoption("full")
    names = [name for name, case in CASES.items() if full or NEW or case.everywhere]
    metafunc.parametrize("name", [*names, *(FULL if full else [])])


def test_a_person_sees_what_was_approved(
    database: Database, name: str, request: pytest.FixtureRequest, tmp_path
) -> None:
    case = {**CASES, **FULL}[name]
    if case.prepare:
        case.prepare(database)
    arguments = case.arguments
    if "BARE_PYTHON" in arguments:
        bare = tmp_path / "python3"
        bare.write_text(_BARE_PYTHON % another_python(tmp_path))
        bare.chmod(0o755)
        arguments = arguments.replace("BARE_PYTHON", str(bare))
    shown = screen(
        arguments.split(),
        files={"neon.yml": NEON_YML, "databases.yml": DATABASES_YML},
        env={"NEON_DATABASE_URL": database.dsn, "STREAMKAP_PASSWORD": PASSWORD, **case.env},
    )
    assert PASSWORD not in shown.text
    assert neon.OWNER_PASSWORD not in shown.text
    assert (shown.rc != 0) == bool(case.says), shown.text
    _assert_that_the_first_lines_say(case.says, shown)
    if case.proves:
        case.proves(database)
    replaced = {str(tmp_path): "ELSEWHERE", database.name: "shop", str(database.server.port): "PORT"}
    compare(name, shown, replaced, approve=request.config.getoption("approve"))


def _assert_that_the_first_lines_say(says: tuple[str, ...], shown: Screen) -> None:
    # A list of all that differs, or fails, comes before the sentence that it ends with.
    first = shown.text if "readiness" in says or "ready to be captured" in shown.text else shown.failure[:1500]
    for words in says:
        assert words in first, shown.text
