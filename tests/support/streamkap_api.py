# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streamkap's API in small: tokens, PostgreSQL sources, what becomes of them, their snapshots, and what is behind them.

with Streamkap() as streamkap:
    shop = streamkap.source("shop", {"slot.name": "other_slot"})      # made by somebody else before
    StreamkapApi(CLIENT_ID, SECRET, streamkap.url).source("shop")
assert streamkap.changes == []

It remembers what is changed through it, and what takes time takes time, by its clock: a source is Starting before it is Active or
Broken, a token ends, a snapshot runs for a while. It takes no more requests in a while than it is told to, and fails as it is told to
(`fail`). With `on_start` a source that is started is run by somebody who can (see `Running`), and is what becomes of that.

What public sources tell of the API is done as they tell it: paths, parameters, pages of ten, the partial filter by name, the source's
own fields, the envelope of one source that is empty when it is gone, POST and PUT that answer the source itself, both shapes of errors,
the metrics of a source with the state of its snapshot by topic, a snapshot that is refused by 409 while another runs,
the words of "Entity not found", "Entity with this name already exists" and "Replication Slot Name and Publication Name already exist",
PUT that replaces the configuration, secrets that are null unless asked for by `secret_returned=true`, fields behind a switch that is off
that are null whatever was sent, deletion that takes a while (Pending Delete), a snapshot to stop that does not run (404), and tags that
null leaves and [] clears. Destinations, pipelines and tags are those of support/streamkap_pipelines.py.

Guessed, as they are silent:

- Changes answer 200. Credentials that are none, and tokens that are none any more, are refused by 401 and a sentence.
- A slot and publication are taken by the same host, port and database. Another slot or publication in PUT is refused by 400. What is
  not there is 404 to PUT, DELETE and actions.
- A key that there is not, or a value of another type, is refused by 422 and a list, a required field that lacks by 400 and a sentence.
- What PUT leaves out has its default again, and the password has none. Slot and publication are set once (by one generated note).
- Ports are told as text. Keys of Streamkap's own are told besides.
- `total` counts all sources, whatever the filter, which ignores case.
- PUT starts a source that is to be active anew, whether something changed or not. Its task tells its error in `trace`, as Kafka Connect
  does. A source that is paused or stopped has let go of its slot.
- The fields of a connector are a list below `config`, one connector in a list.
- An action, with `wait=false` before the source is deployed, fails by 500 and Kafka Connect's 404.
- A snapshot is ordered of a source that is Active, else 400; topics are those of the source, else 400.
  What was ordered answers a sentence; where it stands is told by the source's metrics alone (`snapshotState`, and by topic).
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import unquote

from . import streamkap_pipelines
from .http_stub import Reply, Request, Stub, stub
from .line import Line
from .streamkap_config import SECRETS, SET_ONCE, Config, complaints, completed, described, missing, without_void
from .streamkap_pipelines import Destination, Pipeline, Tag

CLIENT_ID = "client-of-the-tests"
SECRET = "skp_5tg-Secret-of-the-tests"
# What stands before the API, when it cannot reach it.
BAD_GATEWAY = (
    502,
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>",
)

CONFIG: Config = {
    "database.hostname.user.defined": "ep-calm-sea-000001.us-east-2.aws.neon.tech",
    "database.user": "streamkap_user",
    "database.password": "Connector-3-of-the-tests",
    "database.dbname": "neondb",
    "schema.include.list": "public",
    "table.include.list.user.defined": "public.orders",
}

_PAGE, _LONGEST_PAGE = 10, 100
_DESIRED = ("Pending", "Active", "Paused", "Stopped")
_ACTIONS = {"pause": "Paused", "resume": "Active", "restart": "Active", "stop": "Stopped"}
_ORIGINS = ("terraform", "web", "api", None)
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleOfTheTestsAndOfNobodyElseAtAll0000 streamkap"


