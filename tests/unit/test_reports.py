# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents about a database: what they say, and that no name in them does harm."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.filter.connector_settings import connector_settings
from ansible_collections.streamkap.neon.plugins.filter.connector_text import FilterModule as ConnectorText
from ansible_collections.streamkap.neon.plugins.filter.readiness_text import FilterModule as ReadinessText
from ansible_collections.streamkap.neon.plugins.plugin_utils import _reports

from support.reports import CONNECTOR_FILES, HOSTILE_NAMES, READINESS_FILES, Page, check_readable, csv_rows

SERVER = {"host": "127.0.0.1", "port": 5433, "database": "shop", "version": 170011, "neon_project": None}
AT = datetime(2026, 11, 29, 12, 30, tzinfo=timezone(timedelta(hours=2)))
SLOT = {
    "name": "the_slot",
    "exists": True,
    "active": True,
    "active_pid": 4711,
    "wal_status": "reserved",
    "invalidation_reason": None,
    "restart_lsn": "0/1",
    "confirmed_flush_lsn": "0/2",
    "lag_bytes": 5530,
    "safe_wal_size": None,
}
PUBLICATION = {
    "name": "the_publication",
    "exists": True,
    "owner": "neondb_owner",
    "all_tables": False,
    "publish": ["insert", "update"],
    "publish_via_partition_root": True,
    "tables": 1,
}


def check(id_: str = "tables_readable", **given: Any) -> dict[str, Any]:
    """A check of readiness_info, as it stands in the result; without a status it fails."""
    defaults = {
        "status": "fail",
        "severity": "critical",
        "title": "All is well.",
        "found": "It is not.",
        "reason": None,
    }
    return {"id": id_, **defaults, "objects": [], "remedy": None, "sql": [], "task": None, **given}


def table(name: str, lacks: list[str]) -> dict[str, Any]:
    return {"name": name, "kind": "table", "replica_identity": "default", "published": not lacks, "lacks": lacks}


def result(*checks: dict[str, Any], **given: Any) -> dict[str, Any]:
    """A result of readiness_info."""
    failed = [each["severity"] for each in checks if each["status"] == "fail"]
    counts = {severity: failed.count(severity) for severity in ("critical", "warning", "info")}
    counts["passed"] = sum(each["status"] == "pass" for each in checks)
    counts["skipped"] = sum(each["status"] == "skipped" for each in checks)
    return {
        "ready": not counts["critical"],
        "counts": counts,
        "server": SERVER,
        "connector": {"user": "streamkap_user", "looked": True},
        "publication": PUBLICATION,
        "slot": SLOT,
        "checks": list(checks),
        "tables": [],
        "changed": False,
        **given,
    }


def settings(**given: Any) -> dict[str, Any]:
    fixed = {
        "user": "streamkap_user",
        "slot": "the_slot",
        "publication": "the_publication",
        "signal_schema": "streamkap",
    }
    return connector_settings(SERVER, **{**fixed, "schemas": ["app"], **given})


def readiness_text(data: dict[str, Any], **given: str) -> str:
    return ReadinessText().filters()["readiness_text"](data, **given)


