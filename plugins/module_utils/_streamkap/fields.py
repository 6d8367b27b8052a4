# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""What a PostgreSQL source in Streamkap is configured by: the options of the module, and the keys of the API that they stand for.

The options have the names that users of Streamkap's Terraform provider know, and the bounds that are in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import Failure

TEXT, FLAG, NUMBER, NAMES, YES_NO = "text", "flag", "number", "names", "yes or no"

_TYPES = {TEXT: "str", FLAG: "bool", NUMBER: "int", NAMES: "list", YES_NO: "bool"}


@dataclass(frozen=True)
class Field:
    """
    :param key: in the API's ``config``.
    :param kind: NAMES is one text there, with commas; YES_NO is ``Yes`` or ``No``.
    :param default: Streamkap's, of a new source, as the option has it.
    :param bounds: the least and the greatest number.
    :param once: whether Streamkap takes it only when the source is made.
    """

    key: str
    kind: str = TEXT
    default: Any = None
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    required: bool = False
    once: bool = False

    def meant(self, value: Any) -> Any:
        """A value of the API's, or of the option, as the option has it; what is empty is None."""
        if value is None or value == "" or value == []:
            return None
        if self.kind == NAMES:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            return [part for part in map(str.strip, text.split(",")) if part] or None
        if self.kind == NUMBER:
            return _number(value)
        if self.kind in (FLAG, YES_NO):
            return {"true": True, "yes": True, "false": False, "no": False}.get(str(value).lower(), value)
        return str(value)

    def sent(self, value: Any) -> Any:
        """A value of the option as the API takes it."""
        if self.kind == NAMES and value is not None:
            return ",".join(value)
        if self.kind == YES_NO and value is not None:
            return "Yes" if value else "No"
        return value

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values mean the same; the order of names is of no matter."""
        one, other = self.meant(one), self.meant(other)
        if self.kind == NAMES and one and other:
            return sorted(set(one)) == sorted(set(other))
        return bool(one == other)


def _number(value: Any) -> Any:
    text = str(value).strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else value


_PORT = (1, 65535)
_LARGEST = 104857600

FIELDS: dict[str, Field] = {
    "database_hostname": Field("database.hostname.user.defined", required=True),
    "database_port": Field("database.port.user.defined", NUMBER, 5432, bounds=_PORT),
    "database_user": Field("database.user", required=True),
    "database_dbname": Field("database.dbname", required=True),
    "database_sslmode": Field("database.sslmode", default="require", choices=("require", "disable")),
    "schema_include_list": Field("schema.include.list", NAMES, required=True),
    "table_include_list": Field("table.include.list.user.defined", NAMES, required=True),
    "column_include_list_toggled": Field("column.include.list.toggled", FLAG, True),
    "column_include_list": Field("column.include.list.user.defined", NAMES),
    "column_exclude_list": Field("column.exclude.list.user.defined", NAMES),
    "snapshot_read_only": Field("snapshot.read.only.user.defined", YES_NO, True),
    "signal_data_collection_schema_or_database": Field("signal.data.collection.schema.or.database"),
    "heartbeat_enabled": Field("heartbeat.enabled", FLAG, True),
    "heartbeat_data_collection_schema_or_database": Field("heartbeat.data.collection.schema.or.database"),
    "heartbeat_use_logical_message": Field("heartbeat.use.logical.message", FLAG, False),
    "slot_name": Field("slot.name", default="streamkap_pgoutput_slot", once=True),
    "publication_name": Field("publication.name", default="streamkap_pub", once=True),
    "include_source_db_name_in_table_name": Field("include.source.db.name.in.table.name.user.defined", FLAG, False),
    "binary_handling_mode": Field(
        "binary.handling.mode", default="bytes", choices=("bytes", "base64", "base64-url-safe", "hex")
    ),
    "ssh_enabled": Field("ssh.enabled", FLAG, False),
    "ssh_host": Field("ssh.host"),
    "ssh_port": Field("ssh.port", NUMBER, 22, bounds=_PORT),
    "ssh_user": Field("ssh.user", default="streamkap"),
    "streamkap_snapshot_parallelism": Field("streamkap.snapshot.parallelism", NUMBER, 1, bounds=(1, 10)),
    "streamkap_snapshot_chunk_size_bytes": Field(
        "streamkap.snapshot.chunk.size.bytes", NUMBER, 524288, bounds=(4096, 8388608)
    ),
    "streamkap_snapshot_state_refresh_ms": Field(
        "streamkap.snapshot.state.refresh.ms", NUMBER, 30000, bounds=(1000, 60000)
    ),
    "source_regex_support_enabled": Field("SourceRegexSupport.enabled", FLAG, False),
    "transforms_source_regex_support_regex_replacement": Field(
        "transforms.SourceRegexSupport.regex.replacement", default="_REGEX_"
    ),
    "transforms_source_regex_support_key_field_template": Field(
        "transforms.SourceRegexSupport.key.field.template", default="{{database}}.{{table}}"
    ),
    "transforms_source_regex_support_metadata_field_name": Field(
        "transforms.SourceRegexSupport.metadata.field.name", default="_streamkap_source_metadata"
    ),
    "predicates_is_topic_to_enrich_pattern": Field("predicates.IsTopicToEnrich.pattern", default="$^"),
    **{
        "transforms_insert_static_%s%d_static_%s" % (part.lower(), number, what): Field(
            "transforms.InsertStatic%s%d.static.%s" % (part, number, what)
        )
        for part in ("Key", "Value")
        for number in (1, 2)
        for what in ("field", "value")
    },
    "transforms_value_to_key_fields_include_list": Field("transforms.ValueToKey.fields.include.list", NAMES),
    "transforms_value_to_key_replace_null_with_default": Field(
        "transforms.ValueToKey.replace.null.with.default", FLAG, True
    ),
    "preserve_null_values": Field("preserve.null.values", FLAG, False),
    "transforms_oversized_records_fields_include_list": Field("transforms.OversizedRecords.fields.include.list", NAMES),
    "transforms_oversized_records_fields_exclude_list": Field("transforms.OversizedRecords.fields.exclude.list", NAMES),
    "transforms_oversized_records_max_field_size_bytes": Field(
        "transforms.OversizedRecords.max.field.size.bytes", NUMBER, 1048576, bounds=(1048576, _LARGEST)
    ),
    "transforms_oversized_records_oversized_field_behavior": Field(
        "transforms.OversizedRecords.oversized.field.behavior", default="TRUNCATE", choices=("TRUNCATE", "NULLIFY")
    ),
    "transforms_oversized_records_truncation_suffix": Field("transforms.OversizedRecords.truncation.suffix"),
    "transforms_oversized_records_max_record_size_bytes": Field(
        "transforms.OversizedRecords.max.record.size.bytes", NUMBER, -1, bounds=(-1, _LARGEST)
    ),
    "transforms_oversized_records_semantic_types_exclude": Field(
        "transforms.OversizedRecords.semantic.types.exclude",
        NAMES,
        ["io.debezium.data.Json", "io.debezium.data.Xml"],
    ),
    "transforms_oversized_records_replace_null_with_default": Field(
        "transforms.OversizedRecords.replace.null.with.default", FLAG, True
    ),
    "insert_topic_name_enabled": Field("InsertTopicName.enabled", FLAG, False),
}

# By which other options a field counts (the notes in the provider's repository, and the descriptions of the fields). Streamkap tells one
# that does not count as null, whatever was sent.
SWITCHES: dict[str, dict[str, Any]] = {
    "column_include_list": {"column_include_list_toggled": True},
    "column_exclude_list": {"column_include_list_toggled": False},
    "signal_data_collection_schema_or_database": {"snapshot_read_only": False},
    "heartbeat_data_collection_schema_or_database": {"heartbeat_enabled": True, "snapshot_read_only": False},
    "heartbeat_use_logical_message": {"heartbeat_enabled": True},
    **{option: {"ssh_enabled": True} for option in ("ssh_host", "ssh_port", "ssh_user")},
    **{
        "transforms_source_regex_support_%s" % what: {"source_regex_support_enabled": True}
        for what in ("regex_replacement", "key_field_template", "metadata_field_name")
    },
}

OPTION_OF = {field.key: option for option, field in FIELDS.items()}

PASSWORD_KEY = "database.password"
# Streamkap makes it, one for a tenant: it is read, and left out of what is written.
PUBLIC_KEY = "ssh.public.key.user.displayed"

_SECRET_WORDS = re.compile(r"password|passphrase|secret|private[._]?key|token|credential", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Whether what a key of the API stands for is nobody's to see. There may be newer ones than the password."""
    return bool(_SECRET_WORDS.search(key))