class Running(Protocol):
    """Somebody who captures what a source is configured to."""

    @property
    def streaming(self) -> bool:
        """Whether it has come so far as to receive changes."""

    @property
    def error(self) -> str | None:
        """By what it ended, if it did."""

    @property
    def snapshotting(self) -> bool:
        """Whether a snapshot that was ordered is not over."""

    def snapshot(self, order: dict[str, object]) -> None:
        """Begins one: the body of the order, with its tables (schema.table)."""

    def stop_snapshot(self) -> None:
        """Ends the one that runs."""

    def stop(self) -> None:
        """Ends it; the slot is free afterwards. Nothing happens when it has ended."""


@dataclass
class Source:
    """
    :param config: complete, with the defaults of what was not given.
    :param desired_state: Pending, Active, Paused or Stopped.
    :param starts: how often it was started.
    :param started_at: when it last was, by the clock.
    :param error: by what its task failed, or is to fail when it starts.
    :param task_statuses: told in place of what they are, if it is not left at `...`.
    :param status: told in place of what it is.
    :param removed_at: when it is gone.
    :param running: who captures for it.
    :param snapshots: what was ordered and not refused: the body, with its topics, tables (schema.table) and status.
    """

    id: str
    name: str
    config: Config
    connector: str = "postgresql"
    created_from: str | None = "api"
    desired_state: str = "Active"
    tags: list[str] = field(default_factory=list)
    kc_cluster_id: str | None = None
    starts: int = 0
    started_at: float = 0.0
    deployed_at: float = 0.0
    error: str | None = None
    task_statuses: object = ...
    status: str | None = None
    removed_at: float | None = None
    running: Running | None = None
    snapshots: list[dict[str, object]] = field(default_factory=list)
    snapshot_until: float = 0.0

    @property
    def tables(self) -> list[str]:
        return [name.strip() for name in str(self.config["table.include.list.user.defined"]).split(",")]

    @property
    def topics(self) -> list[str]:
        return [f"source_{self.id}.{table}" for table in self.tables]

    @property
    def place(self) -> tuple[object, ...]:
        """What no two sources may share."""
        return tuple(
            self.config[key]
            for key in ("database.hostname.user.defined", "database.port.user.defined", "database.dbname", *SET_ONCE)
        )


