# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module signal on real servers: the row that it writes, and what it refuses to write.

Every test has "sending" in its name, so that -k tells them from those of the signal table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from support.neon import Database, quoted

Run = Callable[..., dict[str, object]]

SINCE_15 = pytest.mark.postgres(15, 16, 17, 18)

TABLES = """
CREATE TABLE app.keyless (id int, at timestamptz);
CREATE TABLE app.indexed (id int, at int);
CREATE UNIQUE INDEX ON app.indexed (at);
CREATE TABLE app.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.unpublished (id int PRIMARY KEY);
CREATE VIEW app.a_view AS SELECT 1 AS id;
"""
ODD = ["do.t", 'dou"ble', "Capitals", "a$b|(c)", "100%", "back\\slash", "com,ma", "two words"]


@pytest.fixture
def ready(database: Database, run: Run) -> Database:
    """A signal table and a publication that has it and most tables of the schema app."""
    database.sql(TABLES + "".join(f"CREATE TABLE app.{quoted(name)} (id int PRIMARY KEY);" for name in ODD))
    run("signal_table")
    made = run(
        "publication",
        tables=["streamkap.streamkap_signal"],
        tables_from_schemas=["app"],
        exclude_tables=["app.unpublished"],
        keyless_tables="include",
    )
    assert not made.get("failed"), made
    return database


def snapshot(run: Run, *collections: str, **options: object) -> dict[str, object]:
    return run("signal", type="execute-snapshot", data_collections=list(collections), **options)


def condition(table: str, words: str) -> dict[str, object]:
    return {"additional_conditions": [{"data_collection": table, "filter": words}]}


def rows(database: Database) -> list[tuple]:
    return database.sql("SELECT id, type, data FROM streamkap.streamkap_signal ORDER BY id")


def test_sending_writes_one_row_as_predicted(ready: Database, run: Run) -> None:
    predicted = snapshot(run, "app.orders", id="one", check=True)
    assert rows(ready) == []
    assert predicted["changed"]
    assert not predicted["signal"]["sent"]
    sent = snapshot(run, "app.orders", id="one")
    assert (predicted["queries"], predicted["diff"]) == (sent["queries"], sent["diff"])
    data = '{"data-collections":["app.orders"],"type":"incremental"}'
    assert rows(ready) == [("one", "execute-snapshot", data)]
    assert sent["signal"] == {
        "id": "one",
        "type": "execute-snapshot",
        "data": data,
        "payload": {"data-collections": ["app.orders"], "type": "incremental"},
        "tables": ["app.orders"],
        "sent": True,
    }


def test_sending_an_id_once_whatever_becomes_of_its_tables(ready: Database, run: Run) -> None:
    assert snapshot(run, "app.customers", id="one")["changed"]
    ready.sql("ALTER PUBLICATION streamkap_pub DROP TABLE app.customers")
    again = snapshot(run, "app.customers", id="one")
    assert (again["changed"], again["queries"], again["signal"]["sent"]) == (False, [], True)
    other = snapshot(run, "app.orders", id="one")
    assert "A signal with the id one has been sent already, and it is another one" in other["msg"]
    assert '{"data-collections":["app.customers"]' in other["msg"]
    assert "has been sent already" in run("signal", type="log", log_message="m", id="one")["msg"]
    assert len(rows(ready)) == 1


def test_sending_without_an_id_again_in_each_run(ready: Database, run: Run) -> None:
    sent = [run("signal", type="log", log_message="quotes ' \" and back\\slashes: {} ü %s") for once in range(2)]
    assert all(result["changed"] for result in sent)
    assert {row[0] for row in rows(ready)} == {result["signal"]["id"] for result in sent}
    assert json.loads(rows(ready)[0][2]) == {"message": "quotes ' \" and back\\slashes: {} ü %s"}


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"type": "pause-snapshot"}, "{}"),
        ({"type": "resume-snapshot"}, "{}"),
        ({"type": "stop-snapshot"}, '{"type":"incremental"}'),
        (
            {"type": "stop-snapshot", "data_collections": ["app.keyless"]},
            '{"data-collections":["app.keyless"],"type":"incremental"}',
        ),
    ],
)
def test_sending_what_is_no_snapshot(ready: Database, run: Run, options: dict[str, object], data: str) -> None:
    ready.sql('DROP TABLE app."two words"')
    assert run("signal", **options)["changed"]
    assert [row[1:] for row in rows(ready)] == [(options["type"], data)]


