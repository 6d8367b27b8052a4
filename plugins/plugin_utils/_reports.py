# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The documents about one database: what readiness_info found, and what Streamkap's form and API ask for.

A page of documents has one model, made here of plain data, and one template for each format, in the folder templates.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.text.formatters import bytes_to_human
from jinja2 import Environment, FileSystemLoader, StrictUndefined

# What a report keeps of the result of readiness_info, in this order.
READINESS_KEYS = ("ready", "counts", "server", "connector", "publication", "slot", "checks", "tables")
# What every document about a connector needs of the settings of a source.
CONNECTOR_KEYS = (
    *("name", "hostname", "port", "username", "heartbeat", "signal_schema", "signal_table", "database"),
    *("slot", "publication", "ssh_tunnel", "password_prefix", "binary_handling_mode", "upload"),
)

# Fixed by Streamkap, which recognizes its table by this name only.
_HEARTBEAT_TABLE = "streamkap_heartbeat"
_API_REQUEST = """\
jq '.config["database.password"] = env.STREAMKAP_PASSWORD' connector.json |
  curl --fail-with-body --json @- --header "Authorization: Bearer $STREAMKAP_TOKEN" https://api.streamkap.com/sources"""
# The stand-in for a password in the tasks that readiness_info recommends.
_PASSWORD_VARIABLE = "{{ streamkap_password }}"
_LONGEST_SHOWN_STATEMENT, _MOST_SHOWN_STATEMENTS, _MOST_SHOWN_TASK_LINES = 1500, 8, 30

# Nobody who prints a file to a terminal shall have the terminal steered by it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# An underscore within a word is no mark of Markdown.
_MARKDOWN_MARK = re.compile(r"([\\`*|\[\]~#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_NEEDS_QUOTES_IN_CSV = re.compile(r'[",;\r\n\t]|^\s|\s\Z')
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._@-]{0,127}\Z")


class IncompleteDataError(ValueError):
    """The data for a document lacks fields."""


def connector_files(connector: dict[str, Any]) -> dict[str, str]:
    """Return the contents of the files about the settings of a source, by name."""
    model = _connector_model(connector)
    source = {
        "name": connector["name"],
        "connector": "postgresql",
        "created_from": "api",
        "config": require(connector, ("config",), "the settings of the source")["config"],
    }
    return {
        "connector.html": _render("connector.html", **model),
        "connector.md": _render("connector.md", **model),
        "connector.json": to_json(source),
        "tables.csv": to_csv(connector["upload"]),
    }


def readiness_files(result: dict[str, Any], checked_at: datetime) -> dict[str, str]:
    """Return the contents of the files about a result of readiness_info, by name."""
    model = {**_readiness_model(result), "checked_at": checked_at.astimezone(timezone.utc)}
    data = {"at": f"{model['checked_at']:%Y-%m-%dT%H:%M:%SZ}", **{key: result[key] for key in READINESS_KEYS}}
    return {
        "readiness.html": _render("readiness.html", **model),
        "readiness.md": _render("readiness.md", **model),
        "readiness.json": to_json(data),
    }


def connector_text(connector: dict[str, Any], folder: str = "") -> str:
    """Return the settings of a source as text for the terminal.

    :param folder: where the files about it are.
    """
    return _render("connector.txt", **_connector_model(connector), folder=folder)


def readiness_text(result: dict[str, Any], folder: str = "") -> str:
    """Return a result of readiness_info as text for the terminal.

    :param folder: where the files about it are.
    """
    return _render("readiness.txt", **_readiness_model(result), folder=folder)


def database_folder(host: str, database: str, server: str, port: int | str) -> Path:
    """Return the folder of a database below that of all reports.

    No other host of the inventory, and no other database of the same host, has the same one.
    """
    suffix = "" if str(port) == "5432" else f"_{port}"
    return Path(_folder_name(host), _folder_name(f"{database}@{server}{suffix}"))