class TestConnector:
    def test_the_files_say_what_the_form_and_the_api_ask_for(self) -> None:
        connector = settings(name="Shop & <Sons>", tables=["billing.invoices"])
        files = _reports.connector_files(connector)
        assert set(files) == CONNECTOR_FILES
        assert csv_rows(files["tables.csv"]) == ["app", "billing.invoices"]
        assert json.loads(files["connector.json"]) == {
            "name": "Shop & <Sons>",
            "connector": "postgresql",
            "created_from": "api",
            "config": connector["config"],
        }
        assert "database.password" not in connector["config"]
        page = Page(files["connector.html"])
        page.check_harmless()
        for text in ("Shop & <Sons>", "127.0.0.1", "5433", "streamkap_user", "Represent Binary Data As", "2 rows"):
            assert text in page.text
            assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in files["connector.md"]
        for text in (page.text, files["connector.md"]):
            assert "jq '.config[\"database.password\"] = env.STREAMKAP_PASSWORD' connector.json |" in text

    def test_the_form_has_every_field_in_order(self) -> None:
        rows = _reports.form_rows(settings(ssh_host="bastion.example.com"))
        assert [row["field"] for row in rows] == [
            *("Name", "Hostname", "Port", "Username", "Password", "Heartbeat", "Signal Table Schema", "Database Name"),
            *(
                "Replication Slot Name",
                "Publication Name",
                "Connect via SSH Tunnel",
                "SSH Host",
                "SSH Port",
                "SSH User",
            ),
            "Represent Binary Data As",
        ]
        values = {row["field"]: (row["value"], row["note"]) for row in rows}
        assert values["SSH Port"] == (22, "")
        assert values["Password"][0] == ""
        assert values["Heartbeat"] == (
            "on",
            "By its table streamkap.streamkap_heartbeat; where the form asks for the schema: streamkap",
        )

    def test_the_form_without_a_bastion_and_a_heartbeat_table(self) -> None:
        rows = _reports.form_rows(settings(heartbeat=False))
        values = {row["field"]: (row["value"], row["note"]) for row in rows}
        assert values["Heartbeat"] == ("off", "There is no heartbeat table.")
        assert values["Connect via SSH Tunnel"] == ("off", "")
        assert "SSH Host" not in values

    def test_the_prefix_of_the_password_is_explained(self) -> None:
        connector = {**settings(), "password_prefix": "endpoint=ep-cool;"}
        for file in ("connector.html", "connector.md"):
            assert "behind endpoint=ep-cool; without a space" in _reports.connector_files(connector)[file]
        assert re.search(
            r"^ {2}Password +endpoint=ep-cool;\(that of cdc_password\)$",
            _reports.connector_text(connector),
            re.MULTILINE,
        )

    def test_the_text_names_the_file_for_the_bulk_upload(self) -> None:
        show = ConnectorText().filters()["connector_text"]
        assert re.search(
            r"^ {2}To bulk upload +/reports/x/tables.csv$", show(settings(), folder="/reports/x"), re.MULTILINE
        )
        assert "To bulk upload" not in show(settings())
        captured = [f"app.t{number}" for number in range(25)]
        assert "app.t19 and 5 more" in show(settings(captured=captured, list_tables=True))

    def test_missing_settings_are_named(self) -> None:
        connector = settings()
        del connector["slot"], connector["port"]
        with pytest.raises(_reports.IncompleteDataError, match=r"^port, slot: missing in the settings of the source"):
            _reports.connector_text(connector)
        with pytest.raises(_reports.IncompleteDataError, match=r"^config: missing"):
            _reports.connector_files({key: value for key, value in settings().items() if key != "config"})


