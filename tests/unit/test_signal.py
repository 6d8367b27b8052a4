# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the resource signal, and how it writes names for Debezium."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._engine import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._resources.signal import Signal, java_regex
from ansible_collections.streamkap.neon.plugins.module_utils._sql import QualifiedName

PUBLICATION = {"insert": True, "via_root": False, "part_of_signals": False}


def signal(**options: object) -> Signal:
    defaults = {
        "schema": "s",
        "table": "signals",
        "type": "execute-snapshot",
        "data_collections": None,
        "regex": False,
        "snapshot_type": "incremental",
        "additional_conditions": None,
        "surrogate_key": None,
        "log_message": None,
        "id": "one",
        "publication": "pub",
    }
    return Signal(**{**defaults, **options})


def refusal(**options: object) -> str:
    with pytest.raises(Failure) as failure:
        signal(**options)
    return failure.value.as_result()["msg"]


def table(name: str, **facts: object) -> dict[str, object]:
    schema, name = name.split(".", 1)
    defaults = {
        "kind": "r",
        "covering": [schema, name],
        "has_key": True,
        "has_surrogate": False,
        "surrogate_unique": False,
    }
    return {"schema": schema, "name": name, **defaults, **facts}


def signal_table(**lengths: int | None) -> dict[str, object]:
    columns = [
        {
            "name": name,
            "type": "character varying",
            "base_type": "character varying",
            "length": lengths.get(name, length),
            "not_null": False,
            "generated": False,
            "default": False,
        }
        for name, length in (("id", 255), ("type", 32), ("data", 2000))
    ]
    found = {
        "kind": "r",
        "persistence": "p",
        "owner": "owner",
        "mine": True,
        "trusted": True,
        "grants": {},
        "columns": columns,
        "primary_key": ["id"],
        "sequences": [],
        "has_rows": False,
    }
    return {
        "roles": [],
        "may_create_schema": True,
        "schema": {"owner": "owner", "grants": {}, "mine": True},
        "table": found,
    }


def seen(*tables: dict[str, object], **facts: object) -> dict[str, object]:
    defaults = {
        "signal_table": signal_table(),
        "may_use": True,
        "sent": None,
        "publication": PUBLICATION,
        "filters": [],
        "stumbling_blocks": [],
        "tables": [table("s.signals"), *tables],
    }
    return {**defaults, **facts}


def plan(resource: Signal, *tables: dict[str, object], **facts: object) -> Plan:
    return resource.plan(seen(*tables, **facts), None, {})


def plan_refusal(resource: Signal, *tables: dict[str, object], **facts: object) -> str:
    with pytest.raises(Failure) as failure:
        plan(resource, *tables, **facts)
    return failure.value.as_result()["msg"]


def condition(name: str, words: str = "true") -> dict[str, str]:
    return {"data_collection": name, "filter": words}


@pytest.mark.parametrize(
    ("schema", "name", "regex"),
    [
        ("app", "orders", "app.orders"),
        ("App", "Örders_1", "App.Örders_1"),
        ("app", 'dou"ble', 'app.dou"ble'),
        ("my.schema", "t", r"my\.schema\.t"),
        ("app", "a$b", r"app\.a\$b"),
        ("app", "(a|b)*[c]{2}+?^", r"app\.\(a\|b\)\*\[c\]\{2\}\+\?\^"),
        ("app", "back\\slash", r"app\.back\\slash"),
        ("app", "one,two", r"app\.one\,two"),
        ("app", " blank ", r"app\.\x20blank\x20"),
    ],
)
def test_a_name_becomes_the_regular_expression_that_matches_it_alone(schema: str, name: str, regex: str) -> None:
    assert java_regex(QualifiedName(schema, name)) == regex
    assert re.fullmatch(regex, f"{schema}.{name}")


def test_a_signal_is_one_row() -> None:
    made = plan(signal(data_collections=["app.orders", "app.orders"]), table("app.orders"))
    assert [str(statement) for statement in made.statements] == [
        "INSERT INTO \"s\".\"signals\" (id, type, data) VALUES ('one', 'execute-snapshot',"
        ' \'{"data-collections":["app.orders"],"type":"incremental"}\')'
    ]
    assert (made.missing, made.warnings, made.before) == ([], [], {})