def _folder_name(name: str) -> str:
    """Replace characters that not every file system takes; a part of the name's hash then keeps such names apart."""
    if _FOLDER_NAME.match(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{re.sub('[^A-Za-z0-9_@-]', '_', name)[:100]}-{digest[:8]}"


def plain(value: Any) -> Any:
    """Return the data without Ansible's own types, which mark and convert values when they are read."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str.__str__(value) if isinstance(value, str) else str(value)


def require(data: dict[str, Any], keys: Iterable[str], subject: str) -> dict[str, Any]:
    """Return the data, or fail when it lacks one of the keys."""
    missing = [key for key in keys if key not in data]
    if missing:
        raise IncompleteDataError(f"{', '.join(missing)}: missing in {subject}.")
    return data


# Models


def _connector_model(connector: dict[str, Any]) -> dict[str, Any]:
    require(connector, CONNECTOR_KEYS, "the settings of the source")
    return {"connector": connector, "form": form_rows(connector), "request": _API_REQUEST}


def form_rows(connector: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of the connector's form, from the first to the last."""
    prefix = connector["password_prefix"]
    behind = (
        f" behind {prefix} without a space: through a tunnel Neon does not see which endpoint is meant"
        if prefix
        else ""
    )
    rows = [
        ("Name", connector["name"], "Any name that no other source has."),
        ("Hostname", connector["hostname"], "The server itself, never a connection pooler."),
        ("Port", connector["port"], ""),
        ("Username", connector["username"], ""),
        (
            "Password",
            "",
            f"The value of cdc_password{behind}. It is written nowhere here; take it from where you keep it.",
        ),
        ("Heartbeat", "on" if connector["heartbeat"] else "off", _heartbeat_note(connector)),
        (
            "Signal Table Schema",
            connector["signal_schema"],
            f"Where the form asks for the whole path: {connector['signal_table']}",
        ),
        ("Database Name", connector["database"], ""),
        ("Replication Slot Name", connector["slot"], "It cannot be changed afterwards."),
        ("Publication Name", connector["publication"], "It cannot be changed afterwards."),
        ("Connect via SSH Tunnel", "on" if connector["ssh_tunnel"] else "off", ""),
    ]
    if connector["ssh_tunnel"]:
        rows += [
            ("SSH Host", connector["ssh_host"], "The bastion, as Streamkap reaches it."),
            ("SSH Port", connector["ssh_port"], ""),
            ("SSH User", connector["ssh_user"], ""),
        ]
    rows.append(("Represent Binary Data As", connector["binary_handling_mode"], "Under Advanced Parameters."))
    return [{"field": field, "value": value, "note": note} for field, value, note in rows]


def _heartbeat_note(connector: dict[str, Any]) -> str:
    if not connector["heartbeat"]:
        return "There is no heartbeat table."
    schema = connector["heartbeat_schema"]
    return f"By its table {schema}.{_HEARTBEAT_TABLE}; where the form asks for the schema: {schema}"


def _readiness_model(result: dict[str, Any]) -> dict[str, Any]:
    require(result, READINESS_KEYS, "the result of readiness_info")
    checks = {
        status: [check for check in result["checks"] if check["status"] == status]
        for status in ("fail", "pass", "skipped")
    }
    return {
        "result": result,
        "version": version_text(result["server"]),
        "failed": {
            severity: [_failed_check(check) for check in checks["fail"] if check["severity"] == severity]
            for severity in ("critical", "warning", "info")
        },
        "passed": checks["pass"],
        "skipped": checks["skipped"],
        "skipped_by_reason": _by_reason(checks["skipped"]),
        "incomplete": [table for table in result["tables"] if table["lacks"]],
        "complete": [table for table in result["tables"] if not table["lacks"]],
    }


def _failed_check(check: dict[str, Any]) -> dict[str, Any]:
    statements = [statement(sql) for sql in check["sql"]]
    # A long one hides the rest of the page, and the end of a line within a name hides where the next statement begins.
    short = [sql for sql in statements if len(sql) <= _LONGEST_SHOWN_STATEMENT + 1 and "\n" not in sql]
    task = task_text(check)
    return {
        **check,
        "statements": statements,
        "shown_statements": short[:_MOST_SHOWN_STATEMENTS],
        "hidden_statements": _hidden_text(len(statements), len(short)),
        "task": task,
        "shown_task": task if task.count("\n") < _MOST_SHOWN_TASK_LINES else "",
        "names": [] if not check["objects"] or check["objects"][0] in check["found"] else check["objects"],
    }


def _hidden_text(number: int, short: int) -> str:
    """Return in words how many statements the terminal does not show."""
    hidden = number - min(short, _MOST_SHOWN_STATEMENTS)
    return count(hidden, "longer statement" if short < number else "statement") if hidden else ""


def _by_reason(checks: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the ids of the checks by the reason for which they were skipped, in the reasons' order."""
    ids: dict[str, list[str]] = {}
    for check in checks:
        ids.setdefault(check["reason"], []).append(check["id"])
    return sorted(ids.items(), key=lambda item: item[0].lower())


# Text


def statement(sql: str) -> str:
    """Return the statement with its end. Not one character of it is changed: it is to be pasted."""
    return sql.rstrip("; \n") + ";"


def task_text(check: dict[str, Any]) -> str:
    """Return the task that fixes a failed check as YAML, or nothing where a name in it would be run as a template."""
    if not check.get("task"):
        return ""
    text = yaml.dump(
        [{"name": check["title"].rstrip("."), **check["task"]}],
        Dumper=yaml.SafeDumper,
        allow_unicode=True,
        default_flow_style=False,
        indent=2,
        sort_keys=False,
        width=1000,
    ).rstrip("\n")
    names = text.replace(_PASSWORD_VARIABLE, "")
    return "" if any(mark in names for mark in ("{{", "{%", "{#")) else text


def version_text(server: dict[str, Any]) -> str:
    major, minor = divmod(server["version"], 10000)
    project = f" of the Neon project {server['neon_project']}" if server["neon_project"] else ""
    return f"PostgreSQL {major}.{minor}{project}"


def slot_text(slot: dict[str, Any]) -> str:
    if not slot["exists"]:
        return f"{slot['name']} does not exist"
    text = f"{slot['name']}: {'being read' if slot['active'] else 'not being read'}, WAL {slot['wal_status']}"
    if slot["lag_bytes"] is not None:
        text += f", {size_text(slot['lag_bytes'])} behind"
    if slot["safe_wal_size"] is not None:
        text += f", {size_text(slot['safe_wal_size'])} to go before it is in danger"
    if slot["invalidation_reason"]:
        text += f", lost: {slot['invalidation_reason']}"
    return text


def publication_text(publication: dict[str, Any]) -> str:
    if not publication["exists"]:
        return f"{publication['name']} does not exist"
    tables = "all tables" if publication["all_tables"] else count(publication["tables"], "table")
    text = f"{publication['name']} of {publication['owner']}: {tables}; {', '.join(publication['publish'])}"
    return f"{text}; partitions as their root" if publication["publish_via_partition_root"] else text


def size_text(size: int) -> str:
    return bytes_to_human(size) if size >= 1024 else count(size, "byte")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def join_names(names: list[str], most: int = 20) -> str:
    """Return the names in one line, of many only the first ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(value: object) -> str:
    """Return the value as one line: a name from the database may hold the end of one."""
    return str(value).replace("\r", r"\r").replace("\n", r"\n")


def printable(text: str) -> str:
    """Return text for a file with everything replaced that could steer a terminal; ends of lines stay."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def markdown(value: object) -> str:
    """Return the value as text of Markdown in one line, which can stand in a table's cell too."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return printable(one_line(_MARKDOWN_MARK.sub(r"\\\1", text).replace("\r", r"\\r").replace("\n", r"\\n")))


def fenced(text: str, language: str) -> str:
    """Return the text as a block of code in Markdown, in a fence that no name in the text can end."""
    fence = "`" * (max([2, *map(len, re.findall("`+", text))]) + 1)
    return f"{fence}{language}\n{printable(text)}\n{fence}"


def to_json(data: object) -> str:
    return json.dumps(data, indent=4) + "\n"


def to_csv(rows: Iterable[str]) -> str:
    """Return a table of one column, without a head."""
    return "".join(f"{_csv_field(row)}\n" for row in rows)


def _csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES_IN_CSV.search(text) else text


def _render(name: str, **model: Any) -> str:
    return _environment().get_template(f"{name}.j2").render(model)


@functools.lru_cache(maxsize=1)
def _environment() -> Environment:
    """Return an environment that knows nothing of Ansible: no value from a database is ever taken for a template."""
    environment = Environment(
        loader=FileSystemLoader(str(Path(__file__).parent / "templates")),
        autoescape=lambda name: bool(name) and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        counted=count,
        fenced=fenced,
        join_names=join_names,
        line=one_line,
        markdown=markdown,
        publication_text=publication_text,
        size=size_text,
        slot_text=slot_text,
    )
    return environment
