# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""The connection string of a role, with its password. It is in what is returned, and in nothing else."""

from __future__ import annotations

from .._errors import Failure
from .._neon_api import NeonApi, status_of
from .._sql import listed


def connection_uri(
    api: NeonApi,
    project: str,
    branch: str | None = None,
    database: str | None = None,
    role: str | None = None,
    pooled: bool = False,
) -> str:
    """
    :param project: its id or name.
    :param branch: its id or name; the default one, if not given.
    :param database: the only one of the branch, if not given.
    :param role: the database's owner, if not given.
    :param pooled: whether the host is that of the pooler.
    """
    if branch and branch.startswith("br-") and database and role:
        # Where all is known, as in an inventory, one request does.
        try:
            return api.connection_uri(project, branch, database, role, pooled)
        except Failure as failure:
            # Whatever is none of it by this name: what follows tells.
            if status_of(failure) not in (400, 404, 422):
                raise
    project_id = api.project(project)["id"]
    branch_id = api.branch(project_id, branch)["id"]
    found = _database(api, project_id, branch_id, database)
    return api.connection_uri(project_id, branch_id, found["name"], role or found["owner_name"], pooled)


def _database(api: NeonApi, project_id: str, branch_id: str, named: str | None) -> dict[str, str]:
    databases = api.databases(project_id, branch_id)
    fitting = [database for database in databases if named in (None, database["name"])]
    if len(fitting) == 1:
        return fitting[0]
    names = listed(sorted(database["name"] for database in databases)) or "none"
    if named is not None:
        raise Failure(
            "The branch %s of the project %s has no database %s." % (branch_id, project_id, named),
            hint="It has: %s." % names,
        )
    raise Failure(
        "The branch %s of the project %s has %d databases." % (branch_id, project_id, len(databases)),
        hint="Name one in database: %s." % names if databases else "Make one first.",
    )
