# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What a source, a destination and a pipeline have in common of what is asked of them and of what is to be sent. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .told import BROKEN, HALTED, is_halted, is_undeployed

PRESENT, ABSENT, PAUSED, RUNNING = STATES = ("present", "absent", "paused", "running")

_PAUSED_FROM_THE_BEGINNING = HALTED[0]


@dataclass
class Plan:
    """What is to be sent, and what comes of it.

    :param made: whether it is to be created.
    :param config: the keys of ``config`` to send, with their values; None for what is emptied.
    :param top: what is sent beside ``config``, besides the name.
    :param secrets: the keys of secrets that are sent for their own sake.
    :param action: what is done to the running connector, if anything.
    :param removed: whether it is to be removed.
    :param objections: what nobody has allowed, a sentence each and what to do about it.
    """

    made: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    action: str | None = None
    removed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    objections: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def updates(self) -> bool:
        return not self.made and bool(self.config or self.top or self.secrets)

    @property
    def changes(self) -> bool:
        return self.made or self.updates or bool(self.action) or self.removed


def plan_new_state(made: Plan, state: str) -> None:
    """A new connector that is to be paused is never started."""
    if state == PAUSED:
        made.top["desired_state"] = _PAUSED_FROM_THE_BEGINNING
        made.after["state"] = PAUSED


def plan_state(made: Plan, state: str, noun: str, name: str, found: Mapping[str, Any]) -> None:
    """Plan the action that leads to a state, for a connector that is there."""
    status = found.get("connector_status")
    halted, undeployed = is_halted(found), is_undeployed(found)
    if state == RUNNING and halted:
        made.action = "resume"
    elif state == RUNNING and undeployed:
        made.action = "deploy"
    # A connector that is told something new is started with it.
    elif state == RUNNING and status == BROKEN and not made.updates:
        made.action = "restart"
    elif state == PAUSED and not halted and not undeployed:
        made.action = "pause"
    elif undeployed:
        made.warnings.append(
            "The %s %s is saved in Streamkap, and was never deployed: nothing runs. state: running deploys it."
            % (noun, name)
        )
    if made.action:
        made.before["state"], made.after["state"] = str(status).lower(), state


def plan_removal(made: Plan, name: str, found: Mapping[str, Any]) -> None:
    made.removed = True
    made.before = {"name": name, "status": found.get("connector_status")}


def plan_keys(made: Plan, asked: Mapping[str, Any], told: Mapping[str, Any], void: Collection[str] = ()) -> None:
    """Compare keys of ``config`` that no option stands for.

    :param void: those of them that do not count, as Streamkap describes them. They are told as null, whatever was sent.
    """
    for key, value in asked.items():
        now = told.get(key)
        same = loosely(now) == loosely(value) or (key in void and now is None)
        made.before[key], made.after[key] = now, now if same else value
        if not same:
            made.config[key] = value
        elif loosely(now) != loosely(value):
            made.warnings.append(
                "config.%s does not count by the rest of the configuration, and Streamkap does not keep it." % key
            )


def plan_tags(made: Plan, tags: list[str] | None, found: Mapping[str, Any]) -> None:
    if tags is None:
        return
    now = sorted(map(str, set(found.get("tags") or [])))
    made.before["tags"], made.after["tags"] = now, sorted(set(tags))
    if now != made.after["tags"]:
        made.top["tags"] = made.after["tags"]


def plan_secrets(made: Plan, secrets: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Plan the secrets that differ from those that are stored, for a task that gives them always.

    :param stored: None where Streamkap does not tell one.
    """
    made.secrets = tuple(key for key, value in secrets.items() if stored.get(key) != value)


def loosely(value: Any) -> Any:
    """A value of a key that is not known here, which the API may tell in another type than it takes."""
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        return {str(key): loosely(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [loosely(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
