# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""That the judge of the tests sees what is not as Neon describes it, in what is asked and in what is answered."""

from __future__ import annotations

import pytest

from support.console import KEY, Console
from support.http_stub import Reply, Request
from support.prism import Judge

ROLES = "/projects/shiny-wind-000001/branches/br-calm-sea-000001/roles"


def asking(method: str, path: str, body: object = None, key: str | None = KEY, **query: str) -> Request:
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    return Request(method, path, query, headers | ({"content-type": "application/json"} if body else {}), body)


def settings(**given: object) -> dict[str, object]:
    return {"project": {"settings": given}}


@pytest.mark.parametrize(
    "request_",
    [
        asking("GET", "/projects", limit="400"),
        asking("GET", "/projects/shiny-wind-000001"),
        asking("GET", "/projects/shiny-wind-000001/operations", limit="100"),
        asking("PATCH", "/projects/shiny-wind-000001", settings(allowed_ips={"ips": ["203.0.113.7"]})),
        asking("POST", ROLES, {"role": {"name": "streamkap_user"}}),
        asking("DELETE", f"{ROLES}/nobody"),
        asking("GET", "/projects/nowhere"),
        asking("GET", "/projects", key="napi_wrong"),
    ],
    ids=str,
)
def test_what_is_as_described_is_no_violation(console: Console, judge: Judge, request_: Request) -> None:
    console.project("shop")
    assert judge.ask(request_).violations == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asking("GET", "/projects", limit="401"), "must be <= 400"),
        (asking("GET", "/projects", page="2"), "page is not described"),
        (asking("GET", "/projects", key=None), "Invalid security scheme"),
        (asking("GET", "/project"), "route not found"),
        (asking("PUT", "/projects/shiny-wind-000001", settings()), "route not found"),
        (asking("PATCH", "/projects/shiny-wind-000001", {"settings": {}}), "must have required property 'project'"),
        (asking("PATCH", "/projects/shiny-wind-000001", settings(enable_logical_replication="yes")), "boolean"),
        (asking("PATCH", "/projects/shiny-wind-000001", settings(logical=True)), "project.settings.logical is not"),
        (asking("POST", ROLES, {"role": {"name": "streamkap_user", "password": "x"}}), "role.password is not"),
    ],
    ids=str,
)
def test_what_is_asked_otherwise_is(judge: Judge, request_: Request, words: str) -> None:
    judge.upstream = lambda _request: (200, {})
    assert any(words in violation for violation in judge.ask(request_).violations)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, {"projects": []}), "must have required property"),
        ((200, {"projects": "none", "applications": {}, "integrations": {}}), "must be array"),
        ((404, {"message": "not found"}), "must have required property 'code'"),
    ],
)
def test_what_is_answered_otherwise_is(judge: Judge, reply: Reply, words: str) -> None:
    judge.upstream = lambda _request: reply
    assert any(words in violation for violation in judge.ask(asking("GET", "/projects")).violations)
