# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a source in Streamkap differs from what is asked for, what is refused, and how long it is waited for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._http import Pace
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.convergence import converge
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.fields import FIELDS, NAMES, is_secret
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.plan import Plan
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.source import Desired, plan
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.told import cause, describe, tasks
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import StreamkapApi
from ansible_collections.streamkap.neon.plugins.modules import streamkap_source

from support import streamkap_config
from support.http_stub import Clock
from support.modules import ROOT
from support.streamkap_api import CLIENT_ID, SECRET, Streamkap

DIRECT = "ep-calm-sea-000001.us-east-2.aws.neon.tech"
PASSWORD = "Connector-3-of-the-tests"

REQUIRED: dict[str, object] = {
    "database_hostname": DIRECT,
    "database_user": "streamkap_user",
    "database_password": PASSWORD,
    "database_dbname": "neondb",
    "schema_include_list": ["app"],
    "table_include_list": ["app.orders"],
}


def desired(**options: object) -> Desired:
    given = {name: option.get("default") for name, option in streamkap_source.OPTIONS.items()}
    return Desired.of({**given, "name": "shop", **options})


def found(config: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    """As Streamkap tells it: ports are text, and there are keys of its own."""
    whole = {
        "database.hostname.user.defined": DIRECT,
        "database.port.user.defined": "5432",
        "database.port": "5432",
        "database.user": "streamkap_user",
        "database.password": "**********",
        "database.dbname": "neondb",
        "database.sslmode": "require",
        "schema.include.list": "app",
        "table.include.list.user.defined": "app.orders, app.customers",
        "snapshot.read.only.user.defined": "Yes",
        "slot.name": "streamkap_pgoutput_slot",
        "publication.name": "streamkap_pub",
        "heartbeat.enabled": True,
    }
    told = {"connector_status": "Active", "desired_state": "Active", "tags": ["t1"], "kc_cluster_id": None, **more}
    return {"id": "s1", "name": "shop", "connector": "postgresql", "config": {**whole, **(config or {})}, **told}


def planned(seen: dict[str, object] | None = None, stored: str | None = None, **options: object) -> Plan:
    return plan(desired(**options), found() if seen is None else seen, stored)


class TestNew:
    def test_sends_what_was_given_and_nothing_else(self):
        made = plan(desired(**REQUIRED, snapshot_read_only=True, tags=[]), None)
        assert made.made
        assert made.config == {
            "database.hostname.user.defined": DIRECT,
            "database.user": "streamkap_user",
            "database.dbname": "neondb",
            "schema.include.list": "app",
            "table.include.list.user.defined": "app.orders",
            "snapshot.read.only.user.defined": "Yes",
        }
        assert made.top == {"tags": []}
        assert made.before == {}
        assert PASSWORD not in str(made)

    def test_tells_all_that_lacks(self):
        with pytest.raises(Failure) as failed:
            plan(desired(database_dbname="neondb"), None)
        assert (
            "it takes database_hostname, database_user, schema_include_list, table_include_list, database_password."
            in failed.value.msg
        )

    def test_is_paused_from_the_beginning(self):
        paused = plan(desired(**REQUIRED, state="paused"), None)
        assert (paused.top, paused.action) == ({"desired_state": "Paused"}, None)
        assert plan(desired(**REQUIRED, state="running"), None).top == {}

    def test_is_not_made_to_be_removed(self):
        assert not plan(desired(state="absent"), None).changes


class TestDifferences:
    def test_are_of_what_was_given_only(self):
        made = planned(heartbeat_enabled=True, table_include_list=["app.orders", "app.customers"])
        assert not made.changes
        assert (
            made.before
            == made.after
            == {
                "heartbeat_enabled": True,
                "table_include_list": ["app.orders", "app.customers"],
            }
        )

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("database_port", 5432),
            ("table_include_list", ["app.customers", "app.orders"]),
            ("table_include_list", ["app.customers,app.orders"]),
            ("preserve_null_values", False),
            ("binary_handling_mode", "bytes"),
            ("snapshot_read_only", True),
            ("column_include_list", []),
            ("heartbeat_data_collection_schema_or_database", ""),
            ("config", {"heartbeat.enabled": "true", "database.port.user.defined": 5432, "poll.interval.ms": None}),
            ("config", {"database.port": 5432}),
            ("tags", ["t1", "t1"]),
            ("tags", None),
            ("kc_cluster_id", ""),
            ("database_password", "given, and not told whether it is right"),
        ],
    )
    def test_are_none_where_it_means_the_same(self, option, value):
        assert not planned(**{option: value}).changes

    def test_are_none_where_a_default_is_not_told(self):
        seen = found({"heartbeat.enabled": None})
        del seen["config"]["database.port.user.defined"]
        made = planned(seen, database_port=5432, heartbeat_enabled=True)
        assert not made.changes
        assert not made.objections

    @pytest.mark.parametrize(
        ("option", "value", "sent"),
        [
            ("table_include_list", ["app.orders"], {"table.include.list.user.defined": "app.orders"}),
            ("database_user", "other", {"database.user": "other"}),
            ("heartbeat_enabled", False, {"heartbeat.enabled": False}),
            ("streamkap_snapshot_parallelism", 4, {"streamkap.snapshot.parallelism": 4}),
            ("config", {"poll.interval.ms": 500}, {"poll.interval.ms": 500}),
            ("config", {"heartbeat.enabled": False}, {"heartbeat.enabled": False}),
        ],
    )
    def test_are_sent(self, option, value, sent):
        made = planned(**{option: value})
        assert made.config == sent
        assert made.updates
        assert not made.top

    def test_of_tags_that_are_cleared(self):
        made = planned(tags=[])
        assert made.top == {"tags": []}
        assert (made.before["tags"], made.after["tags"]) == (["t1"], [])

    def test_of_what_is_emptied(self):
        made = planned(found({"column.include.list.user.defined": "app[.]orders[.](id)"}), column_include_list=[])
        assert made.config == {"column.include.list.user.defined": None}

    def test_of_a_key_that_is_null_are_those_from_the_default(self):
        made = planned(found({"heartbeat.enabled": False}), config={"heartbeat.enabled": None})
        assert made.config == {"heartbeat.enabled": True}


