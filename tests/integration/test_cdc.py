# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role cdc and its playbooks: what they change, what they refuse, and what they leave alone."""

from __future__ import annotations

import contextlib
import re
import threading

import pytest

from support import neon
from support.hurting import (
    PASSWORD,
    PUBLICATION,
    SLOT,
    USER,
    VARIABLES,
    lay_out_what_hurts,
    make_user_where_sql_cannot,
    set_up,
    variables,
)
from support.modules import run_module, run_playbook
from support.neon import Database
from support.pgoutput import changes
from support.readiness_cases import Ready
from support.waiting import eventually


@pytest.mark.newest_version
@pytest.mark.matrix
def test_teardown_takes_everything_back_and_the_second_changes_nothing(database: Database) -> None:
    make_user_where_sql_cannot(database.server)
    lay_out_what_hurts(database)
    database.sql("CREATE POLICY all_rows ON app.guarded FOR SELECT USING (true)")
    before = _catalogs(database, besides_identity=True)
    assert run_playbook("streamkap.neon.setup", extra_vars=variables(database)).rc == 0
    assert _catalogs(database, besides_identity=True) != before
    first = run_playbook("streamkap.neon.teardown", extra_vars=variables(database))
    assert (first.rc, first.changed >= 6) == (0, True), first.stdout
    remaining = _catalogs(database, besides_identity=True)
    # Where the user was made beforehand, it goes as well.
    before["roles"] = [role for role in before["roles"] if role != (USER,)]
    assert remaining == before
    second = run_playbook("streamkap.neon.teardown", extra_vars=variables(database))
    assert (second.rc, second.changed) == (0, 0), second.stdout


@pytest.mark.newest_version
def test_the_administrators_own_role_is_never_the_connectors(database: Database) -> None:
    """With the module that setup begins with, that is test_the_administrators_own_role_is_refused_first."""
    set_up(database)
    verifiers = "SELECT rolname, rolpassword, rolcanlogin FROM pg_authid ORDER BY 1"
    before = database.admin(verifiers)
    given = VARIABLES | {"cdc_dsn": database.dsn, "cdc_user": neon.OWNER}
    rotated = run_playbook("streamkap.neon.rotate_password", extra_vars=given | {"cdc_new_password": PASSWORD})
    assert (rotated.rc, rotated.changed) == (2, 0)
    assert f"The role {neon.OWNER} is the one that this task logs in as" in rotated.stdout
    torn_down = run_playbook("streamkap.neon.teardown", extra_vars=given)
    assert (torn_down.rc, torn_down.changed) == (2, 0)
    assert f"The role {neon.OWNER} is the one that this task runs as" in torn_down.stdout
    assert database.admin(verifiers) == before


@pytest.mark.newest_version
def test_teardown_is_planned_as_a_whole(database: Database) -> None:
    """What Debezium has created belongs to the connector's user: a superuser drops it all, and who may not drops nothing."""
    set_up(database)
    database.admin(
        f"ALTER PUBLICATION {PUBLICATION} OWNER TO {USER}; ALTER TABLE streamkap.streamkap_signal OWNER TO {USER};"
        f"ALTER TABLE streamkap.streamkap_heartbeat OWNER TO {USER}; ALTER SCHEMA streamkap OWNER TO {USER}"
    )
    given = VARIABLES | {"cdc_dsn": database.dsn}
    refused = run_playbook("streamkap.neon.teardown", extra_vars=given)
    assert (refused.rc, refused.changed) == (2, 0), refused.stdout
    assert database.admin("SELECT slot_name FROM pg_replication_slots") == [(SLOT,)]
    gone = run_playbook("streamkap.neon.teardown", extra_vars=given | {"cdc_dsn": database.admin_dsn})
    assert (gone.rc, gone.changed) == (0, 6), gone.stdout
    assert "is read through" not in gone.stdout + gone.stderr
    assert database.admin("SELECT count(*) FROM pg_roles WHERE rolname ~ '^streamkap'") == [(0,)]
    assert database.admin("SELECT count(*) FROM pg_namespace WHERE nspname = 'streamkap'") == [(0,)]