@pytest.mark.parametrize("name", ODD)
def test_sending_odd_names_matches_them_alone(ready: Database, run: Run, name: str) -> None:
    written = f'app."{name.replace(chr(34), chr(34) * 2)}"' if re.search(r'["\.]', name) else f"app.{name}"
    sent = snapshot(run, written, id="one", snapshot_type="blocking")
    assert sent["signal"]["tables"] == [written]
    (regex,) = json.loads(rows(ready)[0][2])["data-collections"]
    every = [f"app.{other}" for other in ODD]
    # The comma is Debezium's to unescape.
    assert [other for other in every if re.fullmatch(regex, other)] == [f"app.{name}"]


def test_sending_regular_expressions(ready: Database, run: Run) -> None:
    sent = snapshot(run, r"app\.(orders|order_.*)", "streamkap.*", regex=True)
    assert sent["signal"]["tables"] == ["app.order_items", "app.orders", "streamkap.streamkap_signal"]
    assert "matches no table of the publication streamkap_pub" in snapshot(run, "orders", regex=True)["msg"]
    assert "matches no table" in snapshot(run, r"app\.unpub.*", regex=True)["msg"]
    assert "no regular expression" in snapshot(run, "app.(", regex=True)["msg"]
    assert "unique index in an incremental snapshot: app.keyless." in snapshot(run, ".*e[xy].*", regex=True)["msg"]
    assert len(rows(ready)) == 1


@pytest.mark.parametrize(
    ("collections", "options", "words"),
    [
        ([], {}, "Debezium ignores an execute-snapshot without data collections"),
        (["app.nothing"], {}, "The table app.nothing, named in data_collections, does not exist."),
        (["app.Orders"], {}, "Did you mean app.orders?"),
        (["app.unpublished"], {}, "Not in the publication streamkap_pub"),
        (["app.a_view"], {}, "is a view and no table"),
        (["app.events"], {}, "app.events is partitioned"),
        (["app.keyless"], {}, "Take a blocking snapshot of them"),
        (["app.two words"], {}, "does not read their names back"),
        (["app.orders"], {"surrogate_key": "nothing"}, "The surrogate key nothing is no column of app.orders."),
        (["app.orders"], {"publication": "nothing"}, "The publication nothing does not exist"),
        (["app.orders"], {"table": "nothing"}, "The signal table streamkap.nothing does not exist"),
        (["app.orders"], {"schema": "app", "table": "orders"}, "with another shape than a signal table"),
        (["app.orders"], {"id": "i" * 256}, "The id has 256 characters, and streamkap.streamkap_signal holds 255."),
        (["app.orders"], {"log_message": "m"}, "execute-snapshot takes no log_message"),
        (["app.orders"], condition("app.customers", "true"), "which data_collections does not"),
        (["app.o.*"], {"regex": True, **condition("app.customers", "true")}, "no table that data_collections matches"),
    ],
)
def test_sending_what_debezium_would_ignore_is_refused(
    ready: Database, run: Run, collections: list[str], options: dict[str, object], words: str
) -> None:
    refused = snapshot(run, *collections, **options)
    assert refused["failed"]
    assert words in refused["msg"]
    assert rows(ready) == []


def test_sending_too_much_says_how_many_fit(ready: Database, run: Run) -> None:
    names = [f"app.table_with_a_long_name_{number}" for number in range(100)]
    ready.sql("".join(f"CREATE TABLE {name} (id int PRIMARY KEY);" for name in names))
    ready.sql(f"ALTER PUBLICATION streamkap_pub ADD TABLE {', '.join(names)}")
    said = snapshot(run, *names)["msg"]
    fitting = int(re.search(r"holds 2000: the first (\d+) of the 100 data collections fit", said)[1])
    assert "Send several signals, or name the tables by a regular expression" in said
    assert snapshot(run, *names[:fitting])["changed"]
    assert len(rows(ready)[0][2]) <= 2000
    assert "fit" in snapshot(run, *names[: fitting + 1])["msg"]
    assert len(snapshot(run, "app.table_.*", regex=True)["signal"]["tables"]) == 100