class TestPassword:
    def test_of_a_source_that_is_there_is_left_alone(self):
        assert not planned(database_password="another").changes

    @pytest.mark.parametrize(("stored", "sends"), [(PASSWORD, False), ("Other-4-there", True), (None, True)])
    def test_is_sent_always_where_it_is_another_one(self, stored, sends):
        made = planned(stored=stored, database_password=PASSWORD, update_password="always")
        assert bool(made.secrets) is made.changes is sends
        assert PASSWORD not in str(made)
        assert "Other-4-there" not in str(made)


class TestOnce:
    @pytest.mark.parametrize(("option", "word"), [("slot_name", "slot"), ("publication_name", "publication")])
    def test_set_is_told_with_what_to_do(self, option, word):
        with pytest.raises(Failure, match=f"has {option}: streamkap_.*, and other is asked for") as failed:
            planned(**{option: "other"})
        assert "only when a source is made" in failed.value.msg
        assert f"state: absent) and make it anew, which reads from the new {word}" in failed.value.hint
        assert not planned(**{option: FIELDS[option].default}).changes


class TestAnotherDatabase:
    @pytest.mark.parametrize(
        "place",
        [{"database_hostname": "ep-other-000002.aws.neon.tech"}, {"database_port": 5433}, {"database_dbname": "b"}],
    )
    @pytest.mark.parametrize("state", ["present", "running", "paused", "absent"])
    def test_is_not_taken_for_this_one(self, place, state):
        (option,) = place
        made = planned(**place, state=state, slot_name="other")
        ((sentence, remedy),) = made.objections
        assert f"of another database: {option} is" in sentence
        assert ("slot_name would change too" in sentence) is (state != "absent")
        assert "adopt: true" in remedy

    def test_is_taken_over_where_that_is_asked_for(self):
        made = planned(database_dbname="b", adopt=True)
        assert not made.objections
        assert made.config == {"database.dbname": "b"}
        assert (made.before, made.after) == ({"database_dbname": "neondb"}, {"database_dbname": "b"})
        assert "order a snapshot" in made.warnings[0]

    def test_with_another_slot_is_not_taken_over(self):
        with pytest.raises(Failure, match="has slot_name"):
            planned(database_dbname="b", slot_name="other", adopt=True)

    def test_is_removed_where_that_is_asked_for(self):
        made = planned(database_dbname="b", state="absent", adopt=True)
        assert made.removed
        assert not made.objections + made.warnings

    @pytest.mark.parametrize("host", [DIRECT.upper(), DIRECT + ".", DIRECT.replace(".", "-pooler.", 1)])
    def test_is_none_by_another_name_of_its_host(self, host):
        """What somebody has put there by hand may be wrong, and is of this database all the same."""
        assert not planned(found({"database.hostname.user.defined": host}), database_hostname=DIRECT).objections

    @pytest.mark.parametrize("options", [{}, {"state": "absent"}, {"adopt": True}])
    def test_system_is_never_taken(self, options):
        with pytest.raises(Failure, match="is one of mysql"):
            planned(found(connector="mysql"), **options)


