# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A PostgreSQL source in Streamkap: how it is configured, and whether it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._http import path
from .._sql import MASK, listed
from .._streamkap_api import StreamkapApi, Unknown, message_of
from .._text import printable
from .fields import FIELDS, NAMES, OPTION_OF, PASSWORD_KEY, PUBLIC_KEY, check, is_secret

CONNECTOR = "postgresql"

PRESENT, ABSENT, PAUSED, RUNNING = STATES = ("present", "absent", "paused", "running")

# What connector_status and desired_state may be, as far as it matters here.
_ACTIVE, _BROKEN, _PENDING, _HALTED = "Active", "Broken", "Pending", ("Paused", "Stopped")

# Which database a source is of.
_PLACE = ("database_hostname", "database_port", "database_dbname")

_FIRST_LOOK, _LONGEST_PAUSE = 1.0, 10.0  # seconds between two looks at what is awaited
# For so many seconds after a change, what is said of a source may be from before it.
_STALE_FOR = 30
_LONGEST_ERROR = 2000  # characters of a task's error

_POOLER = re.compile(r"^([^.]+)-pooler(\.|$)", re.IGNORECASE)
_NEON = re.compile(r"\.neon\.(tech|build)$", re.IGNORECASE)
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_PLAIN = re.compile(r"\w+")
_LONGEST_NAME = 63  # bytes, as PostgreSQL has it

_SIGNAL_TABLE = "streamkap_signal"

_READINESS = (
    "What the connector needs of the database is looked at by streamkap.neon.readiness_info: run it with this source's database, "
    "connector_user, publication and slot. It names what lacks and how to put it right."
)


@dataclass(frozen=True)
class Desired:
    """What the options ask for.

    :param fields: by the options of FIELDS, as the options have them; None empties one. What is not in it is left alone.
    :param config: further keys of the API.
    :param tags: None leaves them, an empty list clears them.
    :param adopt: whether a source of another database is taken over.
    """

    name: str
    state: str = PRESENT
    fields: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)
    update_password: str = "on_create"
    tags: list[str] | None = None
    kc_cluster_id: str | None = None
    adopt: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Desired:
        """From the module's options.

        :raises Failure: for what cannot be meant, whatever Streamkap has.
        """
        fields = {option: FIELDS[option].meant(options[option]) for option in FIELDS if options.get(option) is not None}
        config = dict(options.get("config") or {})
        for key in [key for key in config if key in OPTION_OF]:
            option = OPTION_OF[key]
            value = FIELDS[option].meant(config.pop(key))
            # Where it is not to be empty, it is to be as in a new source.
            value = FIELDS[option].default if value is None else value
            if not FIELDS[option].same(fields.get(option, value), value):
                raise Failure(
                    "%s and config say different things: %s is %s there." % (option, key, value),
                    hint="Leave out one of them.",
                )
            fields[option] = value
        hidden = sorted(key for key in config if is_secret(key))
        if hidden:
            raise Failure(
                "config holds what is secret: %s." % listed(hidden),
                hint="The password is given in database_password, which Ansible shows to nobody.",
            )
        if PUBLIC_KEY in config:
            raise Failure(
                "config holds %s, which Streamkap makes." % PUBLIC_KEY,
                hint="Leave it out, and read it from the result.",
            )
        desired = cls(
            fields=fields,
            config=config,
            password=options.get("database_password"),
            **{name: options[name] for name in ("name", "state", "update_password", "tags", "kc_cluster_id", "adopt")},
        )
        if not desired.name.strip():
            raise Failure("name is empty.", hint="Give the source a name.")
        for option, value in fields.items():
            check(option, value)
        _check_names(fields)
        return desired


