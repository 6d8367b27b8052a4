# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration of a PostgreSQL source may hold: the keys of Streamkap's API, their types, defaults and bounds.

    complaints({"slot.nmae": "s"})   # what is wrong with it, as the API tells it
    completed(config)                # with the defaults of what was left out

The keys and defaults are those of the fields that the public Terraform provider has.
"""

from __future__ import annotations

from dataclasses import dataclass

Config = dict[str, object]

TEXT, BOOLEAN, INTEGER = "string", "boolean", "integer"


@dataclass(frozen=True)
class Field:
    """
    :param kind: TEXT, BOOLEAN or INTEGER.
    :param choices: the only values, if not all are.
    :param bounds: the least and the greatest.
    :param numeral: whether an integer may come as text too.
    """

    kind: str = TEXT
    default: object = None
    required: bool = False
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    numeral: bool = False
    secret: bool = False
    set_once: bool = False

    def complaint(self, value: object) -> str | None:
        """What is wrong with a value, if something is."""
        if value is None:
            return "Input should not be null" if self.required else None
        if self.kind == INTEGER and self.numeral and isinstance(value, str) and value.isdecimal():
            value = int(value)
        # A boolean is an integer in Python, and none here.
        right = {TEXT: str, BOOLEAN: bool, INTEGER: int}[self.kind]
        if not isinstance(value, right) or isinstance(value, bool) != (right is bool):
            return f"Input should be a valid {self.kind}"
        if self.choices and value not in self.choices:
            return "Input should be " + " or ".join(repr(choice) for choice in self.choices)
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            return f"Input should be from {self.bounds[0]} to {self.bounds[1]}"
        return None


_FLAG_OFF, _FLAG_ON = Field(BOOLEAN, False), Field(BOOLEAN, True)
_PORT = (1, 65535)

FIELDS = {
    "database.hostname.user.defined": Field(required=True),
    "database.port.user.defined": Field(INTEGER, 5432, bounds=_PORT, numeral=True),
    "database.user": Field(required=True),
    "database.password": Field(required=True, secret=True),
    "database.dbname": Field(required=True),
    "database.sslmode": Field(default="require", choices=("require", "disable")),
    "schema.include.list": Field(required=True),
    "table.include.list.user.defined": Field(required=True),
    "snapshot.read.only.user.defined": Field(default="Yes", choices=("Yes", "No")),
    "signal.data.collection.schema.or.database": Field(),
    "column.include.list.toggled": _FLAG_ON,
    "column.include.list.user.defined": Field(),
    "column.exclude.list.user.defined": Field(),
    "heartbeat.enabled": _FLAG_ON,
    "heartbeat.data.collection.schema.or.database": Field(),
    "heartbeat.use.logical.message": _FLAG_OFF,
    "include.source.db.name.in.table.name.user.defined": _FLAG_OFF,
    "slot.name": Field(default="streamkap_pgoutput_slot", set_once=True),
    "publication.name": Field(default="streamkap_pub", set_once=True),
    "binary.handling.mode": Field(default="bytes", choices=("bytes", "base64", "base64-url-safe", "hex")),
    "ssh.enabled": _FLAG_OFF,
    "ssh.host": Field(),
    "ssh.port": Field(INTEGER, 22, bounds=_PORT, numeral=True),
    "ssh.user": Field(default="streamkap"),
    "ssh.public.key.user.displayed": Field(),
    "predicates.IsTopicToEnrich.pattern": Field(default="$^"),
    **{
        f"transforms.InsertStatic{part}{number}.static.{what}": Field()
        for part in ("Key", "Value")
        for number in (1, 2)
        for what in ("field", "value")
    },
    "streamkap.snapshot.parallelism": Field(INTEGER, 1, bounds=(1, 10)),
    "streamkap.snapshot.chunk.size.bytes": Field(INTEGER, 524288, bounds=(4096, 8388608)),
    "streamkap.snapshot.state.refresh.ms": Field(INTEGER, 30000, bounds=(1000, 60000)),
    "SourceRegexSupport.enabled": _FLAG_OFF,
    "transforms.SourceRegexSupport.regex.replacement": Field(default="_REGEX_"),
    "transforms.SourceRegexSupport.key.field.template": Field(default="{{database}}.{{table}}"),
    "transforms.SourceRegexSupport.metadata.field.name": Field(default="_streamkap_source_metadata"),
    "preserve.null.values": _FLAG_OFF,
    "transforms.ValueToKey.fields.include.list": Field(),
    "transforms.ValueToKey.replace.null.with.default": _FLAG_ON,
    "transforms.OversizedRecords.fields.include.list": Field(),
    "transforms.OversizedRecords.fields.exclude.list": Field(),
    "transforms.OversizedRecords.max.field.size.bytes": Field(INTEGER, 1048576),
    "transforms.OversizedRecords.oversized.field.behavior": Field(default="TRUNCATE", choices=("TRUNCATE", "NULLIFY")),
    "transforms.OversizedRecords.truncation.suffix": Field(default=""),
    "transforms.OversizedRecords.max.record.size.bytes": Field(INTEGER, -1),
    "transforms.OversizedRecords.semantic.types.exclude": Field(default="io.debezium.data.Json,io.debezium.data.Xml"),
    "transforms.OversizedRecords.replace.null.with.default": _FLAG_ON,
    "InsertTopicName.enabled": _FLAG_OFF,
}

# By which other keys one counts, as the notes in the provider's repository have it.
CONDITIONS: dict[str, dict[str, object]] = {
    "signal.data.collection.schema.or.database": {"snapshot.read.only.user.defined": "No"},
    "heartbeat.data.collection.schema.or.database": {
        "heartbeat.enabled": True,
        "snapshot.read.only.user.defined": "No",
    },
    "column.include.list.user.defined": {"column.include.list.toggled": True},
    "column.exclude.list.user.defined": {"column.include.list.toggled": False},
    "ssh.host": {"ssh.enabled": True},
    "ssh.port": {"ssh.enabled": True},
    "ssh.user": {"ssh.enabled": True},
}

SET_ONCE = [key for key, field in FIELDS.items() if field.set_once]
SECRETS = [key for key, field in FIELDS.items() if field.secret]


def complaints(config: Config) -> list[dict[str, object]]:
    """One for every key that there is not, and every value that is not of its field."""
    found = []
    for key, value in config.items():
        said = FIELDS[key].complaint(value) if key in FIELDS else "Extra inputs are not permitted"
        if said:
            kind = "value_error" if key in FIELDS else "extra_forbidden"
            found.append({"type": kind, "loc": ["body", "config", key], "msg": said, "input": value})
    return found


def missing(config: Config) -> list[str]:
    return [key for key, field in FIELDS.items() if field.required and config.get(key) in (None, "")]


def completed(config: Config) -> Config:
    defaults = {key: field.default for key, field in FIELDS.items()}
    return defaults | {key: value for key, value in config.items() if value is not None}


def without_void(config: Config) -> Config:
    """With null for what does not count."""
    void = {key for key, given in CONDITIONS.items() if any(config[name] != value for name, value in given.items())}
    return {key: None if key in void else value for key, value in config.items()}


def described() -> list[dict[str, object]]:
    """The fields as the API tells them to who asks what a source may be configured by."""
    return [
        {
            "name": key,
            "description": "",
            "display_name": key,
            "required": field.required,
            "user_defined": True,
            "encrypt": field.secret,
            "set_once": field.set_once,
            "conditions": [
                {"operator": "EQ", "config": name, "value": value} for name, value in CONDITIONS.get(key, {}).items()
            ],
            "tab": "settings",
            "value": {
                "control": "toggle" if field.kind == BOOLEAN else "password" if field.secret else field.kind,
                "default": field.default,
                **({"raw_values": list(field.choices)} if field.choices else {}),
            },
        }
        for key, field in FIELDS.items()
    ]