class TestRunning:
    @pytest.mark.parametrize(
        ("state", "status", "wanted", "action"),
        [
            ("present", "Active", "Active", None),
            ("present", "Paused", "Paused", None),
            ("present", "Broken", "Active", None),
            ("running", "Active", "Active", None),
            ("running", "Starting", "Active", None),
            ("running", "Paused", "Paused", "resume"),
            ("running", "Active", "Paused", "resume"),
            ("running", "Stopped", "Stopped", "resume"),
            ("running", "Broken", "Active", "restart"),
            ("running", "Pending", "Pending", "deploy"),
            ("running", "Pending", None, "deploy"),
            ("running", "Pending Update", "Pending Update", None),
            ("present", "Pending", "Pending", None),
            ("paused", "Pending", "Pending", None),
            ("paused", "Active", "Active", "pause"),
            ("paused", "Broken", "Active", "pause"),
            ("paused", "Paused", "Paused", None),
            ("paused", "Active", "Paused", None),
            ("paused", "Stopped", None, None),
        ],
    )
    def test_takes_an_action(self, state, status, wanted, action):
        made = planned(found(connector_status=status, desired_state=wanted), state=state)
        assert made.action == action
        assert made.changes is bool(action)

    @pytest.mark.parametrize("state", ["present", "paused"])
    def test_that_was_never_deployed_is_told(self, state):
        made = planned(found(connector_status="Pending", desired_state="Pending"), state=state)
        assert made.warnings == [
            "The source shop is saved in Streamkap, and was never deployed: nothing runs. state: running deploys it."
        ]

    def test_again_takes_none_where_something_new_is_sent(self):
        made = planned(found(connector_status="Broken"), state="running", database_user="other")
        assert made.updates
        assert made.action is None


