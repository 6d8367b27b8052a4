# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: neon
short_description: Neon projects, branches or databases as hosts
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Makes an inventory of what there is at Neon, by its management API, so that the role P(streamkap.neon.cdc#role) can be run on a fleet.
  - A host is one database of a branch, unless O(hosts) says otherwise. Nothing runs on the hosts; they connect locally, to the controller.
  - All hosts are in the group C(neon), which has the variables that all have in common, among them C(cdc_login_host) and its like, made
    of the hosts' own variables. So C(group_vars/neon.yml) can give others. Guide, with all variables -
    U(https://github.com/streamkap/streamkap.neon/blob/main/docs/neon_fleet.md).
  - There is no secret in it, neither a password nor a connection string. P(streamkap.neon.neon_connection_uri#lookup) looks those up when
    they are needed.
  - The file's name must end with C(neon.yml) or C(neon.yaml). A key in it that is no option is an error.
extends_documentation_fragment:
  - streamkap.neon._neon_api
  - streamkap.neon._neon_api.plugins
  - constructed
  - inventory_cache
options:
  plugin:
    description: What makes this a file of this plugin.
    type: str
    required: true
    choices: [streamkap.neon.neon]
  hosts:
    description:
      - What a host is.
      - V(database) and V(branch) leave out, with a warning, branches that nobody can connect to because they have no read-write compute
        or a disabled one. With O(strict=true) that is an error.
    type: str
    choices: [database, branch, project]
    default: database
  projects:
    description:
      - Patterns of projects, by their names. All projects that the key may see, if not given.
      - The patterns are a shell's, C(*), C(?) and C([...]). They are for the whole of a name, and case counts. A project or branch may be
        given by its whole id as well.
    type: list
    elements: str
    default: []
  exclude_projects:
    description: Patterns of projects that are left out, whatever O(projects) holds.
    type: list
    elements: str
    default: []
  branches:
    description: Patterns of branches. The default branch of each project, if not given; V(*) for all branches.
    type: list
    elements: str
    default: []
  exclude_branches:
    description: Patterns of branches that are left out, whatever O(branches) holds.
    type: list
    elements: str
    default: []
  databases:
    description: Patterns of databases, by their names. All databases, if not given.
    type: list
    elements: str
    default: []
  exclude_databases:
    description: Patterns of databases that are left out, whatever O(databases) holds.
    type: list
    elements: str
    default: []
  named_by:
    description:
      - What hosts are named by. In either case the parts are joined by dots, such as C(shiny-wind-028834.br-aged-salad-637688.orders), and
        whatever else than letters, digits, C(_) and C(-) there is in a name is percent-encoded.
      - V(ids) of the project and the branch stay the same for ever.
      - V(names) are easier to read, may be changed by anybody, and need not be unique. Two hosts of the same name are an error.
    type: str
    choices: [ids, names]
    default: ids
  requests_per_minute:
    description:
      - How many requests are sent in a minute at most. Neon takes 700 of an account, of which others may need some.
      - It takes one request for 400 projects; two for each project (none with O(hosts=project)); and with O(hosts=database) one for each
        branch. That is 300 requests, or half a minute, for 100 projects, and 5 minutes for 1,000.
    type: int
    default: 600
  strict:
    description:
      - Whether it is an error, and no warning or nothing at all, if O(compose), O(groups) or O(keyed_groups) fail for a host, and if
        something is left out that cannot be connected to, or is gone when it is looked at.
    type: bool
    default: false
notes:
  - O(neon_api_key) may be encrypted by C(ansible-vault encrypt_string), and may be a template. Of variables, an inventory knows those of
    C(--extra-vars) only.
  - Ansible goes on without an inventory that fails, and says so in a warning. Set E(ANSIBLE_INVENTORY_UNPARSED_FAILED) to C(true) to have
    that end the run.
  - With O(cache=true) and a cache plugin that keeps files, such as P(ansible.builtin.jsonfile#cache), the file is readable by its owner
    only. It is taken for what it is as long as neither these options nor the key change.
seealso:
  - plugin: streamkap.neon.neon_connection_uri
    plugin_type: lookup
  - module: streamkap.neon.neon_project_info
"""

EXAMPLES = r"""
# fmt: code

# fleet.neon.yml: every database of every project's default branch. The key is in the environment variable NEON_API_KEY.
plugin: streamkap.neon.neon

---
# Production only, and without what nobody captures; in groups by region and by what is still to be done.
plugin: streamkap.neon.neon
projects: [shop-*, billing]
exclude_projects: ["*-sandbox"]
exclude_databases: [postgres, "*_test"]
named_by: names
compose:
  # Slots belong to the branch's server: each of its databases needs one of its own.
  cdc_slot: "'streamkap_' ~ (neon_database | lower | regex_replace('[^a-z0-9_]', '_'))"
keyed_groups:
  - key: neon_region_id
    prefix: region
  - key: neon_pg_version | string
    prefix: postgresql
groups:
  without_logical_replication: not neon_logical_replication
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/neon_inventory

---
# All branches as hosts, with a key from a vault.
plugin: streamkap.neon.neon
neon_api_key: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6238...
hosts: branch
branches: ["*"]

# group_vars/neon.yml:
# cdc_dsn: "{{ lookup('streamkap.neon.neon_connection_uri', project=neon_project_id, branch=neon_branch_id,
#                     database=neon_database, role=neon_owner) }}"
# cdc_password: "{{ vault_streamkap_password }}"
# cdc_schemas: [app]
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.cache import BaseFileCacheModule
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._neon.fleet import (
    BRANCHES,
    DATABASES,
    Names,
    Selection,
    survey,
)
from ansible_collections.streamkap.neon.plugins.module_utils._sql import listed
from ansible_collections.streamkap.neon.plugins.module_utils._text import printable
from ansible_collections.streamkap.neon.plugins.plugin_utils._neon import neon_api

try:
    from ansible.template import trust_as_template
except ImportError:
    # Before ansible-core 2.19 every text was a template.
    def trust_as_template(value: str) -> str:
        return value


GROUP = "neon"

DATABASE = "database"
BRANCH = "branch"
PROJECT = "project"
_PARTS = {DATABASE: frozenset((BRANCHES, DATABASES)), BRANCH: frozenset((BRANCHES,)), PROJECT: frozenset()}

# What all hosts have in common. As variables of the group, those that users give to it win.
_LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
_OF_BRANCHES = {"cdc_login_host": "{{ neon_host }}", "cdc_ssl_mode": "require"}
_OF_DATABASES = {"cdc_login_db": "{{ neon_database }}", "cdc_login_user": "{{ neon_owner }}"}
_IN_COMMON = {
    DATABASE: {**_LOCAL, **_OF_BRANCHES, **_OF_DATABASES},
    BRANCH: {**_LOCAL, **_OF_BRANCHES},
    PROJECT: _LOCAL,
}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "streamkap.neon.neon"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("neon.yml", "neon.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        given = self._read_config_data(path)
        try:
            self._refuse_unknown(given)
            self._add(self._found(path, cache))
        except Failure as failure:
            raise AnsibleParserError(failure.as_result()["msg"]) from None

    def update_cache_if_changed(self) -> None:
        super().update_cache_if_changed()
        plugin = self._cache._plugin
        if isinstance(plugin, BaseFileCacheModule):
            # Ansible's cache plugins let everybody read their files, and put this and that before a key.
            for file in Path(plugin._cache_dir).iterdir():
                if file.name.endswith(tuple(self._cache)):
                    file.chmod(0o600)

    def _refuse_unknown(self, given: dict[str, Any]) -> None:
        """A filter whose name is mistyped would let through what it is to keep out."""
        unknown = sorted(set(given) - set(self.option_definitions))
        if unknown:
            raise Failure(
                "This is no option of the inventory %s: %s." % (self.NAME, listed(unknown)),
                hint="Its options are %s." % ", ".join(sorted(self.option_definitions)),
            )

    # What there is

    def _found(self, path: str, cache: bool) -> dict[str, Any]:
        """The fleet, as Neon or the cache tells it; plain types, no secrets."""
        rate = self.get_option("requests_per_minute")
        if rate < 1:
            raise Failure("requests_per_minute is %d." % rate, hint="Give a number of requests, 1 or more.")
        api = neon_api(self, self.templar, rate)
        asked = self._asked()
        cached = self.get_option("cache")
        key = self.get_cache_key(path)
        if cached and cache:
            known = self._cache.get(key)
            if known and known.get("asked") == asked:
                return known
        fleet = survey(api, self._selection())
        found = {"asked": asked, "projects": fleet.projects, "gone": fleet.gone}
        if cached:
            self._cache[key] = found
        return found

    def _asked(self) -> dict[str, Any]:
        """By what another question is told from this one. Of the key it is as much as tells two apart, and no more."""
        names = ("neon_api_url", "org_id", "hosts", *_FILTERS)
        key = str(self.templar.template(self.get_option("neon_api_key")))
        return {**{name: self.get_option(name) for name in names}, "key": hashlib.sha256(key.encode()).hexdigest()[:6]}

    def _selection(self) -> Selection:
        return Selection(
            **{name: Names(self.get_option(name), self.get_option(f"exclude_{name}")) for name in _FILTERED},
            parts=_PARTS[self.get_option("hosts")],
            reachable_only=True,
        )

    # What becomes of it

    def _add(self, found: dict[str, Any]) -> None:
        hosts = self.get_option("hosts")
        self._leave_out(found["gone"])
        if hosts != PROJECT:
            self._leave_out(
                [
                    "The branch %s (%s) of the project %s (%s) has no read-write compute that is enabled."
                    % (branch["id"], branch["name"], project["id"], project["name"])
                    for project in found["projects"]
                    for branch in project["branches"]
                    if not branch["capture"]["host"]
                ]
            )
        self.inventory.add_group(GROUP)
        for name, value in _IN_COMMON[hosts].items():
            self.inventory.set_variable(GROUP, name, trust_as_template(value))
        called: dict[str, str] = {}
        for host, where, variables in _hosts(found["projects"], hosts, self.get_option("named_by")):
            if host in called:
                raise Failure(
                    "Two hosts would be called %s: %s, and %s." % (host, called[host], where),
                    hint="Set named_by to ids.",
                )
            called[host] = where
            self._add_host(host, variables)
        if not called:
            self.display.warning("The inventory %s has no hosts: nothing at Neon fits its filters." % self.NAME)

    def _leave_out(self, sentences: list[str]) -> None:
        if not sentences:
            return
        if self.get_option("strict"):
            raise Failure(sentences[0], hint="Leave it out by a filter, or set strict to false.")
        more = " The same goes for %d more." % (len(sentences) - 5) if len(sentences) > 5 else ""
        self.display.warning(printable("Left out of the inventory: %s%s" % (" ".join(sentences[:5]), more)))

    def _add_host(self, host: str, variables: dict[str, Any]) -> None:
        self.inventory.add_host(host, group=GROUP)
        # Whoever names a database writes no templates for who captures it.
        variables = wrap_var(variables)
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


_FILTERED = ("projects", "branches", "databases")
_FILTERS = (*_FILTERED, *(f"exclude_{name}" for name in _FILTERED))


def _hosts(projects: list[dict[str, Any]], hosts: str, named_by: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """For each host its name, what it is for a message, and its variables."""

    def named(thing: dict[str, Any]) -> str:
        return _quoted(thing["id" if named_by == "ids" else "name"])

    for project in projects:
        of_project = _of_project(project)
        if hosts == PROJECT:
            yield named(project), "the project %s" % project["id"], of_project
            continue
        for branch in project["branches"]:
            if not branch["capture"]["host"]:
                continue
            of_branch = {**of_project, **_of_branch(branch)}
            name = "%s.%s" % (named(project), named(branch))
            where = "the branch %s of the project %s" % (branch["id"], project["id"])
            if hosts == BRANCH:
                yield name, where, of_branch
                continue
            for database in branch["databases"]:
                yield (
                    "%s.%s" % (name, _quoted(database["name"])),
                    "the database %s on %s" % (printable(database["name"]), where),
                    {**of_branch, "neon_database": database["name"], "neon_owner": database["owner"]},
                )


def _quoted(name: str) -> str:
    """A name as a part of a host's, where neither dots nor what patterns of hosts are made of may be."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: "".join("%%%02X" % byte for byte in found[0].encode()), name)


def _of_project(project: dict[str, Any]) -> dict[str, Any]:
    return {
        "neon_project_id": project["id"],
        "neon_project_name": project["name"],
        "neon_org_id": project["org_id"],
        "neon_region_id": project["region_id"],
        "neon_pg_version": project["pg_version"],
        "neon_logical_replication": project["enable_logical_replication"],
    }


def _of_branch(branch: dict[str, Any]) -> dict[str, Any]:
    capture = branch["capture"]
    endpoint = next(endpoint for endpoint in branch["endpoints"] if endpoint["id"] == capture["endpoint_id"])
    return {
        "neon_branch_id": branch["id"],
        "neon_branch_name": branch["name"],
        "neon_branch_default": branch["default"],
        "neon_branch_protected": branch["protected"],
        "neon_endpoint_id": endpoint["id"],
        "neon_endpoint_state": endpoint["current_state"],
        "neon_host": endpoint["host"],
        "neon_pooled_host": endpoint["pooled_host"],
        "neon_suspends_after_seconds": endpoint["suspends_after_seconds"],
        "neon_capture": {name: capture[name] for name in ("ready", "lacks", "cautions")},
    }
