# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A destination in Streamkap, of whatever system: its configuration is given by the keys of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._sql import listed
from .._streamkap_api import StreamkapApi
from .connector import Asked, converge_connector
from .entities import DESTINATION, Entities, resolve_tags
from .fields import PUBLIC_KEY, is_secret
from .plan import ABSENT, PRESENT, Plan, plan_keys, plan_new_state, plan_removal, plan_secrets, plan_state, plan_tags
from .told import describe_connector, secret_of

_NAME_IS_TAKEN = (
    "Another run may just have made it: run again. If it stays so, it belongs to another service of the same tenant, and this API token "
    "does not see it: choose another name."
)


@dataclass(frozen=True)
class DesiredDestination:
    """What the options ask for.

    :param connector: Streamkap's code of the system; None for that of the destination that is there.
    :param config: keys of the API; null empties one. What is not in it is left alone.
    :param secrets: the secret ones; null where there is none.
    :param tags: None leaves them, an empty list clears them.
    :param void: the keys that do not count, as Streamkap describes them.
    """

    name: str
    state: str = PRESENT
    connector: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    update_secrets: str = "on_create"
    tags: list[str] | None = None
    void: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> DesiredDestination:
        """From the module's options.

        :raises Failure: for what cannot be meant, whatever Streamkap has.
        """
        desired = cls(
            config=options.get("config") or {},
            secrets=options.get("secret_config") or {},
            **{name: options[name] for name in ("name", "state", "connector", "update_secrets", "tags")},
        )
        if not desired.name.strip():
            raise Failure("name is empty.", hint="Give the destination a name.")
        misplaced = sorted(key for key in desired.config if is_secret(key))
        if misplaced:
            raise Failure(
                "config holds what is secret: %s." % listed(misplaced),
                hint="Give it in secret_config, which Ansible shows to nobody.",
            )
        both = sorted(set(desired.config) & set(desired.secrets))
        if both:
            raise Failure("config and secret_config both hold %s." % listed(both), hint="Leave out one of them.")
        if PUBLIC_KEY in desired.config:
            raise Failure(
                "config holds %s, which Streamkap makes." % PUBLIC_KEY,
                hint="Leave it out, and read it from the result.",
            )
        return desired


def plan_destination(
    desired: DesiredDestination, found: Mapping[str, Any] | None, stored: Mapping[str, Any] | None = None
) -> Plan:
    """Plan what is to be sent. Pure.

    :param found: the destination of this name, as Streamkap tells it.
    :param stored: its secrets, where they are told; only looked at with ``update_secrets=always``.
    """
    made = Plan()
    if found is None:
        if desired.state != ABSENT:
            _plan_new(made, desired)
        return made
    if desired.connector not in (None, found.get("connector")):
        raise Failure(
            "Streamkap's destination %s is one of %s, not of %s."
            % (desired.name, found.get("connector"), desired.connector),
            hint="Choose another name.",
        )
    if desired.state == ABSENT:
        plan_removal(made, desired.name, found)
        return made
    compare_destination(made, desired, found)
    if desired.update_secrets == "always":
        plan_secrets(made, desired.secrets, stored or {})
        made.before.update(("secret_config.%s" % key, "another one") for key in made.secrets)
        made.after.update(("secret_config.%s" % key, "new") for key in made.secrets)
    plan_state(made, desired.state, "destination", desired.name, found)
    return made


def _plan_new(made: Plan, desired: DesiredDestination) -> None:
    if desired.connector is None:
        raise Failure(
            "There is no destination %s in Streamkap, and to make one it takes connector." % desired.name,
            hint="Give that too. Or is it called otherwise, or does it belong to another project than the API token?",
        )
    made.made = True
    made.config = dict(desired.config)
    made.after = {"name": desired.name, "connector": desired.connector, **desired.config}
    if desired.tags is not None:
        made.top["tags"] = made.after["tags"] = desired.tags
    plan_new_state(made, desired.state)


def compare_destination(made: Plan, desired: DesiredDestination, found: Mapping[str, Any]) -> None:
    plan_keys(made, desired.config, found.get("config") or {}, desired.void)
    plan_tags(made, desired.tags, found)


def converge_destination(
    api: StreamkapApi, desired: DesiredDestination, check_mode: bool, wait: bool = True
) -> Outcome:
    """Look, plan, send what differs, look again, and wait for what comes of it.

    :param wait: whether to return only when the destination runs, is paused, or is gone.
    """
    for value in desired.secrets.values():
        api.keep_secret(value)
    destinations = Entities(api, DESTINATION)
    if desired.state != ABSENT:
        desired = replace(desired, tags=resolve_tags(api, desired.tags))
    found = destinations.find(desired.name)
    connector = desired.connector or str((found or {}).get("connector"))
    stored: dict[str, Any] = {}
    if found and desired.state != ABSENT:
        desired = replace(desired, void=destinations.void_keys(connector, found, desired.config, {}))
        if desired.secrets and desired.update_secrets == "always":
            told = destinations.read(found["id"], secrets=True)
            stored = {key: secret_of(told, key) for key in desired.secrets}

    def compare(seen: Mapping[str, Any]) -> Plan:
        compared = Plan()
        compare_destination(compared, desired, seen)
        return compared

    def describe(seen: Mapping[str, Any] | None) -> dict[str, Any]:
        described = describe_connector(seen, desired.name, api.hide)
        if "config" in described:
            described["config"] = {
                key: value for key, value in described["config"].items() if key not in desired.secrets
            }
        return described

    asked = Asked(
        name=desired.name,
        state=desired.state,
        connector=connector,
        secrets=desired.secrets,
        compare=compare,
        describe=describe,
        known_keys=desired.config,
        secret_option="secret_config",
        is_ready_without_topics=True,
        explain=lambda said: _NAME_IS_TAKEN if "already exist" in said else None,
    )
    return converge_connector(
        destinations, asked, found, lambda seen: plan_destination(desired, seen, stored), check_mode, wait
    )
