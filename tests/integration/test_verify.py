# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look at the end of the role and by the playbook verify, as somebody at a terminal has it; and the playbook snapshot."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hurting import PASSWORD, SLOT, USER, VARIABLES, make_user_where_sql_cannot, set_up
from support.modules import PlaybookRun, run_playbook
from support.neon import Database, quoted
from support.readiness_cases import Ready

Play = Callable[..., PlaybookRun]


@pytest.fixture
def play(database: Database) -> Play:
    """Runs a playbook of the collection on the database."""
    make_user_where_sql_cannot(database.server)

    def play(playbook: str, *, check: bool = False, **given: object) -> PlaybookRun:
        return run_playbook(
            f"streamkap.neon.{playbook}", extra_vars={**VARIABLES, "cdc_dsn": database.dsn, **given}, check=check
        )

    return play


def failure(run: PlaybookRun) -> str:
    """What the failed task says."""
    return re.search(r'^fatal: .*"msg": "(.*?)"', run.stdout, re.MULTILINE).group(1)


def statements(run: PlaybookRun) -> list[str]:
    """What the terminal shows as ready to be pasted."""
    return re.findall(r"^ {4}(\S.*;)$", run.stdout, re.MULTILINE)


@pytest.mark.newest_version
@pytest.mark.matrix
@pytest.mark.postgres(14, 18)
def test_a_database_that_was_set_up_is_ready_and_nothing_is_changed(play: Play) -> None:
    assert play("setup").rc == 0
    run = play("verify")
    assert (run.rc, run.changed) == (0, 0), run.stdout
    assert "is ready to be captured" in run.stdout
    assert "0 critical failures" in run.stdout
    assert PASSWORD not in run.stdout + run.stderr


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_a_connector_that_is_to_be_running_is_waited_for(database: Database, play: Play) -> None:
    # The role looks every five seconds.
    running = {"cdc_connector_running": True, "cdc_connector_timeout": 2, "__cdc_pause": 1}
    set_up(database)
    run = play("verify", **running)
    assert run.rc == 2
    assert "CRITICAL slot_read" in run.stdout
    assert "slot_progress" in run.stdout.partition("Skipped:")[2]

    ready = Ready(database, [])
    with ready.reading(password=PASSWORD):
        run = play("verify", **running)
        assert (run.rc, run.changed) == (0, 0), run.stdout
        assert "slot_progress" not in run.stdout
        # It reads, and confirms nothing of what is written all the time.
        with writing(database):
            run = play("verify", **running)
    assert run.rc == 0, run.stdout
    assert "WARNING slot_progress" in run.stdout


