# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of Neon's API: what it asks, how often, how long it waits, and what it says when that was in vain."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import traceback
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _neon_api
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._http import Pace
from ansible_collections.streamkap.neon.plugins.module_utils._neon_api import (
    REQUESTS_A_MINUTE,
    NeonApi,
    Unknown,
    pick_branch,
)

from support.http_stub import LOST, Clock, Reply, Request, Stub, stub

KEY = "napi_key-of-the-tests-7"
PATIENCE = 60
CHANGING = ["POST", "PATCH", "DELETE"]
METHODS = ["GET", *CHANGING]
# What Neon takes of one account.
TAKEN_A_MINUTE = 700


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asking(clock: Clock) -> Callable[..., contextlib.AbstractContextManager[tuple[NeonApi, Stub]]]:
    """A client of a server that answers so."""

    @contextlib.contextmanager
    def asking(reply: Callable[[Request], Reply], **options: object) -> Iterator[tuple[NeonApi, Stub]]:
        with stub(reply) as server:
            yield client(server.url, clock, **options), server

    return asking


def client(url: str, clock: Clock, **options: object) -> NeonApi:
    pace = Pace(1e9, clock=clock, sleep=clock.sleep)
    return NeonApi(KEY, url, patience=PATIENCE, pace=pace, clock=clock, sleep=clock.sleep, **options)


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """One reply after the other, the last one for ever."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def send(api: NeonApi, method: str) -> object:
    return api.get("/x") if method == "GET" else api.change(method, "/x", {})


def project(number: int) -> dict[str, object]:
    return {"id": f"project-{number}", "name": f"p{number}"}


class TestPages:
    @staticmethod
    def pages_of(count: int, unavailable: frozenset[int] = frozenset()) -> Callable[[Request], Reply]:
        """As Neon does it: the last page has a cursor too, and so has an empty one."""

        def reply(request: Request) -> Reply:
            if request.path != "/projects":
                return 200, {"project": project(int(request.path.rpartition("-")[2]))}
            begin = int(request.query.get("cursor", 0))
            page = range(begin, min(begin + int(request.query["limit"]), count))
            return 200, {
                "projects": [project(number) for number in page if number not in unavailable],
                "unavailable_project_ids": [f"project-{number}" for number in page if number in unavailable],
                "pagination": {"cursor": str(page.stop)},
            }

        return reply

    @pytest.mark.parametrize(("count", "requests"), [(0, 1), (3, 1), (399, 1), (400, 2), (401, 2), (1000, 3)])
    def test_of_projects_are_followed_to_the_end(self, asking, count, requests):
        with asking(self.pages_of(count)) as (api, server):
            assert [found["id"] for found in api.projects()] == [f"project-{number}" for number in range(count)]
        assert len(server.requests) == requests

    def test_of_projects_that_neon_could_not_bring_up_in_time_are_whole(self, asking):
        with asking(self.pages_of(401, frozenset({7, 400}))) as (api, server):
            assert {found["id"] for found in api.projects()} == {f"project-{number}" for number in range(401)}
        assert len(server.requests) == 4

    def test_of_projects_are_of_the_organization(self, asking):
        with asking(self.pages_of(1), org_id="org-of-the-tests") as (api, server):
            list(api.projects())
        assert server.requests[0].query["org_id"] == "org-of-the-tests"

    def test_of_branches_are_followed_to_the_end(self, asking):
        def reply(request: Request) -> Reply:
            page = {None: ("a", "b64=="), "b64==": ("b", None)}[request.query.get("cursor")]
            return 200, {"branches": [{"id": page[0]}], "pagination": {"next": page[1]} if page[1] else {}}

        with asking(reply) as (api, server):
            assert api.branches("p") == [{"id": "a"}, {"id": "b"}]
        assert len(server.requests) == 2

    def test_that_repeat_themselves_end(self, asking):
        full = {"projects": [project(number) for number in range(400)], "pagination": {"cursor": "same"}}
        with asking(in_turn((200, full))) as (api, server):
            list(api.projects())
        assert len(server.requests) == 2


class TestSentAgain:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("status", [423, 429, 503])
    def test_what_neon_did_not_carry_out(self, asking, clock, method, status):
        with asking(in_turn((status, {}), (status, {}), (200, {"done": True}))) as (api, server):
            assert send(api, method) == {"done": True}
        assert server.asked == [f"{method} /x"] * 3
        assert clock.now > 1000

    @pytest.mark.parametrize("method", METHODS)
    def test_what_is_locked_until_patience_is_over(self, asking, clock, method):
        with (
            asking(in_turn((423, {"message": "project already has running conflicting operations"}))) as (api, _server),
            pytest.raises(Failure, match=f"After {PATIENCE} seconds it still holds: .* conflicting") as failed,
        ):
            send(api, method)
        assert not isinstance(failed.value, Unknown)
        assert PATIENCE - 5 <= clock.now - 1000 <= PATIENCE

    @pytest.mark.parametrize("method", METHODS)
    def test_after_as_long_as_neon_says(self, asking, clock, method):
        with asking(in_turn((429, {}, {"Retry-After": "17"}), (200, {}))) as (api, _server):
            send(api, method)
        assert clock.slept[0] == 17

    @pytest.mark.parametrize("method", METHODS)
    def test_503_only_a_few_times(self, asking, method):
        with (
            asking(in_turn((503, {"message": "unavailable"}))) as (api, server),
            pytest.raises(Failure) as failed,
        ):
            send(api, method)
        assert len(server.requests) == 5
        assert "neonstatus.com" in failed.value.hint

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_a_breakdown_of_what_only_reads(self, asking, status):
        with asking(in_turn((status, {}), (200, {"read": True}))) as (api, _server):
            assert api.get("/x") == {"read": True}

    @pytest.mark.parametrize("method", CHANGING)
    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_no_breakdown_of_what_changes(self, asking, method, status):
        with (
            asking(in_turn((status, {}), (200, {}))) as (api, server),
            pytest.raises(Unknown) as failed,
        ):
            send(api, method)
        assert len(server.requests) == 1
        assert "may have been carried out" in failed.value.hint

    def test_an_answer_that_is_lost_where_it_only_reads(self, asking):
        with asking(in_turn(LOST, LOST, (200, {"read": True}))) as (api, _server):
            assert api.get("/x") == {"read": True}

    @pytest.mark.parametrize("method", CHANGING)
    def test_no_answer_that_is_lost_where_it_changes(self, asking, method):
        with (
            asking(in_turn(LOST, (200, {}))) as (api, server),
            pytest.raises(Unknown, match="the connection was lost"),
        ):
            send(api, method)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("method", METHODS)
    def test_what_did_not_arrive(self, clock, method):
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(Failure, match="it refused the connection") as failed:
            send(client(f"http://127.0.0.1:{port}", clock), method)
        assert not isinstance(failed.value, Unknown)
        assert len(clock.slept) == 4

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
    def test_no_refusal(self, asking, method, status):
        with (
            asking(in_turn((status, {"message": "no"}))) as (api, server),
            pytest.raises(Failure),
        ):
            send(api, method)
        assert len(server.requests) == 1


class TestErrors:
    def test_are_data_as_well_as_words(self, asking):
        told = {"request_id": "r-1", "code": "ROLE_PASSWORD_NOT_AVAILABLE", "message": "no \x1b[31mpassword"}
        with (
            asking(in_turn((422, told))) as (api, _server),
            pytest.raises(Failure) as failed,
        ):
            api.get("/projects/p")
        assert failed.value.details["error"] == {**told, "status": 422}
        assert failed.value.as_result()["msg"].startswith(
            "Neon refused GET /projects/p (422): no \\x1b[31mpassword. What Neon"
        )

    @pytest.mark.parametrize("message", ["no password", "no password."])
    def test_end_in_one_full_stop(self, asking, message):
        with (
            asking(in_turn((422, {"message": message}))) as (api, _server),
            pytest.raises(Failure, match=r"\(422\): no password\.(?!\.)"),
        ):
            api.get("/projects/p")

    def test_know_the_request_by_its_header(self, asking):
        with (
            asking(in_turn((500, "<html>gateway</html>", {"X-Request-ID": "r-2"}))) as (api, _server),
            pytest.raises(Failure, match=r"HTTP status 500") as failed,
        ):
            api.get("/x")
        assert failed.value.details["error"] == {"code": None, "message": None, "request_id": "r-2", "status": 500}
        assert "r-2" in failed.value.hint

    @pytest.mark.parametrize(("method", "kind"), [("GET", Failure), ("PATCH", Unknown)])
    def test_tell_an_answer_of_somebody_else(self, asking, method, kind):
        with (
            asking(in_turn((200, "<html>Log in to the hotel's network</html>"))) as (api, _server),
            pytest.raises(kind, match="it is no JSON"),
        ):
            send(api, method)

    @pytest.mark.parametrize(("status", "words"), [(301, "(301)"), (302, "(302)")])
    def test_tell_a_redirection_and_do_not_follow_it(self, asking, status, words):
        with (
            asking(in_turn((status, "", {"Location": "http://127.0.0.1:9/"}))) as (api, server),
            pytest.raises(Failure) as failed,
        ):
            api.get("/x")
        assert words in failed.value.msg
        assert len(server.requests) == 1

    @pytest.mark.parametrize("reply", [(401, {"message": "bad"}), (500, {}), LOST, (200, "no JSON")])
    @pytest.mark.parametrize("method", METHODS)
    def test_hold_no_key(self, asking, method, reply):
        with (
            asking(in_turn(reply)) as (api, server),
            pytest.raises(Failure) as failed,
        ):
            send(api, method)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        failure = failed.value
        told = json.dumps(failure.as_result()) + repr(vars(failure)) + "".join(traceback.format_exception(failure))
        assert KEY not in told

    @pytest.mark.parametrize("key", ["", "a b", "line\n", "bell\x07", "schlüssel"])
    def test_tell_what_can_be_no_key(self, key):
        with pytest.raises(Failure, match="neon_api_key") as failed:
            NeonApi(key)
        assert not key or key not in failed.value.as_result()["msg"]

    @pytest.mark.parametrize(
        "url", ["http://example.com/api", "ftp://localhost", "https://", "https://u:p@example.com"]
    )
    def test_tell_where_a_key_may_not_go(self, url):
        with pytest.raises(Failure, match="neon_api_url"):
            NeonApi(KEY, url)


class TestNames:
    BRANCHES = (
        {"id": "br-1", "name": "main", "default": True},
        {"id": "br-2", "name": "staging"},
        {"id": "br-3", "name": "staging"},
    )

    def test_of_a_branch(self):
        assert pick_branch(self.BRANCHES, "p", None)["id"] == "br-1"
        assert pick_branch(self.BRANCHES, "p", "main")["id"] == "br-1"
        assert pick_branch(self.BRANCHES, "p", "br-3")["id"] == "br-3"

    @pytest.mark.parametrize(
        ("named", "words"),
        [("staging", "2 branches .* are called staging"), ("dev", "has no branch dev"), ("br-9", "has no branch br-9")],
    )
    def test_of_no_one_branch(self, named, words):
        with pytest.raises(Failure, match=words):
            pick_branch(self.BRANCHES, "p", named)

    @staticmethod
    def of(*projects: dict[str, object]) -> Callable[[Request], Reply]:
        def reply(request: Request) -> Reply:
            if request.path == "/projects":
                return 200, {"projects": [found for found in projects if request.query["search"] in found["name"]]}
            by_id = {f"/projects/{found['id']}": found for found in projects}
            return (200, {"project": by_id[request.path]}) if request.path in by_id else (404, {"message": "none"})

        return reply

    def test_of_a_project(self, asking):
        shop, shops = {"id": "calm-1", "name": "My shop"}, {"id": "calm-2", "name": "My shop 2"}
        with asking(self.of(shop, shops)) as (api, server):
            assert api.project("calm-2") == shops
            assert len(server.requests) == 1
            assert api.project("My shop") == shop

    def test_of_several_projects(self, asking):
        with (
            asking(self.of({"id": "calm-1", "name": "shop"}, {"id": "calm-2", "name": "shop"})) as (api, _server),
            pytest.raises(Failure, match="2 projects are called shop: calm-1, calm-2"),
        ):
            api.project("shop")

    def test_of_no_project(self, asking):
        with (
            asking(self.of()) as (api, _server),
            pytest.raises(Failure, match="no project shop that this API key may see"),
        ):
            api.project("shop")

    def test_are_encoded_wherever_they_go(self, asking):
        with asking(in_turn((200, {"uri": "u"}))) as (api, server):
            api.connection_uri("../x", "br-1", "a&b=c d", "rôle")
        assert server.requests[0].path == "/projects/..%2Fx/connection_uri"
        assert server.requests[0].query == {
            "branch_id": "br-1",
            "database_name": "a&b=c d",
            "role_name": "rôle",
            "pooled": "false",
        }


BEGUN = {"id": "o-1", "action": "start_compute", "status": "running", "endpoint_id": "ep-1"}


class TestOperations:
    def replies(self, *statuses: str, **more: object) -> Callable[[Request], Reply]:
        return in_turn(*[(200, {"operation": {**BEGUN, "status": status, **more}}) for status in statuses])

    @pytest.mark.parametrize("end", ["finished", "skipped", "cancelled"])
    def test_are_waited_for(self, asking, clock, end):
        with asking(self.replies("scheduling", "running", end)) as (api, server):
            api.wait_for("p", [BEGUN])
        assert server.asked == ["GET /projects/p/operations/o-1"] * 3
        assert clock.slept == [0.5, 1.0, 2.0]

    def test_that_have_ended_are_not_asked_for(self, asking):
        with asking(self.replies("running")) as (api, server):
            api.wait_for("p", [{**BEGUN, "status": "finished"}])
        assert server.requests == []

    def test_that_failed_and_are_taken_up_again_are_waited_for(self, asking):
        with asking(self.replies("failed", "failed", "running", "finished")) as (api, server):
            api.wait_for("p", [BEGUN])
        assert len(server.requests) == 4

    @pytest.mark.parametrize("status", ["failed", "error"])
    def test_that_fail_are_told(self, asking, clock, status):
        with (
            asking(self.replies(status, error="no room")) as (api, _server),
            pytest.raises(
                Failure, match=r"o-1 \(start_compute on ep-1\) of the project p has failed: no room"
            ) as failed,
        ):
            api.wait_for("p", [BEGUN])
        assert failed.value.details["operation"]["status"] == status
        assert 30 <= clock.now - 1000 < 40

    def test_that_neon_says_it_will_take_up_are_waited_for_longer(self, asking, clock):
        with (
            asking(self.replies("failed", retry_at="2026-11-25T12:00:00Z")) as (api, _server),
            pytest.raises(Failure, match="has failed: Neon does not say why"),
        ):
            api.wait_for("p", [BEGUN])
        assert clock.now - 1000 == PATIENCE

    def test_that_hang_are_told(self, asking, clock):
        with (
            asking(self.replies("running")) as (api, _server),
            pytest.raises(Failure, match=f"has not ended within {PATIENCE} seconds, it is running"),
        ):
            api.wait_for("p", [BEGUN, {**BEGUN, "id": "o-2"}])
        assert clock.now - 1000 == PATIENCE


class TestPace:
    @staticmethod
    def most_in_a_minute(times: list[float]) -> int:
        """Of any minute that there is."""
        most, begin = 0, 0
        for end, time in enumerate(times):
            while time - times[begin] >= 60:
                begin += 1
            most = max(most, end - begin + 1)
        return most

    @staticmethod
    def times(pace: Pace, clock: Clock, count: int, idle: Callable[[int], float] = lambda _number: 0) -> list[float]:
        times = []
        for number in range(count):
            clock.now += idle(number)
            pace.wait()
            times.append(clock.now)
        return times

    @pytest.mark.parametrize("idle_every", [1_000_000, 1000, 61, 7])
    def test_never_lets_more_through_than_neon_takes(self, clock, idle_every):
        pace = Pace(REQUESTS_A_MINUTE, clock=clock, sleep=clock.sleep)
        times = self.times(pace, clock, 5000, lambda number: 90 if number % idle_every == 0 else 0)
        assert self.most_in_a_minute(times) <= TAKEN_A_MINUTE

    def test_is_kept_to_by_default(self, clock, monkeypatch):
        """A client without a pace of its own."""
        monkeypatch.setattr(_neon_api, "Pace", lambda rate: Pace(rate, clock=clock, sleep=clock.sleep))
        with stub(in_turn((200, {}))) as server:
            api = NeonApi(KEY, server.url, clock=clock, sleep=clock.sleep)
            for _number in range(50):
                api.get("/x")
        # A burst at once, and then one at a time.
        assert sum(clock.slept) == pytest.approx(30 * 60 / REQUESTS_A_MINUTE)

    def test_is_not_slower_than_it_need_be(self, clock):
        pace = Pace(600, clock=clock, sleep=clock.sleep)
        times = self.times(pace, clock, 1200)
        assert times[-1] - times[0] == pytest.approx((1200 - 20) / 10, rel=0.01)

    def test_holds_all_when_one_has_had_too_much(self, clock):
        pace = Pace(600, clock=clock, sleep=clock.sleep)
        pace.hold(30)
        assert self.times(pace, clock, 1)[0] >= 1030

    def test_is_shared_by_all_that_were_refused(self, clock):
        """The pause that one answer asks for is kept by the next request of another."""
        pace = Pace(600, clock=clock, sleep=clock.sleep)
        sent: list[float] = []
        replies = itertools.chain([(429, {}, {"Retry-After": "12"})], itertools.repeat((200, {})))

        def reply(_request: Request) -> Reply:
            sent.append(clock.now)
            return next(replies)

        with stub(reply) as server:
            NeonApi(KEY, server.url, pace=pace, clock=clock, sleep=clock.sleep).get("/x")
            NeonApi(KEY, server.url, pace=pace, clock=clock, sleep=clock.sleep).get("/x")
        assert sent[1] - sent[0] >= 12
        assert sent[2] >= sent[1]
