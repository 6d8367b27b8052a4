# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What Streamkap tells of a source, in plain types and without what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from .._text import printable
from .fields import FIELDS, NAMES, PASSWORD_KEY, PUBLIC_KEY, is_secret

CONNECTOR = "postgresql"

# What connector_status and desired_state may be, as far as it matters here.
ACTIVE, BROKEN, PENDING, HALTED = "Active", "Broken", "Pending", ("Paused", "Stopped")

_LONGEST_ERROR = 2000  # characters of a task's error


def settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a source, by the options and as they have it. What is not told is Streamkap's default."""
    told = found.get("config") or {}
    known = {option: field.meant(told.get(field.key)) for option, field in FIELDS.items()}
    return {option: FIELDS[option].default if value is None else value for option, value in known.items()}


def password_of(source: Mapping[str, Any] | None) -> str | None:
    told = ((source or {}).get("config") or {}).get(PASSWORD_KEY)
    return told if isinstance(told, str) and not is_masked(told) else None


def is_masked(value: Any) -> bool:
    return not value or (isinstance(value, str) and not value.strip("*•"))


def tasks(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a source, by Kafka Connect's states."""
    statuses = found.get("task_statuses")
    told = statuses.items() if isinstance(statuses, dict) else []
    return [
        {
            "id": str(number),
            "state": str(task.get("state") if isinstance(task, dict) else task),
            "error": (str(task.get("trace") or "") or None) if isinstance(task, dict) else None,
        }
        for number, task in told
    ]


def any_failed(found: Mapping[str, Any]) -> bool:
    return any(task["state"].upper() == "FAILED" for task in tasks(found))


def all_run(found: Mapping[str, Any]) -> bool:
    told = tasks(found)
    return bool(told) and all(task["state"].upper() == "RUNNING" for task in told)


def is_halted(found: Mapping[str, Any]) -> bool:
    return found.get("connector_status") in HALTED or found.get("desired_state") in HALTED


def cause(trace: str) -> str:
    """Of what Java tells, the innermost cause."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.partition(":")[2].strip() for line in lines if line.startswith("Caused by:")]
    return printable((causes or lines or [trace])[-1 if causes else 0])


def describe(found: Mapping[str, Any] | None, name: str, hide: Callable[[str], str]) -> dict[str, Any]:
    """A source in plain types, without what is secret.

    :param hide: takes secrets out of what Kafka Connect says.
    """
    if found is None:
        return {"name": name, "exists": False}
    told = found.get("config") or {}
    return {
        "name": found.get("name", name),
        "exists": True,
        "id": found.get("id"),
        "connector": found.get("connector"),
        "status": found.get("connector_status"),
        "desired_state": found.get("desired_state"),
        "tasks": [{**task, "error": task["error"] and hide(task["error"])[:_LONGEST_ERROR]} for task in tasks(found)],
        "topics": [str(topic) for topic in found.get("topics") or []],
        "tags": [str(tag) for tag in found.get("tags") or []],
        "kc_cluster_id": found.get("kc_cluster_id"),
        "ssh_public_key": told.get(PUBLIC_KEY),
        "settings": _as_written(settings(found)) if found.get("connector") == CONNECTOR else {},
        "config": {key: value for key, value in told.items() if not is_secret(key)},
    }


def _as_written(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is empty, as the options have it."""
    return {option: [] if value is None and FIELDS[option].kind == NAMES else value for option, value in known.items()}
