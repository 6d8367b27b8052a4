# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A source is made what it is to be: looked at, planned, sent, looked at again, and waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._http import path
from .._sql import MASK, listed
from .._streamkap_api import StreamkapApi, Unknown, message_of
from .fields import FIELDS, OPTION_OF, PASSWORD_KEY, PUBLIC_KEY, is_secret
from .source import ABSENT, PAUSED, PRESENT, Desired, Plan, plan, plan_fields
from .told import (
    ACTIVE,
    BROKEN,
    CONNECTOR,
    HALTED,
    all_run,
    any_failed,
    cause,
    describe,
    is_halted,
    is_masked,
    password_of,
    settings,
    tasks,
)

_FIRST_LOOK, _LONGEST_PAUSE = 1.0, 10.0  # seconds between two looks at what is awaited
# For so many seconds after a change, what is said of a source may be from before it: that it is broken, and that it runs.
_BROKEN_BEFORE, _ACTIVE_BEFORE = 30, 10

READINESS = (
    "What the connector needs of the database is looked at by streamkap.neon.readiness_info: run it with this source's database, "
    "connector_user, publication and slot. It names what lacks and how to put it right."
)

_SLOT_IS_TAKEN = (
    "Another source reads the slot %s and the publication %s of this database, and two that share a slot lose data. Remove that one, or "
    "give slot_name and publication_name of its own."
)
_NAME_IS_TAKEN = (
    "Another run may just have made it: run again. If it stays so, it belongs to another service of the same tenant, and this API token "
    "does not see it: choose another name."
)


def converge(api: StreamkapApi, desired: Desired, check_mode: bool, wait: bool = True) -> Outcome:
    """Look, plan, send what differs, look again, and wait for what comes of it.

    :param wait: whether to return only when the source runs, is paused, or is gone.
    """
    api.keep_secret(desired.password)
    found = api.source_named(desired.name)
    stored = None
    if found and desired.state != ABSENT and desired.password is not None and desired.update_password == "always":
        stored = password_of(api.source(found["id"], secrets=True))
    todo = plan(desired, found, stored)
    warnings = todo.warnings + ["%s The task refuses that. %s" % objection for objection in todo.objections]
    if todo.objections and not check_mode:
        raise Failure(
            "%s Nothing was changed." % " ".join(sentence for sentence, _remedy in todo.objections),
            hint=" ".join(remedy for _sentence, remedy in todo.objections),
            source=describe(found, desired.name, api.hide),
        )
    work = _Work(api, desired, todo, found)
    if check_mode:
        work.would()
    elif todo.removed:
        work.remove(wait)
    elif desired.state != ABSENT:
        work.converge(wait)
    return Outcome(
        changed=todo.changes,
        before=todo.before,
        after=todo.after,
        warnings=warnings + work.warnings,
        result={"source": describe(work.found, desired.name, api.hide), "requests": work.requests},
    )


