# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody changes by hand after the set-up: a check tells each change in a sentence, and a run takes it back or says who must."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass

import pytest

from support.figures import Figures
from support.hurting import PASSWORD, PUBLICATION, SLOT, USER, VARIABLES, make_user_where_sql_cannot
from support.modules import PlaybookRun, run_module, run_playbook
from support.neon import Database

GROUP = "streamkap_role"
WANTED = {"connector_password": PASSWORD, "schemas": ["app", "billing"], "keyless_tables": "replica_identity_full"}


@dataclass(frozen=True)
class Drift:
    """A change by hand, and what is to be said about it.

    said: a regular expression; one sentence must hold it
    owner: whether the database's owner makes the change, and not a superuser
    since: the oldest PostgreSQL on which it can be made
    before: the oldest on which it cannot any more
    by_superuser: the oldest on which it takes no superuser to take it back
    """

    change: str
    said: str
    owner: bool = True
    since: int = 14
    before: int = 99
    by_superuser: int = 14


DRIFTS = [
    Drift(
        "CREATE TABLE app.given (id int PRIMARY KEY); ALTER TABLE app.given OWNER TO neondb_owner",
        rf"privileges of {GROUP}, tables, app\.given: nothing",
        owner=False,
    ),
    Drift(f"REVOKE SELECT ON app.orders FROM {GROUP}", rf"privileges of {GROUP}, tables, app\.orders: nothing"),
    Drift(f"REVOKE USAGE ON SCHEMA app FROM {GROUP}", rf"privileges of {GROUP}, schemas, app: CREATE, and"),
    Drift("REVOKE CONNECT ON DATABASE {database} FROM " + GROUP, rf"{GROUP}, database, [a-z_0-9]+: nothing"),
    Drift(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE neondb_owner IN SCHEMA billing REVOKE SELECT ON TABLES FROM {GROUP}",
        "default privileges, neondb_owner in billing: nothing, and should be SELECT",
    ),
    Drift(f"REVOKE {GROUP} FROM {USER}", rf"role {USER}, member of: {GROUP} is lacking"),
    Drift(f"GRANT {GROUP} TO {USER} WITH INHERIT FALSE", rf"role {USER}, member of: {GROUP} is lacking", since=16),
    Drift(f"ALTER ROLE {USER} NOINHERIT", rf"role {USER}, inherit: off", owner=False, before=16, by_superuser=16),
    Drift(f"ALTER ROLE {USER} NOLOGIN", rf"role {USER}, login: off", owner=False, by_superuser=16),
    Drift(f"ALTER ROLE {USER} NOREPLICATION", rf"role {USER}, replication: off", owner=False, by_superuser=16),
    Drift(
        f"ALTER ROLE {USER} PASSWORD 'By-hand-7-of-the-tests'",
        rf"role {USER}, password: another",
        False,
        by_superuser=16,
    ),
    Drift(f"ALTER ROLE {GROUP} LOGIN", rf"role {GROUP}, login: on, and should be off"),
    Drift(f"DROP OWNED BY {GROUP}; DROP ROLE {GROUP}", rf"role {GROUP} does not exist", owner=False),
    Drift(f"DROP OWNED BY {USER}; DROP ROLE {USER}", rf"role {USER} does not exist", owner=False, by_superuser=16),
    Drift(
        "CREATE TABLE app.made_later (id int PRIMARY KEY)",
        rf"publication {PUBLICATION}, tables: app\.made_later is lacking",
    ),
    Drift(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE app.orders", r"tables: app\.orders is lacking"),
    Drift(
        "CREATE SCHEMA other; CREATE TABLE other.unwanted (id int PRIMARY KEY);"
        f" ALTER PUBLICATION {PUBLICATION} ADD TABLE other.unwanted",
        r"tables: other\.unwanted is not wanted",
    ),
    Drift(f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert')", "publish: update, delete, truncate are lacking"),
    Drift(
        f"ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = false)",
        "publish via partition root: off, and should be on",
    ),
    Drift(
        f"ALTER PUBLICATION {PUBLICATION} DROP TABLE app.products;"
        f" ALTER PUBLICATION {PUBLICATION} ADD TABLE app.products WHERE (sku > 'm')",
        r"tables: app\.products \(where: .*sku.*\) is not wanted",
        since=15,
    ),
    Drift(
        "ALTER TABLE app.keyless REPLICA IDENTITY NOTHING",
        r"replica identity, app\.keyless: nothing, and should be full",
    ),
    Drift(
        "ALTER TABLE app.customers DROP CONSTRAINT customers_pkey CASCADE",
        r"app\.customers: default, and should be full",
    ),
    Drift("DELETE FROM streamkap.streamkap_heartbeat", "streamkap_heartbeat, has rows: off, and should be on"),
    Drift(f"REVOKE INSERT ON streamkap.streamkap_signal FROM {GROUP}", "streamkap_signal, .*INSERT is lacking"),
    Drift(f"REVOKE USAGE ON SCHEMA streamkap FROM {GROUP}", "schema to .*USAGE is lacking"),
    Drift(
        f"REVOKE ALL ON SEQUENCE streamkap.streamkap_heartbeat_id_seq FROM {GROUP}", "sequence to .*USAGE is lacking"
    ),
    Drift("DROP TABLE streamkap.streamkap_signal", r"signal table streamkap\.streamkap_signal does not exist"),
    Drift("DROP SCHEMA streamkap CASCADE", r"heartbeat table streamkap\.streamkap_heartbeat does not exist"),
    Drift(f"SELECT pg_drop_replication_slot('{SLOT}')", f"slot {SLOT} does not exist"),
    Drift(f"DROP PUBLICATION {PUBLICATION}", f"publication {PUBLICATION} does not exist"),
]


@pytest.fixture
def prepared(database: Database) -> Database:
    make_user_where_sql_cannot(database.server)
    database.sql("BEGIN; CREATE TABLE app.keyless (id int); COMMIT")
    made = run_module("prerequisites", dsn=database.dsn, **WANTED)
    assert made["changed"], made
    return database


def test_each_change_by_hand_is_told_and_taken_back(prepared: Database, figures: Figures) -> None:
    major = prepared.server.major
    missed = []
    drifts = [drift for drift in DRIFTS if drift.since <= major < drift.before]
    for drift in drifts:
        (prepared.sql if drift.owner else prepared.admin)(drift.change.replace("{database}", f'"{prepared.name}"'))
        dsn = prepared.dsn if major >= drift.by_superuser else prepared.admin_dsn
        told = run_module("prerequisites", dsn=dsn, check=True, **WANTED)
        sentences = told["plan"]["differences"]
        if not any(re.search(drift.said, sentence) for sentence in sentences):
            missed.append((drift.change, sentences))
        assert told["changed"], drift.change
        restored = run_module("prerequisites", dsn=dsn, **WANTED)
        assert restored.get("plan", {}).get("differences") == sentences, (drift.change, restored)
        after = run_module("prerequisites", dsn=prepared.dsn, check=True, **WANTED)
        assert (after["changed"], after["plan"]["differences"], after["plan"]["transactions"]) == (False, [], [])
    figures.add("drifts", len(drifts))
    figures.add("drifts_missed", len(missed))
    assert missed == []


def setup(database: Database, **options: object) -> PlaybookRun:
    return run_playbook("streamkap.neon.setup", **options, extra_vars=variables(database))


def variables(database: Database, **given: object) -> dict[str, object]:
    return VARIABLES | {"cdc_dsn": database.dsn, "cdc_keyless_tables": "replica_identity_full", **given}


REPORTING = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: streamkap.neon.cdc
    - ansible.builtin.debug:
        msg: "DRIFT{{ cdc_drift | to_json | b64encode }}."
"""


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_a_scheduler_gets_sentences_a_fact_a_count_and_where_asked_for_an_exit_status(
    prepared: Database, figures: Figures
) -> None:
    prepared.sql(
        f"""
        REVOKE SELECT ON app.orders FROM {GROUP};
        ALTER PUBLICATION {PUBLICATION} DROP TABLE app.products;
        CREATE TABLE app.\"new\nline\" (id int PRIMARY KEY)
        """
    )
    said = [
        f"The privileges of {GROUP}, tables, app.orders: nothing, and should be SELECT.",
        f"The publication {PUBLICATION}, tables: app.new\nline, app.products are lacking.",
    ]
    figures.add("drifts", 3)
    checked = run_playbook(REPORTING, check=True, extra_vars=variables(prepared))
    assert (checked.rc, checked.changed) == (0, 1), checked.stdout
    (fact,) = re.findall(r"DRIFT([A-Za-z0-9+/=]+)\.", checked.stdout)
    assert json.loads(base64.b64decode(fact)) == said
    lines = checked.stdout.splitlines()
    missed = [sentence for sentence in said if "  - " + sentence.replace("\n", "\\n") not in lines]
    figures.add("drifts_missed", len(missed))
    assert missed == []
    failing = run_playbook("streamkap.neon.setup", check=True, extra_vars=variables(prepared, cdc_fail_on_drift=True))
    assert failing.rc == 2, failing.stdout
    assert setup(prepared).rc == 0
    after = run_playbook("streamkap.neon.setup", check=True, extra_vars=variables(prepared, cdc_fail_on_drift=True))
    assert (after.rc, after.changed) == (0, 0), after.stdout
    assert "nothing differs from what setup makes" in after.stdout


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_a_lost_slot_is_left_and_said_and_the_rest_is_taken_back(prepared: Database, figures: Figures) -> None:
    prepared.sql(f"REVOKE SELECT ON app.orders FROM {GROUP}")
    prepared.server.lose_slots()
    figures.add("drifts", 2)
    checked = setup(prepared, check=True)
    assert (checked.rc, checked.changed) == (2, 1), checked.stdout
    expected = [
        rf"^  - The privileges of {GROUP}, tables, app\.orders: nothing, and should be SELECT\.$",
        r"^For somebody to decide.*\n  - The slot is lost.* take a new snapshot",
    ]
    missed = [words for words in expected if not re.search(words, checked.stdout, re.MULTILINE)]
    figures.add("drifts_missed", len(missed))
    assert missed == []
    lost = prepared.sql("SELECT slot_name, wal_status FROM pg_replication_slots")
    restored = setup(prepared)
    assert (restored.rc, restored.changed) == (2, 1), restored.stdout
    assert "CRITICAL slot_not_lost" in restored.stdout
    assert prepared.sql(f"SELECT has_table_privilege('{GROUP}', 'app.orders', 'SELECT')") == [(True,)]
    assert prepared.sql("SELECT slot_name, wal_status FROM pg_replication_slots") == lost == [(SLOT, "lost")]
    # Somebody has decided.
    assert run_module("slot", dsn=prepared.dsn, recreate_lost=True, publication=PUBLICATION)["changed"]
    after = setup(prepared, check=True)
    assert (after.rc, after.changed) == (0, 0), after.stdout


@pytest.mark.postgres(15, 18)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER TABLE streamkap.streamkap_signal ADD COLUMN more text",
            "exists with another shape than a signal table",
        ),
        (f"ALTER ROLE {USER} VALID UNTIL '2001-01-01'", "It was valid until 2001"),
    ],
    ids=["signal table", "expired password"],
)
def test_what_only_somebody_may_decide_fails_the_check_and_is_said(
    prepared: Database, figures: Figures, change: str, said: str
) -> None:
    prepared.admin(change)
    figures.add("drifts", 1)
    checked = setup(prepared, check=True)
    assert (checked.rc, checked.changed) == (2, 0), checked.stdout
    figures.add("drifts_missed", said not in checked.stdout)
    assert said in checked.stdout
