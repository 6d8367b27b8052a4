# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of the double of Streamkap's API that is behind the sources: destinations, pipelines and tags.

Public sources tell the paths, the bodies and the answers, that PUT takes the place of what was there (a pipeline's `periodic_audit` that is
left out is deleted), and that tags are told as a list below `tags`.

Guessed, as they are silent:

- A source or a destination that a pipeline uses is not removed: 409.
- A destination without a pipeline is Pending, and is Active as soon as it has one.
- The topics of a pipeline are told as they were given, schema.table; one that the source does not have is refused by 400.
- A destination's keys are those of DESTINATION_FIELDS, whatever the connector.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Config = dict[str, object]

# Some of what a ClickHouse destination has by the Terraform provider: whether it is required, and whether it is secret.
DESTINATION_FIELDS: dict[str, tuple[bool, bool]] = {
    "hostname": (True, False),
    "port": (False, False),
    "database": (False, False),
    "connection.username": (True, False),
    "connection.password": (True, True),
    "ssl": (False, False),
    "schema.evolution": (False, False),
    "topics.config.map": (False, False),
    "ssh.enabled": (False, False),
    "ssh.user": (False, False),
}
DESTINATION_SECRETS = [key for key, (_required, secret) in DESTINATION_FIELDS.items() if secret]
_BEHIND_A_SWITCH = {"ssh.user": ("ssh.enabled", True)}

DESTINATION: Config = {
    "hostname": "warehouse.example.com",
    "connection.username": "streamkap",
    "connection.password": "Warehouse-7-of-the-tests",
}


@dataclass
class Tag:
    id: str
    name: str


@dataclass
class Destination:
    id: str
    name: str
    config: Config
    connector: str = "clickhouse"
    desired_state: str = "Active"
    tags: list[str] = field(default_factory=list)
    error: str | None = None
    task_statuses: object = None


@dataclass
class Pipeline:
    id: str
    name: str
    source_id: str
    destination_id: str
    topics: list[str]
    tags: list[str] = field(default_factory=list)
    snapshot_new_tables: bool = False
    transforms: list[object] = field(default_factory=list)
    topic_auto_discovery_transforms: list[object] = field(default_factory=list)
    periodic_audit: dict[str, object] | None = None


def complaints(config: Config) -> list[dict[str, object]]:
    return [
        {"type": "extra_forbidden", "loc": ["body", "config", key], "msg": "Extra inputs are not permitted"}
        for key in config
        if key not in DESTINATION_FIELDS
    ]


def missing(config: Config) -> list[str]:
    return [key for key, (required, _secret) in DESTINATION_FIELDS.items() if required and not config.get(key)]


def described() -> list[dict[str, object]]:
    """The keys of a destination as the API tells them to who asks."""
    return [
        {
            "name": key,
            "required": required,
            "user_defined": True,
            "encrypt": secret,
            "value": {"control": "string", "default": False if key == "ssh.enabled" else None},
            "conditions": [
                {"operator": "EQ", "config": switch, "value": value}
                for behind, (switch, value) in _BEHIND_A_SWITCH.items()
                if behind == key
            ],
        }
        for key, (required, secret) in DESTINATION_FIELDS.items()
    ]


def kept(config: Config) -> Config:
    """What is kept of a configuration: all keys, and null for what is behind a switch that is off."""
    whole = {key: config.get(key) for key in DESTINATION_FIELDS}
    for key, (switch, value) in _BEHIND_A_SWITCH.items():
        if whole.get(switch) != value:
            whole[key] = None
    return whole


def destination_status(destination: Destination, has_pipeline: bool) -> str:
    if destination.desired_state != "Active":
        return destination.desired_state
    if destination.error:
        return "Broken"
    return "Active" if has_pipeline else "Pending"


def told_destination(destination: Destination, topics: list[str], secrets: bool) -> dict[str, object]:
    status = destination_status(destination, bool(topics))
    running: dict[str, object] = {"0": {"state": "RUNNING"}} if status == "Active" else {}
    if destination.error:
        running = {"0": {"state": "FAILED", "trace": destination.error}}
    config = dict(destination.config)
    if not secrets:
        config.update(dict.fromkeys(DESTINATION_SECRETS))
    return {
        "id": destination.id,
        "name": destination.name,
        "connector": destination.connector,
        "config": {**config, "connector.class": "com.clickhouse.kafka.connect.ClickHouseSinkConnector"},
        "topics": topics,
        "connector_status": status,
        "desired_state": destination.desired_state,
        "task_statuses": running if destination.task_statuses is None else destination.task_statuses,
        "tags": destination.tags,
    }


def told_pipeline(pipeline: Pipeline, source: dict[str, object], destination: dict[str, object]) -> dict[str, object]:
    return {
        "id": pipeline.id,
        "name": pipeline.name,
        "snapshot_new_tables": pipeline.snapshot_new_tables,
        "source": {**source, "topics": pipeline.topics},
        "destination": destination,
        "topics": [f"source_{pipeline.source_id}.{topic}" for topic in pipeline.topics],
        "transforms": pipeline.transforms,
        "topic_auto_discovery_transforms": pipeline.topic_auto_discovery_transforms,
        "tags": pipeline.tags,
        "periodic_audit": pipeline.periodic_audit,
    }