class TestReadiness:
    def test_the_files_hold_the_verdict_and_the_time(self) -> None:
        data = result(
            check(status="pass"), check("direct_host", status="skipped", found=None, reason="This is not Neon.")
        )
        files = _reports.readiness_files(data, AT)
        assert set(files) == READINESS_FILES
        report = json.loads(files["readiness.json"])
        assert list(report) == ["at", *_reports.READINESS_KEYS]
        assert report == {"at": "2026-11-29T10:30:00Z", **{key: data[key] for key in _reports.READINESS_KEYS}}
        assert "| Looked at | 2026-11-29 10:30 UTC |" in files["readiness.md"]
        page = Page(files["readiness.html"])
        page.check_harmless()
        assert "Looked at on 2026-11-29 at 10:30 UTC, also as the connector's user streamkap_user" in page.text
        for text in (page.text, files["readiness.md"]):
            assert "PostgreSQL 17.11" in text
            assert "This is not Neon." in text
        assert "# shop is ready to be captured" in files["readiness.md"]

    def test_a_failed_check_has_its_remedy_in_every_document(self) -> None:
        failed = check(
            title="The connector has the right to read every table.",
            found="No SELECT on: app.orders.",
            objects=["app.orders"],
            remedy="Grant it.",
            sql=['GRANT SELECT ON TABLE "app"."orders" TO "r" ;\n'],
            task={"streamkap.neon.grant": {"role": "r", "tables": ["app.orders"]}},
        )
        data = result(failed, tables=[table("app.orders", ["tables_readable"]), table("app.fine", [])])
        task = (
            "- name: The connector has the right to read every table\n"
            "  streamkap.neon.grant:\n    role: r\n    tables:\n    - app.orders"
        )
        files = _reports.readiness_files(data, AT)
        page = Page(files["readiness.html"])
        for text in (page.text, files["readiness.md"]):
            assert 'GRANT SELECT ON TABLE "app"."orders" TO "r";' in text
            assert task in text
            assert "No SELECT on: app.orders." in text
            assert "Where:" not in text
            assert "1 table lacks nothing" in text
        assert ("a", {"href": "#tables_readable"}) in page.elements
        assert "| app.orders | table | default | no | tables_readable |" in files["readiness.md"]
        assert readiness_text(data, folder="/reports/x") == (
            "shop on 127.0.0.1 is NOT ready to be captured\n"
            "1 critical failure, 0 warnings, 0 remarks; 0 checks passed, 0 skipped\n"
            "PostgreSQL 17.11\n"
            "slot the_slot: being read, WAL reserved, 5.40 KB behind\n\n"
            "CRITICAL tables_readable\n"
            "  Wanted: The connector has the right to read every table.\n"
            "  Found:  No SELECT on: app.orders.\n"
            "  Remedy: Grant it.\n"
            '    GRANT SELECT ON TABLE "app"."orders" TO "r";\n'
            "  or as a task:\n" + "".join(f"    {line}\n" for line in task.splitlines()) + "\nReports: /reports/x\n"
        )

    def test_what_is_critical_comes_first(self) -> None:
        data = result(check("a", severity="info"), check("b", severity="warning"), check("c", severity="critical"))
        text = readiness_text(data)
        assert re.findall(r"^(CRITICAL|WARNING|REMARK) (\w)$", text, re.MULTILINE) == [
            ("CRITICAL", "c"),
            ("WARNING", "b"),
            ("REMARK", "a"),
        ]
        markdown = _reports.readiness_files(data, AT)["readiness.md"]
        assert re.findall(r"^###? (.+)$", markdown, re.MULTILINE) == [
            *("What stops it", "c", "Warnings", "b", "Remarks", "a", "Tables"),
        ]

    def test_names_that_the_finding_does_not_hold_are_listed(self) -> None:
        names = [f"app.t{number}" for number in range(30)]
        data = result(check(found="30 tables cannot be read.", objects=names))
        assert "  Where:  app.t0, " in readiness_text(data)
        assert "app.t19 and 10 more\n" in readiness_text(data)
        files = _reports.readiness_files(data, AT)
        assert "- Where: app.t0, " in files["readiness.md"]
        assert "app.t29" in files["readiness.md"]
        assert "30 names" in Page(files["readiness.html"]).text
        few = result(check(found="Two cannot be read.", objects=names[:2]))
        assert "Where: app.t0, app.t1" in Page(_reports.readiness_files(few, AT)["readiness.html"]).text

    @pytest.mark.parametrize(
        ("sql", "shown", "hidden"),
        [
            (["SELECT 1"] * 8, 8, ""),
            (["SELECT 1"] * 10, 8, "-- and 2 statements: all are in the reports"),
            (["SELECT 1", "SELECT '" + "x" * 1500 + "'"], 1, "-- and 1 longer statement: all are in the reports"),
            (['DROP TABLE "a\nb"'], 0, "-- and 1 longer statement: all are in the reports"),
        ],
    )
    def test_the_terminal_shows_short_statements(self, sql: list[str], shown: int, hidden: str) -> None:
        text = readiness_text(result(check(sql=sql)))
        assert len(re.findall(r"^    SELECT 1;$", text, re.MULTILINE)) == shown
        assert hidden in text
        assert ("-- and" in text) is bool(hidden)
        assert _reports.readiness_files(result(check(sql=sql)), AT)["readiness.md"].count(";\n") == len(sql)

    @pytest.mark.parametrize(("tables", "shown"), [(25, True), (26, False)])
    def test_the_terminal_shows_short_tasks(self, tables: int, shown: bool) -> None:
        task = {
            "streamkap.neon.grant": {
                "role": "r",
                "state": "present",
                "tables": [f"app.t{number}" for number in range(tables)],
            }
        }
        # Five lines are the task's name, its module, and the three options without the tables.
        data = result(check(task=task))
        assert ("or as a task" in readiness_text(data)) is shown

    def test_a_task_with_a_name_that_would_be_a_template_is_left_out(self) -> None:
        def task(name: str) -> str:
            return _reports.task_text(check(task={"streamkap.neon.grant": {"tables": [name]}}))

        assert task("app.orders")
        assert [task(f"app.{name}") for name in ("{{ 1 }}", "{% if %}", "{# #}")] == ["", "", ""]
        password = {"streamkap.neon.role": {"name": "u", "password": "{{ streamkap_password }}"}}
        assert yaml.safe_load(_reports.task_text(check(task=password))) == [{"name": "All is well", **password}]

    def test_reasons_for_skipping_are_grouped(self) -> None:
        skipped = [check(f"c{number}", status="skipped", found=None, reason="No slot.") for number in range(10)]
        text = readiness_text(result(*skipped, check("other", status="skipped", found=None, reason="Away.")))
        ids = ", ".join(f"c{number}" for number in range(8))
        assert f"\nSkipped:\n  other: Away.\n  {ids} and 2 more: No slot.\n" in text

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"exists": False}, "the_slot does not exist"),
            ({}, "the_slot: being read, WAL reserved, 5.40 KB behind"),
            ({"active": False, "lag_bytes": 1}, "the_slot: not being read, WAL reserved, 1 byte behind"),
            (
                {"lag_bytes": None, "safe_wal_size": 2048, "wal_status": "lost", "invalidation_reason": "wal_removed"},
                "the_slot: being read, WAL lost, 2.00 KB to go before it is in danger, lost: wal_removed",
            ),
        ],
    )
    def test_slot(self, given: dict[str, Any], text: str) -> None:
        data = result(slot={**SLOT, **given})
        files = _reports.readiness_files(data, AT)
        assert f"| Slot | {_reports.markdown(text)} |" in files["readiness.md"]
        assert ("does not exist" in Page(files["readiness.html"]).text) is not data["slot"]["exists"]
        assert (f"slot {text}" in readiness_text(data)) is data["slot"]["exists"]

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"exists": False}, "the_publication does not exist"),
            ({}, "the_publication of neondb_owner: 1 table; insert, update; partitions as their root"),
            (
                {"all_tables": True, "publish_via_partition_root": False},
                "the_publication of neondb_owner: all tables; insert, update",
            ),
        ],
    )
    def test_publication(self, given: dict[str, Any], text: str) -> None:
        files = _reports.readiness_files(result(publication={**PUBLICATION, **given}), AT)
        assert f"| Publication | {_reports.markdown(text)} |" in files["readiness.md"]
        Page(files["readiness.html"]).check_harmless()

    def test_without_slot_publication_and_login(self) -> None:
        data = result(slot=None, publication=None, connector={"user": "streamkap_user", "looked": False})
        files = _reports.readiness_files(data, AT)
        assert "streamkap_user did not log in" in Page(files["readiness.html"]).text
        assert "not logged in" in files["readiness.md"]
        for text in (*files.values(), readiness_text(data)):
            assert "the_slot" not in text
            assert "the_publication" not in text

    def test_missing_data_is_named(self) -> None:
        with pytest.raises(
            _reports.IncompleteDataError, match=r"^ready, counts, .*: missing in the result of readiness_info"
        ):
            _reports.readiness_files({"changed": False, "skipped": True}, AT)


