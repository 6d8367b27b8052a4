# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A PostgreSQL source in Streamkap: what is asked of it, and what of that differs from what is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import Failure
from .._sql import listed
from .fields import FIELDS, OPTION_OF, PASSWORD_KEY, PUBLIC_KEY, check, is_secret, is_void
from .plan import (
    ABSENT,
    PRESENT,
    Plan,
    plan_keys,
    plan_new_state,
    plan_removal,
    plan_secrets,
    plan_state,
    plan_tags,
)
from .told import CONNECTOR, settings

# Which database a source is of.
_PLACE = ("database_hostname", "database_port", "database_dbname")

_POOLER = re.compile(r"^([^.]+)-pooler(\.|$)", re.IGNORECASE)
_NEON = re.compile(r"\.neon\.(tech|build)$", re.IGNORECASE)
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_PLAIN = re.compile(r"\w+")
_LONGEST_NAME = 63  # bytes, as PostgreSQL has it

_SIGNAL_TABLE = "streamkap_signal"


@dataclass(frozen=True)
class Desired:
    """What the options ask for.

    :param fields: by the options of FIELDS, as the options have them; None empties one. What is not in it is left alone.
    :param config: further keys of the API.
    :param tags: None leaves them, an empty list clears them.
    :param adopt: whether a source of another database is taken over.
    :param void: the keys that do not count, as Streamkap describes them.
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
    void: frozenset[str] = frozenset()

    @property
    def secrets(self) -> dict[str, str]:
        return {} if self.password is None else {PASSWORD_KEY: self.password}

    def keys(self, defaults: bool) -> dict[str, Any]:
        """What is asked for by the keys of the API: what is Streamkap's default, or all else."""
        fields = {
            FIELDS[option].key: FIELDS[option].sent(value)
            for option, value in self.fields.items()
            if FIELDS[option].same(value, FIELDS[option].default) is defaults
        }
        return fields if defaults else {**fields, **self.config}

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
        _derive_switch(fields)
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


def _derive_switch(fields: dict[str, Any]) -> None:
    """One of the two lists of columns says which of them is to count."""
    given = [option for option in ("column_include_list", "column_exclude_list") if fields.get(option)]
    if len(given) == 1:
        fields.setdefault("column_include_list_toggled", given == ["column_include_list"])


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
    check_system(desired, found)
    known = settings(found)
    _plan_place(made, desired, known)
    if desired.state == ABSENT:
        plan_removal(made, desired.name, found)
        return made
    plan_fields(made, desired, found, known)
    if desired.update_password == "always":
        plan_secrets(made, desired.secrets, {PASSWORD_KEY: stored_password})
    if made.secrets:
        made.before["database_password"], made.after["database_password"] = "another one", "new"
    changed = {option for option in desired.fields if FIELDS[option].key in made.config}
    if made.updates and not made.objections:
        _check_together(desired, {**known, **desired.fields}, changed)
    made.warnings.extend(_doubts({option: desired.fields[option] for option in changed}))
    plan_state(made, desired.state, "source", desired.name, found)
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
    _check_together(desired, {**settings({}), **desired.fields}, set(FIELDS))
    made.made = True
    made.config = {FIELDS[option].key: FIELDS[option].sent(value) for option, value in desired.fields.items()}
    made.config.update(desired.config)
    made.warnings.extend(_doubts(desired.fields))
    made.after = {"name": desired.name, **desired.fields, **desired.config}
    for name in ("tags", "kc_cluster_id"):
        if getattr(desired, name) is not None:
            made.top[name] = made.after[name] = getattr(desired, name)
    plan_new_state(made, desired.state)


def plan_fields(made: Plan, desired: Desired, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    told = found.get("config") or {}
    whole = {**known, **desired.fields}
    for option, value in desired.fields.items():
        is_field = FIELDS[option]
        now = known.get(option)
        same = is_field.same(now, value)
        is_behind = is_void(option, whole) or is_field.key in desired.void
        if not same and is_field.meant(told.get(is_field.key)) is None and is_behind:
            same = True
            made.warnings.append(
                "%s does not count by the other options, and Streamkap does not keep it: it was left alone." % option
            )
        made.before[option], made.after[option] = now, now if same else value
        if same:
            continue
        if is_field.once and not made.objections:
            raise Failure(
                "The source %s has %s: %s, and %s is asked for. This module gives that only when a source is made, because changes would "
                "be lost in between." % (desired.name, option, now, value),
                hint="Leave it as it is. Or remove the source (state: absent) and make it anew, which reads from the new %s what comes "
                "from then on: order a snapshot for what was before." % option.partition("_")[0],
            )
        made.config[is_field.key] = is_field.sent(value)
    plan_keys(made, desired.config, told, desired.void)
    plan_tags(made, desired.tags, found)
    if desired.kc_cluster_id is not None:
        cluster = found.get("kc_cluster_id") or ""
        made.before["kc_cluster_id"], made.after["kc_cluster_id"] = cluster, desired.kc_cluster_id
        if cluster != desired.kc_cluster_id:
            made.top["kc_cluster_id"] = desired.kc_cluster_id


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


def check_system(desired: Desired, found: Mapping[str, Any]) -> None:
    if found.get("connector") != CONNECTOR:
        raise Failure(
            "Streamkap's source %s is one of %s, not of %s." % (desired.name, found.get("connector"), CONNECTOR),
            hint="Choose another name.",
        )


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
    bare = [table for table in fields.get("table_include_list") or [] if "." not in table]
    if bare:
        raise Failure(
            "table_include_list holds tables without their schema: %s." % listed(bare), hint="Write schema.table."
        )


def _doubts(fields: Mapping[str, Any]) -> Iterator[str]:
    """What is not as Streamkap's documentation has it, and may be right all the same: its own tools have had other forms."""
    signal = fields.get("signal_data_collection_schema_or_database")
    if signal and "." not in signal:
        yield (
            "signal_data_collection_schema_or_database is %s, a schema alone, which older versions of Streamkap took. Newer ones take the "
            "full path of the table, %s.%s." % (signal, signal, _SIGNAL_TABLE)
        )
    elif signal and not signal.endswith("." + _SIGNAL_TABLE):
        yield (
            "signal_data_collection_schema_or_database is %s. By Streamkap's documentation it recognizes no signal table that is not "
            "called %s." % (signal, _SIGNAL_TABLE)
        )
    heartbeat = fields.get("heartbeat_data_collection_schema_or_database")
    if heartbeat and heartbeat.endswith(".streamkap_heartbeat"):
        yield (
            "heartbeat_data_collection_schema_or_database is %s, and Streamkap takes the schema of the table alone: %s."
            % (heartbeat, heartbeat.rpartition(".")[0])
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
    lists = ("column_include_list", "column_exclude_list")
    for option, toggled in zip(lists, (False, True)):
        # Of two lists, as the Terraform provider takes them, the one counts.
        if whole[option] and whole["column_include_list_toggled"] is toggled and not all(whole[name] for name in lists):
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