@pytest.mark.newest_version
def test_row_security_of_the_connectors_tables_is_no_obstacle_to_bypassing_it(database: Database) -> None:
    """As where an event trigger enables it for every new table."""
    set_up(database)
    database.sql(
        "ALTER TABLE streamkap.streamkap_signal ENABLE ROW LEVEL SECURITY; ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE streamkap.streamkap_heartbeat ENABLE ROW LEVEL SECURITY; CREATE TABLE app.more (id int PRIMARY KEY)"
    )
    given = VARIABLES | {"cdc_dsn": database.dsn}
    refused = run_playbook("streamkap.neon.setup", extra_vars=given)
    assert (refused.rc, refused.changed) == (2, 0)
    assert "cdc_bypassrls: true" in refused.stdout
    allowed = run_playbook("streamkap.neon.setup", extra_vars=given | {"cdc_bypassrls": True})
    assert (allowed.rc, allowed.changed) == (0, 1), allowed.stdout


@pytest.mark.postgres(18)
def test_teardown_waits_for_a_connector_that_was_just_stopped(database: Database) -> None:
    given = VARIABLES | {"cdc_dsn": database.dsn, "__cdc_pause": 1}
    set_up(database)
    with contextlib.ExitStack() as reader:
        reader.enter_context(Ready(database, []).reading(password=PASSWORD))
        at_once = run_playbook("streamkap.neon.teardown", extra_vars=given)
        assert (at_once.rc, at_once.changed) == (2, 0), at_once.stdout
        in_vain = run_playbook("streamkap.neon.teardown", extra_vars=given | {"cdc_release_timeout": 1})
        assert (in_vain.rc, in_vain.changed) == (2, 0), in_vain.stdout
        # Only its second look ends what it waits for.
        looks = database.server.log.count("'slots_used'")

        def stop() -> None:
            eventually(lambda: database.server.log.count("'slots_used'") >= looks + 2, seconds=60)
            reader.close()

        stopping = threading.Thread(target=stop)
        stopping.start()
        waited = run_playbook("streamkap.neon.teardown", extra_vars=given | {"cdc_release_timeout": 60})
        stopping.join()
    assert (waited.rc, waited.changed > 0) == (0, True), waited.stdout
    assert "FAILED - RETRYING" in waited.stdout


@pytest.mark.newest_version
@pytest.mark.matrix
def test_a_check_shows_the_whole_plan_and_leaves_everything_as_it_was(database: Database) -> None:
    make_user_where_sql_cannot(database.server)
    before = _catalogs(database)

    def check() -> None:
        run = run_playbook(
            "streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn}, check=True, diff=True
        )
        assert run.rc == 0, run.stdout
        assert run.changed == 1, run.stdout
        for shown in ("streamkap_role", "app.orders", "streamkap.streamkap_signal", PUBLICATION, SLOT):
            assert re.search(rf"^\+.*{re.escape(shown)}", run.stdout, re.MULTILINE), shown
        assert _catalogs(database) == before

    database.server.assert_writes_no_wal(check)


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_a_check_runs_on_a_hot_standby(database: Database, standby: Database) -> None:
    make_user_where_sql_cannot(database.server)
    standby.server.catch_up()
    run = run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": standby.dsn}, check=True)
    assert run.rc == 0, run.stdout
    assert run.changed == 1, run.stdout


@pytest.mark.postgres(14, 15)
def test_where_sql_cannot_give_replication_it_fails_first_and_says_how_to_get_it(database: Database) -> None:
    before = _catalogs(database)
    run = run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn})
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    assert "REPLICATION" in run.stdout
    assert "superuser" in run.stdout
    assert _catalogs(database) == before