class TestRefused:
    """Before anything is sent."""

    @pytest.mark.parametrize(
        ("options", "words", "remedy"),
        [
            ({"name": " "}, "name is empty", "Give"),
            (
                {"database_hostname": "ep-x-pooler.aws.neon.tech"},
                "connection pooler",
                "direct host, ep-x.aws.neon.tech",
            ),
            ({"database_hostname": "postgresql://u:p@h/db"}, "is not the name of a host", "name alone"),
            ({"database_hostname": "h:5432"}, "holds a port", "database_port"),
            ({"schema_include_list": []}, "schema_include_list is empty", "leave it out"),
            ({"database_hostname": ""}, "database_hostname is empty", "leave it out"),
            ({"database_port": 0}, "database_port is 0", "from 1 to 65535"),
            ({"ssh_port": 65536}, "ssh_port is 65536", "from 1 to 65535"),
            ({"slot_name": "Slot"}, "slot_name is Slot", "another name"),
            ({"slot_name": "s" * 64}, "slot_name is ssss", "another name"),
            ({"publication_name": "ä" * 32}, "publication_name has 64 bytes", "PostgreSQL"),
            ({"table_include_list": ["orders", "app.a"]}, "without their schema: orders", "schema.table"),
            ({"streamkap_snapshot_parallelism": 11}, "is 11", "from 1 to 10"),
            ({"streamkap_snapshot_chunk_size_bytes": 4095}, "is 4095", "from 4096 to 8388608"),
            ({"streamkap_snapshot_state_refresh_ms": 999}, "is 999", "from 1000 to 60000"),
            ({"transforms_oversized_records_max_field_size_bytes": 1}, "is 1", "from 1048576 to 104857600"),
            ({"transforms_oversized_records_max_record_size_bytes": -2}, "is -2", "from -1 to 104857600"),
            ({"config": {"database.port.user.defined": "x"}}, "database_port is x", "number"),
            ({"config": {"heartbeat.enabled": "perhaps"}}, "heartbeat_enabled is perhaps", "true or false"),
            ({"config": {"database.sslmode": "prefer"}}, "database_sslmode is prefer", "require or disable"),
            ({"config": {"slot.name": "a"}, "slot_name": "b"}, "slot_name and config say different", "one of them"),
            ({"config": {"database.password": PASSWORD}}, "config holds what is secret", "database_password"),
            ({"config": {"ssh.private.key": "x"}}, "config holds what is secret: ssh.private.key", "database_password"),
            ({"config": {"ssh.public.key.user.displayed": "x"}}, "which Streamkap makes", "from the result"),
        ],
    )
    def test_by_itself(self, options, words, remedy):
        with pytest.raises(Failure, match=re.escape(words)) as failed:
            desired(**options)
        assert remedy in failed.value.hint
        assert PASSWORD not in str(failed.value.as_result())

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"snapshot_read_only": False}, "there are no snapshots then"),
            ({"column_include_list": ["a.b.d"], "column_include_list_toggled": False}, "column_include_list does not"),
            (
                {"heartbeat_use_logical_message": True, "heartbeat_data_collection_schema_or_database": "s"},
                "takes the place of a heartbeat table",
            ),
            ({"heartbeat_enabled": False, "heartbeat_use_logical_message": True}, "told how to beat"),
            ({"ssh_enabled": True}, "no ssh_host"),
            ({"database_sslmode": "disable"}, "Neon takes no connection without TLS"),
            ({"table_include_list": ["app.a", "other.b"]}, "schema_include_list does not: other.b"),
        ],
    )
    @pytest.mark.parametrize("there", [False, True])
    def test_together(self, options, words, there):
        with pytest.raises(Failure, match=words) as failed:
            plan(desired(**{**REQUIRED, **options}), found() if there else None)
        assert failed.value.hint

    @pytest.mark.parametrize(
        "options",
        [
            {"snapshot_read_only": False, "signal_data_collection_schema_or_database": "streamkap.streamkap_signal"},
            {"column_exclude_list": ["a.b.d"], "column_include_list_toggled": False},
            # The one list says that it counts, and of two Streamkap takes one.
            {"column_exclude_list": ["a.b.d"]},
            {"column_include_list": ["a[.]b[.]c"], "column_exclude_list": ["a.b.d"]},
            {"ssh_enabled": True, "ssh_host": "bastion.example.com"},
            {"database_sslmode": "disable", "database_hostname": "db.example.com", "adopt": True},
            {"table_include_list": ["app[.]a.*", "other.b"], "source_regex_support_enabled": True},
            {"schema_include_list": ["app.*"], "table_include_list": ["application.a"]},
        ],
    )
    @pytest.mark.parametrize("there", [False, True])
    def test_not_what_goes_together(self, options, there):
        assert plan(desired(**{**REQUIRED, **options}), found() if there else None).changes

    def test_a_list_that_is_not_to_count(self):
        with pytest.raises(Failure, match="column_exclude_list does not count"):
            plan(desired(**REQUIRED, column_exclude_list=["a.b.d"], column_include_list_toggled=True), None)

    def test_not_what_somebody_else_has_set(self):
        """It is not this task's to judge."""
        seen = found({"snapshot.read.only.user.defined": "No"})
        assert planned(seen, database_user="other").updates
        # Not even where the task says so too: the source has it.
        assert planned(seen, snapshot_read_only=False, database_user="other").updates


SIGNAL = "signal_data_collection_schema_or_database"