@pytest.mark.parametrize(
    ("options", "payload"),
    [
        ({"type": "pause-snapshot"}, {}),
        ({"type": "resume-snapshot"}, {}),
        ({"type": "log", "log_message": "at {}"}, {"message": "at {}"}),
        ({"type": "stop-snapshot"}, {"type": "incremental"}),
        (
            {"type": "stop-snapshot", "data_collections": ["a.b"]},
            {"data-collections": ["a.b"], "type": "incremental"},
        ),
        (
            {"data_collections": ["a.b", 'a."c.d"'], "additional_conditions": [condition('a."c.d"', " x > 1 ")]},
            {
                "data-collections": ["a.b", r"a\.c\.d"],
                "type": "incremental",
                "additional-conditions": [{"data-collection": r"a\.c\.d", "filter": "x > 1"}],
            },
        ),
        (
            # A condition is found without regard to case.
            {"data_collections": ["a.b", "a.B"], "additional_conditions": [condition("a.B")]},
            {
                "data-collections": ["a.b", "a.B"],
                "type": "incremental",
                "additional-conditions": [{"data-collection": "(?-i)a.B", "filter": "true"}],
            },
        ),
        (
            {"data_collections": ["a.b"], "surrogate_key": "at"},
            {"data-collections": ["a.b"], "type": "incremental", "surrogate-key": "at"},
        ),
        (
            # The table of a condition is read as a name here, and so are its quotes.
            {
                "data_collections": ["a.two words", "a.$b"],
                "snapshot_type": "blocking",
                "additional_conditions": [condition("a.two words", "SELECT 1"), condition("a.$b", "SELECT 2")],
            },
            {
                "data-collections": [r"a\.two\x20words", r"a\.\$b"],
                "type": "blocking",
                "additional-conditions": [
                    {"data-collection": '"a"."two words"', "filter": "SELECT 1"},
                    {"data-collection": "a.$b", "filter": "SELECT 2"},
                ],
            },
        ),
        (
            {"data_collections": [r" a\..* ", "b.c"], "regex": True},
            {"data-collections": [r"a\..*", "b.c"], "type": "incremental"},
        ),
    ],
)
def test_the_payload_is_what_debezium_reads(options: dict[str, object], payload: dict[str, object]) -> None:
    made = signal(**options)
    assert made.payload == payload
    assert json.loads(made.data) == payload


def test_without_an_id_every_signal_is_another() -> None:
    first, second = (signal(type="pause-snapshot", id=None) for run in range(2))
    assert first.id != second.id
    assert len(first.id) == 36


def test_a_signal_that_was_sent_is_not_sent_again_and_not_checked_again() -> None:
    sent = {"same": True, "type": "execute-snapshot", "data": "..."}
    made = plan(signal(data_collections=["app.dropped"]), sent=sent, publication=None)
    assert (made.statements, made.missing) == ([], [])
    assert made.before == made.after


def test_another_signal_with_the_id_is_said() -> None:
    said = plan_refusal(signal(type="pause-snapshot"), sent={"same": False, "type": "log", "data": '{"message":"x"}'})
    assert 'the id one has been sent already, and it is another one: log with the data {"message":"x"}' in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "ignores an execute-snapshot without data collections"),
        ({"data_collections": []}, "ignores an execute-snapshot without data collections"),
        ({"type": "stop-snapshot", "data_collections": []}, "leave data_collections out to stop everything"),
        ({"type": "stop-snapshot", "snapshot_type": "blocking"}, "stop-snapshot takes no snapshot_type: blocking."),
        ({"type": "pause-snapshot", "data_collections": ["a.b"]}, "Besides id, pause-snapshot takes nothing."),
        ({"type": "resume-snapshot", "regex": True}, "resume-snapshot takes no regex"),
        ({"type": "log"}, "needs a message"),
        ({"type": "log", "log_message": ""}, "needs a message"),
        ({"type": "log", "log_message": "m", "surrogate_key": "k"}, "log takes no surrogate_key"),
        ({"data_collections": ["a.b"], "log_message": "m"}, "execute-snapshot takes no log_message"),
        ({"data_collections": ["orders"]}, "is not the name of a table"),
        ({"data_collections": ["a.b"], "surrogate_key": "k", "snapshot_type": "blocking"}, "takes no surrogate_key"),
        ({"data_collections": ["a.b"], "additional_conditions": [condition("a.c")]}, "names a.c, which data_coll"),
        ({"data_collections": ["a.b"], "additional_conditions": [condition("a.b")] * 2}, "more than one condition"),
        ({"data_collections": ["a.b"], "additional_conditions": [condition("a.b", "  ")]}, "of a.b is empty"),
        ({"data_collections": ["a.b"], "additional_conditions": [condition("a.b", "a\0")]}, "holds a NUL"),
        (
            {
                "data_collections": ["a.b(c"],
                "snapshot_type": "blocking",
                "additional_conditions": [condition("a.b(c")],
            },
            "cannot take a condition for a.b(c in a blocking snapshot",
        ),
        ({"type": "pause-snapshot", "id": ""}, "is no id"),
        ({"type": "pause-snapshot", "id": "a\0"}, "is no id"),
    ],
)
def test_what_makes_no_signal_is_refused(options: dict[str, object], words: str) -> None:
    assert words in refusal(**options)