@pytest.mark.parametrize(
    "words",
    [
        "status = 'open'",
        "orders.status in ('it''s', 'a;b') and id % 2 = 0",
        "exists (select from app.customers c where c.id = customer_id)",
        "status /* which */ = $$open$$",
        "\"status\" = E'a\\tb'",
    ],
)
def test_sending_a_condition_that_postgresql_understands(ready: Database, run: Run, words: str) -> None:
    assert snapshot(run, "app.orders", **condition("app.orders", words))["changed"]
    (sent,) = json.loads(rows(ready)[0][2])["additional-conditions"]
    assert sent == {"data-collection": "app.orders", "filter": words}


@pytest.mark.parametrize(
    "words",
    [
        "colour = 'blue'",
        "status =",
        "status",
        "SELECT * FROM app.orders WHERE status = 'open'",
        "true -- for now",
        "true; DROP TABLE app.products",
        "true) ; DROP TABLE app.products; --",
        "true) LIMIT 1; DROP TABLE app.products; SELECT (true",
        "true) OR (true",
        "true) UNION SELECT * FROM app.orders WHERE (true",
        "id IN (WITH gone AS (DELETE FROM app.products RETURNING 1) SELECT * FROM gone)",
        "true) LIMIT 1; SELECT touch(",
    ],
)
def test_sending_a_condition_that_is_none_is_refused(ready: Database, run: Run, words: str) -> None:
    refused = snapshot(run, "app.orders", **condition("app.orders", words))
    assert "The filter of app.orders is not a condition on the columns of its table" in refused["msg"]
    assert rows(ready) == []
    assert ready.sql("SELECT count(*) FROM app.products") == [(12,)]


def test_sending_a_blocking_condition_takes_a_whole_select(ready: Database, run: Run) -> None:
    blocking = {"snapshot_type": "blocking"}
    words = "SELECT * FROM app.orders WHERE status = 'open' ORDER BY id"
    assert snapshot(run, "app.orders", **condition("app.orders", words), **blocking)["changed"]
    assert json.loads(rows(ready)[0][2]) == {
        "data-collections": ["app.orders"],
        "type": "blocking",
        "additional-conditions": [{"data-collection": "app.orders", "filter": words}],
    }
    for wrong in (
        "status = 'open'",
        "SELECT colour FROM app.orders",
        "DELETE FROM app.products RETURNING *",
        "WITH gone AS (DELETE FROM app.products RETURNING *) SELECT * FROM gone",
        "SELECT 1; DROP TABLE app.products",
        "SELECT 1) AS a; DROP TABLE app.products; SELECT (1",
        "SELECT 1) AS a, (SELECT 2",
        "SELECT * INTO app.new FROM app.orders",
        "EXECUTE something",
        "TABLE app.orders WITH NO DATA",
    ):
        refused = snapshot(run, "app.orders", **condition("app.orders", wrong), **blocking)
        assert "The filter of app.orders is not a whole SELECT statement" in refused["msg"], wrong
    assert len(rows(ready)) == 1
    assert ready.sql("SELECT count(*) FROM app.products") == [(12,)]


@pytest.mark.parametrize("volatility", ["IMMUTABLE", "STABLE", "VOLATILE"])
def test_sending_a_condition_executes_nothing_of_it(ready: Database, run: Run, volatility: str) -> None:
    ready.sql(
        f"CREATE FUNCTION app.loud(int) RETURNS boolean LANGUAGE plpgsql {volatility} AS"
        " $$BEGIN RAISE EXCEPTION 'executed'; END$$"
    )
    assert snapshot(run, "app.orders", **condition("app.orders", "app.loud(1)"))["changed"]
    words = "SELECT * FROM app.orders WHERE app.loud(1)"
    assert snapshot(run, "app.orders", snapshot_type="blocking", **condition("app.orders", words))["changed"]


def test_sending_to_partitions_by_the_name_that_is_published(ready: Database, run: Run) -> None:
    assert snapshot(run, "app.events_2025")["signal"]["tables"] == ["app.events_2025"]
    assert snapshot(run, "app.events.*", regex=True)["signal"]["tables"] == ["app.events_2025"]
    ready.sql("ALTER PUBLICATION streamkap_pub SET (publish_via_partition_root = true)")
    assert snapshot(run, "app.events")["signal"]["tables"] == ["app.events"]
    assert snapshot(run, "app.events.*", regex=True)["signal"]["tables"] == ["app.events"]
    assert "is captured as app.events, of which it is a partition" in snapshot(run, "app.events_2025")["msg"]