@contextlib.contextmanager
def writing(database: Database) -> Iterator[None]:
    """Somebody writes what no connector is told of."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.2):
            database.sql("SELECT pg_logical_emit_message(false, '', repeat('x', 10000))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


@pytest.mark.newest_version
@pytest.mark.matrix
@pytest.mark.postgres(14, 18)
def test_a_database_that_was_not_fails_in_one_sentence_and_says_what_to_do(database: Database, play: Play) -> None:
    run = play("verify")
    assert (run.rc, run.changed) == (2, 0), run.stdout
    assert re.fullmatch(
        rf"{database.name} on 127\.0\.0\.1 is not ready to be captured: \d+ critical checks fail, see above\.",
        failure(run),
    )
    assert "SELECT pg_create_logical_replication_slot('streamkap_pgoutput_slot', 'pgoutput');" in statements(run)
    # As people read it: not one escaped end of a line, and nothing of the result's braces.
    assert "\\n" not in run.stdout
    assert '"checks"' not in run.stdout
    assert database.admin("SELECT count(*) FROM pg_publication") == [(0,)]


@pytest.mark.postgres(18)
def test_what_it_says_can_be_pasted_and_mends_it(database: Database, play: Play) -> None:
    set_up(database)
    database.sql("SET ROLE app_owner; REVOKE SELECT ON app.customers FROM streamkap_role")
    database.sql("ALTER PUBLICATION streamkap_pub DROP TABLE app.products")
    run = play("verify")
    assert run.rc == 2, run.stdout
    assert "CRITICAL tables_readable" in run.stdout
    assert "CRITICAL tables_published" in run.stdout
    # Before the warnings, which are not about this database.
    critical = run.stdout.split("\nWARNING ")[0].split("\nREMARK ")[0]
    for statement in re.findall(r"^ {4}(\S.*;)$", critical, re.MULTILINE):
        database.sql(f"SET ROLE {'app_owner' if statement.startswith('GRANT') else 'neondb_owner'}; {statement}")
    assert play("verify").rc == 0


@pytest.mark.postgres(18)
def test_the_task_that_it_shows_is_one(database: Database, play: Play) -> None:
    set_up(database)
    database.sql("ALTER PUBLICATION streamkap_pub DROP TABLE app.products, billing.invoices")
    shown = play("verify").stdout
    task = re.search(
        r"^CRITICAL tables_published$.*?^ {2}or as a task:\n((?: {4}[^\n]*\n)+)", shown, re.MULTILINE | re.DOTALL
    )
    tasks = task.group(1)
    playbook = f"- hosts: localhost\n  gather_facts: false\n  tasks:\n{tasks}"
    run = run_playbook(playbook, env={"NEON_DATABASE_URL": database.dsn})
    assert (run.rc, run.changed) == (0, 1), playbook + run.stdout + run.stderr
    assert play("verify").rc == 0


@pytest.mark.postgres(18)
def test_without_the_password_it_looks_from_the_administrators_side(database: Database, play: Play) -> None:
    set_up(database)
    run = play("verify", cdc_password="")
    assert (run.rc, run.changed) == (0, 0), run.stdout
    assert "connector_login" in run.stdout.partition("Skipped:")[2]
    wrong = play("verify", cdc_password="wrong-4-of-the-tests")
    assert wrong.rc == 2
    assert "CRITICAL connector_login" in wrong.stdout
    assert "wrong-4" not in wrong.stdout


@pytest.mark.postgres(18)
def test_what_the_role_was_told_to_leave_out_is_not_missed(database: Database, play: Play) -> None:
    less = {"cdc_create_slot": False, "cdc_heartbeat": False}
    setup = play("setup", **less)
    assert setup.rc == 0, setup.stdout
    assert database.admin("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    verify = play("verify", **less)
    assert verify.rc == 0, verify.stdout
    assert play("verify").rc == 2


@pytest.mark.postgres(18)
def test_thresholds_are_passed_on(database: Database, play: Play) -> None:
    set_up(database)
    assert "max_lag" in play("verify", cdc_thresholds={"max_lag": -1}).stdout
    slow = play("verify", cdc_thresholds={"max_round_trip": 0})
    assert slow.rc == 0
    assert "REMARK round_trip_time" in slow.stdout
    assert "max_lags" in play("verify", cdc_thresholds={"max_lags": 1}).stdout


@pytest.mark.postgres(18)
def test_odd_names_are_passed_on_right(database: Database, play: Play) -> None:
    schema, table = 'Do.t "and" more', 'ta.b"le'
    quoted = [f'"{name}"'.replace('"and"', '""and""').replace('b"l', 'b""l') for name in (schema, table)]
    database.sql(f"CREATE SCHEMA {quoted[0]}; CREATE TABLE {'.'.join(quoted)} (id int PRIMARY KEY)")
    given = {"cdc_schemas": [], "cdc_tables": [".".join(quoted), "app.orders"], "cdc_signal_schema": schema}
    for playbook in ("setup", "verify"):
        run = play(playbook, **given)
        assert run.rc == 0, run.stdout
    assert database.admin("SELECT count(*) FROM pg_publication_tables WHERE schemaname = %s", [schema]) == [(3,)]


@pytest.mark.postgres(18)
def test_a_table_under_row_level_security_is_somebodys_choice(database: Database, play: Play) -> None:
    database.sql("CREATE TABLE app.guarded (id int PRIMARY KEY); ALTER TABLE app.guarded ENABLE ROW LEVEL SECURITY")
    run = play("setup")
    assert run.rc == 2, run.stdout
    assert run.changed == 0
    assert "app.guarded" in run.stdout
    assert play("setup", cdc_verify=False).rc == 0
    verified = play("verify")
    assert verified.rc == 2
    assert "CRITICAL row_security" in verified.stdout
    assert play("setup", cdc_bypassrls=True).rc == 0


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_tables_that_are_skipped_for_lack_of_a_key_are_not_missed(database: Database, play: Play) -> None:
    database.sql(
        "CREATE TABLE app.keyless (id int);"
        "CREATE TABLE app.parts (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (1) TO (9)"
    )
    for playbook in ("setup", "verify"):
        run = play(playbook, cdc_keyless_tables="skip")
        assert run.rc == 0, run.stdout
    assert play("verify").rc == 2
    database.sql("ALTER PUBLICATION streamkap_pub DROP TABLE app.products")
    run = play("verify", cdc_keyless_tables="skip")
    assert run.rc == 2
    assert "app.products" in run.stdout
    assert "app.keyless" not in run.stdout


@pytest.mark.postgres(18)
def test_a_check_of_setup_tells_what_differs_and_verify_looks_all_the_same(play: Play) -> None:
    run = play("setup", check=True)
    assert run.rc == 0, run.stdout
    assert "differences from what setup makes, and setup would mend them" in run.stdout
    assert "to be captured\n" not in run.stdout
    assert play("verify", check=True).rc == 2
    assert play("setup").rc == 0
    assert play("verify", check=True).rc == 0


@pytest.mark.postgres(18)
def test_names_from_the_database_do_not_steer_the_terminal(database: Database, play: Play) -> None:
    set_up(database)
    evil = "\x1b[2J\x9b31m\u202eevil\nREADY {{ 40 + 2 }} {% raw %}"
    database.sql('CREATE TABLE app."%s" (id int PRIMARY KEY)' % evil.replace("%", "%%"), [])
    run = play("verify")
    assert run.rc == 2, run.stdout
    shown = run.stdout.replace("\n", "")
    assert shown.isprintable()
    assert r"\x1b[2J\x9b31m\u202eevil" in shown
    assert "{{ 40 + 2 }} {% raw %}" in shown
    # The name's second line is not one of the report's.
    assert not re.search(r"^READY", run.stdout.partition("    ALTER PUBLICATION")[0], re.MULTILINE)
    # A task with it would be a template.
    assert "or as a task" not in run.stdout.partition("tables_published")[2].partition("\nWARNING")[0]


@pytest.mark.postgres(18)
def test_of_an_inventory_each_database_is_judged_by_itself(databases) -> None:
    shops = [databases(), databases()]
    inventory = "databases:\n  vars: {ansible_connection: local}\n  hosts:\n" + "".join(
        f"    {shop.name}: {{cdc_dsn: '{shop.dsn}', cdc_slot: slot_of_{shop.name}}}\n" for shop in shops
    )
    options = {"inventory": inventory, "extra_vars": VARIABLES | {"cdc_hosts": "databases"}}
    assert run_playbook("streamkap.neon.setup", **options).rc == 0
    shops[0].sql("DROP PUBLICATION streamkap_pub")
    run = run_playbook("streamkap.neon.verify", **options)
    assert run.rc == 2
    assert [run.stats[shop.name]["failed"] for shop in shops] == [1, 0], run.stdout
    assert f"{shops[0].name} on 127.0.0.1 is NOT ready" in run.stdout
    assert f"{shops[1].name} on 127.0.0.1 is ready" in run.stdout


@pytest.mark.postgres(18)
def test_the_fact_is_the_same_from_main_and_from_verify(database: Database, tmp_path: Path) -> None:
    given = {"cdc_dsn": database.dsn, "cdc_schemas": ["billing"], "cdc_tables": ["app.orders"]}
    run = run_playbook(
        f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {{name: streamkap.neon.cdc}}
    - ansible.builtin.set_fact: {{facts: ["{{{{ cdc_connector }}}}"], cdc_connector: null}}
    - ansible.builtin.include_role: {{name: streamkap.neon.cdc}}
      vars: {{cdc_verify: false}}
    - ansible.builtin.set_fact: {{facts: "{{{{ facts + [cdc_connector] }}}}", cdc_connector: null}}
    - ansible.builtin.include_role: {{name: streamkap.neon.cdc, tasks_from: verify}}
    - ansible.builtin.copy: {{dest: {tmp_path}/facts, mode: "0600", content: "{{{{ (facts + [cdc_connector]) | to_json }}}}"}}
""",
        extra_vars=VARIABLES | given,
    )
    assert run.rc == 0, run.stdout
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts[0] == facts[1] == facts[2]
    config = facts[0].pop("config")
    assert facts[0] == {
        "name": database.name,
        "hostname": "127.0.0.1",
        "port": database.server.port,
        "username": USER,
        "heartbeat": True,
        "heartbeat_schema": "streamkap",
        "signal_schema": "streamkap",
        "signal_table": "streamkap.streamkap_signal",
        "database": database.name,
        "slot": SLOT,
        "publication": "streamkap_pub",
        "ssh_tunnel": False,
        "ssh_host": None,
        "ssh_port": None,
        "ssh_user": None,
        "password_prefix": "",
        "binary_handling_mode": "bytes",
        "schemas": ["billing"],
        "tables": ["app.orders"],
        "upload": ["billing", "app.orders"],
    }
    assert config == {
        "database.hostname.user.defined": "127.0.0.1",
        "database.port.user.defined": database.server.port,
        "database.user": USER,
        "database.dbname": database.name,
        "database.sslmode": "require",
        "snapshot.read.only.user.defined": "No",
        "signal.data.collection.schema.or.database": "streamkap.streamkap_signal",
        "heartbeat.enabled": True,
        "heartbeat.data.collection.schema.or.database": "streamkap",
        "heartbeat.use.logical.message": False,
        "schema.include.list": "billing,app",
        "table.include.list.user.defined": "app.orders,billing.invoices,billing.payments",
        "column.include.list.toggled": True,
        "include.source.db.name.in.table.name.user.defined": False,
        "slot.name": SLOT,
        "publication.name": "streamkap_pub",
        "binary.handling.mode": "bytes",
        "ssh.enabled": False,
    }


