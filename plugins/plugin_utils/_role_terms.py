# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Name the variables of a role where a module's message names its own options, which whoever runs the role has not set."""

from __future__ import annotations

import re
from typing import Any

_CONNECTION = (
    "dsn",
    "login_host",
    "login_port",
    "login_user",
    "login_password",
    "login_db",
    "ssl_mode",
    "ca_cert",
    "ssl_cert",
    "ssl_key",
    "session_role",
    "connect_params",
    "connect_timeout",
    "lock_timeout",
    "statement_timeout",
)

# The variable that each option gets its value from. Words that mean something else too are taken for an option before a colon only.
VARIABLES: dict[str, dict[str, str]] = {
    "cdc": {
        **{name: f"cdc_{name}" for name in _CONNECTION},
        "additional_conditions": "cdc_snapshot_conditions",
        "bypassrls:": "cdc_bypassrls:",
        "connector_password": "cdc_password",
        "connector_role": "cdc_role",
        "connector_running": "cdc_connector_running",
        "connector_user": "cdc_user",
        "data_collections": "cdc_snapshot_tables",
        "database_privileges": "cdc_database_privileges",
        "exclude_tables": "cdc_exclude_tables",
        "keyless_tables": "cdc_keyless_tables",
        "publication_scope": "cdc_publication_scope",
        "publish_via_partition_root": "cdc_publish_via_partition_root",
        "schema_privileges": "cdc_schema_privileges",
        "signal_schema": "cdc_signal_schema",
        "snapshot_type": "cdc_snapshot_type",
        "surrogate_key": "cdc_snapshot_surrogate_key",
        "tables_from_schemas": "cdc_schemas",
    },
    "connector": {
        "adopt:": "connector_adopt:",
        "database_password": "connector_password",
        "kc_cluster_id": "connector_kc_cluster_id",
        "streamkap_api_timeout": "connector_api_timeout",
        "streamkap_api_url": "connector_api_url",
        "streamkap_client_id": "connector_client_id",
        "streamkap_secret": "connector_secret",
        "streamkap_wait_timeout": "connector_wait_timeout",
        "update_password": "connector_update_password",
    },
    "neon": {
        "allow_lockout": "neon_allow_lockout",
        "allow_restart": "neon_allow_restart",
        "allowed_ips": "neon_allowed_ips",
        "enable_logical_replication": "neon_enable_logical_replication",
        "exclusive:": "neon_exclusive:",
        "org_id": "neon_org_id",
        "protected_branches_only": "neon_protected_branches_only",
    },
}
# Of the server these are settings, and checks speak of them.
_ALSO_SETTINGS = ("lock_timeout", "statement_timeout")


def translate(role: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return a module's result with its messages in terms of a role's variables.

    :param role: one of the collection's, without the collection's name. A result of no role, or of another, stays as it is.
    """
    variables = VARIABLES.get(role)
    if not variables:
        return result
    pattern = _pattern(list(variables))
    translated = {
        key: _replace(pattern, variables, value) if key in ("msg", "hint") else value for key, value in result.items()
    }
    if isinstance(result.get("warnings"), list):
        translated["warnings"] = [_replace(pattern, variables, warning) for warning in result["warnings"]]
    plan = result.get("plan")
    if isinstance(plan, dict) and isinstance(plan.get("warnings"), list):
        warnings = [_replace(pattern, variables, warning) for warning in plan["warnings"]]
        translated["plan"] = {**plan, "warnings": warnings}
    if isinstance(result.get("checks"), list):
        of_checks = _pattern([name for name in variables if name not in _ALSO_SETTINGS])
        translated["checks"] = [
            {
                key: _replace(of_checks, variables, value) if key in ("remedy", "reason") else value
                for key, value in check.items()
            }
            for check in result["checks"]
        ]
    return translated


def _pattern(names: list[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    # Neither a part of another word nor a name of something in the database.
    return re.compile(rf"(?<![\w.\"'-])(?:{words})(?![\w\"'(-])(?!\.\w)")


def _replace(pattern: re.Pattern[str], variables: dict[str, str], text: Any) -> Any:
    return pattern.sub(lambda found: variables[found.group()], text) if isinstance(text, str) else text
