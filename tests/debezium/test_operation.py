# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to a connector over its life: it is stopped and started again, cut off, and taken away at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from debezium.engine import FENCE, Engine, EngineError, Event, prepare, set_up
from support.hurting import PUBLICATION, SLOT, USER, VARIABLES
from support.hurting import set_up as set_up_by_modules
from support.modules import run_module, run_playbook
from support.neon import Database
from support.vendor_page import follow

pytestmark = pytest.mark.postgres(18)

CONNECTORS = """
SELECT array(SELECT slot_name::text FROM pg_replication_slots),
       array(SELECT pubname::text FROM pg_publication),
       array(SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'streamkap%'),
       array(SELECT nspname::text FROM pg_namespace WHERE nspname = 'streamkap')
"""


def write(database: Database, *skus: str) -> None:
    for sku in skus:
        database.sql("INSERT INTO app.products VALUES (%s, 'New', 1)", [sku])


def written(events: list[Event]) -> list[str]:
    assert {(event.operation, event.table) for event in events} <= {("c", "app.products")}
    return [event.after["sku"] for event in events]


def test_what_is_written_while_the_engine_is_away_comes_when_it_is_back(database: Database, tmp_path: Path) -> None:
    offsets = tmp_path / "offsets"
    prepare(database)
    write(database, "before its first start")
    with Engine(database, offsets=offsets) as engine:
        write(database, "while it runs")
        assert written(engine.received()) == ["before its first start", "while it runs"]
    seen = engine.fences
    write(database, "while it is stopped")
    # This one does not come to save how far it is.
    with Engine(database, {"offset.flush.interval.ms": 3_600_000}, offsets=offsets) as engine:
        write(database, "while it runs again")
        # The one before was stopped in order: nothing comes twice.
        assert written(engine.received()) == ["while it is stopped", "while it runs again"]
        assert not set(seen) & set(engine.fences)
        engine.kill()
    write(database, "while it is dead")
    with Engine(database, offsets=offsets) as engine:
        write(database, "at last")
        # What the one that was cut off has sent comes again, once and in order, and nothing is lost.
        again = ["while it is stopped", "while it runs again"]
        assert written(engine.received()) == [*again, "while it is dead", "at last"]


def test_a_connector_that_runs_is_not_torn_down_and_one_that_has_stopped_is(database: Database) -> None:
    prepare(database)
    before = database.admin(CONNECTORS)
    variables = VARIABLES | {"cdc_dsn": database.dsn}
    with Engine(database) as engine:
        refused = run_playbook("streamkap.neon.teardown", extra_vars=variables)
        assert refused.rc == 2, refused.stdout
        assert refused.changed == 0, refused.stdout
        assert f"The slot {SLOT} is in use" in refused.stdout
        assert "Stop" in refused.stdout
        assert (
            database.admin(CONNECTORS) == before == [([SLOT], [PUBLICATION], ["streamkap_role", USER], ["streamkap"])]
        )
        write(database, "after the refusal")
        assert written(engine.received()) == ["after the refusal"]
    torn_down = run_playbook("streamkap.neon.teardown", extra_vars=variables)
    assert torn_down.rc == 0, torn_down.stdout
    assert database.admin(CONNECTORS) == [([], [], [], [])]


def test_debezium_does_not_start_in_a_database_with_such_a_type(database: Database) -> None:
    """What users must know, and what readiness_info tells them. The type is used nowhere, in a schema not listed.

    https://github.com/debezium/debezium/pull/7929
    """
    prepare(database)
    database.sql("CREATE TYPE app.colour AS ENUM ('red'); CREATE SCHEMA elsewhere")
    listed = {"schema.include.list": "app,billing"}
    # An enum without labels, for which the check knows the remedy, and a domain over an enum, for which it knows none.
    for creation, removal in (
        ("CREATE TYPE elsewhere.nothing AS ENUM ()", None),
        ("CREATE DOMAIN elsewhere.warm AS app.colour", "DROP DOMAIN elsewhere.warm"),
    ):
        database.sql(creation)
        with pytest.raises(EngineError, match="NullPointerException"), Engine(database, listed):
            pass
        result = run_module("readiness_info", dsn=database.dsn, schemas=["app", "billing"])
        (check,) = (check for check in result["checks"] if check["id"] == "types_loadable")
        assert check["status"] == "fail"
        assert bool(check["sql"]) == (removal is None)
        database.sql(removal or "; ".join(check["sql"]))
    with Engine(database, listed) as engine:
        database.sql("UPDATE app.orders SET status = 'shipped' WHERE id = 1")
        assert [event.table for event in engine.received()] == ["app.orders"]


def test_debezium_captures_what_the_vendors_page_began_and_setup_mended(database: Database) -> None:
    follow(database, ["app", "billing"])
    database.sql(f"CREATE TABLE {FENCE} (id serial PRIMARY KEY)")
    set_up(database)
    with Engine(database) as engine:
        database.sql("UPDATE app.orders SET status = 'shipped' WHERE id = 1")
        assert [(event.operation, event.table) for event in engine.received()] == [("u", "app.orders")]


def test_settings_with_which_values_arrive_wrong_are_named_and_mended(database: Database) -> None:
    set_up_by_modules(database)
    database.sql(
        f"CREATE TABLE {FENCE} (id serial PRIMARY KEY); CREATE TABLE app.spans (id int PRIMARY KEY, span interval, ratio float8);"
        f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {FENCE}, app.spans"
    )
    values = {}
    for number in (1, 2):
        if number == 1:
            database.admin(
                f"ALTER ROLE {USER} SET IntervalStyle = sql_standard; ALTER ROLE {USER} SET extra_float_digits = 0"
            )
        result = run_module("readiness_info", dsn=database.dsn, tables=["app.spans"])
        (check,) = (check for check in result["checks"] if check["id"] == "value_formats")
        assert (check["status"], result["ready"]) == (("fail", False) if number == 1 else ("pass", True))
        with Engine(database) as engine:
            database.sql(f"INSERT INTO app.spans VALUES ({number}, '1 day', 1.0::float8 / 3)")
            values[number] = [event.after for event in engine.received() if event.after["id"] == number]
        for statement in check["sql"]:
            database.sql(statement)
    assert values[1] == [{"id": 1, "span": 0, "ratio": 0.333333333333333}]
    assert values[2] == [{"id": 2, "span": 86_400_000_000, "ratio": 1 / 3}]
