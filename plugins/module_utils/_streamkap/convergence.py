# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A PostgreSQL source is made what it is to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._api_task import Outcome
from .._streamkap_api import StreamkapApi
from .connector import Asked, converge_connector
from .entities import SOURCE, Entities, resolve_tags
from .fields import FIELDS, OPTION_OF, PASSWORD_KEY
from .plan import ABSENT, Plan
from .source import Desired, check_system, plan, plan_fields
from .told import CONNECTOR, describe, secret_of, settings

READINESS = (
    "What the connector needs of the database is looked at by streamkap.neon.readiness_info: run it with this source's database, "
    "connector_user, publication and slot. It names what lacks and how to put it right."
)

_SLOT_IS_TAKEN = (
    "Another source reads the slot %s and the publication %s of this database, and two that share a slot lose data. Remove that one, or "
    "give slot_name and publication_name of its own."
)
_SIGNAL_TABLE_IS_TAKEN = (
    "Each source of a database needs a signal table of its own. Create one in another schema, with streamkap.neon.signal_table (in the "
    "role cdc it is cdc_signal_schema), and give its full path in signal_data_collection_schema_or_database."
)
_NAME_IS_TAKEN = (
    "Another run may just have made it: run again. If it stays so, it belongs to another service of the same tenant, and this API token "
    "does not see it: choose another name."
)


def converge(api: StreamkapApi, desired: Desired, check_mode: bool, wait: bool = True) -> Outcome:
    """Look, plan, send what differs, look again, and wait for what comes of it.

    :param wait: whether to return only when the source runs, is paused, or is gone.
    """
    api.keep_secret(desired.password)
    sources = Entities(api, SOURCE)
    if desired.state != ABSENT:
        desired = replace(desired, tags=resolve_tags(api, desired.tags))
    found = sources.find(desired.name)
    stored = None
    if found and desired.state != ABSENT and desired.password is not None and desired.update_password == "always":
        stored = secret_of(sources.read(found["id"], secrets=True), PASSWORD_KEY)
    if found:
        check_system(desired, found)
    if found and desired.state != ABSENT:
        asked_keys, defaults = desired.keys(defaults=False), desired.keys(defaults=True)
        desired = replace(desired, void=sources.void_keys(CONNECTOR, found, asked_keys, defaults))

    def compare(seen: Any) -> Plan:
        compared = Plan()
        plan_fields(compared, desired, seen, settings(seen))
        told = seen.get("config") or {}
        for option in desired.fields:
            differs = compared.before[option] != compared.after[option]
            # What is told as null is not told to be the default.
            if differs and FIELDS[option].meant(told.get(FIELDS[option].key)) is None:
                compared.before[option] = None
        return compared

    def explain(said: str) -> str | None:
        if "signal table" in said and "in use" in said:
            return _SIGNAL_TABLE_IS_TAKEN
        if "already exist" in said and "slot" in said:
            return _SLOT_IS_TAKEN % tuple(
                desired.fields.get(option) or FIELDS[option].default for option in ("slot_name", "publication_name")
            )
        return _NAME_IS_TAKEN if "already exist" in said else None

    asked = Asked(
        name=desired.name,
        state=desired.state,
        connector=CONNECTOR,
        secrets=desired.secrets,
        compare=compare,
        describe=lambda seen: describe(seen, desired.name, api.hide),
        known_keys=OPTION_OF,
        required={PASSWORD_KEY: "database_password"},
        advice=READINESS,
        explain=explain,
    )
    return converge_connector(sources, asked, found, lambda seen: plan(desired, seen, stored), check_mode, wait)