@pytest.mark.parametrize("via_root", [False, True])
@pytest.mark.parametrize(
    "objects", ["ALL TABLES", pytest.param("TABLES IN SCHEMA app, streamkap", marks=SINCE_15), "TABLE app.events"]
)
def test_sending_knows_what_is_published_as_postgresql_does(
    ready: Database, run: Run, objects: str, via_root: bool
) -> None:
    if objects.startswith("TABLE "):
        objects += ", app.indexed, streamkap.streamkap_signal"
    ready.admin(f"CREATE PUBLICATION another FOR {objects} WITH (publish_via_partition_root = {via_root})")
    found = snapshot(run, ".*", regex=True, snapshot_type="blocking", publication="another", check=True)
    expected = ready.sql(
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = 'another' ORDER BY 1, 2"
    )
    parts = [
        tuple(part.strip('"').replace('""', '"') for part in re.split(r'\.(?=(?:[^"]*"[^"]*")*[^"]*$)', name))
        for name in found["signal"]["tables"]
    ]
    assert sorted(parts) == sorted(expected)


@pytest.mark.usefixtures("ready")
def test_sending_with_a_surrogate_key(run: Run) -> None:
    sent = snapshot(run, "app.indexed", surrogate_key="at")
    assert sent["signal"]["payload"]["surrogate-key"] == "at"
    assert sent["warnings"] == []
    (warning,) = snapshot(run, "app.orders", surrogate_key="customer_id")["warnings"]
    assert "No unique index says that customer_id is unique in app.orders" in warning
    warnings = snapshot(run, "app.keyless", surrogate_key="id")["warnings"]
    assert "these have none: app.keyless" in warnings[0]


def test_sending_needs_the_signal_table_to_be_published(ready: Database, run: Run) -> None:
    ready.sql("ALTER PUBLICATION streamkap_pub SET (publish = 'update, delete')")
    assert "does not publish inserts" in run("signal", type="pause-snapshot")["msg"]
    ready.sql("ALTER PUBLICATION streamkap_pub SET (publish = 'insert')")
    assert run("signal", type="pause-snapshot")["changed"]
    ready.sql("ALTER PUBLICATION streamkap_pub DROP TABLE streamkap.streamkap_signal")
    refused = run("signal", type="pause-snapshot")
    assert "streamkap.streamkap_signal is not in the publication streamkap_pub, so that no signal" in refused["msg"]
    assert refused["warnings"] == []
    warned = run("signal", type="pause-snapshot", check=True)
    assert (warned["changed"], len(warned["warnings"])) == (True, 1)
    assert len(rows(ready)) == 1


@SINCE_15
@pytest.mark.parametrize("part", ["(id, type)", "WHERE (type = 'log')"])
def test_sending_needs_the_whole_signal_table_to_be_published(ready: Database, run: Run, part: str) -> None:
    ready.sql("ALTER PUBLICATION streamkap_pub DROP TABLE streamkap.streamkap_signal")
    ready.sql(f"ALTER PUBLICATION streamkap_pub ADD TABLE streamkap.streamkap_signal {part}")
    assert "has a column list or a row filter for the signal table" in run("signal", type="pause-snapshot")["msg"]


def test_sending_before_anything_is_made_warns_in_check_mode(run: Run) -> None:
    warned = snapshot(run, "app.orders", check=True)["warnings"]
    assert [warning.split(":")[0] for warning in warned] == [
        "The signal table streamkap.streamkap_signal does not exist",
        "The publication streamkap_pub does not exist",
    ]
    assert snapshot(run, "app.orders")["failed"]


