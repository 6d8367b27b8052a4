# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A pipeline in Streamkap: which topics of a source go to which destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._sql import listed
from .._streamkap_api import StreamkapApi
from .connector import Asked, ConnectorWork
from .entities import DESTINATION, PIPELINE, SOURCE, Entities, Kind, resolve_tags
from .fields import FIELDS
from .plan import ABSENT, PRESENT, RUNNING, Plan, plan_tags
from .told import describe_connector, is_halted, is_removed, is_undeployed

_PARTS = (SOURCE, DESTINATION)
# What PUT would remove if it were left out, and the options do not speak of.
_KEPT = ("transforms", "topic_auto_discovery_transforms", "periodic_audit", "tags")
_UNDEPLOYED_FOR = 10  # seconds to wait until what was never deployed is, now that there is a pipeline


@dataclass(frozen=True)
class DesiredPipeline:
    """What the options ask for.

    :param source, destination: names, or ids where ``by_id`` says so; None for those of the pipeline that is there.
    :param topics: ``schema.table``, or names of topics; None for all of the source's, or those that the pipeline has.
    :param snapshot_new_tables: None for true, or for what the pipeline has.
    :param tags: None leaves them, an empty list clears them.
    """

    name: str
    state: str = PRESENT
    parts: Mapping[Kind, str | None] = field(default_factory=dict)
    by_id: Mapping[Kind, str | None] = field(default_factory=dict)
    topics: list[str] | None = None
    snapshot_new_tables: bool | None = None
    tags: list[str] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> DesiredPipeline:
        """From the module's options.

        :raises Failure: for what cannot be meant, whatever Streamkap has.
        """
        desired = cls(
            parts={kind: options[kind.noun] for kind in _PARTS},
            by_id={kind: options["%s_id" % kind.noun] for kind in _PARTS},
            **{name: options[name] for name in ("name", "state", "topics", "snapshot_new_tables", "tags")},
        )
        if not desired.name.strip():
            raise Failure("name is empty.", hint="Give the pipeline a name.")
        if desired.topics == []:
            raise Failure("topics is empty.", hint="Name the tables, or leave it out.")
        return desired

    def gives(self, kind: Kind) -> bool:
        return bool(self.parts.get(kind) or self.by_id.get(kind))


def converge_pipeline(api: StreamkapApi, desired: DesiredPipeline, check_mode: bool, wait: bool = True) -> Outcome:
    """Look, plan, send what differs, look again, and wait for what comes of it.

    :param wait: whether to return only when the source and the destination run, or the pipeline is gone.
    """
    pipelines = Entities(api, PIPELINE)
    found = pipelines.find(desired.name)
    if desired.state == ABSENT:
        return _remove(pipelines, desired, found, check_mode, wait)
    desired = replace(desired, tags=resolve_tags(api, desired.tags))
    parts, missing = _read_parts(api, desired, found, check_mode)
    todo = plan_pipeline(desired, parts, found)
    warnings = missing + todo.warnings + ["%s The task refuses that. %s" % objection for objection in todo.objections]
    if todo.objections and not check_mode:
        raise Failure(
            "%s Nothing was changed." % " ".join(sentence for sentence, _remedy in todo.objections),
            hint=" ".join(remedy for _sentence, remedy in todo.objections),
            pipeline=describe_pipeline(found, desired.name),
        )
    requests: list[dict[str, Any]] = []
    if todo.changes:
        body = _body(todo, parts, found)
        method, where = ("PUT", "/pipelines/%s" % found["id"]) if found else ("POST", "/pipelines")
        requests = [{"method": method, "path": where, "body": body}]
        if check_mode:
            found = {**body, "id": (found or {}).get("id")}
        elif found:
            pipelines.update(found["id"], body)
        else:
            found = pipelines.create(body)
        if not check_mode:
            found = _look_again(pipelines, desired, parts, found or {}, warnings)
    if wait and not check_mode:
        warnings += _wait(api, parts)
        found = pipelines.read((found or {})["id"]) or found
    return Outcome(
        changed=todo.changes,
        before=todo.before,
        after=todo.after,
        warnings=warnings,
        result={"pipeline": describe_pipeline(found, desired.name), "requests": requests},
    )