@pytest.mark.postgres(16)
def test_through_a_tunnel_neon_is_told_the_endpoint_in_the_password(database: Database, tmp_path: Path) -> None:
    database.admin(f"ALTER DATABASE {quoted(database.name)} SET neon.project_id = 'emulated-project-1'")
    given = {
        "cdc_dsn": database.dsn,
        "cdc_login_host": "ep-cool-darkness-123456.us-east-2.aws.neon.tech",
        "cdc_connect_params": {"hostaddr": "127.0.0.1"},
        "cdc_ssl_mode": "disable",
        "cdc_ssh_host": "bastion.example.com",
        "cdc_ssh_port": 2222,
        "cdc_output_dir": str(tmp_path),
    }
    run = run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | given)
    assert run.rc == 0, run.stdout
    (folder,) = (tmp_path / "localhost").iterdir()
    config = json.loads((folder / "connector.json").read_text())["config"]
    assert {key: value for key, value in config.items() if key.startswith("ssh.")} == {
        "ssh.enabled": True,
        "ssh.host": "bastion.example.com",
        "ssh.port": 2222,
        "ssh.user": "streamkap",
    }
    prefix = "endpoint=ep-cool-darkness-123456;"
    assert re.search(rf"^ {{2}}Password +{prefix}\(that of cdc_password\)$", run.stdout, re.M)
    assert re.search(r"^ {2}SSH Host +bastion\.example\.com$", run.stdout, re.M)
    for page in ("connector.html", "connector.md"):
        assert f"behind {prefix} without a space" in (folder / page).read_text()
    rotation = run_playbook(
        "streamkap.neon.rotate_password",
        extra_vars={**VARIABLES, **given, "cdc_password_file": str(tmp_path / "password")},
    )
    assert rotation.rc == 0, rotation.stdout
    assert re.search(rf"^ {{2}}Password +{prefix}in ", rotation.stdout, re.M)


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_the_tables_are_listed_by_the_names_that_their_changes_come_with(database: Database, play: Play) -> None:
    database.sql(
        "CREATE TABLE billing.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE billing.parts_1 PARTITION OF billing.parts FOR VALUES FROM (1) TO (9);"
        "CREATE UNLOGGED TABLE billing.scratch (id int PRIMARY KEY); CREATE TABLE billing.left_out (id int PRIMARY KEY)"
    )
    given = {"cdc_schemas": ["billing"], "cdc_exclude_tables": ["billing.left_out"]}
    whole = play("setup", **given)
    assert re.search(r"^ {2}Schemas/Tables +billing\.invoices, billing\.parts, billing\.payments$", whole.stdout, re.M)
    parts = play("setup", **given, cdc_publish_via_partition_root=False)
    assert re.search(
        r"^ {2}Schemas/Tables +billing\.invoices, billing\.parts_1, billing\.payments$", parts.stdout, re.M
    )