def test_sending_takes_insert_and_select(ready: Database, run: Run) -> None:
    ready.sql("CREATE ROLE sender LOGIN PASSWORD 'Sender-4-of-the-tests'")
    dsn = ready.dsn_as("sender", "Sender-4-of-the-tests")
    refused = snapshot(run, "app.orders", dsn=dsn)
    assert "may not write to the signal table streamkap.streamkap_signal and read it" in refused["msg"]
    assert "Run as its owner, neondb_owner" in refused["msg"]
    ready.sql("GRANT USAGE ON SCHEMA streamkap TO sender; GRANT INSERT ON streamkap.streamkap_signal TO sender")
    assert snapshot(run, "app.orders", dsn=dsn, id="one")["failed"]
    ready.sql("GRANT SELECT ON streamkap.streamkap_signal TO sender")
    assert snapshot(run, "app.orders", dsn=dsn, id="one")["changed"]
    assert not snapshot(run, "app.orders", dsn=dsn, id="one")["changed"]
    # A condition is read as its writer, who may not even name the table.
    refused = snapshot(run, "app.orders", dsn=dsn, **condition("app.orders", "true"))
    assert "permission denied for schema app" in refused["msg"]
    ready.sql("SET ROLE app_owner; GRANT USAGE ON SCHEMA app TO sender")
    assert snapshot(run, "app.orders", dsn=dsn, **condition("app.orders", "true"))["changed"]


@pytest.mark.usefixtures("ready")
def test_sending_is_predicted_on_a_standby(standby: Database, run: Run) -> None:
    standby.server.catch_up()
    options = condition("app.orders", "status = 'open'")
    assert snapshot(run, "app.orders", dsn=standby.dsn, check=True, **options)["changed"]
    assert "read-only standby" in snapshot(run, "app.orders", dsn=standby.dsn, **options)["msg"]


def test_stopping_everything_is_refused_where_debezium_would_hang(ready: Database, run: Run) -> None:
    ready.sql('DROP TABLE app."two words"')
    assert run("signal", type="stop-snapshot")["changed"]
    ready.sql('CREATE SCHEMA elsewhere; CREATE TABLE elsewhere."two words" (id int)')
    said = run("signal", type="stop-snapshot")["msg"]
    assert "cannot stop everything while there is a table with such a name: elsewhere.two words." in said
    assert "data_collections" in said
    assert run("signal", type="stop-snapshot", data_collections=["app.orders"])["changed"]


def test_sending_takes_three_messages(ready: Database, run: Run) -> None:
    before = len(ready.server.log)
    assert snapshot(run, "app.orders", id="one", **condition("app.orders", "status = 'open'"))["changed"]
    # The look, the statement with the second look, and COMMIT; logged as they were sent, from one connection.
    messages = re.findall(r"^.*\[(\d+)\] LOG:  statement: (.*)$", ready.server.log[before:], re.MULTILINE)
    assert (len({process for process, words in messages}), [words for process, words in messages][-1]) == (1, "COMMIT")
    assert len(messages) == 3


@pytest.mark.newest_version
def test_sending_refuses_keys_that_break_incremental_snapshots_off(ready: Database, run: Run) -> None:
    """What tests/debezium has measured of such keys."""
    ready.sql(
        "CREATE DOMAIN app.instant AS timestamptz;"
        "CREATE TABLE app.payment (id int UNIQUE, paid timestamptz, PRIMARY KEY (id, paid));"
        "CREATE TABLE app.tags (path text[] PRIMARY KEY);"
        "CREATE TABLE app.moments (at app.instant NOT NULL UNIQUE);"
        "ALTER TABLE app.moments REPLICA IDENTITY USING INDEX moments_at_key;"
        "CREATE TABLE app.days (day date, span interval, PRIMARY KEY (day, span));"
        "ALTER PUBLICATION streamkap_pub ADD TABLE app.payment, app.tags, app.moments, app.days"
    )
    refused = snapshot(run, "app.orders", "app.payment", "app.tags", "app.moments", "app.days")
    named = "app.payment (paid timestamp with time zone), app.tags (path text[]), app.moments (at app.instant)"
    assert sorted(re.findall(r"app\.\w+ \([^)]*\)", refused["msg"])) == sorted(re.findall(r"app\.\w+ \([^)]*\)", named))
    assert "snapshot_type: blocking" in refused["msg"]
    assert rows(ready) == []
    by_pattern = run("signal", type="execute-snapshot", regex=True, data_collections=[r"app\.pay.*"])
    assert "app.payment (paid timestamp with time zone)" in by_pattern["msg"]
    assert snapshot(run, "app.payment", surrogate_key="id")["changed"]
    assert "paid is one: app.payment" in snapshot(run, "app.payment", surrogate_key="paid")["msg"]
    assert snapshot(run, "app.payment", "app.tags", "app.moments", snapshot_type="blocking")["changed"]