@pytest.mark.parametrize(
    "regex", ["a(", "a[", "*", r"\p{Lu}.*", r"\Qa\E", "(?P<x>a)", "(?x)a", "a{b", "a*+", "[a[b]]", "[a&&b]", r"(a)\1"]
)
def test_a_regular_expression_must_be_one_in_java_too(regex: str) -> None:
    assert "is no regular expression that Java and Python both understand" in refusal(
        data_collections=[regex], regex=True
    )


@pytest.mark.parametrize(
    "regex",
    [r"a\.b", "a.(b|c)", "(?:a)[.][^x]+", r"a\.\w{2,3}", "a.b{2}", "(?!x)a.*?", "(?i)A.b", r"a[.]\[", r"a\{\x2e\u002e"],
)
def test_what_java_and_python_share_is_taken(regex: str) -> None:
    assert list(signal(data_collections=[regex], regex=True).regexes) == [regex]


def test_a_comma_splits_in_a_blocking_snapshot_only() -> None:
    several = r"app\.\w{1,9}"
    assert signal(data_collections=[several], regex=True).collections == [several]
    blocking = {"regex": True, "snapshot_type": "blocking"}
    assert "splits the regular expression" in refusal(data_collections=[several], **blocking)
    escaped = signal(data_collections=[r"app\.\w{1\,9}"], **blocking)
    assert escaped.regexes[r"app\.\w{1\,9}"].fullmatch("app.orders")


def test_regexes_match_as_debezium_does() -> None:
    tables = [table("app.orders"), table("app.Orders_old"), table("app.events", kind="p")]
    incremental = signal(data_collections=["app.o.*"], regex=True)
    assert incremental.describe(seen(*tables))["tables"] == ["app.orders"]
    blocking = signal(data_collections=["app.o.*"], regex=True, snapshot_type="blocking")
    assert blocking.describe(seen(*tables))["tables"] == ["app.orders", "app.Orders_old"]
    assert plan(signal(data_collections=["rders"], regex=True), *tables).missing == [
        "The regular expression rders matches no table of the publication pub."
    ]


@pytest.mark.parametrize(
    ("found", "facts", "words"),
    [
        ([], {}, "The table app.orders, named in data_collections, does not exist."),
        ([table("app.Orders")], {}, "does not exist. Did you mean app.Orders?"),
        ([table("app.orders", kind="v", covering=None)], {}, "is a view and no table"),
        ([table("app.orders", covering=None)], {}, "Not in the publication pub"),
        ([table("app.orders", kind="p")], {}, "publishes its partitions under their own names"),
        (
            [table("app.orders", covering=["app", "all_orders"])],
            {"publication": {**PUBLICATION, "via_root": True}},
            "app.orders is captured as app.all_orders, of which it is a partition: name that.",
        ),
        ([table("app.orders")], {"publication": None}, "The publication pub does not exist"),
        ([table("app.orders")], {"publication": {**PUBLICATION, "insert": False}}, "does not publish inserts"),
        ([table("app.orders")], {"publication": {**PUBLICATION, "part_of_signals": True}}, "a row filter for the sig"),
        (
            [table("app.orders")],
            {"tables": [table("s.signals", covering=None), table("app.orders")]},
            "The signal table s.signals is not in the publication pub",
        ),
        (
            [table("app.orders")],
            {"signal_table": {**signal_table(), "table": None}, "tables": [table("app.orders")]},
            "The signal table s.signals does not exist",
        ),
    ],
)
def test_what_must_be_there_first_is_missing(found: list, facts: dict[str, object], words: str) -> None:
    (said,) = plan(signal(data_collections=["app.orders"]), *found, **facts).missing
    assert words in said


def test_partitions_are_named_as_they_are_captured() -> None:
    via_root = {**PUBLICATION, "via_root": True}
    root = table("app.events", kind="p")
    leaf = table("app.events_2025", covering=["app", "events"])
    assert plan(signal(data_collections=["app.events"]), root, publication=via_root).missing == []
    assert plan(signal(data_collections=["app.events_2025"]), leaf).missing == []
    everything = signal(data_collections=["app.*"], regex=True)
    assert everything.describe(seen(root, leaf))["tables"] == ["app.events_2025"]
    assert everything.describe(seen(root, leaf, publication=via_root))["tables"] == ["app.events"]


