# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the reports of cdc_output_dir as a browser and other programs do, and holds names that are harmful in some of them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser

from .neon import quoted

CONNECTOR_FILES = {"connector.html", "connector.md", "connector.json", "tables.csv"}
READINESS_FILES = {"readiness.html", "readiness.md", "readiness.json"}

HOSTILE_NAMES = [
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
        """Assert that nothing is fetched, and that nothing is run but the script that the page itself allows."""
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


def csv_rows(text: str) -> list[str]:
    return [row for (row,) in csv.reader(io.StringIO(text, newline=""))]


def check_readable(files: dict[str, str], names: list[str], ready: bool) -> None:
    """Assert that tables of the schema app with such names stand in every file, and do no harm there."""
    report = json.loads(files["readiness.json"])
    assert report["ready"] is ready
    listed = {table["name"] for table in report["tables"]}
    assert all(not listed.isdisjoint({f"app.{name}", f"app.{quoted(name)}"}) for name in names)
    assert {f"app.{name}" for name in names} <= set(csv_rows(files["tables.csv"]))
    for file in ("readiness.html", "connector.html"):
        page = Page(files[file])
        page.check_harmless()
        for name in names:
            assert name.replace('"', '""') in page.text or name in page.text, (file, name)
    assert ("is not ready" in Page(files["readiness.html"]).text) is not ready
    for file in ("readiness.md", "connector.md"):
        prose = re.sub(r"^(`{3,})(?:sql|yaml|sh)\n.*?^\1$", "", files[file], flags=re.MULTILINE | re.DOTALL)
        assert "<script" not in prose
        assert "```" not in prose
        assert not re.search(r"(?<!\\)\]\(", prose)
        assert "\x1b" not in files[file]
        # Every row of a table has as many cells as its head.
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
