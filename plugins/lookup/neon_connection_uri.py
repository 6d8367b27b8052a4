# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: neon_connection_uri
short_description: The connection string of a role of a Neon database
version_added: 0.2.0
author:
  - The streamkap.neon contributors (@streamkap)
description:
  - Asks Neon's management API for the URI by which a role connects to a database, with the role's password in it.
  - It is a secret. It is in what the lookup returns, and in nothing that it displays or logs, at any verbosity. Where a task shows it,
    such as C(ansible.builtin.debug), it is shown. All options of this collection that take it keep it secret.
  - It leads to the compute itself, which is what capturing needs, and to its pooler only with O(pooled=true).
extends_documentation_fragment:
  - streamkap.neon._neon_api
  - streamkap.neon._neon_api.plugins
options:
  _terms:
    description: The projects, by id or name, in place of O(project). There is a URI for each.
    type: list
    elements: str
  project:
    description: The project's id, or its name where only one project has it.
    type: str
  branch:
    description: The branch's id or name. The project's default branch, if not given.
    type: str
  database:
    description: The database's name. It may be left out where the branch has exactly one.
    type: str
  role:
    description: The role that connects. The database's owner, if not given.
    type: str
  pooled:
    description: Whether the URI leads to the pooler, through which nothing can be captured.
    type: bool
    default: false
notes:
  - Ansible looks a variable up each time that something uses it. One request is sent for it where O(project) is an id, O(branch) is an id,
    and O(database) and O(role) are given, as the inventory P(streamkap.neon.neon#inventory) has them all; up to four, if not.
  - Neon must store passwords (C(store_passwords) of the project, which is its default). It knows no password of roles that were made by
    SQL without one.
seealso:
  - plugin: streamkap.neon.neon
    plugin_type: inventory
  - module: streamkap.neon.neon_project_info
"""

EXAMPLES = r"""
# The key is in the environment variable NEON_API_KEY, or in the variable neon_api_key.

- name: The only database of the project's default branch, as its owner
  ansible.builtin.include_role:
    name: streamkap.neon.cdc
  vars:
    cdc_dsn: "{{ lookup('streamkap.neon.neon_connection_uri', 'shop') }}"
    cdc_password: "{{ vault_streamkap_password }}"
    cdc_schemas: [app]

- name: What is published on the branch staging
  streamkap.neon.publication:
    dsn: "{{ lookup('streamkap.neon.neon_connection_uri', project='shop', branch='staging', database='orders', role='neondb_owner') }}"
    tables_from_schemas: [app]

# In group_vars/neon.yml, beside an inventory streamkap.neon.neon:
# cdc_dsn: "{{ lookup('streamkap.neon.neon_connection_uri', project=neon_project_id, branch=neon_branch_id,
#                     database=neon_database, role=neon_owner) }}"
"""

RETURN = r"""
_raw:
  description: A connection URI for each project. Secret.
  type: list
  elements: str
  sample: ["postgresql://neondb_owner:********@ep-cool-darkness-123456.us-east-2.aws.neon.tech/neondb?sslmode=require"]
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._neon.connection_uri import connection_uri
from ansible_collections.streamkap.neon.plugins.plugin_utils._neon import neon_api


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        given = {name: self.get_option(name) for name in ("branch", "database", "role", "pooled")}
        try:
            api = neon_api(self, self._templar)
            return [connection_uri(api, project, **given) for project in self._projects(terms)]
        except Failure as failure:
            # Nothing of what led to it: it may have been on the way with a secret.
            raise AnsibleLookupError(failure.as_result()["msg"]) from None

    def _projects(self, terms: list[str]) -> list[str]:
        project = self.get_option("project")
        projects = [*terms, project] if project else terms
        if not projects or (terms and project):
            raise Failure(
                "neon_connection_uri takes projects as its terms or one as project=..., and has %s."
                % ("both" if projects else "neither"),
                hint="Give the project's id or name.",
            )
        for named in projects:
            if not isinstance(named, str) or not named:
                raise Failure(
                    "neon_connection_uri has a project that is no id or name.", hint="Is its variable empty, or a list?"
                )
        return projects