@pytest.mark.newest_version
@pytest.mark.postgres(14, 18)
def test_three_databases_of_an_inventory(databases) -> None:
    shops = [databases() for _number in range(3)]
    make_user_where_sql_cannot(shops[0].server)
    inventory = "databases:\n  vars: {ansible_connection: local, cdc_heartbeat: true}\n  hosts:\n" + "".join(
        f"    {shop.name}: {{cdc_dsn: '{shop.dsn}', cdc_slot: slot_of_{shop.name}}}\n" for shop in shops
    )
    options = {"inventory": inventory, "extra_vars": VARIABLES | {"cdc_hosts": "databases"}}
    first = run_playbook("streamkap.neon.setup", **options)
    assert first.rc == 0, first.stdout
    assert all(first.stats[shop.name]["changed"] == 1 for shop in shops)
    second = run_playbook("streamkap.neon.setup", **options)
    assert (second.rc, second.changed) == (0, 0), second.stdout
    for shop in shops:
        shop.sql("INSERT INTO app.products VALUES (%s, 'new', 1)", [shop.name])
        dsn = shop.dsn_as(USER, PASSWORD)
        (change,) = changes(dsn, slot=f"slot_of_{shop.name}", publication=PUBLICATION, count=1)
        assert change.row["sku"] == shop.name


@pytest.mark.newest_version
@pytest.mark.postgres(15, 18)
def test_databases_of_one_server_are_torn_down_one_by_one_and_the_last_takes_the_roles(databases) -> None:
    shops = [databases(), databases()]
    make_user_where_sql_cannot(shops[0].server)
    given = [VARIABLES | {"cdc_dsn": shop.dsn, "cdc_slot": f"slot_of_{shop.name}"} for shop in shops]
    for variables_of_one in given:
        assert run_playbook("streamkap.neon.setup", extra_vars=variables_of_one).rc == 0
    first = run_playbook("streamkap.neon.teardown", extra_vars=given[0])
    assert (first.rc, first.changed > 0) == (0, True), first.stdout
    assert shops[1].name in first.stdout + first.stderr
    # The other database's connector goes on, and this one's role has nothing left here.
    shops[1].sql("INSERT INTO app.products VALUES ('one more', 'new', 1)")
    assert changes(shops[1].dsn_as(USER, PASSWORD), slot=given[1]["cdc_slot"], publication=PUBLICATION, count=1)
    assert shops[0].admin("SELECT has_table_privilege('streamkap_role', 'app.orders', 'SELECT')") == [(False,)]
    again = run_playbook("streamkap.neon.teardown", extra_vars=given[0])
    assert (again.rc, again.changed) == (0, 0), again.stdout
    assert run_playbook("streamkap.neon.teardown", extra_vars=given[1]).rc == 0
    assert shops[0].admin("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'streamkap%%'", []) == [(0,)]


# What the role itself looks at, and what it passes on to the module, are tried apart: a playbook takes fifty times as long.
@pytest.mark.postgres(18)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            {"cdc_schemas": [], "cdc_password": "", "cdc_role": USER},
            ["cdc_schemas and cdc_tables are both empty", "cdc_password is missing", "cdc_user and cdc_role are both"],
            marks=pytest.mark.matrix,
        ),
        ({"cdc_state": "gone"}, ["present, absent"]),
        ({"cdc_schemas": [], "cdc_publication_scope": "schemas"}, ["cdc_publication_scope is schemas"]),
        pytest.param(
            {"cdc_login_password": "wrong-4-of-the-tests"},
            ["Check the user and the password"],
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_bad_variables_are_named_with_their_remedy_and_change_nothing(
    database: Database, given: dict, said: list[str]
) -> None:
    before = _catalogs(database)
    run = run_playbook("streamkap.neon.setup", extra_vars={**VARIABLES, "cdc_dsn": database.dsn, **given})
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    for words in said:
        assert words in run.stdout
    assert _catalogs(database) == before


@pytest.mark.postgres(18)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schemas": ["app", "nowhere"]}, "nowhere"),
        ({"tables": ["app.nothing"]}, "app.nothing"),
        ({"tables": ["app.Orders"]}, "app.orders"),
        ({"schemas": ["a" * 64]}, "63"),
        ({"publication_scope": "all_tables"}, "may publish all tables"),
        ({"slot": "Capital"}, "Capital"),
        ({"login_port": 1, "connect_timeout": 1}, "Check the host and the port"),
        ({"login_db": "no such database"}, "Check the name of the database"),
    ],
)
def test_bad_input_is_named_with_its_remedy_and_changes_nothing(database: Database, given: dict, said: str) -> None:
    before = _catalogs(database)
    options = {"dsn": database.dsn, "connector_password": PASSWORD, "schemas": VARIABLES["cdc_schemas"], **given}
    result = run_module("prerequisites", **options)
    assert result.get("failed"), result
    assert said in result["msg"]
    assert _catalogs(database) == before


