# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Neon's management API v2 (https://api-docs.neon.tech/reference/getting-started-with-neon-api).

The one client of the modules, the lookup and the inventory: it authenticates, keeps to the rate limit, sends again what may be sent
again, follows pages, waits for operations, and tells what went wrong. The key is in the header of a request and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable

from ansible.module_utils.basic import env_fallback

from ._errors import Failure
from ._http import Answer, Pace, Unanswered, base_url, path, persist, send
from ._text import printable

DEFAULT_URL = "https://console.neon.tech/api/v2"

# Documented in plugins/doc_fragments/_neon_api.py.
NEON_API_OPTIONS: dict[str, dict[str, Any]] = {
    "neon_api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["NEON_API_KEY"])},
    "neon_api_url": {"type": "str", "default": DEFAULT_URL},
    "neon_api_timeout": {"type": "int", "default": 30},
    "neon_wait_timeout": {"type": "int", "default": 600},
    "org_id": {"type": "str"},
}

# Neon takes 700 requests a minute of one account, of which others may have their part.
REQUESTS_A_MINUTE = 600

_PROJECTS_A_PAGE = 400  # the most that there may be
_BRANCHES_A_PAGE = 1000
_OPERATIONS_A_PAGE = 100

# Seconds between two tries, and between two looks at an operation: the first, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
# A server that breaks down is asked again a few times. One that is busy or has had enough says so, and is waited for.
_TRIES_OF_A_BREAKDOWN = 5

# What has ended (https://api-docs.neon.tech/reference/getprojectoperation). Neon may take up one that failed again, by itself.
_ENDED = ("finished", "skipped", "cancelled")
_FAILED = ("failed", "error")
_TAKEN_UP_WITHIN = 30  # seconds

_MAKE_A_KEY = (
    "Make one in Neon's console under API keys, of your account's settings or the organization's, and give it in neon_api_key or in "
    "NEON_API_KEY."
)


class Unknown(Failure):
    """What became of a request that may have been carried out is not known."""


