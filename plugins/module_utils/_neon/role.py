# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""A role that Neon makes, which has REPLICATION from the start, and much more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._api_task import Outcome
from .._errors import Failure
from .._http import path
from .._neon_api import NeonApi, Unknown, accepted, looking_after
from .._sql import listed

_LONGEST_NAME = 63  # bytes, as PostgreSQL has it

# What compute_ctl gives each role that it makes (https://github.com/neondatabase/neon, compute_tools).
PRIVILEGES = (
    "Neon has made %s a member of neon_superuser, with REPLICATION, CREATEROLE, CREATEDB and BYPASSRLS: it can read and write every table "
    "of the branch. Nothing less comes from the API; from PostgreSQL 16 on, SQL can make one that has REPLICATION only."
)

_LOST_PASSWORD = "Run again with reset_password: true to get another one."


@dataclass(frozen=True)
class Desired:
    """
    :param allow_restart: whether the connections of the branch's computes may be dropped.
    """

    name: str
    state: str = "present"
    reset_password: bool = False
    allow_restart: bool = False

    def __post_init__(self) -> None:
        if not self.name or len(self.name.encode()) > _LONGEST_NAME or "\0" in self.name:
            raise Failure(
                "The name of a role has 1 to %d bytes, and %s has %d."
                % (_LONGEST_NAME, self.name or "an empty one", len(self.name.encode())),
                hint="Choose another name.",
            )
        if self.state == "absent" and self.reset_password:
            raise Failure("reset_password does not go with state: absent.", hint="Leave out one of them.")


def converge(api: NeonApi, project_named: str, branch_named: str | None, desired: Desired, check_mode: bool) -> Outcome:
    """Look, send one request if anything differs, wait for what it starts, and look again."""
    project = api.project(project_named)
    branch = api.branch(project["id"], branch_named)
    place = _Place(api, project, branch, desired.name)
    role = place.look()
    before = _aspects(role)
    if desired.state == "absent":
        outcome = Outcome(bool(role), before, {}, result={"role": _described(place, None)})
        if role and not check_mode:
            place.delete()
        return outcome
    if role and not desired.reset_password:
        return Outcome(False, before, before, result={"role": _described(place, role)})
    if not desired.allow_restart:
        said = place.what_is_dropped()
        if said and not check_mode:
            raise Failure("%s Nothing was changed." % said, hint="Set allow_restart: true when that may happen.")
        warnings = ["%s The task refuses that. Set allow_restart: true when that may happen." % said] if said else []
    else:
        warnings = []
    outcome = Outcome(
        True,
        before,
        {**(before or {"name": desired.name}), "password": "new" if role else "generated"},
        warnings,
        {"role": _described(place, role)},
    )
    if check_mode:
        return outcome
    made = place.reset_password() if role else place.create()
    if not role:
        outcome.warnings.append(PRIVILEGES % desired.name)
    outcome.result = {"role": _described(place, made), "password": made["password"]}
    return outcome


class _Place:
    """Where the role is, or is to be."""

    def __init__(self, api: NeonApi, project: dict[str, Any], branch: dict[str, Any], name: str) -> None:
        self.api = api
        self.project = project
        self.branch = branch
        self.name = name
        self._roles = path("/projects/%s/branches/%s/roles", project["id"], branch["id"])
        self._role = path("/projects/%s/branches/%s/roles/%s", project["id"], branch["id"], name)

    def look(self) -> dict[str, Any] | None:
        roles = self.api.roles(self.project["id"], self.branch["id"])
        return next((role for role in roles if role["name"] == self.name), None)

    def what_is_dropped(self) -> str | None:
        """One sentence on the connections that Neon drops, if there may be any."""
        computes = [
            compute["id"]
            for compute in self.api.endpoints(self.project["id"])
            if compute["branch_id"] == self.branch["id"] and compute["current_state"] == "active"
        ]
        if not computes:
            return None
        return (
            "Neon drops every connection to the branch %s (active at the moment: %s) when it gives the role %s a password."
            % (
                self.branch["name"],
                listed(computes),
                self.name,
            )
        )

    def create(self) -> dict[str, Any]:
        """:returns: the role, with the generated password."""
        try:
            answer = self.api.change("POST", self._roles, {"role": {"name": self.name}})
        except Unknown as unknown:
            with looking_after(unknown):
                role = self.look()
            if not role:
                raise unknown.adding("Looked at afterwards, there was no such role.") from None
            raise Failure(
                "%s The role %s is there, and its password was in the answer that did not come."
                % (unknown.msg, self.name),
                hint=_LOST_PASSWORD,
                **unknown.details,
            ) from None
        return self._with_password(answer)

    def reset_password(self) -> dict[str, Any]:
        """:returns: the role, with the new password."""
        try:
            answer = self.api.change("POST", self._role + "/reset_password")
        except Unknown as unknown:
            raise Failure(
                "%s The role %s may have a new password, which nobody has been told." % (unknown.msg, self.name),
                hint=_LOST_PASSWORD,
                **unknown.details,
            ) from None
        return self._with_password(answer)

    def _with_password(self, answer: dict[str, Any]) -> dict[str, Any]:
        try:
            # It is ready when the last one has ended.
            self.api.wait_for(self.project["id"], answer.get("operations", []))
        except Failure as failure:
            raise failure.adding(
                "The password of the role %s was given, and is lost. %s" % (self.name, _LOST_PASSWORD)
            ) from None
        role = answer.get("role") or {}
        if not role.get("password"):
            raise Failure("Neon has made the role %s, and did not tell its password." % self.name, hint=_LOST_PASSWORD)
        return role

    def delete(self) -> None:
        try:
            answer = self.api.change("DELETE", self._role)
        except Unknown as unknown:
            with looking_after(unknown):
                remains = self.look()
            if remains:
                raise unknown.adding("Looked at afterwards, the role was still there.") from None
            return
        self.api.wait_for(self.project["id"], answer.get("operations", []))
        with accepted():
            remains = self.look()
        if remains:
            raise Failure(
                "Neon accepted to delete the role %s, and still has it." % self.name,
                hint="Look at it in Neon's console, and run again.",
            )


def _aspects(role: dict[str, Any] | None) -> dict[str, Any]:
    return {"name": role["name"]} if role else {}


def _described(place: _Place, role: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": place.name,
        "exists": role is not None,
        "project": place.project["id"],
        "branch": place.branch["id"],
        "protected": bool(role.get("protected")) if role else None,
        "authentication_method": role.get("authentication_method") if role else None,
    }
