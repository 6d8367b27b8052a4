# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of Streamkap's API: its token, what it asks, how often, and what it says when that was in vain."""

from __future__ import annotations

import contextlib
import json
import socket
import traceback
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils import _streamkap_api
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._http import Pace
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap.entities import SOURCE, Entities
from ansible_collections.streamkap.neon.plugins.module_utils._streamkap_api import StreamkapApi, Unknown

from support.http_stub import LOST, Clock, Reply, Request, Stub, stub

CLIENT_ID = "client-of-the-tests"
SECRET = "Secret-of-the-tests-7"
ACCESS, REFRESH = "access-token-of-the-tests", "refresh-token-of-the-tests"
PATIENCE = 600
CHANGING = ["POST", "PUT", "DELETE"]
METHODS = ["GET", *CHANGING]
GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

Ask = Callable[..., contextlib.AbstractContextManager[tuple[StreamkapApi, Stub]]]


def token(request: Request, seconds: float | None = 3600) -> Reply:
    """The answer to who asks for a token; None to whom asks for anything else."""
    if not request.path.startswith("/auth/"):
        return None
    return 200, {"accessToken": ACCESS, "refreshToken": REFRESH, "expires": "whenever", "expiresIn": seconds}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asking(clock: Clock) -> Ask:
    """A client of a server that gives tokens, and answers so to everything else."""

    @contextlib.contextmanager
    def asking(reply: Callable[[Request], Reply], **options: object) -> Iterator[tuple[StreamkapApi, Stub]]:
        with stub(lambda request: token(request) or reply(request)) as server:
            yield client(server.url, clock, **options), server

    return asking


