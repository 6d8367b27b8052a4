# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The sources, destinations and pipelines of a project in Streamkap, which are listed, read and changed by the same requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import Failure
from .._http import path
from .._sql import listed
from .._streamkap_api import FURTHER_TRIES, UNKNOWN_HINT, StreamkapApi, Unknown, already_exists, backoff, is_gone
from .fields import is_secret

_PAGE_SIZE = 100  # the most that there may be; without it a page has ten

# Of the modules that only look.
INFO_OPTIONS: dict[str, dict[str, Any]] = {"name": {"type": "str"}, "id": {"type": "str"}}

_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Kind:
    """
    :param noun: what messages call one of them.
    :param path: of all of them.
    :param wait: told with each change: whether the answer waits until Kafka Connect has it. None where there is no such parameter.
    """

    noun: str
    path: str
    wait: bool | None = False


SOURCE = Kind("source", "/sources")
DESTINATION = Kind("destination", "/destinations")
PIPELINE = Kind("pipeline", "/pipelines", wait=None)


@dataclass(frozen=True)
class ConnectorKey:
    """A key of a connector's configuration, as Streamkap describes it.

    :param user_defined: whether it is for users to set.
    :param default: its value where none was given.
    :param conditions: the keys that must have a value for this one to count, with that value.
    """

    user_defined: bool
    default: Any = None
    conditions: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Entities:
    """All entities of one kind that the API token may see."""

    api: StreamkapApi
    kind: Kind

    def read_all(self, partial_name: str | None = None) -> Iterator[dict[str, Any]]:
        """Read all of them, without their secrets.

        :param partial_name: only those in whose name this is, in part.
        """
        seen: set[Any] = set()
        page = 1
        while True:
            answer = self.api.get(
                self.kind.path, page=page, page_size=_PAGE_SIZE, partial_name=partial_name, secret_returned=False
            )
            found = self._results(answer)
            # Where one is created or removed meanwhile, the next page may hold one of this page again.
            fresh = [entity for entity in found if entity.get("id") not in seen]
            yield from fresh
            seen.update(entity.get("id") for entity in fresh)
            if not fresh or not _has_next(answer, len(found)):
                return
            page += 1

    def find(self, name: str) -> dict[str, Any] | None:
        """Read the one of exactly this name. Streamkap only looks for parts of names."""
        found = [entity for entity in self.read_all(partial_name=name) if entity.get("name") == name]
        if len(found) > 1:
            raise Failure(
                "%d %ss are called %s: %s."
                % (len(found), self.kind.noun, name, listed(entity["id"] for entity in found)),
                hint="Rename all but one in Streamkap.",
            )
        return found[0] if found else None

    def select(self, name: str | None, entity_id: str | None) -> list[dict[str, Any]]:
        """Read the one of this name or id, if there is one, or all of them in the order of their names."""
        if name is not None:
            found = [self.find(name)]
        elif entity_id is not None:
            found = [self.read(entity_id)]
        else:
            found = sorted(self.read_all(), key=lambda entity: (str(entity.get("name")), str(entity.get("id"))))
        return [entity for entity in found if entity]

    def read(self, entity_id: str, secrets: bool = False) -> dict[str, Any] | None:
        """Read the one of this id.

        :param secrets: whether with its secrets, in plain text. They are hidden in whatever is said from then on.
        """
        try:
            found = self._results(self.api.get(self._path(entity_id), secret_returned=secrets))
        except Failure as failure:
            if is_gone(failure):
                return None
            raise
        if secrets and found:
            for key, value in (found[0].get("config") or {}).items():
                if is_secret(key):
                    self.api.keep_secret(value)
        return found[0] if found else None

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create one, once: whenever it is not known whether that was done, its name is looked up before anything is sent again."""
        tries = 0
        while True:
            tries += 1
            try:
                made = self.api.change(
                    "POST", self.kind.path, body, repeatable=False, secret_returned=False, wait=self.kind.wait
                )
                if isinstance(made, dict) and made.get("id"):
                    return made
                unknown = Unknown(
                    "Streamkap's answer to POST %s does not say which %s it has made."
                    % (self.kind.path, self.kind.noun),
                    hint=UNKNOWN_HINT,
                )
            except Unknown as lost:
                unknown = lost
            except Failure as failure:
                found = self.find(body["name"]) if tries > 1 and already_exists(failure) else None
                if found:
                    return found
                raise
            if unknown.passing:
                self.api.sleep(backoff(tries))
            found = self.find(body["name"])
            if found:
                return found
            if not unknown.passing or tries > FURTHER_TRIES:
                raise unknown.adding("Looked at afterwards, there was no %s %s." % (self.kind.noun, body["name"]))

    def update(self, entity_id: str, body: Mapping[str, Any]) -> None:
        self.api.change("PUT", self._path(entity_id), body, secret_returned=False, wait=self.kind.wait)

    def delete(self, entity_id: str) -> None:
        try:
            self.api.change("DELETE", self._path(entity_id), secret_returned=False, wait=self.kind.wait)
        except Failure as failure:
            # An earlier try was carried out after all.
            if not is_gone(failure):
                raise

    def wait_until_gone(self, entity_id: str, name: str) -> None:
        """Return when Streamkap does not have it any more, which it removes some time after it has said so."""
        deadline = self.api.clock() + self.api.patience
        looks = 0
        while self.read(entity_id) is not None:
            if self.api.clock() >= deadline:
                raise Failure(
                    "Streamkap accepted to remove the %s %s, and still has it after %d seconds."
                    % (self.kind.noun, name, self.api.patience),
                    hint="Look at it in Streamkap, and run again.",
                )
            looks = self.api.pause(looks, deadline)

    def action_path(self, entity_id: str, action: str) -> str:
        """
        :param action: pause, resume, restart or deploy.
        """
        if action == "deploy":
            return "%s/%s/deploy" % (self.kind.path, entity_id)
        return "%s/%s/actions/%s" % (self.kind.path, entity_id, action)

    def act(self, entity_id: str, action: str) -> None:
        self.api.change("POST", self.action_path(entity_id, action))

    def keys_of(self, connector: str) -> dict[str, ConnectorKey]:
        """Read which keys a kind of connector is configured by. There are none where Streamkap does not say so."""
        return dict(_described(self.api.get("%s/connectors" % self.kind.path, connector_code=connector)))

    def void_keys(
        self, connector: str, found: Mapping[str, Any], asked: Mapping[str, Any], others: Mapping[str, Any]
    ) -> frozenset[str]:
        """Return the keys that are asked for and do not count by the others, which Streamkap tells as null.

        What it describes is only read where something is told so.

        :param others: what is asked for besides, where Streamkap may well tell null.
        """
        told = found.get("config") or {}
        untold = [key for key, value in asked.items() if value not in (None, "") and told.get(key) is None]
        if not untold:
            return frozenset()
        described = self.keys_of(connector)
        whole = {key: known.default for key, known in described.items()}
        for given in (told, others, asked):
            whole.update((key, value) for key, value in given.items() if value is not None)

        def is_void(key: str) -> bool:
            conditions = described[key].conditions if key in described else ()
            return any(
                whole.get(switch) is not None and _comparable(whole[switch]) != _comparable(value)
                for switch, value in conditions
            )

        return frozenset(filter(is_void, untold))

    def _path(self, entity_id: str) -> str:
        return self.kind.path + path("/%s", entity_id)

    def _results(self, answer: Any) -> list[dict[str, Any]]:
        found = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise Failure(
                "Streamkap's answer has no list of %ss in it." % self.kind.noun,
                hint="Is streamkap_api_url right? If so, the API has changed, and this collection does not know it yet.",
            )
        return [entity for entity in found if isinstance(entity, dict)]


def _has_next(answer: Mapping[str, Any], count: int) -> bool:
    """Whether another page follows. What is said of a total is not to be relied on."""
    if isinstance(answer.get("has_next"), bool):
        return bool(answer["has_next"])
    told = answer.get("page_size")
    return count >= (told if isinstance(told, int) and 0 < told < _PAGE_SIZE else _PAGE_SIZE)


def _described(answer: Any) -> Iterator[tuple[str, ConnectorKey]]:
    """The keys that Streamkap describes, wherever in its answer."""
    if isinstance(answer, dict):
        if isinstance(answer.get("name"), str) and isinstance(answer.get("user_defined"), bool):
            value = answer.get("value")
            yield (
                answer["name"],
                ConnectorKey(
                    answer["user_defined"],
                    value.get("default") if isinstance(value, dict) else None,
                    tuple(_conditions(answer.get("conditions"))),
                ),
            )
        for value in answer.values():
            yield from _described(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _described(value)


def _conditions(told: Any) -> Iterator[tuple[str, Any]]:
    for condition in told if isinstance(told, list) else []:
        if (
            isinstance(condition, dict)
            and condition.get("operator") == "EQ"
            and isinstance(condition.get("config"), str)
        ):
            yield condition["config"], condition.get("value")


def _comparable(value: Any) -> str:
    return str(value).lower()


# Tags


def resolve_tags(api: StreamkapApi, tags: list[str] | None) -> list[str] | None:
    """Return the ids of tags, which may be given by their names."""
    if not tags or all(_ID.fullmatch(tag) for tag in tags):
        return tags
    answer = api.get("/tags")
    told = answer.get("tags") if isinstance(answer, dict) else None
    known = [tag for tag in (told if isinstance(told, list) else []) if isinstance(tag, dict)]
    return list(dict.fromkeys(_tag_id(tag, known) for tag in tags))


def _tag_id(given: str, known: list[dict[str, Any]]) -> str:
    if _ID.fullmatch(given) or any(tag.get("id") == given for tag in known):
        return given
    ids = [str(tag.get("id")) for tag in known if tag.get("name") == given]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise Failure(
            "tags: %d tags are called %s: %s." % (len(ids), given, listed(ids)),
            hint="Give its id in place of its name.",
        )
    names = listed(sorted(str(tag.get("name")) for tag in known)) or "none"
    raise Failure(
        "tags: there is no tag %s in Streamkap." % given,
        hint="The API token sees these: %s. Create the tag in Streamkap, or give its id." % names,
    )


# Pipelines that use another entity


def pipelines_of(api: StreamkapApi, kind: Kind, entity_id: str) -> list[str]:
    """Read the names of the pipelines that read a source, or write to a destination."""
    return sorted(
        str(pipeline.get("name"))
        for pipeline in Entities(api, PIPELINE).read_all()
        if isinstance(pipeline.get(kind.noun), dict) and pipeline[kind.noun].get("id") == entity_id
    )