class TestSignalTable:
    """In the forms that the Terraform provider's defaults and examples have."""

    FORMS = ("public", "streamkap", "streamkap.test_signal")

    @pytest.mark.parametrize("table", FORMS)
    def test_that_a_source_has_is_not_objected_to(self, table):
        seen = found({"signal.data.collection.schema.or.database": table, "snapshot.read.only.user.defined": "No"})
        made = planned(seen, **{SIGNAL: table}, snapshot_read_only=False)
        assert (made.changes, made.warnings) == (False, [])

    @pytest.mark.parametrize("table", FORMS)
    @pytest.mark.parametrize("there", [False, True])
    def test_that_is_new_is_warned_of(self, table, there):
        given = {**REQUIRED, SIGNAL: table, "snapshot_read_only": False}
        made = plan(desired(**given), found() if there else None)
        assert made.config["signal.data.collection.schema.or.database"] == table
        (warning,) = made.warnings
        assert f"{SIGNAL} is {table}" in warning
        assert "streamkap_signal" in warning

    def test_in_the_usual_form_is_not(self):
        given = {**REQUIRED, SIGNAL: "other.streamkap_signal", "snapshot_read_only": False}
        assert plan(desired(**given), None).warnings == []

    def test_and_a_heartbeat_by_its_table_is_warned_of(self):
        made = plan(desired(**REQUIRED, heartbeat_data_collection_schema_or_database="s.streamkap_heartbeat"), None)
        assert "the schema of the table alone: s." in made.warnings[0]


class TestSwitches:
    @pytest.mark.parametrize(
        ("given", "toggled"),
        [
            ({"column_include_list": ["a"]}, True),
            ({"column_exclude_list": ["a"]}, False),
            ({"column_exclude_list": ["a"], "column_include_list": ["b"]}, None),
            ({"column_exclude_list": []}, None),
            ({"column_exclude_list": ["a"], "column_include_list_toggled": True}, True),
        ],
    )
    def test_of_the_lists_of_columns_follow_from_the_one_that_is_given(self, given, toggled):
        assert desired(**given).fields.get("column_include_list_toggled") is toggled

    @pytest.mark.parametrize(
        ("switches", "option", "value"),
        [
            ({"ssh.enabled": False}, "ssh_user", "tunnel"),
            ({"ssh.enabled": False}, "ssh_port", 2222),
            ({"heartbeat.enabled": False}, "heartbeat_data_collection_schema_or_database", "streamkap"),
            ({"heartbeat.enabled": False}, "heartbeat_use_logical_message", True),
            ({"snapshot.read.only.user.defined": "Yes"}, SIGNAL, "streamkap.streamkap_signal"),
            ({"SourceRegexSupport.enabled": False}, "transforms_source_regex_support_regex_replacement", "x"),
            ({"column.include.list.toggled": True}, "column_exclude_list", ["a"]),
        ],
    )
    def test_that_are_off_leave_a_field_null(self, switches, option, value):
        seen = found({**switches, FIELDS[option].key: None})
        toggled = {"column_include_list_toggled": True} if option == "column_exclude_list" else {}
        made = planned(seen, **{option: value}, **toggled)
        assert not made.changes
        assert made.before == made.after
        (warning,) = made.warnings
        assert f"{option} does not count by the other options" in warning

    def test_that_are_turned_on_bring_it_back(self):
        seen = found({"ssh.enabled": False, "ssh.user": None})
        made = planned(seen, ssh_enabled=True, ssh_host="bastion.example", ssh_user="tunnel")
        assert made.config["ssh.user"] == "tunnel"

    def test_of_keys_that_are_not_known_here_are_those_that_streamkap_describes(self):
        asked = {"new.user": "x", "new.other": "y"}
        given = replace(desired(config=asked), void=frozenset({"new.user"}))
        made = plan(given, found())
        assert made.config == {"new.other": "y"}
        assert not plan(
            replace(desired(insert_topic_name_enabled=True), void=frozenset({"InsertTopicName.enabled"})), found()
        ).changes
        assert "config.new.user does not count" in made.warnings[0]


