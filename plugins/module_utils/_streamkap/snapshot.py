# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A snapshot that Streamkap takes of a source's tables, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._http import path
from .._sql import listed
from .._streamkap_api import StreamkapApi, Unknown, is_gone, message_of, status_of
from .entities import SOURCE, Entities
from .told import ACTIVE

INCREMENTAL, BLOCKING = TYPES = ("incremental", "blocking")

# What the metrics say of a topic's snapshot that is over, as far as is known; anything else goes on.
_COMPLETED, _FAILED = ("completed",), ("failed", "error", "cancelled", "canceled", "stopped", "aborted")

_LONGEST_PAUSE = 15.0  # seconds between two looks
# For so many seconds after the order, what is said of a topic may be of an earlier snapshot.
_EARLIER_FOR = 30

_ORDERED, _RUNNING_ALREADY, _DONE = "ordered", "already running", "completed"
_STOPPED, _NONE_RUNS = "stopped", "not running"


@dataclass(frozen=True)
class Order:
    """
    :param source: the source's name; or its id in ``source_id``.
    :param tables: ``schema.table``, or names of topics; None for all of the source.
    :param filters: a condition in SQL for each table that is not read as a whole.
    :param surrogate_key: the column that rows are read in the order of, where there is no primary key.
    """

    source: str | None = None
    source_id: str | None = None
    tables: list[str] | None = None
    snapshot_type: str = INCREMENTAL
    filters: Mapping[str, str] = field(default_factory=dict)
    surrogate_key: str | None = None

    def __post_init__(self) -> None:
        if self.tables is not None and not self.tables:
            raise Failure("tables is empty.", hint="Name the tables, or leave it out to read all of the source.")
        given = [name for name, value in (("filters", self.filters), ("surrogate_key", self.surrogate_key)) if value]
        if self.snapshot_type == BLOCKING and given:
            raise Failure(
                "%s goes with incremental snapshots only, and snapshot_type is blocking." % " and ".join(given),
                hint="Leave it out, or set snapshot_type: incremental.",
            )
        empty = [table for table, condition in self.filters.items() if not str(condition or "").strip()]
        if empty:
            raise Failure(
                "filters holds no condition for %s." % listed(empty), hint="Write one, or leave the table out."
            )


@dataclass(frozen=True)
class Standing:
    """Where the snapshots of a source stand.

    :param topics: what is said of each topic: its status, and the rest of it, by which one snapshot is told from another.
    :param runs: whether one runs, by whatever is said.
    :param is_running: whether the connector says that one runs, whatever is said of the topics.
    """

    topics: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    runs: bool = False
    is_running: bool = False


def find_source(api: StreamkapApi, wanted: Order) -> dict[str, Any] | None:
    sources = Entities(api, SOURCE)
    return sources.read(wanted.source_id) if wanted.source_id else sources.find(wanted.source or "")


def order(api: StreamkapApi, wanted: Order, check_mode: bool, wait: bool = False) -> Outcome:
    """Order a snapshot.

    :param wait: whether one that already runs is waited for first, and then this one.
    """
    named = wanted.source or wanted.source_id or ""
    found = find_source(api, wanted)
    problem = _problem(found, named)
    if problem:
        if not check_mode:
            raise problem
        warning = "%s The task would fail, unless an earlier one changes that." % problem.msg
        return Outcome(changed=True, warnings=[warning], result=_result(found, wanted, _ORDERED, []))
    topics = _topics(found or {}, wanted)
    body = _body(found or {}, wanted, topics)
    requests = [{"method": "POST", "path": "/sources/snapshot", "body": body}]
    if check_mode:
        return Outcome(changed=True, result=_result(found, wanted, _ORDERED, topics, requests))
    return _Ordering(api, found or {}, wanted, topics, body, requests).carry_out(wait)