def plan_pipeline(
    desired: DesiredPipeline, parts: Mapping[Kind, Mapping[str, Any]], found: Mapping[str, Any] | None
) -> Plan:
    """Plan what is to be sent. Pure.

    :param parts: the source and the destination.
    :param found: the pipeline of this name, as Streamkap tells it.
    """
    made = Plan(made=found is None)
    source = parts[SOURCE]
    topics = None
    if desired.topics is not None:
        topics = list(dict.fromkeys(_table_of(topic, source) for topic in desired.topics))
        known = _tables_of(source)
        strangers = [topic for topic in topics if topic not in known and topic not in _configured_tables(source)]
        if known and strangers:
            raise Failure(
                "topics: the source %s has no topic of %s." % (source.get("name"), listed(strangers)),
                hint="It has: %s. A table that is not among them is to be in the source's table_include_list first."
                % listed(known),
            )
    if found is None:
        made.top["topics"] = _tables_of(source) if topics is None else topics
        if not made.top["topics"] and source.get("id"):
            raise Failure(
                "The source %s has no topics yet." % source.get("name"), hint="Name the tables in topics, or run again."
            )
        made.top["snapshot_new_tables"] = desired.snapshot_new_tables is not False
        made.after = {"name": desired.name, **{kind.noun: parts[kind].get("name") for kind in _PARTS}, **made.top}
        if desired.tags is not None:
            made.top["tags"] = made.after["tags"] = desired.tags
        return made
    _compare(made, desired, topics, found)
    for kind in _PARTS:
        now = found.get(kind.noun) or {}
        if desired.gives(kind) and now.get("id") != parts[kind].get("id"):
            made.before[kind.noun], made.after[kind.noun] = now.get("name"), parts[kind].get("name")
            made.objections.append(
                (
                    "The pipeline %s has the %s %s, and %s is asked for."
                    % (desired.name, kind.noun, now.get("name"), parts[kind].get("name")),
                    "Choose another name, or remove the pipeline first (state: absent).",
                )
            )
    return made


def _compare(made: Plan, desired: DesiredPipeline, topics: list[str] | None, found: Mapping[str, Any]) -> None:
    source = found.get("source") or {}
    if topics is not None:
        now = [_table_of(str(topic), source) for topic in source.get("topics") or []]
        same = sorted(now) == sorted(topics)
        made.before["topics"], made.after["topics"] = now, now if same else topics
        if not same:
            made.top["topics"] = topics
    if desired.snapshot_new_tables is not None:
        told = found.get("snapshot_new_tables")
        made.before["snapshot_new_tables"], made.after["snapshot_new_tables"] = told, desired.snapshot_new_tables
        if told != desired.snapshot_new_tables:
            made.top["snapshot_new_tables"] = desired.snapshot_new_tables
    plan_tags(made, desired.tags, found)


def _table_of(topic: str, source: Mapping[str, Any]) -> str:
    """A topic as a pipeline has it: without the source's id in front."""
    prefix = "source_%s." % source.get("id")
    return topic[len(prefix) :] if topic.startswith(prefix) else topic


def _tables_of(source: Mapping[str, Any]) -> list[str]:
    """All that a source captures. Topics may be told only once there were changes."""
    return [_table_of(str(topic), source) for topic in source.get("topics") or []] or _configured_tables(source)


def _configured_tables(source: Mapping[str, Any]) -> list[str]:
    tables = FIELDS["table_include_list"]
    return tables.meant((source.get("config") or {}).get(tables.key)) or []


def _read_parts(
    api: StreamkapApi, desired: DesiredPipeline, found: Mapping[str, Any] | None, check_mode: bool
) -> tuple[dict[Kind, dict[str, Any]], list[str]]:
    """Read the source and the destination.

    :returns: those, and what lacks of them in check mode, where an earlier task may only have said that it would create it.
    """
    parts: dict[Kind, dict[str, Any]] = {}
    warnings: list[str] = []
    for kind in _PARTS:
        entities = Entities(api, kind)
        told = (found or {}).get(kind.noun) or {}
        name, by_id = desired.parts.get(kind), desired.by_id.get(kind)
        if not desired.gives(kind):
            if not told.get("id"):
                raise Failure(
                    "There is no pipeline %s in Streamkap, and to make one it takes %s." % (desired.name, kind.noun),
                    hint="Give that too. Or is it called otherwise, or does it belong to another project than the API token?",
                )
            by_id = str(told["id"])
        part = entities.read(by_id) if by_id else entities.find(name or "")
        if part is None or is_removed(part):
            failure = Failure(
                "There is no %s %s in Streamkap." % (kind.noun, name or by_id)
                if part is None
                else "Streamkap is about to remove the %s %s (Pending Delete)." % (kind.noun, part.get("name")),
                hint="Is it called otherwise, or does it belong to another project than the API token?",
            )
            if not check_mode:
                raise failure
            warnings.append("%s The task would fail, unless an earlier one changes that." % failure.msg)
            part = {"id": by_id, "name": name, "connector": None}
        parts[kind] = part
    return parts, warnings


