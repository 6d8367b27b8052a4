# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Know the variables of the roles, and find those that somebody has misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_ROLES = Path(__file__).resolve().parents[2] / "roles"

# How the variables of a role begin. The modules' options for Streamkap's API begin with streamkap_, which the role's do not.
PREFIXES = {
    "cdc": ("cdc_",),
    "connector": ("connector_", "streamkap_"),
    "neon": ("neon_",),
    "ssh_tunnel": ("ssh_tunnel_",),
}

# Variables besides the roles' options: of the playbooks, facts that the roles set, and those of the hosts of the inventory plugin.
OTHERS = {
    "cdc": {
        "cdc_connector",
        "cdc_drift",
        "cdc_hindrances",
        "cdc_hosts",
        "cdc_manage_source",
        "cdc_rotation",
    },
    "connector": {"connector_source"},
    "neon": {
        "neon_branch_default",
        "neon_branch_id",
        "neon_branch_name",
        "neon_branch_protected",
        "neon_capture",
        "neon_database",
        "neon_endpoint_id",
        "neon_endpoint_state",
        "neon_host",
        "neon_logical_replication",
        "neon_org_id",
        "neon_owner",
        "neon_pending",
        "neon_pg_version",
        "neon_pooled_host",
        "neon_project_id",
        "neon_project_name",
        "neon_region_id",
        "neon_suspends_after_seconds",
    },
    "ssh_tunnel": {"ssh_tunnel_bastion", "ssh_tunnel_hosts"},
}

# difflib's ratio of two names without their prefix: from where on one may be meant by the other, and from where on it certainly is.
_SIMILAR, _NEARLY_EQUAL = 0.6, 0.8


@dataclass(frozen=True)
class Unknown:
    """A variable that begins like those of a role, and is none.

    nearest: the one that may be meant
    nearly_equal: whether the two differ by so little that it certainly is
    """

    name: str
    nearest: str | None
    nearly_equal: bool


def options_of(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points of a role."""
    text = (_ROLES / role / "meta" / "argument_specs.yml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    options: dict[str, dict[str, Any]] = {}
    for entry_point in yaml.load(text, loader)["argument_specs"].values():
        options.update(entry_point.get("options", {}))
    return options


def is_given(name: str, options: Mapping[str, Any], variables: Mapping[str, Any]) -> bool:
    """Tell whether somebody has set a variable, apart from the role's own default."""
    return name in variables and variables[name] != options.get(name, {}).get("default")


def find_unknown(role: str, known: Iterable[str], names: Iterable[str]) -> list[Unknown]:
    """Return those of the names that begin like a role's variables, and are none of them."""
    known = set(known)
    stripped = {_without_prefix(name, role): name for name in sorted(known)}
    return [
        _unknown(name, _without_prefix(name, role), stripped)
        for name in sorted(names)
        if name.startswith(PREFIXES[role]) and name not in known
    ]


def _unknown(name: str, word: str, stripped: Mapping[str, str]) -> Unknown:
    (nearest,) = difflib.get_close_matches(word, stripped, n=1, cutoff=_SIMILAR) or [None]
    if nearest is None:
        return Unknown(name, None, False)
    ratio = difflib.SequenceMatcher(None, nearest, word).ratio()
    return Unknown(name, stripped[nearest], ratio >= _NEARLY_EQUAL and name.startswith(stripped[nearest].split("_")[0]))


def _without_prefix(name: str, role: str) -> str:
    return next((name[len(prefix) :] for prefix in PREFIXES[role] if name.startswith(prefix)), name)
