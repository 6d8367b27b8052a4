# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A source or a destination is made what it is to be: sent, looked at again, and waited for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._sql import MASK, listed
from .._streamkap_api import Unknown, message_of, status_of
from .entities import DESTINATION, Entities, pipelines_of
from .fields import PUBLIC_KEY, is_secret
from .plan import ABSENT, PAUSED, PRESENT, Plan
from .told import (
    ACTIVE,
    BROKEN,
    HALTED,
    PENDING,
    any_failed,
    any_to_come,
    are_told,
    cause,
    is_halted,
    is_masked,
    is_removed,
    is_undeployed,
    is_updated,
    secret_of,
    tasks,
)

_BROKEN_BEFORE, _ACTIVE_BEFORE = 30, 10
_UNTOLD_FOR = 10  # seconds to wait for what Streamkap may yet tell of an active connector


@dataclass(frozen=True)
class Asked:
    """What is asked of a connector.

    :param connector: its kind, by Streamkap's code.
    :param secrets: its secrets, by their keys in ``config``.
    :param known_keys: the keys of ``config`` that are for users to set, as far as they are known without asking.
    :param required: those of the secrets without which nothing can be changed, with the option that gives each.
    :param compare: plans again what differs from what is told, after it was sent.
    :param describe: what the result says of it.
    :param secret_option: the option that any secret can be given in, if there is one.
    :param is_ready_without_topics: whether a destination that nothing is written to yet is waited for no longer.
    :param advice: what to do where it breaks.
    :param explain: what to do about a refusal, by Streamkap's message in small letters; None where nothing is known of it.
    """

    name: str
    state: str
    connector: str
    secrets: Mapping[str, Any] = field(repr=False)
    compare: Callable[[Mapping[str, Any]], Plan]
    describe: Callable[[Mapping[str, Any] | None], dict[str, Any]]
    known_keys: Collection[str] = ()
    required: Mapping[str, str] = field(default_factory=dict)
    secret_option: str | None = None
    is_ready_without_topics: bool = False
    advice: str = ""
    explain: Callable[[str], str | None] = lambda _said: None


def converge_connector(
    entities: Entities,
    asked: Asked,
    found: dict[str, Any] | None,
    plan: Callable[[Mapping[str, Any] | None], Plan],
    check_mode: bool,
    wait: bool,
) -> Outcome:
    """Plan, send what differs, look again, and wait for what comes of it.

    :param found: the connector of this name, as Streamkap tells it.
    :param wait: whether to return only when it runs, is paused, or is gone.
    """
    vanishing = found if found and is_removed(found) else None
    todo = plan(None if vanishing else found)
    if todo.removed and found:
        _object_to_removal(entities, todo, asked.name, found)
    warnings = todo.warnings + ["%s The task refuses that. %s" % objection for objection in todo.objections]
    if todo.objections and not check_mode:
        raise Failure(
            "%s Nothing was changed." % " ".join(sentence for sentence, _remedy in todo.objections),
            hint=" ".join(remedy for _sentence, remedy in todo.objections),
            **{entities.kind.noun: asked.describe(found)},
        )
    work = ConnectorWork(entities, asked, todo, None if vanishing else found)
    if vanishing:
        if asked.state != ABSENT:
            warnings.append(
                "Streamkap is about to remove the %s %s that it has (Pending Delete). Another one is created when that is gone."
                % (entities.kind.noun, asked.name)
            )
        if not check_mode and (wait or asked.state != ABSENT):
            entities.wait_until_gone(vanishing["id"], asked.name)
    if check_mode:
        work.preview()
    elif todo.removed:
        work.remove(wait)
    elif asked.state != ABSENT:
        work.carry_out(wait)
    return Outcome(
        changed=todo.changes,
        before=todo.before,
        after=todo.after,
        warnings=list(dict.fromkeys(warnings + work.warnings)),
        result={entities.kind.noun: asked.describe(work.found), "requests": work.requests},
    )


def _object_to_removal(entities: Entities, todo: Plan, name: str, found: Mapping[str, Any]) -> None:
    noun = entities.kind.noun
    try:
        users = pipelines_of(entities.api, entities.kind, found["id"])
    except Failure as failure:
        # The API token may not look at pipelines. Streamkap itself may still refuse.
        if status_of(failure) not in (403, 404):
            raise
        todo.warnings.append("It could not be looked up which pipelines use the %s %s. %s" % (noun, name, failure.msg))
        return
    if users:
        todo.objections.append(
            (
                "The %s %s is %s the pipelines %s."
                % (noun, name, "written to by" if entities.kind is DESTINATION else "read by", listed(users)),
                _PIPELINES_FIRST,
            )
        )