@pytest.mark.newest_version
def test_another_password_is_set_with_a_warning(database: Database) -> None:
    set_up(database)
    options = {"dsn": database.dsn, "connector_password": "Other-5-of-the-tests", "schemas": VARIABLES["cdc_schemas"]}
    (warning,) = run_module("prerequisites", check=True, **options)["warnings"]
    assert "The password of streamkap_user is another than the given one" in warning
    assert run_module("prerequisites", **options)["changed"]
    again = run_module("prerequisites", **options)
    assert (again["changed"], again["warnings"]) == (False, [])


@pytest.mark.postgres(18)
def test_a_server_without_logical_wal_is_found_before_anything_is_changed(database: Database) -> None:
    before = _catalogs(database)
    with database.server.restarted(wal_level="replica"):
        run = run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn})
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    assert "wal_level" in run.stdout
    assert _catalogs(database) == before


@pytest.mark.postgres(18)
@pytest.mark.database(neon=True)
def test_a_weak_password_on_neon_is_found_before_anything_is_changed(database: Database) -> None:
    before = _catalogs(database)
    run = run_playbook(
        "streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn, "cdc_password": "letmein"}
    )
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    assert "60 bits" in run.stdout
    assert _catalogs(database) == before


@pytest.mark.postgres(18)
def test_a_keyless_table_fails_before_anything_is_changed(database: Database) -> None:
    database.sql("CREATE TABLE app.keyless (id int)")
    before = _catalogs(database)
    run = run_playbook("streamkap.neon.setup", extra_vars=VARIABLES | {"cdc_dsn": database.dsn})
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    assert "app.keyless" in run.stdout
    assert _catalogs(database) == before


@pytest.mark.newest_version
@pytest.mark.postgres(16, 18)
@pytest.mark.parametrize(
    ("obstacle", "said", "mended"),
    [
        ("ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY", "app.orders. Let the connector", {"cdc_bypassrls": True}),
        ("CREATE TYPE app.nothing AS ENUM ()", "app.nothing (an enum without labels)", None),
        (
            "CREATE SCHEMA streamkap; CREATE TABLE streamkap.streamkap_signal (id int, what text)",
            "streamkap.streamkap_signal exists with another shape than a signal table: its columns are id, what",
            {"cdc_signal_schema": "streamkap_2"},
        ),
    ],
    ids=["row-level security", "enum without labels", "signal table of another shape"],
)
def test_what_the_role_cannot_mend_is_found_before_anything_is_changed(
    database: Database, obstacle: str, said: str, mended: dict[str, object] | None
) -> None:
    database.sql(obstacle)
    before = _catalogs(database)
    variables = VARIABLES | {"cdc_dsn": database.dsn}
    run = run_playbook("streamkap.neon.setup", extra_vars=variables)
    assert run.rc == 2, run.stdout
    assert run.changed == 0, run.stdout
    assert said in run.stdout
    assert _catalogs(database) == before
    if mended:
        assert run_playbook("streamkap.neon.setup", extra_vars=variables | mended).rc == 0