class _Work:
    """
    :param found: the source as it was last told.
    :param requests: what was sent to change something, or in check mode would be, without secrets.
    """

    def __init__(self, api: StreamkapApi, desired: Desired, todo: Plan, found: dict[str, Any] | None) -> None:
        self.api = api
        self.desired = desired
        self.todo = todo
        self.found = found
        self.requests: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def would(self) -> None:
        if self.todo.removed and self.found:
            self._note("DELETE", path("/sources/%s", self.found["id"]))
            self.found = None
            return
        if self.todo.made:
            body = self._new()
            self._note("POST", "/sources", body)
            self.found = {**body, "config": {**body["config"], PASSWORD_KEY: None}, "id": None}
        elif self.todo.updates and self.found:
            self._note("PUT", path("/sources/%s", self.found["id"]), self._only_changes())
            config = {**(self.found.get("config") or {}), **self.todo.config}
            self.found = {**self.found, **self.todo.top, "config": config}
        if self.todo.action and self.found:
            # The id is known when the source is made.
            self._note("POST", _place_of(self.found["id"] or "{id}", self.todo.action))

    def converge(self, wait: bool) -> None:
        if self.todo.made:
            body = self._new()
            self._note("POST", "/sources", body)
            self.found = self._make(body)
        elif self.todo.updates and self.found:
            body = self._whole()
            self._note("PUT", path("/sources/%s", self.found["id"]), self._only_changes())
            self.api.update_source(self.found["id"], body)
        if self.todo.made or self.todo.updates:
            self._look_again()
        if self.todo.action:
            self._act(self.todo.action)
            self.found = self._look()
        if wait:
            self._wait()

    def remove(self, wait: bool) -> None:
        found, self.found = self.found or {}, None
        self._note("DELETE", path("/sources/%s", found["id"]))
        self.api.delete_source(found["id"])
        deadline = self.api.clock() + self.api.patience
        looks = 0
        while wait and self.api.source(found["id"]) is not None:
            if self.api.clock() >= deadline:
                raise Failure(
                    "Streamkap accepted to remove the source %s, and still has it after %d seconds."
                    % (self.desired.name, self.api.patience),
                    hint="Look at it in Streamkap, and run again.",
                )
            looks = self._pause(looks, deadline)

    def _note(self, method: str, where: str, body: Mapping[str, Any] | None = None) -> None:
        request: dict[str, Any] = {"method": method, "path": where}
        if body is not None:
            config = {key: MASK if is_secret(key) and value else value for key, value in body["config"].items()}
            request["body"] = {**body, "config": config}
        self.requests.append(request)

    # What is sent

    def _new(self) -> dict[str, Any]:
        config = {**self.todo.config, PASSWORD_KEY: self.desired.password}
        return {
            "name": self.desired.name,
            "connector": CONNECTOR,
            "created_from": "api",
            "config": _without_empty(config),
            **self.todo.top,
        }

    def _only_changes(self) -> dict[str, Any]:
        config = {**self.todo.config, **({PASSWORD_KEY: MASK} if self.todo.password else {})}
        return {"name": self.desired.name, "connector": CONNECTOR, "config": config, **self.todo.top}

    def _whole(self) -> dict[str, Any]:
        """All of the source's configuration with what is new in it: a PUT takes the place of what was there."""
        found = self.found or {}
        stored = self.api.source(found["id"], secrets=True)
        if stored is None:
            raise Failure("The source %s was there, and is gone." % self.desired.name, hint="Run again.")
        told = stored.get("config") or {}
        ours = self._keys_of_ours(told)
        config = {key: value for key, value in told.items() if key in ours}
        password = self.desired.password if self.todo.password else password_of(stored) or self.desired.password
        if password is None:
            raise Failure(
                "Streamkap does not tell the password of the source %s, without which it cannot be changed."
                % self.desired.name,
                hint="Give it in database_password.",
            )
        hidden = sorted(key for key in ours if is_secret(key) and key != PASSWORD_KEY and is_masked(told[key]))
        if hidden:
            raise Failure(
                "Streamkap does not tell %s of the source %s, and a change would lose it."
                % (listed(hidden), self.desired.name),
                hint="Change this source in Streamkap.",
            )
        top = {"kc_cluster_id": stored["kc_cluster_id"]} if stored.get("kc_cluster_id") else {}
        return {
            "name": self.desired.name,
            "connector": CONNECTOR,
            "config": _without_empty({**config, **self.todo.config, PASSWORD_KEY: password}),
            **top,
            **self.todo.top,
        }

    def _keys_of_ours(self, told: Mapping[str, Any]) -> set[str]:
        """Of the keys that a source is told with, those that are for its users to set: Streamkap takes no others."""
        known = {key for key in told if key in OPTION_OF or key == PASSWORD_KEY}
        others = {key for key, value in told.items() if key not in known and key != PUBLIC_KEY and value is not None}
        if others:
            described = dict(_described(self.api.get("/sources/connectors", connector_code=CONNECTOR)))
            if not described:
                self.warnings.append(
                    "Streamkap does not tell which keys of a source are for its users. These were left out of what was sent, and have "
                    "their defaults now if they are: %s." % listed(sorted(others))
                )
            known |= {key for key in others if described.get(key)}
        return known

    # What comes of it

    def _make(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.api.create_source(body)
        except Unknown:
            raise
        except Failure as failure:
            said = message_of(failure).lower()
            if "already exist" not in said:
                raise
            hint = _SLOT_IS_TAKEN % (self._as_made("slot_name"), self._as_made("publication_name"))
            raise Failure(failure.msg, hint=hint if "slot" in said else _NAME_IS_TAKEN, **failure.details) from None

    def _as_made(self, option: str) -> Any:
        return self.desired.fields.get(option) or FIELDS[option].default

    def _look(self) -> dict[str, Any]:
        seen = self.api.source((self.found or {})["id"])
        if seen is None:
            raise Failure(
                "The source %s was there, and is gone." % self.desired.name,
                hint="Somebody else has removed it. Run again.",
            )
        return seen

    def _look_again(self) -> None:
        self.found = self._look()
        seen = Plan()
        plan_fields(seen, self.desired, self.found, settings(self.found))
        lost = [name for name, value in seen.after.items() if seen.before[name] != value]
        if lost:
            raise Failure(
                "Streamkap accepted the source %s, and does not have now what was sent: %s."
                % (self.desired.name, listed(lost)),
                hint="Somebody else may have changed it meanwhile. Look at it in Streamkap, and run again.",
                source=self._described(),
            )

    def _act(self, action: str) -> None:
        source_id = (self.found or {})["id"]
        self._note("POST", _place_of(source_id, action))
        if action == "deploy":
            self.api.change("POST", _place_of(source_id, action))
        else:
            self.api.act(source_id, action)

    def _wait(self) -> None:
        """Return when the source is as it is to be."""
        begun = self.api.clock()
        deadline = begun + self.api.patience
        # Until something else is seen than what may be from before the change.
        broken_from, active_from = begun, begun
        if self.todo.updates or self.todo.action:
            broken_from, active_from = begun + _BROKEN_BEFORE, begun + _ACTIVE_BEFORE
        looks = 0
        while True:
            found = self.found or {}
            status, now = found.get("connector_status"), self.api.clock()
            if status not in (BROKEN, ACTIVE):
                broken_from = active_from = begun
            if self._is_as_asked(found) and (status != ACTIVE or now >= active_from):
                return
            if self.desired.state != PAUSED and (status == BROKEN or any_failed(found)) and now >= broken_from:
                raise self._broken(found)
            if now >= deadline:
                raise self._late(found)
            looks = self._pause(looks, deadline)
            self.found = self._look()

    def _is_as_asked(self, found: Mapping[str, Any]) -> bool:
        if self.desired.state == PAUSED:
            return found.get("connector_status") in HALTED
        # What somebody has paused is left so.
        if self.desired.state == PRESENT and is_halted(found):
            return True
        return found.get("connector_status") == ACTIVE and all_run(found)

    def _described(self) -> dict[str, Any]:
        return describe(self.found, self.desired.name, self.api.hide)

    def _pause(self, looks: int, deadline: float) -> int:
        self.api.sleep(min(_FIRST_LOOK * 2**looks, _LONGEST_PAUSE, max(deadline - self.api.clock(), 0)))
        return looks + 1

    def _broken(self, found: Mapping[str, Any]) -> Failure:
        errors = [
            "task %s: %s" % (task["id"], self.api.hide(cause(task["error"]))) for task in tasks(found) if task["error"]
        ]
        said = " ".join(text if text.endswith(".") else text + "." for text in errors)
        return Failure(
            "The source %s is %s. %s"
            % (self.desired.name, found.get("connector_status"), said or "Streamkap does not say why."),
            hint=READINESS,
            source=self._described(),
        )

    def _late(self, found: Mapping[str, Any]) -> Failure:
        states = listed("%s %s" % (task["id"], task["state"]) for task in tasks(found)) or "none"
        return Failure(
            "The source %s is %s after %d seconds, and its tasks are: %s."
            % (self.desired.name, found.get("connector_status"), self.api.patience, states),
            hint="What was asked for was accepted, and may still come about: run again, or raise streamkap_wait_timeout. %s"
            % READINESS,
            source=self._described(),
        )


def _place_of(source_id: str, action: str) -> str:
    if action == "deploy":
        return "/sources/%s/deploy" % source_id
    return "/sources/%s/actions/%s" % (source_id, action)


def _without_empty(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _described(answer: Any) -> Iterator[tuple[str, bool]]:
    """The keys that Streamkap describes, wherever in its answer, and whether they are for users to set."""
    if isinstance(answer, dict):
        if isinstance(answer.get("name"), str) and isinstance(answer.get("user_defined"), bool):
            yield answer["name"], answer["user_defined"]
        for value in answer.values():
            yield from _described(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _described(value)