class Refused(Exception):
    """Answered instead of what was asked for."""

    def __init__(self, status: int, detail: object, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.reply: Reply = status, {"detail": detail}, headers or {}


class Streamkap(contextlib.AbstractContextManager):
    """
    :param sources, destinations, pipelines, tags: all there are.
    :param delete_seconds: how long a source is Pending Delete.
    :param limit: how many requests it takes in how many seconds, in any of them.
    :param retry_after: how many seconds it then tells to wait.
    :param token_seconds: how long a token is one.
    :param deploy_seconds: how long after it was made by `wait=false` a source is Unassigned, and no action goes through.
    :param start_seconds: how long a source is Starting.
    :param error: by what the task of a source fails that is started now.
    :param snapshot_seconds: how long a snapshot runs.
    :param snapshots_end: as what: completed, failed or cancelled.
    :param metrics_seconds: how much later the metrics tell of one.
    :param public_key: told to whoever is to let Streamkap through a bastion.
    :param on_start: starts who captures what a source is configured to; an exception of it breaks the source.
    :param clock: the time by which all that happens, in seconds.
    """

    def __init__(self, on_start: Callable[[Source], Running] | None = None) -> None:
        self.sources: list[Source] = []
        self.destinations: list[Destination] = []
        self.pipelines: list[Pipeline] = []
        self.tags: list[Tag] = []
        self.delete_seconds = 0.0
        self.limit: tuple[int, float] | None = None
        self.retry_after = 1
        self.refused_for_pace = 0
        self.token_seconds = 3600.0
        self.deploy_seconds = 0.0
        self.start_seconds = 0.3
        self.error: str | None = None
        self.snapshot_seconds = 0.3
        self.snapshots_end = "completed"
        self.metrics_seconds = 0.0
        self.public_key = PUBLIC_KEY
        self.on_start = on_start
        self.clock: Callable[[], float] = time.monotonic
        self._tokens: dict[str, float] = {}
        self._refresh_tokens: set[str] = set()
        self._numbers = itertools.count(1)
        self._times: deque[float] = deque()
        self._lock = threading.RLock()
        self._line = Line(self._reply)
        # See Line.
        self.fail = self._line.fail
        self._server = contextlib.ExitStack()

    def __enter__(self) -> Streamkap:
        self._stub: Stub = self._server.enter_context(stub(self._line.carry))
        return self

    def __exit__(self, *raised: object) -> None:
        self._line.close()
        self._server.__exit__(*raised)
        for source in self.sources:
            _halt(source)

    @property
    def url(self) -> str:
        return self._stub.url

    @property
    def env(self) -> dict[str, str]:
        """The environment of who has the credentials."""
        return {"STREAMKAP_CLIENT_ID": CLIENT_ID, "STREAMKAP_SECRET": SECRET, "STREAMKAP_HOST": self.url}

    @property
    def requests(self) -> list[Request]:
        return self._stub.requests

    @property
    def asked(self) -> Counter[str]:
        """What was asked, counted, the ids of sources left out: "GET /sources/{id}"."""
        ids = {entity.id for entity in (*self.sources, *self.destinations, *self.pipelines)}
        return Counter(
            "/".join("{id}" if part in ids or _is_id(part) else part for part in str(request).split("/"))
            for request in self.requests
        )

    @property
    def changes(self) -> list[str]:
        """The requests that were to change something, whatever became of them."""
        asked = [request for request in self.requests if not request.path.startswith("/auth/")]
        return [str(request) for request in asked if request.method != "GET"]

    def source(self, name: str, config: Config | None = None, **more: object) -> Source:
        """Makes one as somebody else has made it, which is as started as one made through the API."""
        source = Source(
            f"{next(self._numbers):024x}", name, without_void(completed({**CONFIG, **(config or {})})), **more
        )
        self.sources.append(source)
        self._start(source)
        return source

    def destination(self, name: str = "warehouse", config: Config | None = None, **more: object) -> Destination:
        whole = streamkap_pipelines.kept({**streamkap_pipelines.DESTINATION, **(config or {})})
        destination = Destination(f"{next(self._numbers):024x}", name, whole, **more)
        self.destinations.append(destination)
        return destination

    def pipeline(
        self, name: str, source: Source, destination: Destination, topics: list[str] | None = None, **more: object
    ) -> Pipeline:
        given = source.tables if topics is None else topics
        pipeline = Pipeline(f"{next(self._numbers):024x}", name, source.id, destination.id, given, **more)
        self.pipelines.append(pipeline)
        return pipeline

    def tag(self, name: str) -> Tag:
        self.tags.append(Tag(f"{next(self._numbers):024x}", name))
        return self.tags[-1]

    def expire_tokens(self) -> None:
        """None of the access tokens is one any more; those to refresh them still are."""
        self._tokens.clear()

    def status(self, source: Source) -> str:
        if source.status is not None:
            return source.status
        if source.removed_at is not None:
            return "Pending Delete"
        if source.desired_state != "Active":
            return source.desired_state
        now = self.clock()
        if now < source.deployed_at:
            return "Unassigned"
        if source.running:
            source.error = source.error or source.running.error
            if source.error:
                return "Broken"
            return "Active" if source.running.streaming else "Starting"
        if now < source.started_at + self.start_seconds:
            return "Starting"
        return "Broken" if source.error else "Active"

    # Answers

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            try:
                status, told, headers = 200, self._answer(request), {}
            except Refused as refusal:
                status, told, headers = refusal.reply
        return status, told, {"X-Request-Id": uuid.uuid4().hex, **headers}

    def _answer(self, request: Request) -> object:
        if not self._in_time():
            raise Refused(429, "Too Many Requests", {"Retry-After": str(self.retry_after)})
        body = request.body if isinstance(request.body, dict) else {}
        method, place = request.method, [unquote(part) for part in request.path.split("/")[1:]]
        if place[0] == "auth":
            return self._authenticate(method, place, body)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.clock() >= self._tokens.get(token, 0):
            raise Refused(401, "Invalid or expired token")
        now = self.clock()
        self.sources = [source for source in self.sources if source.removed_at is None or source.removed_at > now]
        match method, place:
            case "GET", ["tags"]:
                return {"tags": [{"id": tag.id, "name": tag.name, "type": ["general"]} for tag in self.tags]}
            case _, ["destinations" | "pipelines" as kind, *rest]:
                return self._answer_behind(kind, method, rest, body, request.query)
            case "GET", ["sources"]:
                return self._list(request.query)
            case "GET", ["sources", "connectors"]:
                return [{"connector": "postgresql", "display_name": "PostgreSQL", "config": described()}]
            case "GET", ["sources", source_id]:
                found = [source for source in self.sources if source.id == source_id]
                return self._page(found, request.query, 1, _PAGE, len(found))
            case "GET", ["sources", source_id, "metrics"]:
                return self._metrics(self._find(source_id), request.query)
            case "POST", ["sources"]:
                return self._create(body, request.query)
            case "POST", ["sources", "snapshot"]:
                return self._snapshot(body)
            case "POST", ["sources", "stop_incremental_snapshot" | "cancel_snapshot"]:
                return self._stop_snapshot(body)
            case "PUT", ["sources", source_id]:
                return self._update(self._find(source_id), body, request.query)
            case "DELETE", ["sources", source_id]:
                return self._delete(self._find(source_id), request.query)
            case "POST", ["sources", source_id, "deploy"]:
                return self._act(self._find(source_id), "restart", request.query)
            case "POST", ["sources", source_id, "actions", action]:
                return self._act(self._find(source_id), action, request.query)
        raise Refused(404, "Not Found")

    def _authenticate(self, method: str, place: list[str], body: dict[str, object]) -> dict[str, object]:
        match method, place:
            case "POST", ["auth", "access-token"]:
                _require(body, "client_id", "secret")
                if (body["client_id"], body["secret"]) != (CLIENT_ID, SECRET):
                    raise Refused(401, "Invalid client credentials")
            case "POST", ["auth", "access-token", "refresh"]:
                _require(body, "refresh_token")
                if body["refresh_token"] not in self._refresh_tokens:
                    raise Refused(401, "Invalid refresh token")
            case _:
                raise Refused(404, "Not Found")
        access, refresh = (f"{kind}-{uuid.uuid4().hex}" for kind in ("access", "refresh"))
        self._tokens[access] = self.clock() + self.token_seconds
        self._refresh_tokens.add(refresh)
        ends = datetime.now(UTC) + timedelta(seconds=self.token_seconds)
        return {
            "accessToken": access,
            "refreshToken": refresh,
            "expires": ends.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "expiresIn": int(self.token_seconds),
        }

    def _list(self, query: dict[str, str]) -> dict[str, object]:
        page, size = (_number(query, name, default) for name, default in (("page", 1), ("page_size", _PAGE)))
        if size > _LONGEST_PAGE:
            raise _unfit(["query", "page_size"], f"Input should be less than or equal to {_LONGEST_PAGE}", str(size))
        part = query.get("partial_name", "").lower()
        connectors, statuses = (query[name].split(",") if name in query else None for name in ("connector", "status"))
        fitting = [
            source
            for source in self.sources
            if part in source.name.lower()
            and (connectors is None or source.connector in connectors)
            and (statuses is None or self.status(source) in statuses)
        ]
        return self._page(fitting, query, page, size, len(self.sources))

    def _page(
        self, sources: list[Source], query: dict[str, str], page: int, size: int, total: int
    ) -> dict[str, object]:
        return _envelope([self._told(source, query) for source in sources], page, size, total)

    # Destinations and pipelines

    def _answer_behind(
        self, kind: str, method: str, rest: list[str], body: dict[str, object], query: dict[str, str]
    ) -> object:
        entities = self.destinations if kind == "destinations" else self.pipelines
        tell = self._told_destination if kind == "destinations" else self._told_pipeline
        match method, rest:
            case "GET", []:
                page, size = (_number(query, name, default) for name, default in (("page", 1), ("page_size", _PAGE)))
                part = query.get("partial_name", "").lower()
                found = [entity for entity in entities if part in entity.name.lower()]
                return _envelope([tell(entity, query) for entity in found], page, size, len(entities))
            case "GET", ["connectors"] if kind == "destinations":
                return [{"connector": query.get("connector_code"), "config": streamkap_pipelines.described()}]
            case "POST", []:
                _require(
                    body, "name", *(("connector", "config") if kind == "destinations" else ("source", "destination"))
                )
                if any(entity.name == body["name"] for entity in entities):
                    raise Refused(422, f"Name {body['name']} already exists")
                made = self._changed_behind(kind, f"{next(self._numbers):024x}", body)
                entities.append(made)
                return tell(made, query)
        entity = next((one for one in entities if one.id == rest[0]), None)
        if entity is None:
            raise Refused(404, "Entity not found")
        match method, rest[1:]:
            case "GET", []:
                return _envelope([tell(entity, query)], 1, _PAGE, 1)
            case "PUT", []:
                changed = self._changed_behind(kind, entity.id, body)
                if body.get("tags") is None:
                    changed.tags = entity.tags
                if kind == "destinations":
                    changed.desired_state = entity.desired_state
                entities[entities.index(entity)] = changed
                return tell(changed, query)
            case "DELETE", []:
                if kind == "destinations":
                    self._check_unused("destination_id", entity.id, "Destination")
                entities.remove(entity)
                return tell(entity, query) if kind == "destinations" else {}
            case "POST", ["actions", action] if kind == "destinations" and action in _ACTIONS:
                entity.desired_state = _ACTIONS[action]
                entity.error = None
                return tell(entity, query)
        raise Refused(404, "Not Found")

    def _changed_behind(self, kind: str, entity_id: str, body: dict[str, object]) -> Destination | Pipeline:
        if kind == "destinations":
            config = body["config"]
            if wrong := streamkap_pipelines.complaints(config):
                raise Refused(422, wrong)
            if lacking := streamkap_pipelines.missing(config):
                raise Refused(400, f"Missing required fields: {', '.join(lacking)}")
            return Destination(
                entity_id,
                body["name"],
                streamkap_pipelines.kept(config),
                body["connector"],
                desired_state=body.get("desired_state") or "Active",
                tags=list(body.get("tags") or []),
            )
        source, destination = body["source"], body["destination"]
        for part in (source, destination):
            if missing_keys := [key for key in ("id", "name", "connector") if not part.get(key)]:
                raise _unfit(["body", *missing_keys], "Field required", part)
        topics = list(source.get("topics") or [])
        known = self._find(source["id"])
        if strangers := sorted(set(topics) - set(known.tables)):
            raise Refused(400, f"Topics not found for this source: {', '.join(strangers)}")
        if not any(one.id == destination["id"] for one in self.destinations):
            raise Refused(404, "Destination not found")
        kept = ("snapshot_new_tables", "transforms", "topic_auto_discovery_transforms", "periodic_audit")
        more = {key: body[key] for key in kept if body.get(key) is not None}
        return Pipeline(
            entity_id, body["name"], source["id"], destination["id"], topics, list(body.get("tags") or []), **more
        )

    def _told_destination(self, destination: Destination, query: dict[str, str]) -> dict[str, object]:
        topics = [
            f"source_{pipeline.source_id}.{topic}"
            for pipeline in self.pipelines
            if pipeline.destination_id == destination.id
            for topic in pipeline.topics
        ]
        return streamkap_pipelines.told_destination(destination, topics, _flag(query, "secret_returned", False))

    def _told_pipeline(self, pipeline: Pipeline, query: dict[str, str]) -> dict[str, object]:
        source = next(source for source in self.sources if source.id == pipeline.source_id)
        destination = next(one for one in self.destinations if one.id == pipeline.destination_id)
        return streamkap_pipelines.told_pipeline(
            pipeline, self._told(source, query), self._told_destination(destination, query)
        )

    def _check_unused(self, key: str, entity_id: str, noun: str) -> None:
        users = [pipeline.name for pipeline in self.pipelines if getattr(pipeline, key) == entity_id]
        if users:
            raise Refused(409, f"{noun} is used by pipelines: {', '.join(users)}")

    def _create(self, body: dict[str, object], query: dict[str, str]) -> dict[str, object]:
        config = self._checked(body)
        if body.get("created_from") not in _ORIGINS:
            raise _unfit(["body", "created_from"], "Input should be 'terraform', 'web' or 'api'", body["created_from"])
        desired = body.get("desired_state") or "Active"
        if desired not in _DESIRED:
            raise _unfit(["body", "desired_state"], f"Input should be one of {', '.join(_DESIRED)}", desired)
        self._check_unique(body["name"], None)
        source = Source(
            f"{next(self._numbers):024x}",
            body["name"],
            config,
            created_from=body.get("created_from", "api"),
            desired_state=desired,
            tags=list(body.get("tags") or []),
            kc_cluster_id=body.get("kc_cluster_id"),
        )
        self._check_place(source)
        self.sources.append(source)
        self._start(source, query)
        return self._told(source, query)

    def _update(self, source: Source, body: dict[str, object], query: dict[str, str]) -> dict[str, object]:
        config = self._checked(body)
        self._check_unique(body["name"], source)
        for key in SET_ONCE:
            if config[key] != source.config[key]:
                raise Refused(400, f"Property {key} can not be changed once it is set")
        key = "ssh.public.key.user.displayed"
        changed = Source(source.id, body["name"], {**config, key: source.config.get(key)})
        self._check_place(changed)
        source.name, source.config = changed.name, changed.config
        if body.get("tags") is not None:
            source.tags = list(body["tags"])
        if source.desired_state == "Active":
            self._start(source, query)
        return self._told(source, query)

    def _checked(self, body: dict[str, object]) -> Config:
        """The configuration of a body, complete."""
        _require(body, "name", "connector", "config")
        if body["connector"] != "postgresql":
            raise Refused(400, f"Connector {body['connector']} is not supported")
        config = body["config"]
        if not isinstance(config, dict):
            raise _unfit(["body", "config"], "Input should be a valid dictionary", config)
        if wrong := complaints(config):
            raise Refused(422, wrong)
        if lacking := missing(config):
            raise Refused(400, f"Missing required fields: {', '.join(lacking)}")
        if config.get("ssh.enabled") and not config.get("ssh.host"):
            raise Refused(400, "Missing required fields: ssh.host")
        complete = completed(config)
        for port in ("database.port.user.defined", "ssh.port"):
            complete[port] = int(complete[port])
        return without_void(complete)

    def _check_unique(self, name: object, but: Source | None) -> None:
        if any(source.name == name for source in self.sources if source is not but):
            raise Refused(409, "Entity with this name already exists")

    def _check_place(self, source: Source) -> None:
        if any(other.place == source.place for other in self.sources if other.id != source.id):
            raise Refused(
                400,
                "Replication Slot Name and Publication Name already exist for another source of this database. "
                "Use other names.",
            )

    def _delete(self, source: Source, query: dict[str, str]) -> dict[str, object]:
        self._check_unused("source_id", source.id, "Source")
        _halt(source)
        source.removed_at = self.clock() + self.delete_seconds
        if not self.delete_seconds:
            self.sources.remove(source)
        return self._told(source, query)

    def _act(self, source: Source, action: str, query: dict[str, str]) -> dict[str, object]:
        if action not in _ACTIONS:
            raise _unfit(["path", "action"], f"Input should be one of {', '.join(_ACTIONS)}", action)
        if self.clock() < source.deployed_at:
            said = {"error_code": 404, "message": f"No status found for connector source_{source.id}"}
            raise Refused(500, f"Kafka Connect API call failed with status code 404 and response {said}")
        source.desired_state = _ACTIONS[action]
        if source.desired_state == "Active":
            self._start(source)
        else:
            _halt(source)
        return self._told(source, query)

    def _snapshot(self, body: dict[str, object]) -> dict[str, object]:
        _require(body, "source_id")
        source = self._find(str(body["source_id"]))
        kind = body.get("snapshot_type") or "incremental"
        if kind not in ("incremental", "blocking"):
            raise _unfit(["body", "snapshot_type"], "Input should be 'incremental' or 'blocking'", kind)
        if kind == "blocking" and (body.get("additional_conditions") or body.get("surrogate_key")):
            raise Refused(400, "additional_conditions and surrogate_key are of incremental snapshots only")
        for number, condition in enumerate(body.get("additional_conditions") or []):
            for name in ("data_collection", "filter"):
                if not isinstance(condition.get(name), str):
                    raise _unfit(["body", "additional_conditions", number, name], "Field required", condition)
        topics = body.get("topic_names") or source.topics
        if strangers := sorted(set(topics) - set(source.topics)):
            raise Refused(400, f"Topics not found for this source: {', '.join(strangers)}")
        if self.status(source) != "Active":
            raise Refused(400, f"Source is {self.status(source)}: a snapshot needs one that is Active")
        if self._snapshotting(source):
            raise Refused(409, "A snapshot is already in progress for this source")
        prefix = f"source_{source.id}."
        tables = [topic.removeprefix(prefix) for topic in topics]
        order = {**body, "snapshot_type": kind, "topics": topics, "tables": tables, "at": self.clock()}
        if source.running:
            try:
                source.running.snapshot(order)
            except Exception as error:
                raise Refused(500, f"Snapshot could not be triggered: {error}") from error
        source.snapshots.append({**order, "status": "running"})
        source.snapshot_until = self.clock() + self.snapshot_seconds
        return {"message": "Snapshot has been triggered"}

    def _stop_snapshot(self, body: dict[str, object]) -> dict[str, object]:
        _require(body, "source_id")
        source = self._find(str(body["source_id"]))
        if not self._snapshotting(source):
            raise Refused(404, "No snapshot is running for this source")
        if source.running:
            source.running.stop_snapshot()
        source.snapshots[-1]["status"] = "cancelled"
        return {"message": "Snapshot has been stopped"}

    def _snapshotting(self, source: Source) -> bool:
        """Whether one runs; takes note when it is over."""
        if not source.snapshots or source.snapshots[-1]["status"] != "running":
            return False
        last = source.snapshots[-1]
        if not (source.running.snapshotting if source.running else self.clock() < source.snapshot_until):
            last["status"] = self.snapshots_end
        return last["status"] == "running"

    def _metrics(self, source: Source, query: dict[str, str]) -> dict[str, object]:
        """The latest; over a time nobody asks for them."""
        if query.get("time_type") != "latest":
            raise Refused(400, "Only the latest metrics are here")
        self._snapshotting(source)
        known = [order for order in source.snapshots if self.clock() >= order["at"] + self.metrics_seconds]
        last = known[-1] if known else None
        streams = self.status(source) == "Active"
        states = {topic: order["status"] for order in known for topic in order["topics"]}
        return {
            "data": {
                "state": "Streaming" if streams else None,
                "streamingState": "connected" if streams else "disconnected",
                "StreamingConnected": int(streams),
                "SnapshotRunning": int(bool(last) and last["status"] == "running"),
                "snapshotState": last["status"] if last else None,
                "snapshotStatus": [
                    {"topic_id": topic, "status": status, "submit_timestamp": None} for topic, status in states.items()
                ],
            }
        }

    def _find(self, source_id: str) -> Source:
        for source in self.sources:
            if source.id == source_id:
                return source
        raise Refused(404, "Entity not found")

    def _start(self, source: Source, query: dict[str, str] | None = None) -> None:
        """Starts it anew, if it is to be active."""
        _halt(source)
        if source.desired_state != "Active":
            return
        source.starts += 1
        source.error = self.error or (source.error if source.starts == 1 else None)
        later = 0.0 if _flag(query or {}, "wait", True) else self.deploy_seconds
        source.deployed_at = self.clock() + later
        source.started_at = source.deployed_at
        if self.on_start and not source.error:
            try:
                source.running = self.on_start(source)
            except Exception as error:
                source.error = str(error)

    def _told(self, source: Source, query: dict[str, str]) -> dict[str, object]:
        status = self.status(source)
        config = {
            **source.config,
            "ssh.public.key.user.displayed": source.config["ssh.public.key.user.displayed"] or self.public_key,
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": source.config["database.hostname.user.defined"],
            "database.port": str(source.config["database.port.user.defined"]),
        }
        for port in ("database.port.user.defined", "ssh.port"):
            config[port] = None if config[port] is None else str(config[port])
        if not _flag(query, "secret_returned", False):
            config.update(dict.fromkeys(SECRETS))
        return {
            "id": source.id,
            "name": source.name,
            "connector": source.connector,
            "connector_display_name": "PostgreSQL",
            "created_timestamp": "2026-01-01T00:00:00Z",
            "created_from": source.created_from,
            "sub_id": "sub-of-the-tests",
            "tenant_id": "tenant-of-the-tests",
            "service_id": "service-of-the-tests",
            "config": config,
            "topic_ids": [f"{source.id}-{number}" for number in range(len(source.topics))],
            "topic_map": {},
            "topics": source.topics,
            "tasks": [0],
            "connector_status": status,
            "desired_state": "Pending Delete" if source.removed_at is not None else source.desired_state,
            "task_statuses": self._tasks(source, status) if source.task_statuses is ... else source.task_statuses,
            "tags": source.tags,
            "kc_cluster_id": source.kc_cluster_id,
        }

    @staticmethod
    def _tasks(source: Source, status: str) -> dict[str, object]:
        worker = {"worker_id": "10.0.0.7:8083"}
        match status:
            case "Active":
                return {"0": {"state": "RUNNING", **worker}}
            case "Broken":
                return {"0": {"state": "FAILED", "trace": source.error, **worker}}
            case "Paused":
                return {"0": {"state": "PAUSED", **worker}}
            case "Starting":
                return {"0": {"state": "UNASSIGNED", **worker}}
        return {}

    def _in_time(self) -> bool:
        if not self.limit:
            return True
        count, seconds = self.limit
        now = self.clock()
        while self._times and now - self._times[0] >= seconds:
            self._times.popleft()
        if len(self._times) >= count:
            self.refused_for_pace += 1
            return False
        self._times.append(now)
        return True


def _envelope(told: list[object], page: int, size: int, total: int) -> dict[str, object]:
    begin, end = (page - 1) * size, page * size
    return {
        "result": told[begin:end],
        "page": page,
        "page_size": size,
        "total": total,
        "has_next": end < len(told),
    }


def _halt(source: Source) -> None:
    if source.running:
        source.running.stop()
        source.running = None


def _is_id(part: str) -> bool:
    return len(part) == 24 and all(letter in "0123456789abcdef" for letter in part)


def _require(body: dict[str, object], *names: str) -> None:
    """The complaint holds the whole body, as FastAPI's does, whatever secrets are in it."""
    lacking = [
        {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": body}
        for name in names
        if not body.get(name)
    ]
    if lacking:
        raise Refused(422, lacking)


def _unfit(where: list[str | int], message: str, value: object) -> Refused:
    return Refused(422, [{"type": "value_error", "loc": where, "msg": message, "input": value}])


def _flag(query: dict[str, str], name: str, default: bool) -> bool:
    text = query.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise _unfit(["query", name], "Input should be a valid boolean, unable to interpret input", text)
    return text == "true"


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise _unfit(["query", name], "Input should be greater than or equal to 1", text)
    return int(text)
