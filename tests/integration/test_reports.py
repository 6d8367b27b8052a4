# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cdc_output_dir is for: files that people and programs can read, whatever tables are called."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support import neon
from support.hurting import PASSWORD, VARIABLES
from support.modules import run_playbook
from support.neon import Database

CONNECTOR = {"connector.html", "connector.md", "connector.json", "tables.csv"}
READINESS = {"readiness.html", "readiness.md", "readiness.json"}

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></script><img src=x onerror=alert(1)>",
    "a|b",
    "`tick` ```fence",
    "new\nline",
    "{{ 40 + 2 }}",
    "{% include '/etc/hosts' %}",
    "&amp;",
    "com,ma",
    'quo"te',
    "semi;colon",
    " blank ",
    "=1+1",
    "[link](javascript:alert(1))",
    "\x1b[31mred",
]


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its text, and its one script."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] != ["style"]:
            self.text += data

    def check_harmless(self) -> None:
        """Nothing is fetched, and nothing is run but the script that the page itself allows."""
        policy = next(attrs["content"] for _tag, attrs in self.elements if attrs.get("http-equiv"))
        (script,) = self.scripts
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        assert {tag for tag, _attrs in self.elements}.isdisjoint(
            {"img", "iframe", "object", "embed", "link", "form", "b"}
        )
        for tag, attrs in self.elements:
            assert not [name for name in attrs if name.startswith("on") or name in ("src", "style")], tag
            assert attrs.get("href", "#").startswith("#")


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def play(playbook: str, database: Database, **given: object):
    return run_playbook(f"streamkap.neon.{playbook}", extra_vars={**VARIABLES, "cdc_dsn": database.dsn, **given})