class NeonApi:
    """
    :param key: the API key.
    :param timeout: seconds for one try of a request.
    :param patience: seconds in all to wait for what is busy or must finish first.
    :param org_id: the organization whose projects are meant; a personal key needs it to find them.
    :param pace: shared by threads that ask side by side.
    """

    def __init__(
        self,
        key: str,
        url: str = DEFAULT_URL,
        timeout: float = 30,
        patience: float = 600,
        org_id: str | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not key:
            raise Failure("neon_api_key is missing.", hint=_MAKE_A_KEY)
        if not key.isascii() or not key.isprintable() or " " in key:
            raise Failure(
                "neon_api_key holds characters that no key of Neon's has.",
                hint="Look for a line break or a space in it.",
            )
        for option, seconds in (("neon_api_timeout", timeout), ("neon_wait_timeout", patience)):
            if seconds < 1:
                raise Failure("%s is %d." % (option, seconds), hint="Give a number of seconds, 1 or more.")
        self._url = base_url("neon_api_url", url)
        self._headers = {"Authorization": "Bearer %s" % key}
        self._timeout = timeout
        self._patience = patience
        self._org_id = org_id
        self._pace = pace or Pace(REQUESTS_A_MINUTE)
        self._clock = clock
        self._sleep = sleep

    @classmethod
    def from_options(cls, options: Mapping[str, Any], pace: Pace | None = None) -> NeonApi:
        """From the options of NEON_API_OPTIONS."""
        return cls(
            options["neon_api_key"] or "",
            url=options["neon_api_url"],
            timeout=options["neon_api_timeout"],
            patience=options["neon_wait_timeout"],
            org_id=options["org_id"],
            pace=pace,
        )

    # Requests

    def get(self, where: str, **query: Any) -> Any:
        return self._ask("GET", where, query=query)

    def change(self, method: str, where: str, body: Any = None) -> Any:
        """Send what changes something: at most once, unless it is certain that it was not carried out.

        :raises Unknown: where it may have been carried out, and nobody said so.
        """
        return self._ask(method, where, body=body)

    def _ask(self, method: str, where: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        def attempt() -> Answer:
            self._pace.wait()
            return send(method, self._url + where, self._headers, self._timeout, query, body)

        def pause(outcome: Answer | Unanswered, tries: int) -> float | None:
            return self._pause(method, outcome, tries)

        try:
            answer = persist(attempt, pause, self._patience, self._clock, self._sleep)
        except Unanswered as unanswered:
            raise _no_answer(method, where, self._url, unanswered) from None
        if 200 <= answer.status < 300:
            if answer.status == 204:
                return {}
            if isinstance(answer.data, dict):
                return answer.data
            raise _unreadable(method, where, answer)
        raise _refusal(method, where, answer, self._patience)

    def _pause(self, method: str, outcome: Answer | Unanswered, tries: int) -> float | None:
        """When to send a request again, if at all."""
        backoff = min(_FIRST_PAUSE * 2 ** (tries - 1), _LONGEST_PAUSE)
        if isinstance(outcome, Unanswered):
            again = outcome.passing and (method == "GET" or not outcome.arrived) and tries < _TRIES_OF_A_BREAKDOWN
            return backoff if again else None
        if outcome.status == 429:
            seconds = outcome.retry_after if outcome.retry_after is not None else _LONGEST_PAUSE
            # Whoever asks beside this request has met the same limit.
            self._pace.hold(seconds)
            return seconds
        # By Neon's description these two were not carried out, whatever the method.
        if outcome.status == 423:
            return backoff
        if outcome.status == 503 or (outcome.status >= 500 and method == "GET"):
            return outcome.retry_after or backoff if tries < _TRIES_OF_A_BREAKDOWN else None
        return None

    # Pages

    def projects(self, search: str | None = None) -> Iterator[dict[str, Any]]:
        """All projects of the key, or of ``org_id``.

        :param search: only those in whose name or id this is, in part.
        """
        cursor = None
        while True:
            page = self.get("/projects", limit=_PROJECTS_A_PAGE, cursor=cursor, search=search, org_id=self._org_id)
            projects = page.get("projects", [])
            yield from projects
            # Those that Neon could not bring up in time are in no list, and are projects all the same.
            late = page.get("unavailable_project_ids") or []
            for project_id in late:
                yield self.get(path("/projects/%s", project_id))["project"]
            # The last page has a cursor too.
            following = page.get("pagination", {}).get("cursor")
            if len(projects) + len(late) < _PROJECTS_A_PAGE or not following or following == cursor:
                return
            cursor = following

    def branches(self, project_id: str) -> list[dict[str, Any]]:
        branches: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path("/projects/%s/branches", project_id), limit=_BRANCHES_A_PAGE, cursor=cursor)
            branches += page.get("branches", [])
            following = page.get("pagination", {}).get("next")
            if not following or following == cursor:
                return branches
            cursor = following

    def endpoints(self, project_id: str) -> list[dict[str, Any]]:
        """The computes of all branches."""
        return self.get(path("/projects/%s/endpoints", project_id)).get("endpoints", [])

    def databases(self, project_id: str, branch_id: str) -> list[dict[str, Any]]:
        return self.get(path("/projects/%s/branches/%s/databases", project_id, branch_id)).get("databases", [])

    def roles(self, project_id: str, branch_id: str) -> list[dict[str, Any]]:
        return self.get(path("/projects/%s/branches/%s/roles", project_id, branch_id)).get("roles", [])

    # What is named by its id or by its name

    def project(self, named: str) -> dict[str, Any]:
        """The project of this id, or else of this name."""
        if _may_be_id(named):
            try:
                return self.get(path("/projects/%s", named))["project"]
            except Failure as failure:
                # Neon says 404 of what the key may not see. What is not an id may be a name.
                if status_of(failure) != 404:
                    raise
        found = [project for project in self.projects(search=named) if project["name"] == named]
        if len(found) == 1:
            return self.get(path("/projects/%s", found[0]["id"]))["project"]
        if found:
            raise Failure(
                "%d projects are called %s: %s." % (len(found), named, ", ".join(project["id"] for project in found)),
                hint="Name the one that is meant by its id.",
            )
        raise Failure(
            "There is no project %s that this API key may see." % named,
            hint="Look at its id under Settings in Neon's console. It may be another organization's, for which another key is needed, "
            "or org_id with a personal key.",
        )

    def branch(self, project_id: str, named: str | None) -> dict[str, Any]:
        """The branch of this id or name, or the default one."""
        return pick_branch(self.branches(project_id), project_id, named)

    def connection_uri(self, project_id: str, branch_id: str, database: str, role: str, pooled: bool = False) -> str:
        """A connection string with the role's password in it. Secret."""
        try:
            return self.get(
                path("/projects/%s/connection_uri", project_id),
                branch_id=branch_id,
                database_name=database,
                role_name=role,
                pooled=pooled,
            )["uri"]
        except Failure as failure:
            if status_of(failure) == 404:
                raise failure.adding(
                    "Is there a database %s and a role %s on the branch %s?" % (database, role, branch_id)
                ) from None
            raise

    # Operations

    def running(self, project_id: str) -> list[dict[str, Any]]:
        """The operations of a project that have not ended, of its latest ones."""
        latest = self.get(path("/projects/%s/operations", project_id), limit=_OPERATIONS_A_PAGE).get("operations", [])
        return [operation for operation in latest if operation["status"] not in _ENDED + _FAILED]

    def wait_for(self, project_id: str, operations: Iterable[Mapping[str, Any]]) -> None:
        """Return when all of these have ended.

        What they were to bring about is to be looked at by the caller: one that was cancelled has ended too.
        """
        deadline = self._clock() + self._patience
        for operation in operations:
            self._wait_for(project_id, operation, deadline)

    def _wait_for(self, project_id: str, operation: Mapping[str, Any], deadline: float) -> None:
        looks = 0
        gives_up = None
        while operation["status"] not in _ENDED:
            now = self._clock()
            if operation["status"] not in _FAILED:
                gives_up = None
            elif gives_up is None:
                gives_up = now + (self._patience if operation.get("retry_at") else _TAKEN_UP_WITHIN)
            if now >= min(deadline, gives_up or deadline):
                raise _unfinished(project_id, operation, self._patience)
            self._sleep(min(_FIRST_PAUSE * 2**looks, _LONGEST_PAUSE, max(deadline - now, 0)))
            looks += 1
            with accepted():
                operation = self.get(path("/projects/%s/operations/%s", project_id, operation["id"]))["operation"]


@contextmanager
def accepted() -> Iterator[None]:
    """Whatever fails here, what was asked for is under way, and who reads of the failure has to know."""
    try:
        yield
    except Failure as failure:
        raise failure.adding(_ACCEPTED) from None


@contextmanager
def looking_after(unknown: Unknown) -> Iterator[None]:
    """Whatever fails here, what may have been carried out is what matters."""
    try:
        yield
    except Failure as failure:
        raise unknown.adding("The look afterwards failed too: %s" % failure.msg) from None


_ACCEPTED = "What was asked for was accepted, and may still come about."


def pick_branch(branches: list[dict[str, Any]], project_id: str, named: str | None) -> dict[str, Any]:
    """Of a project's branches the one of this id or name, or the default one."""
    if named is None:
        found = [branch for branch in branches if branch.get("default")]
    else:
        found = [branch for branch in branches if branch["id"] == named] or [
            branch for branch in branches if branch["name"] == named
        ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(printable(branch["name"]) for branch in branches)[:20])
    if named is None:
        raise Failure("The project %s has no default branch." % project_id, hint="Name one in branch: %s." % names)
    if found:
        raise Failure(
            "%d branches of the project %s are called %s." % (len(found), project_id, named),
            hint="Name the one that is meant by its id: %s." % ", ".join(branch["id"] for branch in found),
        )
    raise Failure("The project %s has no branch %s." % (project_id, named), hint="It has: %s." % names)


def _may_be_id(named: str) -> bool:
    return 0 < len(named) <= 60 and all(character in "abcdefghijklmnopqrstuvwxyz0123456789-" for character in named)


def status_of(failure: Failure) -> int | None:
    """The status of HTTP with which Neon refused, if it is that."""
    return failure.details.get("error", {}).get("status")


def _unfinished(project_id: str, operation: Mapping[str, Any], patience: float) -> Failure:
    failed = operation["status"] in _FAILED
    where = " on %s" % operation["endpoint_id"] if operation.get("endpoint_id") else ""
    return Failure(
        "Neon's operation %s (%s%s) of the project %s %s."
        % (
            operation["id"],
            operation["action"],
            where,
            project_id,
            "has failed: %s" % (operation.get("error") or "Neon does not say why")
            if failed
            else "has not ended within %d seconds, it is %s" % (patience, operation["status"]),
        ),
        hint="%s Look at the project's operations in Neon's console, and run again: it looks first and does only what is still to do."
        % _ACCEPTED,
        operation={key: operation.get(key) for key in ("id", "action", "status", "error", "endpoint_id", "branch_id")},
    )


def _no_answer(method: str, where: str, url: str, unanswered: Unanswered) -> Failure:
    said = "Neon's API at %s did not answer to %s %s: %s." % (url, method, where, unanswered.why)
    if unanswered.arrived and method != "GET":
        return Unknown(said, hint=_UNKNOWN)
    return Failure(said, hint="Look at the network, at neon_api_url, and at neonstatus.com; then run again.")


_UNKNOWN = "It may have been carried out all the same. Run again: it looks first and does only what is still to do."


def _unreadable(method: str, where: str, answer: Answer) -> Failure:
    kind = Failure if method == "GET" else Unknown
    hint = "Is neon_api_url right, and is nothing between here and there that answers in Neon's place?"
    return kind(
        "The answer to %s %s is not one of Neon's API: it is no JSON." % (method, where),
        hint=hint if method == "GET" else "%s %s" % (hint, _UNKNOWN),
        error={"code": None, "message": None, "request_id": None, "status": answer.status},
    )


_HINTS = {
    400: "What Neon does not take is in its message. Where it asks for an organization, give org_id.",
    401: "The key is wrong, has expired or was revoked. %s" % _MAKE_A_KEY,
    403: "The key may not do that: use one of the organization that the project belongs to, whose role allows it.",
    404: "It does not exist, or the key may not see it.",
    422: "What Neon does not take is in its message.",
    423: "Operations of the project were still running after all that time. Look at them in Neon's console, and run again later.",
    429: "More requests were sent than Neon takes within a minute, by all that use the account. Run again later.",
}


def _refusal(method: str, where: str, answer: Answer, patience: float) -> Failure:
    """What Neon refused, as one sentence, with its error as data."""
    told = answer.data if isinstance(answer.data, dict) else {}
    message = printable(str(told.get("message") or "")).strip() or "no message, HTTP status %d" % answer.status
    request_id = told.get("request_id") or answer.headers.get("x-request-id")
    error = {
        "code": told.get("code") or None,
        "message": told.get("message"),
        "request_id": request_id,
        "status": answer.status,
    }
    said = "Neon refused %s %s (%d): %s%s" % (
        method,
        where,
        answer.status,
        message,
        "" if message.endswith(".") else ".",
    )
    if answer.status == 423:
        said = "After %d seconds it still holds: %s" % (patience, said)
    if answer.status >= 500 and answer.status != 503 and method != "GET":
        return Unknown(said, hint=_UNKNOWN, error=error)
    hint = _HINTS.get(answer.status)
    if hint is None:
        hint = "Look at neonstatus.com, and run again." if answer.status >= 500 else None
    if request_id and answer.status >= 500:
        hint = "%s Neon's support can find it by the request %s." % (hint, request_id)
    return Failure(said, hint=hint, error=error)