def stop(api: StreamkapApi, wanted: Order, check_mode: bool, wait: bool = False) -> Outcome:
    """Stop the snapshot that runs, or of an incremental one the part that reads some tables.

    :param wait: whether to return only when none runs any more.
    """
    found = find_source(api, wanted)
    if found is None:
        missing = _problem(found, wanted.source or wanted.source_id or "")
        if not check_mode:
            raise missing
        return Outcome(warnings=[missing.msg], result=_result(found, wanted, _NONE_RUNS, []))
    topics = _topics(found, wanted)
    where, body = "/sources/cancel_snapshot", {"source_id": found.get("id")}
    if wanted.tables is not None:
        where, body = "/sources/stop_incremental_snapshot", {**body, "topic_names": topics}
    requests = [{"method": "POST", "path": where, "body": body}]
    if check_mode:
        runs = read_standing(api, found["id"]).runs
        status = _STOPPED if runs else _NONE_RUNS
        return Outcome(changed=runs, result=_result(found, wanted, status, topics, requests if runs else []))
    try:
        api.change("POST", where, body)
    except Unknown:
        raise
    except Failure as failure:
        if not is_gone(failure) and "no snapshot" not in message_of(failure).lower():
            raise
        return Outcome(result=_result(found, wanted, _NONE_RUNS, topics))
    deadline = api.clock() + api.patience
    looks = 0
    while wait and read_standing(api, found["id"]).runs:
        if api.clock() >= deadline:
            raise Failure(
                "Streamkap accepted to stop the snapshot of the source %s, and one still runs after %d seconds."
                % (found.get("name"), api.patience),
                hint="Look at it in Streamkap. A part that is being read is read to its end.",
            )
        looks = api.pause(looks, deadline, _LONGEST_PAUSE)
    return Outcome(changed=True, result=_result(found, wanted, _STOPPED, topics, requests))


class _Ordering:
    def __init__(
        self,
        api: StreamkapApi,
        found: Mapping[str, Any],
        wanted: Order,
        topics: list[str],
        body: dict[str, Any],
        requests: list[dict[str, Any]],
    ) -> None:
        self.api = api
        self.found = found
        self.wanted = wanted
        self.topics = topics
        self.body = body
        self.requests = requests
        self.deadline = api.clock() + api.patience

    def carry_out(self, wait: bool) -> Outcome:
        looks = 0
        while True:
            before = self._look()
            if self._order(before):
                break
            if not wait:
                return Outcome(
                    warnings=[
                        "A snapshot of the source %s runs already, and Streamkap takes one at a time: nothing was ordered."
                        % self._name
                    ],
                    result=_result(self.found, self.wanted, _RUNNING_ALREADY, self.topics),
                )
            if self.api.clock() >= self.deadline:
                raise Failure(
                    "Another snapshot of the source %s still runs after %d seconds, and nothing was ordered."
                    % (self._name, self.api.patience),
                    hint="Run again later, raise streamkap_wait_timeout, or stop that one in Streamkap.",
                )
            looks = self._pause(looks)
        if wait:
            self._wait(before)
        status = _DONE if wait else _ORDERED
        return Outcome(changed=True, result=_result(self.found, self.wanted, status, self.topics, self.requests))

    @property
    def _name(self) -> Any:
        return self.found.get("name")

    def _order(self, before: Standing) -> bool:
        """:returns: whether it was ordered; not, where another one runs."""
        try:
            self.api.change("POST", "/sources/snapshot", self.body, repeatable=False)
        except Unknown as unknown:
            # Where none ran before and one runs now, it is this one.
            if before.runs or not self._look().runs:
                raise unknown.adding("Looked at afterwards, no snapshot was seen to run for it.") from None
        except Failure as failure:
            if status_of(failure) == 409:
                return False
            raise
        return True

    def _look(self) -> Standing:
        return read_standing(self.api, self.found["id"])

    def _wait(self, before: Standing) -> None:
        """Return when all that was ordered is read."""
        ordered_at = self.api.clock()
        fresh: set[str] = set()
        looks = 0
        while True:
            seen = self._look()
            now = seen.topics
            # Where a snapshot runs, it is this one, and what is said as before is of an earlier one.
            late = self.api.clock() >= ordered_at + _EARLIER_FOR and not seen.is_running
            for topic in self.topics:
                said = now.get(topic)
                if said and (late or said != before.topics.get(topic) or said[0] not in _COMPLETED + _FAILED):
                    fresh.add(topic)
            statuses = {topic: now[topic][0] if topic in fresh and topic in now else None for topic in self.topics}
            failed = ["%s (%s)" % (topic, status) for topic, status in statuses.items() if status in _FAILED]
            if failed:
                raise Failure(
                    "The snapshot of the source %s has not read all of its tables: %s." % (self._name, listed(failed)),
                    hint="Look at the source's status with streamkap.neon.streamkap_source_info, and at its log in Streamkap. %s"
                    % _IN_THE_WAY,
                )
            if all(status in _COMPLETED for status in statuses.values()) and not seen.is_running:
                return
            if self.api.clock() >= self.deadline:
                left = [
                    "%s (%s)" % (topic, status or "not told")
                    for topic, status in statuses.items()
                    if status not in _COMPLETED
                ]
                raise Failure(
                    "The snapshot of the source %s is ordered, and has not ended within %d seconds: %s."
                    % (self._name, self.api.patience, listed(left)),
                    hint="It goes on: raise streamkap_wait_timeout to wait longer. %s" % _IN_THE_WAY,
                )
            looks = self._pause(looks)

    def _pause(self, looks: int) -> int:
        return self.api.pause(looks, self.deadline, _LONGEST_PAUSE)