@dataclass
class Plan:
    """What is to be sent, and what comes of it.

    :param made: whether the source is to be made.
    :param config: the keys of ``config`` to send, with their values; None for what is left out from then on.
    :param top: what is sent beside ``config``, besides the source's name.
    :param password: whether the password is sent for its own sake.
    :param action: what is done to the running source, if anything.
    :param removed: whether the source is to be removed.
    :param objections: what nobody has allowed, a sentence each and what to do about it.
    """

    made: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    password: bool = False
    action: str | None = None
    removed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    objections: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def updates(self) -> bool:
        return not self.made and bool(self.config or self.top or self.password)

    @property
    def changes(self) -> bool:
        return self.made or self.updates or bool(self.action) or self.removed


def plan(desired: Desired, found: Mapping[str, Any] | None, stored_password: str | None = None) -> Plan:
    """Pure.

    :param found: the source of this name, as Streamkap tells it.
    :param stored_password: the one that it has, where Streamkap tells it; only looked at with ``update_password=always``.
    """
    made = Plan()
    if found is None:
        if desired.state != ABSENT:
            _plan_new(made, desired)
        return made
    _check_kind(desired, found)
    known = settings(found)
    _plan_place(made, desired, known)
    if desired.state == ABSENT:
        made.removed = True
        made.before = {"name": desired.name, "status": found.get("connector_status")}
        return made
    _plan_fields(made, desired, found, known)
    if desired.password is not None and desired.update_password == "always" and desired.password != stored_password:
        made.password = True
        made.before["database_password"], made.after["database_password"] = "another one", "new"
    if made.updates and not made.objections:
        _check_together(desired, {**_defaults(), **known, **desired.fields}, set(desired.fields))
    _plan_action(made, desired, found)
    return made


def _plan_new(made: Plan, desired: Desired) -> None:
    lacking = [option for option, known in FIELDS.items() if known.required and desired.fields.get(option) is None]
    if desired.password is None:
        lacking.append("database_password")
    if lacking:
        raise Failure(
            "There is no source %s in Streamkap, and to make one it takes %s." % (desired.name, listed(lacking)),
            hint="Give that too. Or is it called otherwise, or does it belong to another project than the API token?",
        )
    _check_together(desired, {**_defaults(), **desired.fields}, set(FIELDS))
    made.made = True
    made.config = {FIELDS[option].key: FIELDS[option].sent(value) for option, value in desired.fields.items()}
    made.config.update(desired.config)
    made.after = {"name": desired.name, **desired.fields, **desired.config}
    for name in ("tags", "kc_cluster_id"):
        if getattr(desired, name) is not None:
            made.top[name] = made.after[name] = getattr(desired, name)
    if desired.state == PAUSED:
        made.action = "pause"
        made.after["state"] = PAUSED


