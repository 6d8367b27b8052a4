# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of the database, of the administrator's role and of its session change nothing of what the modules do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from support.hurting import PASSWORD, make_user_where_sql_cannot
from support.modules import run_module
from support.neon import OWNER, Database

# What changes how catalogs print, how SQL is read, and what a session may do.
SETTINGS = {
    "quote_all_identifiers": "on",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "transform_null_equals": "on",
    "search_path": "app",
    "row_security": "off",
    "check_function_bodies": "off",
    "client_min_messages": "error",
    "TimeZone": "Pacific/Chatham",
}
WANTED = {"connector_password": PASSWORD, "schemas": ["app"]}
PLACES = ["database", pytest.param("role", marks=pytest.mark.full), pytest.param("options", marks=pytest.mark.full)]

MORE = """
CREATE SCHEMA more;
CREATE TABLE more.keyless (id int);
CREATE TABLE more.typed (id int PRIMARY KEY, at timestamptz, how_long interval, bits bytea, name text);
ALTER TABLE more.typed REPLICA IDENTITY FULL
"""
FILTER = r"""at > '2026-02-01 00:00+00' AND how_long > '1 day' AND bits <> '\x00ff' AND name <> 'back\slash' AND name <> 'NULL'"""


@pytest.fixture(params=PLACES)
def dsn(request: pytest.FixtureRequest, database: Database) -> Iterator[str]:
    """The DSN of a session that all the settings hold for."""
    make_user_where_sql_cannot(database.server)
    database.sql(MORE)
    if request.param == "options":
        options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in SETTINGS.items())
        yield f"{database.dsn}?options={quote(options)}"
        return
    of = {"database": f"DATABASE {database.name}", "role": f"ROLE {OWNER} IN DATABASE {database.name}"}[request.param]
    quotable = {
        name: value if name in ("search_path", "DateStyle") else f"'{value}'" for name, value in SETTINGS.items()
    }
    database.admin(";".join(f"ALTER {of} SET {name} = {value}" for name, value in quotable.items()))
    yield database.dsn


def test_set_up_is_idempotent_and_taken_back(database: Database, dsn: str) -> None:
    foretold = run_module("prerequisites", dsn=dsn, check=True, **WANTED)
    made = run_module("prerequisites", dsn=dsn, **WANTED)
    assert made.get("changed"), made
    assert foretold["queries"] == made["queries"]
    again = run_module("prerequisites", dsn=dsn, **WANTED)
    assert again["queries"] == [], again
    assert "warnings" not in again or not again["warnings"]
    for module, options in [
        ("slot", {"name": "streamkap_pgoutput_slot"}),
        ("publication", {"name": "streamkap_pub"}),
        ("heartbeat_table", {}),
        ("signal_table", {}),
        ("role", {"name": "streamkap_role"}),
    ]:
        gone = run_module(module, dsn=dsn, state="absent", **options)
        assert gone.get("changed"), (module, gone)
    assert database.admin("SELECT count(*) FROM pg_namespace WHERE nspname = 'streamkap'") == [(0,)]


@pytest.mark.newest_version
@pytest.mark.postgres(15, 16, 17, 18)
def test_row_filter_means_the_same_with_and_without_them(database: Database, dsn: str) -> None:
    options = {"name": "filtered", "tables": [{"name": "more.typed", "where": FILTER}]}
    assert run_module("publication", dsn=dsn, **options).get("changed")
    for other in (dsn, database.admin_dsn, dsn):
        result = run_module("publication", dsn=other, **options)
        assert result.get("queries") == [], result
    (stored,) = run_module("publication", dsn=dsn, **options)["publication"]["tables"]
    (plain,) = run_module("publication", dsn=database.admin_dsn, **options)["publication"]["tables"]
    assert '"' not in stored["where"]
    assert stored["columns"] == plain["columns"]


@pytest.mark.newest_version
def test_replica_identity_and_signal_are_written(database: Database, dsn: str) -> None:
    wanted = {**WANTED, "schemas": ["more"]}
    made = run_module("prerequisites", dsn=dsn, keyless_tables="replica_identity_full", slot="", **wanted)
    assert made.get("changed"), made
    assert database.admin("SELECT relreplident FROM pg_class WHERE oid = 'more.keyless'::regclass") == [("f",)]
    sent = run_module("signal", dsn=dsn, type="execute-snapshot", data_collections=["more.typed"])
    assert sent.get("changed"), sent
    assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(1,)]


@pytest.mark.postgres(17, 18)
@pytest.mark.newest_version
def test_the_administrators_transaction_timeout_ends_nothing(database: Database) -> None:
    """The server ends the session by it, and the client does not hear why."""
    database.admin(
        f"ALTER ROLE {OWNER} IN DATABASE {database.name} SET transaction_timeout = '150ms';"
        "CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); END';"
        "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.slow()"
    )
    result = run_module("signal_table", dsn=database.dsn)
    assert result.get("changed"), result
    assert not result["warnings"]


@pytest.mark.newest_version
def test_target_session_attrs_names_what_makes_the_session_read_only(database: Database) -> None:
    database.admin(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    refused = run_module("signal_table", dsn=database.dsn + "?target_session_attrs=read-write")
    assert "default_transaction_read_only is on" in refused["msg"]
    assert run_module("signal_table", dsn=database.dsn + "?target_session_attrs=primary").get("changed")


@pytest.mark.newest_version
def test_the_connectors_options_are_those_of_the_servers(database: Database, run: Callable[..., dict]) -> None:
    """What the administrator's DSN or role sets is no setting of the connector's session."""
    make_user_where_sql_cannot(database.server)
    assert run("prerequisites", **WANTED)["changed"]
    database.admin(f"ALTER ROLE {OWNER} IN DATABASE {database.name} SET idle_in_transaction_session_timeout = '7s'")
    options = {
        "dsn": f"{database.dsn}?options={quote('-c statement_timeout=1234')}",
        "connector_user": "streamkap_user",
    }
    for password, status in ((PASSWORD, "pass"), (None, "skipped")):
        looked = run("readiness_info", **options, connector_password=password, schemas=["app"])
        checks = {check["id"]: check for check in looked["checks"]}
        for id in ("statement_timeout", "idle_in_transaction_timeout"):
            assert checks[id]["status"] == status, checks[id]
    assert "for the administrator's role or session alone" in checks["statement_timeout"]["reason"]
    # What is set for the user, or for all of the database, is known.
    database.admin(f"ALTER DATABASE {database.name} SET statement_timeout = '8s'")
    checks = {check["id"]: check for check in run("readiness_info", **options, schemas=["app"])["checks"]}
    assert checks["statement_timeout"]["status"] == "fail"
    assert "statement_timeout is 8 s" in checks["statement_timeout"]["found"]