def _body(todo: Plan, parts: Mapping[Kind, Mapping[str, Any]], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """All of the pipeline with what is new in it: a PUT takes the place of what was there."""
    told = found or {}
    ends = {kind.noun: {key: parts[kind].get(key) for key in ("id", "name", "connector")} for kind in _PARTS}
    ends["source"]["topics"] = todo.top.get("topics", (told.get("source") or {}).get("topics") or [])
    kept = {key: told[key] for key in _KEPT if told.get(key) is not None}
    if isinstance(told.get("snapshot_new_tables"), bool):
        kept["snapshot_new_tables"] = told["snapshot_new_tables"]
    name = told.get("name") or todo.after.get("name")
    new = {"transforms": [], "created_from": "api"} if found is None else {}
    top = {key: value for key, value in todo.top.items() if key != "topics"}
    return {"name": name, **ends, **new, **kept, **top}


def _look_again(
    pipelines: Entities,
    desired: DesiredPipeline,
    parts: Mapping[Kind, Mapping[str, Any]],
    made: Mapping[str, Any],
    warnings: list[str],
) -> dict[str, Any]:
    found = pipelines.read(made["id"])
    if found is None:
        raise Failure("The pipeline %s was there, and is gone." % desired.name, hint="Run again.")
    seen = plan_pipeline(desired, parts, found)
    untold = [name for name in seen.top if found.get(name) is None and name != "topics"]
    lost = [name for name in seen.top if name not in untold]
    if lost:
        raise Failure(
            "Streamkap accepted the pipeline %s, and does not have now what was sent: %s."
            % (desired.name, listed(lost)),
            hint="Somebody else may have changed it meanwhile. Look at it in Streamkap, and run again.",
            pipeline=describe_pipeline(found, desired.name),
        )
    if untold:
        warnings.append("Streamkap accepted the pipeline %s, and does not tell: %s." % (desired.name, listed(untold)))
    return found


def _wait(api: StreamkapApi, parts: Mapping[Kind, Mapping[str, Any]]) -> list[str]:
    """Return when the source and the destination run.

    :returns: why rows do not go through all the same.
    """
    warnings: list[str] = []
    for kind in _PARTS:
        entities = Entities(api, kind)
        since = api.clock()
        while True:
            found = entities.read(parts[kind]["id"])
            if found is None:
                raise Failure("The %s %s was there, and is gone." % (kind.noun, parts[kind].get("name")))
            if not is_undeployed(found) or api.clock() >= since + _UNDEPLOYED_FOR:
                break
            api.sleep(1)
        name = str(found.get("name"))
        idle = (
            str(found.get("connector_status"))
            if is_halted(found)
            else "saved, and was never deployed"
            if is_undeployed(found)
            else None
        )
        if idle:
            warnings.append(
                "The %s %s is %s, so nothing goes through the pipeline. streamkap.neon.streamkap_%s starts it (state: running)."
                % (kind.noun, name, idle, kind.noun)
            )
            continue
        work = ConnectorWork(entities, _running(api, name, str(found.get("connector"))), Plan(), found)
        work.wait()
        warnings += work.warnings
    return warnings


def _running(api: StreamkapApi, name: str, connector: str) -> Asked:
    return Asked(
        name=name,
        state=RUNNING,
        connector=connector,
        secrets={},
        compare=lambda _seen: Plan(),
        describe=lambda seen: describe_connector(seen, name, api.hide),
    )


def _remove(
    pipelines: Entities, desired: DesiredPipeline, found: Mapping[str, Any] | None, check_mode: bool, wait: bool
) -> Outcome:
    gone = describe_pipeline(None, desired.name)
    if found is None:
        return Outcome(before={}, after={}, result={"pipeline": gone, "requests": []})
    where = "/pipelines/%s" % found["id"]
    if not check_mode:
        pipelines.delete(found["id"])
        if wait:
            pipelines.wait_until_gone(found["id"], desired.name)
    before = {"name": desired.name, **{kind.noun: (found.get(kind.noun) or {}).get("name") for kind in _PARTS}}
    return Outcome(
        changed=True,
        before=before,
        after={},
        result={"pipeline": gone, "requests": [{"method": "DELETE", "path": where}]},
    )


def describe_pipeline(found: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A pipeline in plain types, without what is secret of its source and destination."""
    if found is None:
        return {"name": name, "exists": False}
    ends = {kind: found.get(kind.noun) or {} for kind in _PARTS}
    return {
        "name": found.get("name", name),
        "exists": True,
        "id": found.get("id"),
        **{
            kind.noun: {
                "id": end.get("id"),
                "name": end.get("name"),
                "connector": end.get("connector"),
                "status": end.get("connector_status"),
            }
            for kind, end in ends.items()
        },
        "topics": [_table_of(str(topic), ends[SOURCE]) for topic in ends[SOURCE].get("topics") or []],
        "snapshot_new_tables": found.get("snapshot_new_tables"),
        "tags": [str(tag) for tag in found.get("tags") or []],
    }