@pytest.mark.newest_version
@pytest.mark.postgres(16, 18)
@pytest.mark.parametrize("neon_like", [False, True], ids=["vanilla", "neon"])
def test_a_password_of_every_printable_character_works_and_is_printed_nowhere(databases, neon_like: bool) -> None:
    database = databases(neon=neon_like)
    logged_before = len(database.server.log)
    password = "".join(map(chr, range(32, 127))) + "é→ "
    given = {**VARIABLES, "cdc_dsn": database.dsn, "cdc_password": password}
    shown = ""
    for changed in (True, False):
        run = run_playbook(_play(given), verbosity=4, diff=True)
        assert run.rc == 0, run.stdout
        assert (run.changed > 0) == changed
        shown += run.stdout + run.stderr
    given["cdc_slot"] = "Not a slot"
    failed = run_playbook(_play(given), verbosity=4, diff=True)
    assert failed.rc == 2
    shown += failed.stdout + failed.stderr
    # No piece of it either, however it may be escaped: pieces without what escapes would change.
    for piece in ("#$%&", "()*+,-./0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"):
        assert piece not in shown
    assert neon.OWNER_PASSWORD not in shown
    assert database.sql_as(USER, password, "SELECT current_user") == [(USER,)]
    # Neon takes plain text only.
    assert ("ABCDEFGHIJKLMNOPQRSTUVWXYZ" in database.server.log[logged_before:]) == neon_like


@pytest.mark.newest_version
@pytest.mark.postgres(16, 18)
def test_schemas_that_are_captured_no_more_are_told_and_on_request_taken_back(database: Database) -> None:
    set_up(database)
    given = VARIABLES | {"cdc_dsn": database.dsn, "cdc_schemas": "app", "cdc_fail_on_drift": "yes"}
    may_read = "SELECT has_table_privilege('streamkap_role', 'billing.invoices', 'SELECT')"
    told = run_playbook("streamkap.neon.setup", extra_vars=given, check=True)
    assert told.rc == 2, told.stdout
    assert "schemas of which nothing is captured: billing" in told.stdout
    assert "cdc_exclusive: true takes them back" in told.stdout
    taken = run_playbook("streamkap.neon.setup", extra_vars=given | {"cdc_exclusive": "yes"})
    assert (taken.rc, database.admin(may_read)) == (0, [(False,)]), taken.stdout
    again = run_playbook("streamkap.neon.setup", extra_vars=given | {"cdc_exclusive": "yes"}, check=True)
    assert (again.rc, again.changed) == (0, 0), again.stdout
    kept = "has_schema_privilege('streamkap_role', 'streamkap', 'USAGE'), has_database_privilege('streamkap_role', %s, 'CONNECT')"
    assert database.admin(f"SELECT {kept}", [database.name]) == [(True, True)]


def _play(given: dict[str, object]) -> str:
    """A playbook with the variables in it: a password that looks like a template is marked as none."""
    lines = []
    for name, value in given.items():
        text = value if isinstance(value, list) else "!unsafe '%s'" % str(value).replace("'", "''")
        lines.append(f"        {name}: {text}")
    return "\n".join(
        [
            "- hosts: localhost",
            "  gather_facts: false",
            "  roles:",
            "    - role: streamkap.neon.cdc",
            "      vars:",
            *lines,
            "",
        ]
    )


def _catalogs(database: Database, besides_identity: bool = False) -> dict[str, list[tuple]]:
    """What a run could have changed, as the catalogs have it."""
    identity = "" if besides_identity else ", relreplident"
    return {
        "roles": database.admin("SELECT rolname FROM pg_roles ORDER BY 1"),
        "members": database.admin(
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2"
        ),
        "relations": database.admin(
            f"SELECT oid::regclass::text, relkind, pg_get_userbyid(relowner){identity},"
            " (SELECT array_agg(item::text ORDER BY item::text) FROM unnest(relacl) item"
            "   WHERE item::text NOT LIKE pg_get_userbyid(relowner) || '=%')"
            " FROM pg_class WHERE oid >= 16384 ORDER BY 1"
        ),
        "schemas": database.admin(
            "SELECT nspname, (SELECT array_agg(item::text ORDER BY item::text) FROM unnest(nspacl) item"
            "   WHERE item::text NOT LIKE pg_get_userbyid(nspowner) || '=%')"
            " FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1"
        ),
        "defaults": database.admin(
            "SELECT defaclrole, defaclnamespace, defaclacl::text FROM pg_default_acl ORDER BY 1, 2"
        ),
        "publications": database.admin("SELECT pubname FROM pg_publication ORDER BY 1"),
        "slots": database.admin("SELECT slot_name FROM pg_replication_slots ORDER BY 1"),
    }