@pytest.mark.newest_version
@pytest.mark.core_version
@pytest.mark.postgres(14, 18)
def test_setup_writes_them_once_and_the_second_run_changes_nothing(databases, tmp_path: Path) -> None:
    database = databases()
    if database.server.major < 16:
        database.admin(f"CREATE ROLE streamkap_user LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    first = play("setup", database, cdc_output_dir=str(tmp_path / "new" / "folder"))
    assert first.rc == 0, first.stdout
    (folder,) = (tmp_path / "new" / "folder" / "localhost").iterdir()
    assert folder.name == f"{database.name}@127.0.0.1_{database.server.port}"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    before = files(folder)
    assert set(before) == CONNECTOR | READINESS
    assert str(folder) in first.stdout
    second = play("setup", database, cdc_output_dir=str(tmp_path / "new" / "folder"))
    assert (second.rc, second.changed) == (0, 0), second.stdout
    after = files(folder)
    assert {name: after[name] for name in CONNECTOR} == {name: before[name] for name in CONNECTOR}
    for text in after.values():
        assert PASSWORD not in text
        assert neon.OWNER_PASSWORD not in text


@pytest.mark.postgres(18)
def test_the_connectors_files_say_what_the_form_and_the_api_ask_for(database: Database, tmp_path: Path) -> None:
    given = {"cdc_schemas": ["app"], "cdc_tables": ["billing.invoices"], "cdc_connector_name": "Shop & <Sons>"}
    run = play("setup", database, cdc_output_dir=str(tmp_path), **given)
    assert run.rc == 0, run.stdout
    (folder,) = tmp_path.glob("*/*")
    written = files(folder)
    assert list(csv.reader(written["tables.csv"].splitlines())) == [["app"], ["billing.invoices"]]
    source = json.loads(written["connector.json"])
    assert (source["name"], source["connector"]) == ("Shop & <Sons>", "postgresql")
    assert source["config"]["database.port.user.defined"] == database.server.port
    assert source["config"]["slot.name"] == "streamkap_pgoutput_slot"
    assert "database.password" not in source["config"]
    page = Page(written["connector.html"])
    page.check_harmless()
    for text in ("Shop & <Sons>", "127.0.0.1", str(database.server.port), "streamkap_user", "Represent Binary Data As"):
        assert text in page.text
        assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in written["connector.md"]


@pytest.mark.postgres(18)
def test_names_from_the_database_do_no_harm(database: Database, tmp_path: Path) -> None:
    for name in HOSTILE:
        database.sql("CREATE TABLE app.%s (id int PRIMARY KEY)" % neon.quoted(name).replace("%", "%%"), [])
    database.sql("CREATE TABLE app.left_out (id int PRIMARY KEY)")
    given = {"cdc_output_dir": str(tmp_path), "cdc_exclude_tables": ["app.left_out"], "cdc_schemas": ["app"]}
    ready = play("setup", database, **given)
    assert ready.rc == 0, ready.stdout
    (folder,) = tmp_path.glob("*/*")
    rows = [row for (row,) in csv.reader((folder / "tables.csv").open(newline=""))]
    shop = ["customers", "order_items", "orders", "products"]
    assert sorted(rows) == sorted(f"app.{name}" for name in [*shop, *HOSTILE])
    check_readable(folder, ready=True)

    database.sql("DROP PUBLICATION streamkap_pub")
    database.sql("CREATE PUBLICATION streamkap_pub FOR TABLE app.orders, streamkap.streamkap_signal")
    lacking = play("verify", database, **given)
    assert lacking.rc == 2, lacking.stdout
    check_readable(folder, ready=False)


def check_readable(folder: Path, ready: bool) -> None:
    written = files(folder)
    report = json.loads(written["readiness.json"])
    assert report["ready"] is ready
    assert {f"app.{name}" for name in ("orders", "a|b", "{{ 40 + 2 }}", "new\nline")} <= {
        table["name"] for table in report["tables"]
    }
    for file in ("readiness.html", "connector.html"):
        page = Page(written[file])
        page.check_harmless()
        for name in HOSTILE:
            assert name.replace('"', '""') in page.text or name in page.text, (file, name)
    assert ("is not ready" in Page(written["readiness.html"]).text) is not ready
    for file in ("readiness.md", "connector.md"):
        prose = re.sub(r"^(`{3,})(?:sql|yaml|sh)\n.*?^\1$", "", written[file], flags=re.MULTILINE | re.DOTALL)
        assert "<script" not in prose
        assert "```" not in prose
        assert not re.search(r"(?<!\\)\]\(", prose)
        assert "\x1b" not in written[file]
        # Every row of a table has as many cells as its head.
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


@pytest.mark.postgres(18)
def test_no_database_overwrites_the_reports_of_another(databases, tmp_path: Path) -> None:
    shops = [databases(), databases()]
    hosts = {"one": shops[0], "o/n:e": shops[0], "o_n_e": shops[1], "..": shops[1]}
    inventory = json.dumps(
        {
            "databases": {
                "vars": {"ansible_connection": "local", "cdc_output_dir": str(tmp_path), "cdc_hosts": "databases"},
                "hosts": {name: {"cdc_dsn": shop.dsn} for name, shop in hosts.items()},
            }
        },
        indent=1,
    )
    run = run_playbook("streamkap.neon.verify", inventory=inventory, extra_vars=VARIABLES | {"cdc_hosts": "databases"})
    assert run.rc == 2, run.stdout
    folders = sorted(path.parent for path in tmp_path.rglob("readiness.json"))
    assert len(folders) == 4, folders
    assert all(
        re.fullmatch(r"[A-Za-z0-9@._-]+/[A-Za-z0-9@._-]+", str(folder.relative_to(tmp_path))) for folder in folders
    )


@pytest.mark.postgres(18)
def test_nothing_is_written_in_check_mode(database: Database, tmp_path: Path) -> None:
    given = {**VARIABLES, "cdc_dsn": database.dsn, "cdc_output_dir": str(tmp_path / "reports")}
    for playbook in ("setup", "verify"):
        run_playbook(f"streamkap.neon.{playbook}", extra_vars=given, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres(18)
def test_the_verdict_is_written_before_the_run_fails(database: Database, tmp_path: Path) -> None:
    run = play("verify", database, cdc_output_dir=str(tmp_path))
    assert run.rc == 2
    (folder,) = tmp_path.glob("*/*")
    written = files(folder)
    assert json.loads(written["readiness.json"])["counts"]["critical"] > 0
    assert "# " + database.name + " is NOT ready to be captured" in written["readiness.md"]
    assert "pg_create_logical_replication_slot" in Page(written["readiness.html"]).text