_IN_THE_WAY = "Where nothing is read at all, streamkap.neon.readiness_info tells whether the signal table is published and writable."


def standing(answer: Any) -> Standing:
    """From the metrics of a source."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        return Standing()
    told = data.get("snapshotStatus")
    topics = {
        str(item.get("topic_id")): (str(item.get("status") or "").lower(), str(item.get("submit_timestamp")))
        for item in (told if isinstance(told, list) else [])
        if isinstance(item, dict)
    }
    ended = ("", *_COMPLETED, *_FAILED)
    is_running = bool(data.get("SnapshotRunning"))
    return Standing(topics, is_running or any(status not in ended for status, _rest in topics.values()), is_running)


def read_standing(api: StreamkapApi, source_id: str) -> Standing:
    where = path("/sources/%s/metrics", source_id)
    try:
        return standing(api.get(where, time_type="latest", time_interval=1, time_unit="hour"))
    except Failure as failure:
        # There are none as long as nothing was captured.
        if is_gone(failure):
            return Standing()
        raise


def _problem(found: Mapping[str, Any] | None, named: str) -> Failure | None:
    if found is None:
        return Failure(
            "There is no source %s in Streamkap." % named,
            hint="Is it called otherwise, or does it belong to another project than the API token?",
        )
    if found.get("connector_status") != ACTIVE:
        return Failure(
            "The source %s is %s, and only one that is Active takes snapshots."
            % (found.get("name"), found.get("connector_status")),
            hint="Start it with streamkap.neon.streamkap_source (state: running), which waits until it runs.",
        )
    return None


def _topics(found: Mapping[str, Any], wanted: Order) -> list[str]:
    """The topics that the tables go to."""
    known = [str(topic) for topic in found.get("topics") or []]
    if wanted.tables is None:
        return known
    return list(dict.fromkeys(_topic_of(table, known, found, "tables") for table in wanted.tables))


def _topic_of(table: str, known: list[str], found: Mapping[str, Any], option: str) -> str:
    exactly = [topic for topic in known if topic in (table, "source_%s.%s" % (found.get("id"), table))]
    # The name of the database may be in between.
    fitting = exactly or [topic for topic in known if topic.endswith((".%s" % table, "_%s" % table))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise Failure(
            "%s: %s may be any of the topics %s." % (option, table, listed(fitting)),
            hint="Name the topic in its place.",
        )
    raise Failure(
        "%s: the source %s has no topic of %s." % (option, found.get("name"), table),
        hint="It has: %s. A table that is not among them is to be in the source's table_include_list first."
        % (listed(known) or "none yet"),
    )


def _body(found: Mapping[str, Any], wanted: Order, topics: list[str]) -> dict[str, Any]:
    known = [str(topic) for topic in found.get("topics") or []]
    outside = [table for table in wanted.filters if _topic_of(table, known, found, "filters") not in topics]
    if outside:
        raise Failure("filters holds what tables does not: %s." % listed(outside), hint="Add it to tables.")
    body: dict[str, Any] = {"source_id": found.get("id"), "snapshot_type": wanted.snapshot_type}
    if wanted.tables is not None:
        body["topic_names"] = topics
    if wanted.filters:
        body["additional_conditions"] = [
            {"data_collection": table, "filter": condition} for table, condition in wanted.filters.items()
        ]
    if wanted.surrogate_key:
        body["surrogate_key"] = wanted.surrogate_key
    return body


def _result(
    found: Mapping[str, Any] | None,
    wanted: Order,
    status: str,
    topics: list[str],
    requests: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "snapshot": {
            "source": (found or {}).get("name", wanted.source),
            "source_id": (found or {}).get("id", wanted.source_id),
            "snapshot_type": wanted.snapshot_type,
            "topics": topics,
            "status": status,
        },
        "requests": requests or [],
    }