class TestFields:
    """Against the documentation, and against what is known of the API."""

    OPTIONS = yaml.safe_load(streamkap_source.DOCUMENTATION)["options"]

    @pytest.mark.parametrize("option", FIELDS)
    def test_are_documented_with_key_default_and_bounds(self, option):
        field = FIELDS[option]
        text = self.OPTIONS[option]["description"]
        text = text if isinstance(text, str) else " ".join(text)
        assert f"(C({field.key}))" in text
        for default in field.default if field.kind == NAMES and field.default else [field.default]:
            written = str(default).lower() if isinstance(default, bool) else str(default)
            assert default is None or f"V({written})" in text
        assert ("Required for a new source" in text) is field.required
        if field.bounds:
            assert "from %d to %d" % field.bounds in text
        if field.once:
            assert "only when a source is made" in text
        assert self.OPTIONS[option].get("choices", []) == list(field.choices)

    @pytest.mark.parametrize("option", FIELDS)
    def test_are_each_in_the_page_on_what_is_known(self, option):
        assert f"\n| `{option}` | `{FIELDS[option].key}` |" in (ROOT / "docs" / "streamkap_api.md").read_text()

    def test_are_all_that_are_known(self):
        """But for the password, which has an option of its own, and for the key that Streamkap makes."""
        keys = {field.key for field in FIELDS.values()}
        assert set(streamkap_config.FIELDS) - keys == {"database.password", "ssh.public.key.user.displayed"}
        assert keys <= set(streamkap_config.FIELDS)
        assert not [key for key in keys if is_secret(key)]

    @pytest.mark.parametrize("option", FIELDS)
    def test_have_the_defaults_that_are_known(self, option):
        field = FIELDS[option]
        assert field.same(streamkap_config.FIELDS[field.key].default, field.sent(field.default))


class TestTold:
    def test_without_secrets(self):
        seen = found({"database.password": PASSWORD, "ssh.private.key": PASSWORD})
        seen["task_statuses"] = {"0": {"state": "FAILED", "trace": f"{PASSWORD}{'x' * 3000}"}}
        told = describe(seen, "shop", lambda text: text.replace(PASSWORD, "*"))
        assert PASSWORD not in str(told)
        assert len(told["tasks"][0]["error"]) == 2000

    def test_of_another_system_without_settings_of_this_one(self):
        assert describe(found(connector="mysql"), "shop", str)["settings"] == {}

    @pytest.mark.parametrize(
        ("statuses", "told"),
        [
            (None, []),
            ([], []),
            ({}, []),
            ({"0": "RUNNING"}, [("0", "RUNNING")]),
            ({"0": {"state": None}}, [("0", None)]),
            ({"0": {"state": "RUNNING"}}, [("0", "RUNNING")]),
            ({"0": {"status": "running"}}, [("0", "RUNNING")]),
            ([{"id": 3, "status": "FAILED"}, "RUNNING", None], [("3", "FAILED"), ("1", "RUNNING"), ("2", None)]),
            ("RUNNING", []),
        ],
    )
    def test_in_any_shape(self, statuses, told):
        assert [(task["id"], task["state"]) for task in tasks({"task_statuses": statuses})] == told

    def test_by_the_innermost_cause(self):
        trace = (
            "org.apache.kafka.connect.errors.ConnectException: An exception occurred\n\tat io.debezium.X\n"
            "Caused by: io.debezium.DebeziumException: outer\n\t... 5 more\n"
            'Caused by: org.postgresql.util.PSQLException: ERROR: publication "p" does not exist\n\t... 9 more'
        )
        assert cause(trace) == 'org.postgresql.util.PSQLException: ERROR: publication "p" does not exist'
        assert cause("one line") == "one line"
        assert cause("\x1b[2J") == "\\x1b[2J"


# How long it is waited for, by a clock of its own


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def streamkap(clock: Clock) -> Iterator[Streamkap]:
    with Streamkap() as streamkap:
        streamkap.clock = clock
        yield streamkap


@pytest.fixture
def run(streamkap: Streamkap, clock: Clock) -> Callable[..., object]:
    def run(wait: bool = True, **options: object) -> object:
        pace = Pace(1e9, clock=clock, sleep=clock.sleep)
        api = StreamkapApi(CLIENT_ID, SECRET, streamkap.url, patience=600, pace=pace, clock=clock, sleep=clock.sleep)
        return converge(api, desired(**options), False, wait)

    return run