def client(url: str, clock: Clock, **options: object) -> StreamkapApi:
    options = {"patience": PATIENCE, "pace": Pace(1e9, clock=clock, sleep=clock.sleep), **options}
    return StreamkapApi(CLIENT_ID, SECRET, url, clock=clock, sleep=clock.sleep, **options)


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """One reply after the other, the last one for ever."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def send(api: StreamkapApi, method: str, repeatable: bool = True) -> object:
    return api.get("/x") if method == "GET" else api.change(method, "/x", {}, repeatable)


def asked(server: Stub) -> list[str]:
    """But for tokens."""
    return [request for request in server.asked if "/auth/" not in request]


def pauses(clock: Clock) -> list[float]:
    """But for those of a moment that a pace makes up for."""
    return [seconds for seconds in clock.slept if seconds > 0.001]


def source(number: int, name: str | None = None) -> dict[str, object]:
    return {"id": f"s{number}", "name": name or f"source {number}"}


class TestToken:
    def test_is_asked_for_once(self, asking):
        with asking(in_turn((200, {}))) as (api, server):
            api.get("/x")
            api.get("/x")
        assert server.asked == ["POST /auth/access-token", "GET /x", "GET /x"]
        assert server.requests[0].body == {"client_id": CLIENT_ID, "secret": SECRET}
        assert "authorization" not in server.requests[0].headers
        assert server.requests[1].headers["authorization"] == f"Bearer {ACCESS}"

    def test_is_renewed_before_it_expires(self, asking, clock):
        with asking(in_turn((200, {}))) as (api, server):
            api.get("/x")
            clock.now += 3600 - 61
            api.get("/x")
            assert asked(server) == ["GET /x"] * 2
            assert len(server.requests) == 3
            clock.now += 2
            api.get("/x")
        assert server.asked[3:] == ["POST /auth/access-token/refresh", "GET /x"]
        assert server.requests[3].body == {"refresh_token": REFRESH}

    def test_of_a_short_life_is_used_for_half_of_it(self, clock):
        with stub(lambda request: token(request, seconds=10) or (200, {})) as server:
            api = client(server.url, clock)
            for _number in range(3):
                api.get("/x")
                clock.now += 3
        assert [request for request in server.asked if "refresh" in request] == ["POST /auth/access-token/refresh"]

    def test_that_cannot_be_renewed_is_asked_for_anew(self, clock):
        def reply(request: Request) -> Reply:
            if request.path.endswith("/refresh"):
                return 401, {"detail": "Invalid refresh token"}
            return token(request) or (200, {"done": True})

        with stub(reply) as server:
            api = client(server.url, clock)
            api.get("/x")
            clock.now += 4000
            assert api.get("/x") == {"done": True}
        assert server.asked[2:] == ["POST /auth/access-token/refresh", "POST /auth/access-token", "GET /x"]

    @pytest.mark.parametrize("method", METHODS)
    def test_that_is_none_any_more_is_asked_for_anew_once(self, asking, clock, method):
        with asking(in_turn((401, {"detail": "expired"}), (200, {"done": True}))) as (api, server):
            assert send(api, method, repeatable=False) == {"done": True}
        assert server.asked == ["POST /auth/access-token", f"{method} /x"] * 2
        assert not clock.slept

    def test_that_is_never_taken_is_told(self, asking):
        with (
            asking(in_turn((401, {"detail": "Not yours"}))) as (api, server),
            pytest.raises(Failure, match=r"refused GET /x \(401\): Not yours") as failed,
        ):
            api.get("/x")
        assert asked(server) == ["GET /x"] * 2
        assert "may the API token use this project" in failed.value.hint

    @pytest.mark.parametrize("detail", [" ", [], {"message": None}, 7])
    def test_without_words_is_told_by_its_status(self, asking, detail):
        with (
            asking(in_turn((400, {"detail": detail}))) as (api, _server),
            pytest.raises(Failure, match="refused GET /x: HTTP status 400, without a message"),
        ):
            api.get("/x")

    @pytest.mark.parametrize("status", [400, 401, 403, 422])
    def test_is_refused_for_good(self, clock, status):
        with (
            stub(in_turn((status, {"detail": "Invalid client credentials"}))) as server,
            pytest.raises(
                Failure, match=r"by this streamkap_client_id and streamkap_secret: .* Invalid client"
            ) as failed,
        ):
            client(server.url, clock).get("/x")
        assert len(server.requests) == 1
        assert "Make an API token" in failed.value.hint
        assert failed.value.details["error"]["status"] == status

    @pytest.mark.parametrize("reply", [LOST, (503, {}), (429, {})])
    def test_is_asked_for_again(self, clock, reply):
        replies = in_turn(reply, reply, (200, {"accessToken": ACCESS}))
        with stub(lambda request: replies(request) if "/auth/" in request.path else (200, {"done": True})) as server:
            assert client(server.url, clock).change("POST", "/x", repeatable=False) == {"done": True}

    @pytest.mark.parametrize("told", [{}, {"accessToken": ""}, {"accessToken": 7}, [], "<html>hotel</html>"])
    def test_that_is_none_is_told(self, clock, told):
        with (
            stub(in_turn((200, told))) as server,
            pytest.raises(Failure, match="The answer to POST /auth/access-token is not one of Streamkap's API"),
        ):
            client(server.url, clock).get("/x")

    def test_that_nobody_gives_is_no_unknown_change(self, clock):
        with stub(in_turn(LOST)) as server, pytest.raises(Failure, match="did not answer to POST /auth") as failed:
            client(server.url, clock).change("POST", "/x", {})
        assert not isinstance(failed.value, Unknown)

    @pytest.mark.parametrize(
        ("client_id", "secret", "option"),
        [("", "s", "streamkap_client_id"), ("c", "", "streamkap_secret"), ("c", "s\n", "streamkap_secret")],
    )
    def test_takes_credentials(self, client_id, secret, option):
        with pytest.raises(Failure, match=option) as failed:
            StreamkapApi(client_id, secret)
        assert "s\n" not in failed.value.as_result()["msg"]

    @pytest.mark.parametrize("url", ["http://example.com", "api.streamkap.com", "https://u:p@example.com"])
    def test_goes_nowhere_else(self, url):
        with pytest.raises(Failure, match="streamkap_api_url"):
            StreamkapApi(CLIENT_ID, SECRET, url)


class TestPages:
    @staticmethod
    def of(sources: list[dict[str, object]], most: int = 100) -> Callable[[Request], Reply]:
        """As Streamkap does it: ten unless more are asked for, and a total that is not the number of them."""

        def reply(request: Request) -> Reply:
            page, size = int(request.query["page"]), min(int(request.query.get("page_size", 10)), most)
            found = [one for one in sources if request.query.get("partial_name", "") in one["name"]]
            return 200, {"result": found[(page - 1) * size : page * size], "page_size": size, "total": 3}

        return reply

    @pytest.mark.parametrize(("count", "requests"), [(0, 1), (9, 1), (11, 1), (99, 1), (100, 2), (101, 2), (250, 3)])
    def test_are_followed_to_the_short_one(self, asking, count, requests):
        with asking(self.of([source(number) for number in range(count)])) as (api, server):
            assert [found["id"] for found in Entities(api, SOURCE).read_all()] == [
                f"s{number}" for number in range(count)
            ]
        assert len(asked(server)) == requests
        assert server.requests[1].query["secret_returned"] == "false"

    def test_that_are_smaller_than_asked_for_are_followed_too(self, asking):
        with asking(self.of([source(number) for number in range(25)], most=10)) as (api, _server):
            assert len(list(Entities(api, SOURCE).read_all())) == 25

    def test_end_where_it_is_said_so(self, asking):
        page = {"result": [source(number) for number in range(100)], "page_size": 100, "has_next": False}
        with asking(in_turn((200, page))) as (api, server):
            assert len(list(Entities(api, SOURCE).read_all())) == 100
        assert len(asked(server)) == 1

    def test_go_on_where_it_is_said_so(self, asking):
        first = {"result": [source(0)], "has_next": True}
        last = {"result": [source(1)], "has_next": False}
        with asking(in_turn((200, first), (200, last))) as (api, _server):
            assert [found["id"] for found in Entities(api, SOURCE).read_all()] == ["s0", "s1"]

    def test_that_repeat_themselves_end(self, asking):
        page = {"result": [source(number) for number in range(100)]}
        with asking(in_turn((200, page))) as (api, server):
            assert len(list(Entities(api, SOURCE).read_all())) == 100
        assert len(asked(server)) == 2

    def test_are_looked_through_for_exactly_the_name(self, asking):
        sources = [source(number, f"shop {number}") for number in range(150)] + [source(150, "shop")]
        with asking(self.of(sources)) as (api, server):
            assert Entities(api, SOURCE).find("shop")["id"] == "s150"
            assert Entities(api, SOURCE).find("hop") is None
        assert server.requests[1].query["partial_name"] == "shop"

    def test_with_two_of_a_name(self, asking):
        with (
            asking(self.of([source(1, "shop"), source(2, "shop")])) as (api, _server),
            pytest.raises(Failure, match="2 sources are called shop: s1, s2"),
        ):
            Entities(api, SOURCE).find("shop")

    @pytest.mark.parametrize("told", [{}, [], {"result": None}])
    def test_that_are_none_are_told(self, asking, told):
        with asking(in_turn((200, told))) as (api, _server), pytest.raises(Failure, match="has no list of sources"):
            Entities(api, SOURCE).find("shop")

    @pytest.mark.parametrize(
        "reply",
        [(200, {"result": []}), (404, {"detail": "Entity not found"}), (400, {"detail": "Source 1 does not exist"})],
    )
    def test_of_one_that_is_gone(self, asking, reply):
        with asking(in_turn(reply)) as (api, server):
            assert Entities(api, SOURCE).read("../x") is None
        assert asked(server) == ["GET /sources/..%2Fx"]


class TestSentAgain:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        "reply",
        [
            (429, {"detail": "Too Many Requests"}),
            (502, GATEWAY),
            (503, {}),
            (504, GATEWAY),
            (500, {"detail": "Request timed out"}),
            (500, {"detail": "Request cannot be completed because a rebalance is expected"}),
            (500, {"detail": "Kafka Connect API call failed with status code 404 and response {}"}),
            (400, {"detail": "Kafka Connect API call failed with status code 409 and response {}"}),
        ],
    )
    def test_what_passes(self, asking, clock, method, reply):
        with asking(in_turn(reply, reply, (200, {"done": True}))) as (api, server):
            assert send(api, method) == {"done": True}
        assert asked(server) == [f"{method} /x"] * 3
        assert pauses(clock) == [10, 20]

    @pytest.mark.parametrize(
        "words",
        [
            "KafkaConnectTimeout: no server answered",
            "java.net.SocketTimeoutException: Read",
            "LEADER_NOT_AVAILABLE",
            "NOT_LEADER_FOR_PARTITION",
            "upstream: Bad Gateway",
            "Service Unavailable",
        ],
    )
    def test_what_passes_by_its_words(self, asking, words):
        """Whatever status Streamkap gives it."""
        with asking(in_turn((500, {"detail": words}), (200, {"done": True}))) as (api, server):
            assert api.get("/x") == {"done": True}
        assert asked(server) == ["GET /x"] * 2

    def test_five_times_after_ten_to_sixty_seconds(self, asking, clock):
        with asking(in_turn((503, {"detail": "unavailable"}))) as (api, server), pytest.raises(Failure):
            api.get("/x")
        assert len(asked(server)) == 6
        assert pauses(clock) == [10, 20, 40, 60, 60]

    @pytest.mark.parametrize("method", METHODS)
    def test_after_as_long_as_streamkap_says(self, asking, clock, method):
        with asking(in_turn((429, {}, {"Retry-After": "17"}), (200, {}))) as (api, _server):
            send(api, method, repeatable=False)
        assert clock.slept[0] == 17

    def test_not_beyond_the_time_there_is(self, asking, clock):
        with asking(in_turn((503, {})), patience=35) as (api, server), pytest.raises(Failure):
            api.get("/x")
        assert clock.slept == [10, 20]
        assert len(asked(server)) == 3

    @pytest.mark.parametrize("repeatable", [True, False])
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        "reply",
        [
            (400, {"detail": "slot.name is missing"}),
            (403, {"detail": "a rebalance is not yours"}),
            (404, {"detail": "Entity not found"}),
            (409, {"detail": "Entity with this name already exists"}),
            (422, {"detail": "timed out is no value"}),
            (500, {"detail": "Internal Server Error"}),
        ],
    )
    def test_no_refusal(self, asking, clock, method, reply, repeatable):
        with asking(in_turn(reply)) as (api, server), pytest.raises(Failure):
            send(api, method, repeatable)
        assert asked(server) == [f"{method} /x"]
        assert not clock.slept

    @pytest.mark.parametrize(
        "reply", [LOST, (502, GATEWAY), (503, {}), (504, {}), (500, {"detail": "timed out"}), (500, {})]
    )
    def test_nothing_that_may_be_done_twice(self, asking, reply):
        with asking(in_turn(reply, (200, {}))) as (api, server), pytest.raises(Unknown) as failed:
            api.change("POST", "/x", {}, repeatable=False)
        assert asked(server) == ["POST /x"]
        assert "may have been carried out" in failed.value.hint
        assert failed.value.passing == (reply != (500, {}))

    @pytest.mark.parametrize("method", METHODS)
    def test_an_answer_that_is_lost_where_it_comes_to_the_same(self, asking, method):
        with asking(in_turn(LOST, LOST, (200, {"done": True}))) as (api, _server):
            assert send(api, method) == {"done": True}

    @pytest.mark.parametrize("method", METHODS)
    def test_what_did_not_arrive(self, clock, method):
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(Failure, match="it refused the connection") as failed:
            send(client(f"http://127.0.0.1:{port}", clock), method, repeatable=False)
        assert not isinstance(failed.value, Unknown)
        assert len(clock.slept) == 5

    def test_the_pause_is_kept_by_others(self, clock):
        pace = Pace(600, clock=clock, sleep=clock.sleep)
        replies = in_turn((429, {}, {"Retry-After": "12"}), (200, {}))
        with stub(lambda request: token(request) or replies(request)) as server:
            api = client(server.url, clock, pace=pace)
            api.get("/x")
            assert clock.now >= 1012

    def test_a_pace_is_kept_to_by_default(self, clock, monkeypatch):
        monkeypatch.setattr(_streamkap_api, "Pace", lambda rate: Pace(rate, clock=clock, sleep=clock.sleep))
        with stub(lambda request: token(request) or (200, {})) as server:
            api = client(server.url, clock, pace=None)
            for _number in range(79):
                api.get("/x")
        # A burst at once, and then one at a time.
        assert sum(clock.slept) == pytest.approx(60 * 60 / _streamkap_api.REQUESTS_A_MINUTE)


class Making:
    """A server that makes sources, and says so or not.

    :param answers: to each POST, whether it is carried out and what is said.
    """

    def __init__(self, *answers: tuple[bool, Reply], visible_after: int = 0) -> None:
        self.answers = list(answers)
        self.made: list[dict[str, object]] = []
        self.invisible = visible_after

    def __call__(self, request: Request) -> Reply:
        if request.method == "GET":
            self.invisible -= 1
            return 200, {"result": self.made if self.invisible < 0 else []}
        if any(made["name"] == request.body["name"] for made in self.made):
            return 422, {"detail": f"Source {request.body['name']} already exists"}
        carried_out, reply = self.answers.pop(0) if self.answers else (True, None)
        made = {"id": f"s{len(self.made) + 1}", **request.body}
        if carried_out:
            self.made.append(made)
        return reply if reply or not carried_out else (200, made)


BODY = {"name": "shop", "connector": "postgresql", "config": {}}
LOST_ANSWERS = [(502, GATEWAY), (504, {"detail": "Request timed out"}), (500, {"detail": "a rebalance is expected"})]


class TestASourceIsMadeOnce:
    def test_when_all_goes_well(self, asking):
        making = Making()
        with asking(making) as (api, server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"
        assert asked(server) == ["POST /sources"]
        assert server.requests[1].query == {"secret_returned": "false", "wait": "false"}

    @pytest.mark.parametrize("reply", LOST_ANSWERS)
    def test_when_the_answer_is_lost(self, asking, clock, reply):
        making = Making((True, reply))
        with asking(making) as (api, server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"
        assert asked(server) == ["POST /sources", "GET /sources"]
        assert clock.slept == [10]

    def test_when_the_connection_is_cut(self, asking):
        cut = [True, True]

        def reply(request: Request) -> Reply:
            answer = making(request)
            return LOST if request.method == "POST" and cut.pop() else answer

        making = Making()
        with asking(reply) as (api, server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"
        assert asked(server) == ["POST /sources", "GET /sources"]

    @pytest.mark.parametrize("reply", LOST_ANSWERS)
    def test_when_it_was_not_made_at_first(self, asking, reply):
        making = Making((False, reply), (False, reply))
        with asking(making) as (api, server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"
        assert asked(server) == ["POST /sources", "GET /sources"] * 2 + ["POST /sources"]

    def test_when_the_list_lags_behind(self, asking):
        """The second time, Streamkap says itself that there is one."""
        making = Making((True, (502, GATEWAY)), visible_after=1)
        with asking(making) as (api, server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"
        assert asked(server) == ["POST /sources", "GET /sources"] * 2
        assert len(making.made) == 1

    def test_when_the_answer_says_nothing(self, asking):
        making = Making((True, (200, {"detail": "ok"})))
        with asking(making) as (api, _server):
            assert Entities(api, SOURCE).create(BODY)["id"] == "s1"

    def test_or_not_at_all(self, asking):
        making = Making(*[(False, (502, GATEWAY))] * 9)
        with (
            asking(making) as (api, server),
            pytest.raises(Failure, match="Looked at afterwards, there was no source shop"),
        ):
            Entities(api, SOURCE).create(BODY)
        assert asked(server) == ["POST /sources", "GET /sources"] * 6

    def test_not_when_somebody_else_has_made_it(self, asking):
        making = Making()
        making.made.append({"id": "s0", "name": "shop"})
        with asking(making) as (api, server), pytest.raises(Failure, match="already exists"):
            Entities(api, SOURCE).create(BODY)
        assert asked(server) == ["POST /sources"]

    def test_not_when_streamkap_has_broken_down(self, asking):
        with asking(Making((False, (500, {"detail": "Oops"})))) as (api, server), pytest.raises(Failure, match="Oops"):
            Entities(api, SOURCE).create(BODY)
        assert asked(server) == ["POST /sources", "GET /sources"]


@pytest.mark.parametrize("gone", [(404, {"detail": "Entity not found"}), (400, {"detail": "Source does not exist"})])
def test_what_is_gone_already_is_removed(asking, gone):
    with asking(in_turn(LOST, gone)) as (api, server):
        Entities(api, SOURCE).delete("s1")
    assert asked(server) == ["DELETE /sources/s1"] * 2


class TestErrors:
    def test_are_a_sentence_and_data(self, asking):
        reply = (400, {"detail": "no \x1b[31mslot"}, {"X-Request-Id": "r-1"})
        with asking(in_turn(reply)) as (api, _server), pytest.raises(Failure) as failed:
            api.get("/x")
        assert failed.value.as_result()["msg"].startswith("Streamkap refused GET /x (400): no \\x1b[31mslot. What")
        assert failed.value.details["error"] == {"message": "no \\x1b[31mslot", "request_id": "r-1", "status": 400}

    def test_of_a_list_say_where(self, asking):
        told = [
            {"loc": ["body", "config", "ssh.port"], "msg": "Input should be a valid integer", "type": "x", "input": {}},
            {"loc": ["body", "name"], "msg": "Field required", "type": "missing"},
        ]
        with asking(in_turn((422, {"detail": told}))) as (api, _server), pytest.raises(Failure) as failed:
            api.get("/x")
        assert "config.ssh.port: Input should be a valid integer; name: Field required." in failed.value.msg

    def test_of_a_list_do_not_repeat_what_was_sent(self, asking):
        body = {"config": {"database.password": "Connector-3"}}
        told = [{"loc": ["body"], "msg": "Field required", "input": body, "ctx": body}]
        with asking(in_turn((422, {"detail": told}))) as (api, _server), pytest.raises(Failure) as failed:
            api.change("POST", "/x", body)
        assert "Connector-3" not in json.dumps(failed.value.as_result())

    def test_of_a_gateway_are_a_sentence(self, asking):
        with asking(in_turn((502, GATEWAY))) as (api, _server), pytest.raises(Failure) as failed:
            api.get("/x")
        assert failed.value.msg == (
            "A gateway in front of Streamkap answered to GET /x in its place, with HTTP status 502 and a page."
        )
        assert "Run again later" in failed.value.hint
        assert "<" not in json.dumps(failed.value.as_result())

    @pytest.mark.parametrize("told", [{"detail": {"message": "Not so"}}, {"detail": {"msg": "Not so"}}])
    def test_of_a_third_shape(self, asking, told):
        with asking(in_turn((400, told))) as (api, _server), pytest.raises(Failure, match=r"\(400\): Not so\."):
            api.get("/x")

    @pytest.mark.parametrize("told", [{}, [], {"detail": None}, {"detail": ""}, {"detail": []}])
    def test_without_a_message(self, asking, told):
        with (
            asking(in_turn((409, told))) as (api, _server),
            pytest.raises(Failure, match="status 409, without a message"),
        ):
            api.get("/x")

    @pytest.mark.parametrize(("method", "kind"), [("GET", Failure), ("PUT", Unknown)])
    def test_tell_an_answer_of_somebody_else(self, asking, method, kind):
        with (
            asking(in_turn((200, "<html>Log in</html>"))) as (api, _server),
            pytest.raises(kind, match="it is no JSON"),
        ):
            send(api, method)

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_tell_a_redirection_and_do_not_follow_it(self, asking, status):
        with (
            asking(in_turn((status, "", {"Location": "http://127.0.0.1:9/"}))) as (api, server),
            pytest.raises(Failure, match=str(status)),
        ):
            api.get("/x")
        assert asked(server) == ["GET /x"]

    @pytest.mark.parametrize(
        "reply",
        [
            (400, {"detail": f"{CLIENT_ID} {SECRET} {ACCESS} {REFRESH} Kept-4-you"}),
            (500, {"detail": f"{CLIENT_ID} {SECRET} {ACCESS} {REFRESH} Kept-4-you"}),
            LOST,
            (200, "no JSON"),
        ],
    )
    @pytest.mark.parametrize("method", METHODS)
    def test_hold_no_secrets(self, asking, method, reply):
        with asking(in_turn(reply)) as (api, _server):
            api.keep_secret("Kept-4-you")
            with pytest.raises(Failure) as failed:
                send(api, method, repeatable=False)
        failure = failed.value
        told = json.dumps(failure.as_result()) + repr(vars(failure)) + "".join(traceback.format_exception(failure))
        for secret in (CLIENT_ID, SECRET, ACCESS, REFRESH, "Kept-4-you"):
            assert secret not in told

    def test_hold_no_stored_password(self, asking):
        replies = in_turn(
            (200, {"result": [{"id": "s1", "config": {"database.password": "Stored-5-there"}}]}),
            (400, {"detail": "FATAL: Stored-5-there is not right"}),
        )
        with asking(replies) as (api, server):
            Entities(api, SOURCE).read("s1", secrets=True)
            with pytest.raises(Failure) as failed:
                api.get("/x")
        assert server.requests[1].query["secret_returned"] == "true"
        assert "FATAL: ******** is not right" in failed.value.msg