class TestNames:
    @pytest.mark.parametrize("ready", [True, False])
    def test_hostile_ones_do_no_harm_in_any_file(self, ready: bool) -> None:
        names = [f"app.{name}" for name in HOSTILE_NAMES]
        failed = check(
            found=f"Nothing is captured of: {', '.join(names)}.",
            remedy=f"Add {names[0]}.",
            objects=names,
            sql=[f"ALTER PUBLICATION p ADD TABLE {name}" for name in names],
            task={"streamkap.neon.publication": {"name": "p", "tables": [names[0], names[3], names[4]]}},
        )
        data = result(
            *([] if ready else [failed]),
            check("direct_host", status="pass", found=f"{names[1]} is a host."),
            check("other", status="skipped", found=None, reason=f"{names[2]} is away."),
            tables=[table(name, [] if ready else ["tables_readable"]) for name in names],
            server={**SERVER, "database": HOSTILE_NAMES[0], "host": HOSTILE_NAMES[1]},
            connector={"user": HOSTILE_NAMES[2], "looked": True},
            slot={**SLOT, "name": HOSTILE_NAMES[3]},
            publication={**PUBLICATION, "name": HOSTILE_NAMES[4], "owner": HOSTILE_NAMES[13]},
        )
        connector = settings(captured=names, list_tables=True, name=HOSTILE_NAMES[0])
        files = {**_reports.connector_files(connector), **_reports.readiness_files(data, AT)}
        check_readable(files, HOSTILE_NAMES, ready)
        assert ("\n````sql\n" in files["readiness.md"]) is not ready

    @pytest.mark.parametrize("text", HOSTILE_NAMES)
    def test_are_one_line_of_text_in_markdown(self, text: str) -> None:
        shown = _reports.markdown(text)
        assert "\n" not in shown
        assert "<" not in shown
        assert not re.search(r"(?<!\\)[`|\[\]]", shown)

    def test_are_one_cell_each_in_a_spreadsheet(self) -> None:
        rows = [f"app.{name}" for name in HOSTILE_NAMES]
        assert csv_rows(_reports.to_csv(rows)) == rows
        assert _reports.to_csv(["app.orders", 'app.quo"te']) == 'app.orders\n"app.quo""te"\n'

    def test_of_columns_and_words_keep_their_underscores(self) -> None:
        assert _reports.markdown("streamkap_user is __init__") == r"streamkap_user is \_\_init\_\_"

    def test_cannot_end_a_block_of_code(self) -> None:
        assert _reports.fenced("a ```` b\x1b", "sql") == "`````sql\na ```` b\N{REPLACEMENT CHARACTER}\n`````"