def is_void(option: str, whole: Mapping[str, Any]) -> bool:
    """Whether a field does not count by the others.

    :param whole: all fields as they are to be.
    """
    return any(whole.get(switch) is not value for switch, value in SWITCHES.get(option, {}).items())


def argument_spec() -> dict[str, dict[str, Any]]:
    """Without defaults: what is not given is left to Streamkap."""
    spec: dict[str, dict[str, Any]] = {}
    for option, field in FIELDS.items():
        spec[option] = {"type": _TYPES[field.kind]}
        if field.kind == NAMES:
            spec[option]["elements"] = "str"
        if field.choices:
            spec[option]["choices"] = list(field.choices)
        if "key" in option:
            # Keys of rows, which Ansible takes for others.
            spec[option]["no_log"] = False
    return spec


def check(option: str, value: Any) -> None:
    """Whether Streamkap may take a value, as the option has it, for this option by itself."""
    field = FIELDS[option]
    if value is None:
        if field.required:
            raise Failure("%s is empty." % option, hint="Give it a value, or leave it out to leave it alone.")
        return
    if field.choices and value not in field.choices:
        raise Failure("%s is %s." % (option, value), hint="It may be %s." % " or ".join(field.choices))
    if field.kind == NUMBER and not isinstance(value, int):
        raise Failure("%s is %s, which is no number." % (option, value), hint="Write a number.")
    if field.kind in (FLAG, YES_NO) and not isinstance(value, bool):
        raise Failure("%s is %s." % (option, value), hint="It may be true or false.")
    if field.bounds and not field.bounds[0] <= value <= field.bounds[1]:
        raise Failure("%s is %d." % (option, value), hint="It may be from %d to %d." % field.bounds)