def _plan_fields(made: Plan, desired: Desired, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for option, value in desired.fields.items():
        is_field = FIELDS[option]
        now = known.get(option)
        same = is_field.same(now, value)
        made.before[option], made.after[option] = now, now if same else value
        if same:
            continue
        if is_field.once and not made.objections:
            raise Failure(
                "The source %s has %s: %s, and %s is asked for. Streamkap takes that only when a source is made."
                % (desired.name, option, now, value),
                hint="Leave it as it is. Or remove the source (state: absent) and make it anew, which reads from the new %s what comes "
                "from then on: order a snapshot for what was before." % option.partition("_")[0],
            )
        made.config[is_field.key] = is_field.sent(value)
    told = found.get("config") or {}
    for key, value in desired.config.items():
        now = told.get(key)
        same = _loosely(now) == _loosely(value)
        made.before[key], made.after[key] = now, now if same else value
        if not same:
            made.config[key] = value
    tags = sorted(set(found.get("tags") or []))
    if desired.tags is not None:
        made.before["tags"], made.after["tags"] = tags, sorted(set(desired.tags))
        if tags != made.after["tags"]:
            made.top["tags"] = made.after["tags"]
    if desired.kc_cluster_id is not None:
        cluster = found.get("kc_cluster_id") or ""
        made.before["kc_cluster_id"], made.after["kc_cluster_id"] = cluster, desired.kc_cluster_id
        if cluster != desired.kc_cluster_id:
            made.top["kc_cluster_id"] = desired.kc_cluster_id


def _plan_action(made: Plan, desired: Desired, found: Mapping[str, Any]) -> None:
    status, wanted = found.get("connector_status"), found.get("desired_state")
    halted = status in _HALTED or wanted in _HALTED
    if desired.state == PAUSED and not halted:
        made.action = "pause"
    elif desired.state == RUNNING and halted:
        made.action = "resume"
    elif desired.state == RUNNING and wanted == _PENDING:
        made.action = "deploy"
    # A source that is told something new is started with it.
    elif desired.state == RUNNING and status == _BROKEN and not made.updates:
        made.action = "restart"
    if made.action:
        made.before["state"], made.after["state"] = str(status).lower(), desired.state


def _plan_place(made: Plan, desired: Desired, known: Mapping[str, Any]) -> None:
    """Whether the source is of the database that is meant."""
    differing = [
        option
        for option in _PLACE
        if option in desired.fields and not _same_place(option, known.get(option), desired.fields[option])
    ]
    if not differing:
        return
    place = ", ".join(
        "%s is %s and not %s" % (option, known.get(option), desired.fields[option]) for option in differing
    )
    if desired.adopt:
        if desired.state != ABSENT:
            made.warnings.append(
                "The source %s is of another database: %s. It is taken over, and has read nothing of this one: order a snapshot."
                % (desired.name, place)
            )
        return
    more = [
        option
        for option, value in desired.fields.items()
        if option not in differing and not FIELDS[option].same(known.get(option), value)
    ]
    made.objections.append(
        (
            "Streamkap has a source %s, of another database: %s.%s"
            % (desired.name, place, " %s would change too." % listed(more) if more and desired.state != ABSENT else ""),
            "Choose another name. Or set adopt: true to %s it all the same."
            % ("remove" if desired.state == ABSENT else "take over"),
        )
    )


def _same_place(option: str, one: Any, other: Any) -> bool:
    if option == "database_hostname":
        return _host(one) == _host(other)
    return FIELDS[option].same(one, other)


def _host(name: Any) -> str:
    """Of one compute of Neon's, the pooler leads to the same database."""
    return _POOLER.sub(r"\1\2", str(name or "").strip().rstrip(".")).lower()


def _check_kind(desired: Desired, found: Mapping[str, Any]) -> None:
    if found.get("connector") != CONNECTOR:
        raise Failure(
            "Streamkap's source %s is one of %s, not of %s." % (desired.name, found.get("connector"), CONNECTOR),
            hint="Choose another name.",
        )


def _loosely(value: Any) -> Any:
    """A value of a key that is not known here, which the API may tell in another type than it takes."""
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _defaults() -> dict[str, Any]:
    return {option: known.default for option, known in FIELDS.items()}


def settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a source, by the options and as they have it, as far as it is told."""
    told = found.get("config") or {}
    return {option: known.meant(told[known.key]) for option, known in FIELDS.items() if known.key in told}


# What may be told to be wrong without asking anybody


def _check_names(fields: Mapping[str, Any]) -> None:
    host = fields.get("database_hostname")
    if host:
        _check_host(host)
    slot, publication = fields.get("slot_name"), fields.get("publication_name")
    if slot is not None and not _SLOT.fullmatch(slot):
        raise Failure(
            "slot_name is %s, and the name of a slot has 1 to 63 small letters, digits and underscores." % slot,
            hint="Choose another name.",
        )
    for option, name in (
        ("publication_name", publication),
        ("database_dbname", fields.get("database_dbname")),
        ("database_user", fields.get("database_user")),
    ):
        if name is not None and len(name.encode()) > _LONGEST_NAME:
            raise Failure(
                "%s has %d bytes, and PostgreSQL's names have at most %d."
                % (option, len(name.encode()), _LONGEST_NAME),
                hint="Give the name as PostgreSQL has it.",
            )
    signal = fields.get("signal_data_collection_schema_or_database")
    if signal is not None and not (signal.endswith("." + _SIGNAL_TABLE) and signal != "." + _SIGNAL_TABLE):
        raise Failure(
            "signal_data_collection_schema_or_database is %s, and Streamkap takes the full path of a table called %s."
            % (signal, _SIGNAL_TABLE),
            hint="Write schema.%s, for example streamkap.%s." % (_SIGNAL_TABLE, _SIGNAL_TABLE),
        )
    heartbeat = fields.get("heartbeat_data_collection_schema_or_database")
    if heartbeat is not None and heartbeat.endswith(".streamkap_heartbeat"):
        raise Failure(
            "heartbeat_data_collection_schema_or_database is %s, and Streamkap takes the schema of the table alone."
            % heartbeat,
            hint="Write %s." % heartbeat.rpartition(".")[0],
        )
    bare = [table for table in fields.get("table_include_list") or [] if "." not in table]
    if bare:
        raise Failure(
            "table_include_list holds tables without their schema: %s." % listed(bare), hint="Write schema.table."
        )


def _check_host(host: str) -> None:
    pooler = _POOLER.match(host)
    if pooler:
        raise Failure(
            "database_hostname is %s, Neon's connection pooler, through which nothing can be captured." % host,
            hint="Give the direct host, %s." % _POOLER.sub(r"\1\2", host),
        )
    if "://" in host or "/" in host or "@" in host or any(letter.isspace() for letter in host):
        raise Failure(
            "database_hostname is not the name of a host.",
            hint="Write the name alone, without a user, a port or a database.",
        )
    if host.count(":") == 1:
        raise Failure("database_hostname holds a port.", hint="Give the port in database_port.")


def _check_together(desired: Desired, whole: Mapping[str, Any], asked: set[str]) -> None:
    """
    :param whole: the fields as they are to be.
    :param asked: those that somebody asks for. What others have set is theirs.
    """
    for options, sentence, remedy in _contradictions(whole):
        if asked.intersection(options):
            raise Failure("The source %s cannot be so: %s" % (desired.name, sentence), hint=remedy)


def _contradictions(whole: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    signal = "signal_data_collection_schema_or_database"
    if whole["snapshot_read_only"] is False and not whole[signal]:
        yield (
            ("snapshot_read_only", signal),
            "snapshot_read_only is false, and %s is not set, without which there are no snapshots then." % signal,
            "Give the full path of the signal table, for example streamkap.%s." % _SIGNAL_TABLE,
        )
    if whole["column_include_list"] and whole["column_exclude_list"]:
        yield (
            ("column_include_list", "column_exclude_list"),
            "it has both column_include_list and column_exclude_list, and Streamkap takes one of them.",
            "Empty the other one ([]).",
        )
    for option, toggled in (("column_include_list", False), ("column_exclude_list", True)):
        if whole[option] and whole["column_include_list_toggled"] is toggled:
            yield (
                (option, "column_include_list_toggled"),
                "column_include_list_toggled is %s, and then %s does not count." % (str(toggled).lower(), option),
                "Set column_include_list_toggled: %s." % str(not toggled).lower(),
            )
    table = "heartbeat_data_collection_schema_or_database"
    if whole["heartbeat_use_logical_message"] and whole[table]:
        yield (
            ("heartbeat_use_logical_message", table),
            "heartbeat_use_logical_message takes the place of a heartbeat table, and %s names one." % table,
            'Leave one of them out, or empty the latter ("").',
        )
    if whole["heartbeat_enabled"] is False and (whole["heartbeat_use_logical_message"] or whole[table]):
        yield (
            ("heartbeat_enabled", "heartbeat_use_logical_message", table),
            "heartbeat_enabled is false, and it is told how to beat.",
            "Set heartbeat_enabled: true, or leave out the other options of the heartbeat.",
        )
    if whole["ssh_enabled"] and not whole["ssh_host"]:
        yield (
            ("ssh_enabled", "ssh_host"),
            "ssh_enabled is true, and there is no ssh_host.",
            "Give the bastion in ssh_host.",
        )
    if whole["database_sslmode"] == "disable" and _NEON.search(_host(whole["database_hostname"])):
        yield (
            ("database_sslmode", "database_hostname"),
            "database_sslmode is disable, and Neon takes no connection without TLS.",
            "Set database_sslmode: require.",
        )
    yield from _tables_outside(whole)


def _tables_outside(whole: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    schemas = whole["schema_include_list"] or []
    if whole["source_regex_support_enabled"] or not all(_PLAIN.fullmatch(schema) for schema in schemas):
        return
    outside = [
        table
        for table in whole["table_include_list"] or []
        if _PLAIN.fullmatch(table.partition(".")[0]) and table.partition(".")[0] not in schemas
    ]
    if outside:
        yield (
            ("schema_include_list", "table_include_list"),
            "table_include_list holds tables of schemas that schema_include_list does not: %s." % listed(outside),
            "Add the schemas, or take out the tables.",
        )


# Doing it


def converge(api: StreamkapApi, desired: Desired, check_mode: bool, wait: bool = True) -> Outcome:
    """Look, plan, send what differs, look again, and wait for what comes of it.

    :param wait: whether to return only when the source runs, is paused, or is gone.
    """
    api.keep_secret(desired.password)
    found = api.source_named(desired.name)
    stored = None
    if found and desired.state != ABSENT and desired.password is not None and desired.update_password == "always":
        stored = _password(api.source(found["id"], secrets=True))
    todo = plan(desired, found, stored)
    warnings = todo.warnings + ["%s The task refuses that. %s" % objection for objection in todo.objections]
    if todo.objections and not check_mode:
        raise Failure(
            "%s Nothing was changed." % " ".join(sentence for sentence, _remedy in todo.objections),
            hint=" ".join(remedy for _sentence, remedy in todo.objections),
            source=describe(found),
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
        result={"source": describe(work.found, desired.name), "requests": work.requests},
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
        if wait:
            self._wait()
        elif self.todo.action:
            self.found = self._look()

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
        password = self.desired.password if self.todo.password else _password(stored) or self.desired.password
        if password is None:
            raise Failure(
                "Streamkap does not tell the password of the source %s, without which it cannot be changed."
                % self.desired.name,
                hint="Give it in database_password.",
            )
        hidden = sorted(key for key in ours if is_secret(key) and key != PASSWORD_KEY and _is_masked(told[key]))
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
            if "slot" in said or "publication" in said:
                raise Failure(
                    failure.msg,
                    hint="Another source reads slot_name %s and publication_name %s of this database, and two that share a slot lose data. "
                    "Remove that one, or give a slot and a publication of its own."
                    % (self._as_made("slot_name"), self._as_made("publication_name")),
                    **failure.details,
                ) from None
            raise Failure(
                failure.msg,
                hint="Another run may just have made it: run again. If it stays so, it belongs to another service of the same tenant, where "
                "this API token does not see it: choose another name.",
                **failure.details,
            ) from None

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
        _plan_fields(seen, self.desired, self.found, settings(self.found))
        lost = [name for name, value in seen.after.items() if seen.before[name] != value]
        if lost:
            raise Failure(
                "Streamkap accepted the source %s, and does not have now what was sent: %s."
                % (self.desired.name, listed(lost)),
                hint="Somebody else may have changed it meanwhile. Look at it in Streamkap, and run again.",
                source=describe(self.found),
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
        stale = begun + _STALE_FOR if self.todo.updates or self.todo.action else begun
        looks = 0
        while True:
            self.found = found = self._look()
            status, errors = found.get("connector_status"), _errors(found)
            if status not in (_BROKEN, _ACTIVE):
                # It has taken notice of the change.
                stale = begun
            if self.desired.state == PAUSED:
                if status in _HALTED:
                    return
            elif self.desired.state == PRESENT and _is_left_halted(found):
                return
            elif status == _ACTIVE and _all_run(found):
                return
            elif (status == _BROKEN or errors) and self.api.clock() >= stale:
                raise self._broken(found)
            if self.api.clock() >= deadline:
                raise self._late(found)
            looks = self._pause(looks, deadline)

    def _pause(self, looks: int, deadline: float) -> int:
        self.api.sleep(min(_FIRST_LOOK * 2**looks, _LONGEST_PAUSE, max(deadline - self.api.clock(), 0)))
        return looks + 1

    def _broken(self, found: Mapping[str, Any]) -> Failure:
        errors = [
            "task %s: %s" % (task["id"], self.api.hide(_cause(task["error"]))) for task in tasks(found) if task["error"]
        ]
        said = " ".join(text if text.endswith(".") else text + "." for text in errors)
        return Failure(
            "The source %s is %s. %s"
            % (self.desired.name, found.get("connector_status"), said or "Streamkap does not say why."),
            hint=_READINESS,
            source=describe(found, hide=self.api.hide),
        )

    def _late(self, found: Mapping[str, Any]) -> Failure:
        states = listed("%s %s" % (task["id"], task["state"]) for task in tasks(found)) or "none"
        return Failure(
            "The source %s is %s after %d seconds, and its tasks are: %s."
            % (self.desired.name, found.get("connector_status"), self.api.patience, states),
            hint="What was asked for was accepted, and may still come about: run again, or raise streamkap_wait_timeout. %s"
            % _READINESS,
            source=describe(found, hide=self.api.hide),
        )


def _place_of(source_id: str, action: str) -> str:
    if action == "deploy":
        return "/sources/%s/deploy" % source_id
    return "/sources/%s/actions/%s" % (source_id, action)


def _without_empty(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _password(source: Mapping[str, Any] | None) -> str | None:
    told = ((source or {}).get("config") or {}).get(PASSWORD_KEY)
    return told if isinstance(told, str) and not _is_masked(told) else None


def _is_masked(value: Any) -> bool:
    return not value or (isinstance(value, str) and not value.strip("*•"))


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


# What a source is told as


def tasks(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a source, by Kafka Connect's states."""
    statuses = found.get("task_statuses")
    told = statuses.items() if isinstance(statuses, dict) else []
    return [
        {
            "id": str(number),
            "state": str(task.get("state") if isinstance(task, dict) else task),
            "error": (str(task.get("trace") or "")[:_LONGEST_ERROR] or None) if isinstance(task, dict) else None,
        }
        for number, task in told
    ]


def _errors(found: Mapping[str, Any]) -> bool:
    return any(task["state"].upper() == "FAILED" for task in tasks(found))


def _all_run(found: Mapping[str, Any]) -> bool:
    told = tasks(found)
    return bool(told) and all(task["state"].upper() == "RUNNING" for task in told)


def _is_left_halted(found: Mapping[str, Any]) -> bool:
    return found.get("connector_status") in _HALTED or found.get("desired_state") in _HALTED


def _cause(trace: str) -> str:
    """Of what Java tells, the innermost cause."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.partition(":")[2].strip() for line in lines if line.startswith("Caused by:")]
    return printable((causes or lines or [trace])[-1 if causes else 0])


def describe(found: Mapping[str, Any] | None, name: str | None = None, hide: Any = lambda text: text) -> dict[str, Any]:
    """A source in plain types, without what is secret."""
    if found is None:
        return {"name": name, "exists": False}
    told = found.get("config") or {}
    return {
        "name": found.get("name"),
        "exists": True,
        "id": found.get("id"),
        "connector": found.get("connector"),
        "status": found.get("connector_status"),
        "desired_state": found.get("desired_state"),
        "tasks": [{**task, "error": task["error"] and hide(task["error"])} for task in tasks(found)],
        "topics": [str(topic) for topic in found.get("topics") or []],
        "tags": [str(tag) for tag in found.get("tags") or []],
        "kc_cluster_id": found.get("kc_cluster_id"),
        "ssh_public_key": told.get(PUBLIC_KEY),
        "settings": _as_written(settings(found)),
        "config": {key: value for key, value in told.items() if not is_secret(key)},
    }


def _as_written(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is empty, as the options have it."""
    return {option: [] if value is None and FIELDS[option].kind == NAMES else value for option, value in known.items()}