def test_a_table_without_a_key_needs_a_blocking_snapshot() -> None:
    keyless = table("app.log", has_key=False, has_surrogate=True, surrogate_unique=True)
    said = plan_refusal(signal(data_collections=["app.log"]), keyless)
    assert "in an incremental snapshot: app.log. Take a blocking snapshot of them" in said
    assert plan(signal(data_collections=["app.log"], snapshot_type="blocking"), keyless).warnings == []
    assert plan(signal(type="stop-snapshot", data_collections=["app.log"]), keyless).warnings == []
    (warning,) = plan(signal(data_collections=["app.log"], surrogate_key="at"), keyless).warnings
    assert "these have none: app.log" in warning


def test_a_surrogate_key_must_be_there_and_should_be_unique() -> None:
    resource = signal(data_collections=["app.log", "app.orders"], surrogate_key="at")
    unique = table("app.log", has_surrogate=True, surrogate_unique=True)
    assert "The surrogate key at is no column of app.orders." in plan_refusal(resource, unique, table("app.orders"))
    (warning,) = plan(resource, unique, table("app.orders", has_surrogate=True)).warnings
    assert "that at is unique in app.orders" in warning


@pytest.mark.parametrize(
    "name", ["two words", '"', "'x'", "a''b", "trailing.", "a..b", "a.b.c", "narrow\u2009space", "`x"]
)
def test_a_name_that_debezium_loses_needs_a_blocking_snapshot(name: str) -> None:
    named = [str(QualifiedName("app", name))]
    found = {**table("app.x"), "name": name, "covering": ["app", name]}
    said = plan_refusal(signal(data_collections=named), found)
    assert "does not read their names back" in said
    assert "snapshot_type: blocking" in said
    assert plan(signal(data_collections=named, snapshot_type="blocking"), found).missing == []


@pytest.mark.parametrize("name", ['dou"ble', "it's", "do.t", "100%", "semi;colon", "naïve", "a$(b)"])
def test_other_odd_names_are_read_back(name: str) -> None:
    named = [str(QualifiedName("app", name))]
    found = {**table("app.x"), "name": name, "covering": ["app", name]}
    assert plan(signal(data_collections=named), found).missing == []


def test_a_blocking_snapshot_does_not_regard_case() -> None:
    found = [table("app.orders"), table("app.Orders")]
    blocking = {"snapshot_type": "blocking"}
    assert "would take app.Orders too" in plan_refusal(signal(data_collections=["app.orders"], **blocking), *found)
    assert plan(signal(data_collections=["app.orders", "app.Orders"], **blocking), *found).missing == []
    assert plan(signal(data_collections=["app.orders"]), *found).missing == []


def test_a_condition_that_postgresql_does_not_understand_is_said() -> None:
    resource = signal(data_collections=["a.b"], additional_conditions=[condition("a.b", "wrong")])
    refused = {"number": 1, "error": 'column "wrong" does not exist', "sqlstate": "42703"}
    assert (
        'The filter of a.b is not a condition on the columns of its table: column "wrong" does not exist.'
        in plan_refusal(resource, table("a.b"), filters=[refused])
    )
    several = {"number": 1, "error": "cannot open multi-query plan as cursor", "sqlstate": "42P11"}
    assert "it is more than one statement" in plan_refusal(resource, table("a.b"), filters=[several])


def test_a_condition_for_a_table_that_no_regular_expression_matches_is_refused() -> None:
    resource = signal(data_collections=["a.*"], regex=True, additional_conditions=[condition("b.c")])
    assert "names b.c, which is no table that data_collections matches" in plan_refusal(resource, table("a.b"))
    assert plan(resource, table("a.b"), publication=None).missing != []


def test_what_the_signal_table_does_not_hold_is_counted() -> None:
    names = [f"app.table_{number:03}" for number in range(200)]
    found = [table(name) for name in names]
    said = plan_refusal(signal(data_collections=names), *found)
    fitting = int(re.search(r"holds 2000: the first (\d+) of the 200 data collections fit", said)[1])
    assert "Send several signals, or name the tables by a regular expression" in said
    assert plan(signal(data_collections=names[:fitting]), *found).statements
    assert "fit" in plan_refusal(signal(data_collections=names[: fitting + 1]), *found)
    assert plan(signal(data_collections=names), *found, signal_table=signal_table(data=None)).statements
    said = plan_refusal(signal(type="log", log_message="ü" * 2000))
    assert "The data of the signal has 2014 characters, and s.signals holds 2000. Write less." in said
    said = plan_refusal(signal(type="pause-snapshot", id="i" * 43), signal_table=signal_table(id=42))
    assert "The id has 43 characters, and s.signals holds 42." in said


def test_a_signal_table_of_another_shape_or_without_rights_is_refused() -> None:
    assert "data holds 1999 characters" in plan_refusal(
        signal(type="pause-snapshot"), signal_table=signal_table(data=1999)
    )
    said = plan_refusal(signal(type="pause-snapshot"), may_use=False)
    assert "may not write to the signal table s.signals and read it. Run as its owner, owner" in said