class TestWaiting:
    def test_ends_when_the_source_is_active_and_its_tasks_run(self, streamkap, run, clock):
        streamkap.start_seconds = 100
        outcome = run(**REQUIRED)
        assert outcome.result["source"]["status"] == "Active"
        assert 100 <= clock.now - 1000 <= 111

    def test_is_left_out(self, streamkap, run, clock):
        streamkap.start_seconds = 100
        assert run(wait=False, **REQUIRED).result["source"]["status"] == "Starting"
        assert clock.now == 1000

    def test_goes_on_while_a_task_does_not_run(self, streamkap, run, clock):
        source = streamkap.source("shop")
        source.task_statuses = {"0": {"state": "RUNNING"}, "1": {"state": "UNASSIGNED"}}
        clock.now += 1
        with pytest.raises(Failure, match="is Active after 600 seconds, and its tasks are: 0 RUNNING, 1 UNASSIGNED"):
            run()
        assert clock.now == 1601

    def test_ends_with_a_tasks_own_error(self, streamkap, run, clock):
        streamkap.error = 'Caused by: PSQLException: password authentication failed for "streamkap_user"'
        with pytest.raises(
            Failure, match=r"The source shop is Broken\. task 0: PSQLException: password auth"
        ) as failed:
            run(**REQUIRED)
        assert "streamkap.neon.readiness_info" in failed.value.hint
        assert failed.value.details["source"]["status"] == "Broken"
        assert clock.now - 1000 < 10

    def test_ends_when_a_task_failed_of_a_source_that_is_active(self, streamkap, run, clock):
        streamkap.source("shop").task_statuses = {"0": {"state": "FAILED", "trace": "gone"}}
        clock.now += 1
        with pytest.raises(Failure, match=r"The source shop is Active\. task 0: gone\."):
            run()

    def test_does_not_take_what_was_before_a_change_for_what_is_now(self, streamkap, run, clock, monkeypatch):
        """Where Streamkap takes its time to notice that a source is told something new."""
        source = streamkap.source("shop")
        source.error = "the old error"
        clock.now += 1
        told = Streamkap.status
        monkeypatch.setattr(
            Streamkap, "status", lambda it, one: "Broken" if one.starts == 2 and clock.now < 1020 else told(it, one)
        )
        assert run(database_user="other").result["source"]["status"] == "Active"
        assert clock.now >= 1020

    def test_does_not_take_a_source_that_goes_on_to_run_for_one_that_runs(self, streamkap, run, clock, monkeypatch):
        streamkap.source("shop")
        clock.now += 1
        streamkap.error = "the new error"
        told = Streamkap.status
        monkeypatch.setattr(
            Streamkap, "status", lambda it, one: "Active" if one.starts == 2 and clock.now < 1006 else told(it, one)
        )
        with pytest.raises(Failure, match="the new error"):
            run(database_user="other")

    def test_believes_it_at_last(self, streamkap, run, clock, monkeypatch):
        streamkap.source("shop")
        clock.now += 1
        streamkap.error = "the new error"
        monkeypatch.setattr(Streamkap, "status", lambda _it, _one: "Broken")
        with pytest.raises(Failure, match="the new error"):
            run(database_user="other")
        assert 30 <= clock.now - 1001 < 60

    def test_asks_nothing_more_of_what_is_as_it_is_to_be(self, streamkap, run, clock):
        streamkap.source("shop")
        clock.now += 1
        assert not run(state="running", database_user="streamkap_user").changed
        assert streamkap.asked == {"POST /auth/access-token": 1, "GET /sources": 1}

    @pytest.mark.parametrize("state", ["Paused", "Stopped"])
    def test_not_for_what_somebody_has_paused(self, streamkap, run, state):
        streamkap.source("shop", desired_state=state)
        assert not run().changed

    def test_for_what_is_paused(self, streamkap, run, clock):
        streamkap.source("shop")
        clock.now += 1
        outcome = run(state="paused")
        assert outcome.changed
        assert outcome.result["source"]["status"] == "Paused"

    def test_for_what_is_not_deployed_yet(self, streamkap, run, clock):
        """Kafka Connect does not know the connector yet, and says so."""
        streamkap.deploy_seconds = 25
        run(wait=False, **REQUIRED)
        outcome = run(**REQUIRED, state="paused")
        assert outcome.result["source"]["status"] == "Paused"
        assert streamkap.changes[0] == "POST /sources"
        assert set(streamkap.changes[1:]) == {f"POST /sources/{outcome.result['source']['id']}/actions/pause"}
        assert clock.now - 1000 == 30

    @pytest.mark.parametrize(
        "statuses",
        [{"0": {"status": "RUNNING"}}, [{"id": 0, "state": "RUNNING"}], {"0": "RUNNING"}],
    )
    def test_ends_whichever_way_tasks_are_told(self, streamkap, run, clock, statuses):
        streamkap.source("shop").task_statuses = statuses
        clock.now += 1
        assert run().warnings == []
        assert clock.now == 1001

    @pytest.mark.parametrize("statuses", [{}, None, [], {"0": None}, {"0": {"status": "HEALTHY"}}])
    @pytest.mark.parametrize("changes", [False, True])
    def test_ends_soon_where_tasks_are_not_told(self, streamkap, run, clock, statuses, changes):
        streamkap.source("shop").task_statuses = statuses
        clock.now += 1
        outcome = run(**({"database_user": "other"} if changes else {}))
        assert outcome.changed is changes
        assert "is Active, and Streamkap does not tell how its tasks are" in outcome.warnings[0]
        assert clock.now - 1001 <= (20 if changes else 0)

    @pytest.mark.parametrize("told", [{"status": "FAILED", "trace": "gone"}, {"state": "FAILED", "trace": "gone"}])
    def test_ends_when_one_of_the_tasks_is_told_to_have_failed(self, streamkap, run, clock, told):
        streamkap.source("shop").task_statuses = [told, None]
        clock.now += 1
        with pytest.raises(Failure, match=r"The source shop is Active\. task 0: gone\."):
            run()
        assert clock.now == 1001

    @pytest.mark.parametrize("state", ["present", "paused"])
    def test_not_for_what_was_never_deployed(self, streamkap, run, clock, state):
        streamkap.source("shop", desired_state="Pending")
        outcome = run(state=state)
        assert not outcome.changed
        assert "state: running deploys it" in outcome.warnings[0]
        assert clock.now == 1000
        assert streamkap.changes == []

    def test_for_what_is_deployed_now(self, streamkap, run):
        source = streamkap.source("shop", desired_state="Pending")
        outcome = run(state="running")
        assert outcome.result["source"]["status"] == "Active"
        assert streamkap.changes == [f"POST /sources/{source.id}/deploy"]

    def test_names_a_change_that_is_still_to_come(self, streamkap, run, clock):
        source = streamkap.source("shop", status="Pending Update")
        with pytest.raises(Failure, match="The source shop is Pending Update after 600 seconds"):
            run()
        source.status, source.desired_state = "Active", "Pending Update"
        source.task_statuses = {"0": {"state": "RUNNING"}}
        begun = clock.now
        outcome = run()
        assert "(Pending Update)" in outcome.warnings[0]
        assert clock.now - begun <= 20

    @pytest.mark.parametrize("state", ["present", "paused"])
    def test_for_the_end_of_what_is_to_be_removed(self, streamkap, run, clock, state):
        old = streamkap.source("shop")
        old.removed_at = clock.now + 90
        outcome = run(**REQUIRED, state=state)
        assert outcome.changed
        assert "about to remove the source shop" in outcome.warnings[0]
        (source,) = streamkap.sources
        assert source.id != old.id
        assert clock.now >= 1090

    def test_for_the_end_of_what_is_removed(self, streamkap, run, clock):
        streamkap.source("shop")
        streamkap.delete_seconds = 90
        assert run(state="absent").changed
        assert clock.now >= 1090
        assert streamkap.changes[0].startswith("DELETE ")

    def test_for_what_somebody_else_removes(self, streamkap, run, clock):
        streamkap.source("shop").removed_at = clock.now + 90
        outcome = run(state="absent")
        assert not outcome.changed
        assert streamkap.changes == []
        assert clock.now >= 1090
