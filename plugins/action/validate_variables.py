# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fail for variables that cannot be meant as they are. Documented in plugins/modules/validate_variables.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.streamkap.neon.plugins.module_utils._text import printable
from ansible_collections.streamkap.neon.plugins.plugin_utils import _variable_names

# Any of these leads to a database.
_CONNECTION = ("cdc_dsn", "cdc_login_host", "cdc_login_port", "cdc_login_user", "cdc_login_db", "cdc_connect_params")
_ENVIRONMENT = (
    "NEON_DATABASE_URL",
    "DATABASE_URL",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGSERVICE",
)

# To read the variables of one more host takes time, and the first ones tell.
_HOSTS_READ = 20


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "role": {"type": "str", "choices": list(_variable_names.PREFIXES)},
                "errors": {"type": "list", "elements": "str", "default": []},
                "hosts": {"type": "raw"},
                "hosts_variable": {"type": "str"},
            },
            required_together=[("hosts", "hosts_variable")],
            required_one_of=[("role", "hosts")],
        )
        variables = task_vars or {}
        errors: list[str] = list(arguments["errors"])
        warnings: list[str] = []
        if arguments["hosts_variable"]:
            errors += self._errors_of_tags(variables)
            errors += self._errors_of_hosts(arguments["hosts"], arguments["hosts_variable"], variables)
        if arguments["role"]:
            options = _variable_names.options_of(arguments["role"])
            self._look_for_unknown(arguments["role"], options, variables, errors, warnings)
        if arguments["role"] == "cdc":
            errors += self._errors_of_connection(variables)
        if warnings:
            result["warnings"] = warnings
        if errors:
            result.update(failed=True, msg=printable(" ".join([*errors, "Nothing was changed."])))
        result["changed"] = False
        return result

    @staticmethod
    def _errors_of_tags(variables: Mapping[str, Any]) -> list[str]:
        """Without a tag of its own, a task does not run where tags are named."""
        tags = [str(tag) for tag in variables.get("ansible_run_tags", ["all"])]
        if {"all", "untagged"}.intersection(tags):
            return []
        return [f"This playbook has no tags, so that --tags {','.join(tags)} would do nothing. Run it without --tags."]

    def _errors_of_hosts(self, hosts: Any, variable: str, variables: Mapping[str, Any]) -> list[str]:
        # It is where the playbooks run that do not find their hosts.
        if variables.get("inventory_hostname") != "localhost":
            return []
        in_inventory = list(variables.get("groups", {}).get("all", []))
        if hosts != "localhost" and not self._matching(hosts, variables):
            groups = sorted(set(variables.get("groups", {})) - {"all", "ungrouped"})
            there = f"Its groups are {', '.join(groups)}." if groups else "It has no groups."
            inventory = (
                f"the inventory has no host or group {hosts}. {there}" if in_inventory else "there is no inventory."
            )
            given = f"{variable} is {hosts}, and" if variable in variables else f"{variable} is not given, and"
            return [
                f"No host to work on: {given} {inventory} "
                f"Name the inventory by -i, and one of its hosts or groups by -e {variable}=NAME."
            ]
        if variable not in variables and "localhost" not in in_inventory:
            databases = self._databases_among(in_inventory, variables)
            if databases:
                return [
                    f"{variable} is not given, so that this would run on localhost and not on {', '.join(databases)} of the inventory. "
                    f"Name the hosts or a group by -e {variable}=NAME, or give -e {variable}=localhost."
                ]
        return []

    def _matching(self, hosts: Any, variables: Mapping[str, Any]) -> list[str]:
        lookup = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return lookup.run(hosts if isinstance(hosts, list) else [hosts], variables=variables)

    @staticmethod
    def _databases_among(hosts: list[str], variables: Mapping[str, Any]) -> list[str]:
        """Return the hosts that have a connection of their own."""
        hostvars = variables.get("hostvars", {})
        names = set(_CONNECTION).difference(variables)
        return [host for host in hosts[:_HOSTS_READ] if host in hostvars and names.intersection(hostvars[host])]

    @staticmethod
    def _look_for_unknown(
        role: str,
        options: Mapping[str, Any],
        variables: Mapping[str, Any],
        errors: list[str],
        warnings: list[str],
    ) -> None:
        known = {*options, *_variable_names.OTHERS[role]}
        for unknown in _variable_names.find_unknown(role, known, variables):
            text = f"{unknown.name} is no variable of the role streamkap.neon.{role}."
            if not unknown.nearest:
                warnings.append(printable(f"{text} ansible-doc -t role streamkap.neon.{role} lists them."))
            elif unknown.nearly_equal and not _variable_names.is_given(unknown.nearest, options, variables):
                errors.append(f"{text} Write {unknown.nearest}, or call a variable of your own otherwise.")
            else:
                warnings.append(printable(f"{text} The nearest is {unknown.nearest}."))

    def _errors_of_connection(self, variables: Mapping[str, Any]) -> list[str]:
        """Without any of these libpq tries a socket of this machine."""
        if self._connection.transport != "local" or any(self._value(name, variables) for name in _CONNECTION):
            return []
        environment: dict[str, Any] = {}
        self._compute_environment_string(raw_environment_out=environment)
        if any({**os.environ, **environment}.get(name) for name in _ENVIRONMENT):
            return []
        return [
            "No database is named: cdc_dsn is not given, and neither is the environment variable NEON_DATABASE_URL. "
            "Give one of them as postgresql://user:password@host/database, or give cdc_login_host and cdc_login_db."
        ]

    def _value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """Return a variable, or True where the task that uses it will tell what is wrong with it."""
        if name not in variables:
            return None
        try:
            return self._templar.template(variables[name])
        except AnsibleError:
            return True
