# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What Streamkap tells of a source or a destination, in plain types and without what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from .._text import printable
from .fields import FIELDS, NAMES, PUBLIC_KEY, is_secret

CONNECTOR = "postgresql"

# What connector_status and desired_state may be, as far as it matters here.
ACTIVE, BROKEN, PENDING, HALTED = "Active", "Broken", "Pending", ("Paused", "Stopped")
PENDING_UPDATE, PENDING_DELETE = "Pending Update", "Pending Delete"

# Kafka Connect's words for a task. Any other says nothing of it.
_RUNNING, _FAILED = "RUNNING", "FAILED"
_TASK_STATES = (_RUNNING, _FAILED, "PAUSED", "STOPPED", "UNASSIGNED", "RESTARTING", "DESTROYED")

_LONGEST_ERROR = 2000  # characters of a task's error


def settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a source, by the options and as they have it. What is not told is Streamkap's default."""
    told = found.get("config") or {}
    known = {option: field.meant(told.get(field.key)) for option, field in FIELDS.items()}
    return {option: FIELDS[option].default if value is None else value for option, value in known.items()}


def secret_of(found: Mapping[str, Any] | None, key: str) -> Any:
    """What is told for a secret key; None where it is not told, which is null, also where one is stored."""
    told = ((found or {}).get("config") or {}).get(key)
    return None if is_masked(told) else told


def is_masked(value: Any) -> bool:
    return not value or (isinstance(value, str) and not value.strip("*•"))


def tasks(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a connector, whichever way they are told: public sources have more than one."""
    statuses = found.get("task_statuses")
    told: list[tuple[Any, Any]] = []
    if isinstance(statuses, dict):
        told = list(statuses.items())
    elif isinstance(statuses, list):
        told = [(task.get("id", n) if isinstance(task, dict) else n, task) for n, task in enumerate(statuses)]
    return [{"id": str(number), "state": _task_state(task), "error": _task_error(task)} for number, task in told]


def _task_state(task: Any) -> str | None:
    told = (task.get("state") or task.get("status")) if isinstance(task, dict) else task
    return str(told).upper() if isinstance(told, str) and told.strip() else None


def _task_error(task: Any) -> str | None:
    told = task.get("trace") if isinstance(task, dict) else None
    return str(told) if told else None


def any_failed(found: Mapping[str, Any]) -> bool:
    return any(task["state"] == _FAILED for task in tasks(found))


def any_to_come(found: Mapping[str, Any]) -> bool:
    """Whether a task is told not to run, and not to have failed."""
    return any(task["state"] in _TASK_STATES and task["state"] not in (_RUNNING, _FAILED) for task in tasks(found))


def are_told(found: Mapping[str, Any]) -> bool:
    """Whether each task is told in a word of Kafka Connect's."""
    told = tasks(found)
    return bool(told) and all(task["state"] in _TASK_STATES for task in told)


def is_removed(found: Mapping[str, Any]) -> bool:
    """Whether Streamkap is about to remove it, which takes a while."""
    return PENDING_DELETE in (found.get("connector_status"), found.get("desired_state"))


def is_updated(found: Mapping[str, Any]) -> bool:
    """Whether Streamkap has yet to carry out a change of it."""
    return PENDING_UPDATE in (found.get("connector_status"), found.get("desired_state"))


def is_undeployed(found: Mapping[str, Any]) -> bool:
    """Whether it was saved, and never deployed."""
    desired = found.get("desired_state")
    return desired == PENDING or (not desired and found.get("connector_status") == PENDING)


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
    described = describe_connector(found, name, hide)
    if found is None:
        return described
    told = found.get("config") or {}
    return {
        **described,
        "kc_cluster_id": found.get("kc_cluster_id"),
        "ssh_public_key": told.get(PUBLIC_KEY),
        "settings": _as_written(settings(found)) if found.get("connector") == CONNECTOR else {},
    }


def describe_connector(found: Mapping[str, Any] | None, name: str, hide: Callable[[str], str]) -> dict[str, Any]:
    """What a source and a destination have in common."""
    if found is None:
        return {"name": name, "exists": False}
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
        "config": {key: value for key, value in (found.get("config") or {}).items() if not is_secret(key)},
    }


def _as_written(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is empty, as the options have it."""
    return {option: [] if value is None and FIELDS[option].kind == NAMES else value for option, value in known.items()}