class TestFolder:
    def test_is_named_like_the_host_and_the_database(self) -> None:
        assert (
            str(_reports.database_folder("localhost", "shop", "ep-cool.neon.tech", 5432))
            == "localhost/shop@ep-cool.neon.tech"
        )
        assert str(_reports.database_folder("localhost", "shop", "127.0.0.1", 5433)) == "localhost/shop@127.0.0.1_5433"

    def test_is_of_one_database_only(self) -> None:
        databases = [
            (host, database, server, port)
            for host in ("one", "o/n:e", "o_n_e", "..", ".", "", "x" * 200, "x" * 201, "ö")
            for database in ("shop", "Shop", "s/p", "s_p", "a@b")
            for server, port in (("c", 5432), ("c", 6432), ("::1", 5432))
        ]
        folders = [str(_reports.database_folder(*database)) for database in databases]
        assert all(
            re.fullmatch(r"[A-Za-z0-9@_-][A-Za-z0-9@._-]*/[A-Za-z0-9@_-][A-Za-z0-9@._-]*", folder) for folder in folders
        )
        assert all(len(part) <= 128 for folder in folders for part in folder.split("/"))
        assert len(set(folders)) == len(folders)


def test_data_is_freed_from_types_of_ansible() -> None:
    class Marked(str):
        __slots__ = ()

    data = _reports.plain({Marked("a"): [Marked("b"), 1, 0, 1.5, True, None], "c": ({"d": Marked("e")},)})
    assert data == {"a": ["b", 1, 0, 1.5, True, None], "c": [{"d": "e"}]}
    assert {type(text) for text in (*data, data["a"][0], data["c"][0]["d"])} == {str}
    assert [type(value) for value in data["a"][1:]] == [int, int, float, bool, type(None)]