_PIPELINES_FIRST = "Remove the pipeline first, with streamkap.neon.streamkap_pipeline (state: absent) or in Streamkap, and then run again."


class ConnectorWork:
    """
    :param found: the connector as it was last told.
    :param requests: what was sent to change something, or in check mode would be, without secrets.
    """

    def __init__(self, entities: Entities, asked: Asked, todo: Plan, found: dict[str, Any] | None) -> None:
        self.entities = entities
        self.api = entities.api
        self.noun = entities.kind.noun
        self.asked = asked
        self.todo = todo
        self.found = found
        self.requests: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def preview(self) -> None:
        if self.todo.removed and self.found:
            self._note("DELETE", self._path())
            self.found = None
            return
        if self.todo.made:
            body = self._new()
            self._note("POST", self.entities.kind.path, body)
            config = {**body["config"], **dict.fromkeys(self.asked.secrets)}
            self.found = {**body, "config": config, "id": None}
        elif self.todo.updates and self.found:
            self._note("PUT", self._path(), self._only_changes())
            config = {**(self.found.get("config") or {}), **self.todo.config}
            self.found = {**self.found, **self.todo.top, "config": config}
        if self.todo.action and self.found:
            # The id is known when it is created.
            self._note("POST", self.entities.action_path(self.found["id"] or "{id}", self.todo.action))

    def carry_out(self, wait: bool) -> None:
        if self.todo.made:
            self.found = self._make(self._new())
        elif self.todo.updates and self.found:
            body = self._whole()
            self._note("PUT", self._path(), self._only_changes())
            self._update(body)
        if self.todo.made or self.todo.updates:
            self._look_again()
        if self.todo.action:
            self._act(self.todo.action)
        # Streamkap may not take a new one as paused.
        elif self.todo.made and self.asked.state == PAUSED and not is_halted(self.found or {}):
            self._act("pause")
        if wait:
            self.wait()

    def remove(self, wait: bool) -> None:
        found = self.found or {}
        self._note("DELETE", self._path())
        try:
            self.entities.delete(found["id"])
        except Unknown:
            raise
        except Failure as failure:
            if "pipeline" in message_of(failure).lower():
                raise Failure(failure.msg, hint=_PIPELINES_FIRST, **failure.details) from None
            if status_of(failure) == 409:
                hint = "Where a pipeline uses it, remove that first. Otherwise run again later."
                raise Failure(failure.msg, hint=hint, **failure.details) from None
            raise
        self.found = None
        if wait:
            self.entities.wait_until_gone(found["id"], self.asked.name)

    def _path(self) -> str:
        return "%s/%s" % (self.entities.kind.path, (self.found or {})["id"])

    def _note(self, method: str, where: str, body: Mapping[str, Any] | None = None) -> None:
        request: dict[str, Any] = {"method": method, "path": where}
        if body is not None:
            config = {key: MASK if self._is_secret(key) and value else value for key, value in body["config"].items()}
            request["body"] = {**body, "config": config}
        self.requests.append(request)

    def _is_secret(self, key: str) -> bool:
        return key in self.asked.secrets or is_secret(key)

    # What is sent

    def _new(self) -> dict[str, Any]:
        return {
            "name": self.asked.name,
            "connector": self.asked.connector,
            "created_from": "api",
            "config": {**self.todo.config, **self.asked.secrets},
            **self.todo.top,
        }

    def _only_changes(self) -> dict[str, Any]:
        config = {**self.todo.config, **dict.fromkeys(self.todo.secrets, MASK)}
        return {"name": self.asked.name, "connector": self.asked.connector, "config": config, **self.todo.top}

    def _whole(self) -> dict[str, Any]:
        """All of the configuration with what is new in it: a PUT takes the place of what was there."""
        stored = self.entities.read((self.found or {})["id"], secrets=True)
        if stored is None:
            raise self._vanished("Run again.")
        told = stored.get("config") or {}
        config = {key: told[key] for key in sorted(self._keys_of_ours(told)) if not self._is_secret(key)}
        top = {"kc_cluster_id": stored["kc_cluster_id"]} if stored.get("kc_cluster_id") else {}
        return {
            "name": self.asked.name,
            "connector": self.asked.connector,
            "config": {**config, **self.todo.config, **self._secrets(stored)},
            **top,
            **self.todo.top,
        }

    def _secrets(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The secrets that it is to have: what is stored, but for those that are new or not told."""
        told = stored.get("config") or {}
        known = {key for key in told if self._is_secret(key) and not is_masked(told[key])}
        secrets = {key: secret_of(stored, key) for key in known}
        for key, value in self.asked.secrets.items():
            if key in self.todo.secrets or key not in known:
                secrets[key] = value
        lacking = sorted(set(self.asked.required) - set(secrets))
        if lacking:
            raise Failure(
                "Streamkap does not tell the password of the %s %s, without which it cannot be changed."
                % (self.noun, self.asked.name),
                hint="Give it in %s." % listed(self.asked.required[key] for key in lacking),
            )
        untold = sorted(key for key in told if is_secret(key) and key not in secrets and not told[key])
        if untold and self.asked.secret_option:
            raise Failure(
                "Streamkap tells %s of the %s %s as null, which it may do of what is stored as well, and a change would lose it."
                % (listed(untold), self.noun, self.asked.name),
                hint="Give it in %s; as null where there is none." % self.asked.secret_option,
            )
        hidden = sorted(
            key for key in told if is_secret(key) and key not in secrets and isinstance(told[key], str) and told[key]
        )
        if hidden:
            raise Failure(
                "Streamkap does not tell %s of the %s %s, and a change would lose it."
                % (listed(hidden), self.noun, self.asked.name),
                hint="Change this %s in Streamkap." % self.noun,
            )
        if untold:
            self.warnings.append(
                "Streamkap tells %s of the %s %s as null, which it may do of what is stored as well. If there is one, it has to be given "
                "again in Streamkap." % (listed(untold), self.noun, self.asked.name)
            )
        return secrets

    def _keys_of_ours(self, told: Mapping[str, Any]) -> set[str]:
        """Of the keys that it is told with, those that are for its users to set: Streamkap takes no others."""
        known = {key for key in told if key in self.asked.known_keys or key in self.todo.config or self._is_secret(key)}
        others = {key for key, value in told.items() if key not in known and key != PUBLIC_KEY and value is not None}
        if others:
            described = self.entities.keys_of(self.asked.connector)
            if not described and self.entities.kind is DESTINATION:
                # None of its keys is known here: it is better refused than without what it was configured to.
                return known | others
            if not described:
                self.warnings.append(
                    "Streamkap does not tell which keys of a %s are for its users. These were left out of what was sent, and have "
                    "their defaults now if they are: %s." % (self.noun, listed(sorted(others)))
                )
            known |= {key for key in others if key in described and described[key].user_defined}
        return known

    # What comes of it

    def _make(self, body: dict[str, Any]) -> dict[str, Any]:
        self._note("POST", self.entities.kind.path, body)
        try:
            return self.entities.create(body)
        except Unknown:
            raise
        except Failure as failure:
            said = message_of(failure).lower()
            if "desired_state" in body and "desired_state" in said:
                return self._make({key: value for key, value in body.items() if key != "desired_state"})
            raise self._explained(failure) from None

    def _update(self, body: Mapping[str, Any]) -> None:
        try:
            self.entities.update((self.found or {})["id"], body)
        except Unknown:
            raise
        except Failure as failure:
            raise self._explained(failure) from None

    def _explained(self, failure: Failure) -> Failure:
        hint = self.asked.explain(message_of(failure).lower())
        return Failure(failure.msg, hint=hint, **failure.details) if hint else failure

    def _look(self) -> dict[str, Any]:
        seen = self.entities.read((self.found or {})["id"])
        if seen is None:
            raise self._vanished("Somebody else has removed it. Run again.")
        return seen

    def _vanished(self, hint: str) -> Failure:
        return Failure("The %s %s was there, and is gone." % (self.noun, self.asked.name), hint=hint)

    def _look_again(self) -> None:
        self.found = self._look()
        seen = self.asked.compare(self.found)
        differing = [name for name, value in seen.after.items() if seen.before[name] != value]
        # Null says nothing: a field behind a switch is told so, and a secret.
        untold = [name for name in differing if seen.before[name] is None]
        lost = [name for name in differing if name not in untold]
        if lost:
            raise Failure(
                "Streamkap accepted the %s %s, and does not have now what was sent: %s."
                % (self.noun, self.asked.name, listed(lost)),
                hint="Somebody else may have changed it meanwhile. Look at it in Streamkap, and run again.",
                **{self.noun: self.asked.describe(self.found)},
            )
        if untold:
            self.warnings.append(
                "Streamkap accepted the %s %s, and tells nothing of what was sent for %s: it may not count by the rest of the options."
                % (self.noun, self.asked.name, listed(untold))
            )

    def _act(self, action: str) -> None:
        entity_id = (self.found or {})["id"]
        self._note("POST", self.entities.action_path(entity_id, action))
        self.entities.act(entity_id, action)
        self.found = self._look()

    def wait(self) -> None:
        """Return when it is as it is to be."""
        begun = self.api.clock()
        deadline = begun + self.api.patience
        # Until something else is seen than what may be from before the change.
        broken_from, active_from = begun, begun
        if self.todo.updates or self.todo.action:
            broken_from, active_from = begun + _BROKEN_BEFORE, begun + _ACTIVE_BEFORE
        sure_from = begun + _UNTOLD_FOR if self.todo.changes or is_updated(self.found or {}) else begun
        looks = 0
        while True:
            found = self.found or {}
            status, now = found.get("connector_status"), self.api.clock()
            if status not in (BROKEN, ACTIVE):
                broken_from = active_from = begun
            if self._is_as_asked(found) and (status != ACTIVE or now >= active_from):
                doubt = self._doubt(found)
                if not doubt or now >= sure_from:
                    self.warnings.extend([doubt] * bool(doubt))
                    return
            if self.asked.state != PAUSED and (status == BROKEN or any_failed(found)) and now >= broken_from:
                raise self._broken(found)
            if now >= deadline:
                raise self._late(found)
            looks = self.api.pause(looks, deadline)
            self.found = self._look()

    def _is_as_asked(self, found: Mapping[str, Any]) -> bool:
        status = found.get("connector_status")
        # Nothing that waiting would change.
        if self.asked.state in (PAUSED, PRESENT) and is_undeployed(found):
            return True
        if self.asked.state == PAUSED:
            return status in HALTED
        # What somebody has paused is left so.
        if self.asked.state == PRESENT and is_halted(found):
            return True
        # Nothing is written to a destination before there is a pipeline, and nothing may run.
        if self._is_without_topics(found) and status in (PENDING, "Unassigned", "Unknown"):
            return True
        return status == ACTIVE and not any_failed(found) and not any_to_come(found)

    def _is_without_topics(self, found: Mapping[str, Any]) -> bool:
        return self.asked.is_ready_without_topics and not found.get("topics")

    def _doubt(self, found: Mapping[str, Any]) -> str | None:
        """What Streamkap leaves open of a connector that it calls active."""
        if found.get("connector_status") != ACTIVE or self.asked.state == PAUSED or is_halted(found):
            return None
        if is_updated(found):
            return (
                "The %s %s is Active, and Streamkap says that it has yet to carry out a change of it (Pending Update)."
                % (self.noun, self.asked.name)
            )
        if not are_told(found) and not self._is_without_topics(found):
            return "The %s %s is Active, and Streamkap does not tell how its tasks are: look at whether it gets on." % (
                self.noun,
                self.asked.name,
            )
        return None

    def _broken(self, found: Mapping[str, Any]) -> Failure:
        errors = [
            "task %s: %s" % (task["id"], self.api.hide(cause(task["error"]))) for task in tasks(found) if task["error"]
        ]
        said = " ".join(text if text.endswith(".") else text + "." for text in errors)
        return Failure(
            "The %s %s is %s. %s"
            % (self.noun, self.asked.name, found.get("connector_status"), said or "Streamkap does not say why."),
            hint=self.asked.advice or None,
            **{self.noun: self.asked.describe(found)},
        )

    def _late(self, found: Mapping[str, Any]) -> Failure:
        states = listed("%s %s" % (task["id"], task["state"] or "not told") for task in tasks(found)) or "none"
        status = found.get("connector_status")
        if is_updated(found) and "Update" not in str(status):
            status = "%s (desired: %s)" % (status, found.get("desired_state"))
        hint = (
            "What was asked for was accepted, and may still come about: run again, or raise streamkap_wait_timeout. %s"
        )
        return Failure(
            "The %s %s is %s after %d seconds, and its tasks are: %s."
            % (self.noun, self.asked.name, status, self.api.patience, states),
            hint=(hint % self.asked.advice).strip(),
            **{self.noun: self.asked.describe(found)},
        )