@pytest.mark.matrix
@pytest.mark.postgres(18)
def test_snapshot_sends_one_signal(database: Database, play: Play) -> None:
    set_up(database)
    given = {
        "cdc_snapshot_tables": ["app.orders", "app.customers"],
        "cdc_snapshot_conditions": [{"data_collection": "app.orders", "filter": "status = 'open'"}],
        "cdc_snapshot_id": "backfill-1",
    }
    check = play("snapshot", check=True, **given)
    assert (check.rc, check.changed) == (0, 1), check.stdout
    assert "To be sent: the signal backfill-1" in check.stdout
    assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(0,)]
    first = play("snapshot", **given)
    assert (first.rc, first.changed) == (0, 1), first.stdout
    assert "an incremental snapshot of app.customers, app.orders" in first.stdout
    ((kind, data),) = database.sql("SELECT type, data FROM streamkap.streamkap_signal WHERE id = 'backfill-1'")
    assert kind == "execute-snapshot"
    payload = json.loads(data)
    assert len(payload["data-collections"]) == 2
    assert payload["additional-conditions"][0]["filter"] == "status = 'open'"
    second = play("snapshot", **given)
    assert (second.rc, second.changed) == (0, 0), second.stdout
    assert "was sent before" in second.stdout


@pytest.mark.postgres(18)
def test_snapshot_says_what_it_needs(database: Database, play: Play) -> None:
    set_up(database)
    missing = play("snapshot")
    assert missing.rc == 2
    assert "cdc_snapshot_tables" in missing.stdout
    nowhere = play("snapshot", cdc_snapshot_tables=["app.nowhere"])
    assert nowhere.rc == 2
    assert "app.nowhere" in nowhere.stdout
