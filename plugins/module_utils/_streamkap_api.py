# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Streamkap's REST API (https://docs.streamkap.com/api-quickstart).

The one client of the modules: it gets a token and renews it, sends again what may be sent again, follows pages, and tells what went
wrong. The credentials are in the request for a token, the token is in the header of the others, and they are nowhere else. What there is
in Streamkap (sources, destinations, pipelines, tags) is in _streamkap/entities.py.

What is known of this API is from public sources, and docs/streamkap_api.md says what of it nobody here has seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible.module_utils.basic import env_fallback

from ._errors import Failure
from ._http import Answer, Pace, Unanswered, base_url, persist, send
from ._sql import MASK, SHORTEST_MASKED, written
from ._text import printable

DEFAULT_URL = "https://api.streamkap.com"

# Documented in plugins/doc_fragments/_streamkap_api.py. The environment variables are Streamkap's own, but for the second one.
STREAMKAP_API_OPTIONS: dict[str, dict[str, Any]] = {
    "streamkap_client_id": {"type": "str", "no_log": True, "fallback": (env_fallback, ["STREAMKAP_CLIENT_ID"])},
    "streamkap_secret": {
        "type": "str",
        "no_log": True,
        "fallback": (env_fallback, ["STREAMKAP_SECRET", "STREAMKAP_CLIENT_SECRET"]),
    },
    "streamkap_api_url": {"type": "str", "default": DEFAULT_URL, "fallback": (env_fallback, ["STREAMKAP_HOST"])},
    "streamkap_api_timeout": {"type": "int", "default": 60},
    "streamkap_wait_timeout": {"type": "int", "default": 600},
}

# How many Streamkap takes is not public. These are few, and a person's browser asks more.
REQUESTS_A_MINUTE = 300

# Streamkap has tried Kafka Connect itself before it says that it is busy: seconds before the first of the further tries, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 60.0
FURTHER_TRIES = 5

FIRST_LOOK, LONGEST_LOOK = 1.0, 15.0  # seconds between two looks at what is awaited

_BUSY = (429, 502, 503, 504)
_REFUSED = (401, 403, 422)
# What passes by itself has many a status, and is known by Kafka Connect's words in the message.
_PASSING_WORDS = (
    "timed out",
    "rebalance",
    "kafkaconnecttimeout",
    "sockettimeoutexception",
    "leader_not_available",
    "not_leader_for_partition",
    "too many requests",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
    "kafka connect api call failed with status code 404",
    "kafka connect api call failed with status code 409",
)

_RENEWED_BEFORE = 60  # seconds before a token expires

_MAKE_A_TOKEN = (
    "Make an API token in Streamkap's project settings under API, and give its client id and secret in streamkap_client_id and "
    "streamkap_secret, or in STREAMKAP_CLIENT_ID and STREAMKAP_SECRET."
)


class Unknown(Failure):
    """What became of a request that may have been carried out is not known. Where it is ``passing``, another try may fare better."""


@dataclass
class _Token:
    """
    :param fresh_until: of the client's clock; None where nobody said for how long it holds.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    fresh_until: float | None


class StreamkapApi:
    """
    :param client_id, secret: of an API token.
    :param timeout: seconds for one try of a request.
    :param patience: seconds in all to wait for what is busy or must finish first.
    """

    def __init__(
        self,
        client_id: str,
        secret: str,
        url: str = DEFAULT_URL,
        timeout: float = 60,
        patience: float = 600,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        for option, value in (("streamkap_client_id", client_id), ("streamkap_secret", secret)):
            if not value:
                raise Failure("%s is missing." % option, hint=_MAKE_A_TOKEN)
            if not value.isprintable() or value != value.strip():
                raise Failure(
                    "%s holds characters that none of Streamkap's has." % option,
                    hint="Look for a line break or a space at its end.",
                )
        for option, seconds in (("streamkap_api_timeout", timeout), ("streamkap_wait_timeout", patience)):
            if seconds < 1:
                raise Failure("%s is %d." % (option, seconds), hint="Give a number of seconds, 1 or more.")
        self.patience = patience
        self.clock = clock
        self.sleep = sleep
        self._url = base_url("streamkap_api_url", url)
        self._credentials = {"client_id": client_id, "secret": secret}
        self._secrets: set[str] = set()
        self.keep_secret(client_id)
        self.keep_secret(secret)
        self._timeout = timeout
        self._pace = pace or Pace(REQUESTS_A_MINUTE)
        self._token: _Token | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> StreamkapApi:
        """From the options of STREAMKAP_API_OPTIONS."""
        return cls(
            options["streamkap_client_id"] or "",
            options["streamkap_secret"] or "",
            url=options["streamkap_api_url"],
            timeout=options["streamkap_api_timeout"],
            patience=options["streamkap_wait_timeout"],
        )

    def keep_secret(self, value: Any) -> None:
        """Have this hidden in whatever Streamkap says, too."""
        if isinstance(value, str) and len(value) >= SHORTEST_MASKED:
            self._secrets.add(value)

    def hide(self, text: str) -> str:
        """The text without what is secret."""
        forms = {form for secret in self._secrets for form in written(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return text

    # Requests

    def get(self, where: str, **query: Any) -> Any:
        return self._ask("GET", where, query, None, repeatable=True)

    def change(self, method: str, where: str, body: Any = None, repeatable: bool = True, **query: Any) -> Any:
        """Send what changes something.

        :param repeatable: whether it comes to the same when it is carried out twice.
        :raises Unknown: where it may have been carried out, and nobody said so.
        """
        return self._ask(method, where, query, body, repeatable)

    def _ask(self, method: str, where: str, query: Mapping[str, Any], body: Any, repeatable: bool) -> Any:
        def attempt() -> Answer:
            answer = self._send(method, where, query, body, self._access())
            if answer.status == 401:
                # Revoked, or expired sooner than was said. Nothing was carried out.
                self._token = None
                answer = self._send(method, where, query, body, self._access())
            return answer

        answer = self._persist(method, where, attempt, repeatable)
        if 200 <= answer.status < 300:
            if answer.status == 204 or not answer.body:
                return {}
            if answer.data is not None:
                return answer.data
            raise self._unreadable(method, where, answer)
        raise self._refusal(method, where, answer)

    def _persist(self, method: str, where: str, attempt: Callable[[], Answer], repeatable: bool) -> Answer:
        def pause(outcome: Answer | Unanswered, tries: int) -> float | None:
            return self._pause(repeatable, outcome, tries)

        try:
            return persist(attempt, pause, self.patience, self.clock, self.sleep)
        except Unanswered as unanswered:
            raise self._no_answer(method, where, unanswered) from None

    def _send(self, method: str, where: str, query: Mapping[str, Any], body: Any, access: str | None) -> Answer:
        self._pace.wait()
        headers = {"Authorization": "Bearer %s" % access} if access else {}
        return send(method, self._url + where, headers, self._timeout, query, body)

    def _pause(self, repeatable: bool, outcome: Answer | Unanswered, tries: int) -> float | None:
        """When to send a request again, if at all."""
        if tries > FURTHER_TRIES:
            return None
        if isinstance(outcome, Unanswered):
            return backoff(tries) if outcome.passing and (repeatable or not outcome.arrived) else None
        if outcome.status == 429:
            # It was not carried out. Whoever asks beside this request has met the same limit.
            seconds = backoff(tries) if outcome.retry_after is None else outcome.retry_after
            self._pace.hold(seconds)
            return seconds
        if repeatable and _passes(outcome):
            return backoff(tries) if outcome.retry_after is None else outcome.retry_after
        return None

    # The token

    def _access(self) -> str:
        token = self._token
        if token and (token.fresh_until is None or self.clock() < token.fresh_until):
            return token.access
        self._token = (self._renewed(token.refresh) if token and token.refresh else None) or self._authenticated()
        return self._token.access

    def _renewed(self, refresh: str) -> _Token | None:
        where = "/auth/access-token/refresh"
        answer = self._persist(
            "POST", where, lambda: self._send("POST", where, {}, {"refresh_token": refresh}, None), True
        )
        return self._token_of(answer)

    def _authenticated(self) -> _Token:
        where = "/auth/access-token"
        answer = self._persist("POST", where, lambda: self._send("POST", where, {}, self._credentials, None), True)
        token = self._token_of(answer)
        if token:
            return token
        if 200 <= answer.status < 300:
            raise self._unreadable("POST", where, answer)
        failure = self._refusal("POST", where, answer)
        if answer.status in (400, 401, 403, 404, 422):
            raise Failure(
                "Streamkap takes no API token by this streamkap_client_id and streamkap_secret: %s" % failure.msg,
                hint="They are wrong, or the token was removed. %s" % _MAKE_A_TOKEN,
                **failure.details,
            )
        raise failure

    def _token_of(self, answer: Answer) -> _Token | None:
        told = answer.data if isinstance(answer.data, dict) and 200 <= answer.status < 300 else {}
        access, refresh, seconds = told.get("accessToken"), told.get("refreshToken"), told.get("expiresIn")
        if not isinstance(access, str) or not access:
            return None
        self.keep_secret(access)
        self.keep_secret(refresh)
        fresh_until = None
        if isinstance(seconds, (int, float)) and seconds > 0:
            fresh_until = self.clock() + max(seconds - _RENEWED_BEFORE, seconds / 2)
        return _Token(access, refresh if isinstance(refresh, str) and refresh else None, fresh_until)

    # Waiting

    def pause(self, looks: int, deadline: float, longest: float = 10.0) -> int:
        """Sleep until the next look at what is awaited.

        :param looks: how many there were, which is returned with this one.
        """
        self.sleep(min(FIRST_LOOK * 2**looks, longest, LONGEST_LOOK, max(deadline - self.clock(), 0)))
        return looks + 1

    # What went wrong

    def _no_answer(self, method: str, where: str, unanswered: Unanswered) -> Failure:
        said = "Streamkap's API at %s did not answer to %s %s: %s." % (self._url, method, where, unanswered.why)
        if unanswered.arrived and method != "GET" and not where.startswith("/auth/"):
            return Unknown(said, hint=UNKNOWN_HINT, passing=unanswered.passing)
        return Failure(said, hint="Look at the network, and at streamkap_api_url; then run again.")

    def _unreadable(self, method: str, where: str, answer: Answer) -> Failure:
        kind = Failure if method == "GET" or where.startswith("/auth/") else Unknown
        return kind(
            "The answer to %s %s is not one of Streamkap's API: it is no JSON." % (method, where)
            if answer.data is None
            else "The answer to %s %s is not one of Streamkap's API." % (method, where),
            hint="Is streamkap_api_url right, and is nothing between here and there that answers in Streamkap's place?",
            error=self._error(answer, None),
        )

    def _refusal(self, method: str, where: str, answer: Answer) -> Failure:
        """What Streamkap refused, as one sentence, with its error as data."""
        message = _message(answer)
        told = printable(self.hide(message)).strip() if message else None
        error = self._error(answer, told)
        if told:
            said = "Streamkap refused %s %s (%d): %s" % (
                method,
                where,
                answer.status,
                told if told.endswith(".") else told + ".",
            )
        elif answer.data is None and answer.body:
            said = "A gateway in front of Streamkap answered to %s %s in its place, with HTTP status %d and a page." % (
                method,
                where,
                answer.status,
            )
        else:
            said = "Streamkap refused %s %s: HTTP status %d, without a message." % (method, where, answer.status)
        hint = _HINTS.get(answer.status)
        if hint is None and answer.status >= 500:
            hint = "Run again later. If it stays so, ask Streamkap's support."
        if hint and error["request_id"] and answer.status >= 500:
            hint = "%s They can find it by the request %s." % (hint, error["request_id"])
        passing = _passes(answer)
        if (
            method != "GET"
            and not where.startswith("/auth/")
            and (answer.status >= 500 or passing)
            and answer.status != 429
        ):
            return Unknown(said, hint=UNKNOWN_HINT, passing=passing, error=error)
        return Failure(said, hint=hint, passing=passing, error=error)

    @staticmethod
    def _error(answer: Answer, message: str | None) -> dict[str, Any]:
        return {"message": message, "request_id": answer.headers.get("x-request-id"), "status": answer.status}


UNKNOWN_HINT = "It may have been carried out all the same. Run again: it looks first and does only what is still to do."

_HINTS = {
    400: "What Streamkap does not take is in its message.",
    401: "Streamkap has just given a token, and does not take it: may the API token use this project?",
    403: "The API token may not do that: give it a role that may, in Streamkap's project settings under API.",
    404: "It does not exist, or belongs to another project than the API token.",
    409: "Something else is being done with it at the moment. Run again later.",
    422: "What Streamkap does not take is in its message.",
    429: "More requests were sent than Streamkap takes. Run again later.",
}


def status_of(failure: Failure) -> int | None:
    """The status of HTTP with which Streamkap refused, if it is that."""
    return (failure.details.get("error") or {}).get("status")


def message_of(failure: Failure) -> str:
    """What Streamkap said, if it is that."""
    return (failure.details.get("error") or {}).get("message") or ""


def is_gone(failure: Failure) -> bool:
    """Whether Streamkap says that there is no such thing, for which it has more than one status."""
    said = message_of(failure).lower()
    return status_of(failure) == 404 or (
        status_of(failure) == 400 and ("does not exist" in said or "not found" in said)
    )


def already_exists(failure: Failure) -> bool:
    """Whether Streamkap has refused a name that is taken."""
    said = message_of(failure).lower()
    return status_of(failure) in (400, 409, 422) and "already exists" in said and "slot" not in said


def backoff(tries: int) -> float:
    return min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE)


def _passes(answer: Answer) -> bool:
    """Whether another try may fare better."""
    if answer.status in _REFUSED:
        return False
    said = (_message(answer) or "").lower()
    return answer.status in _BUSY or (answer.status >= 400 and any(words in said for words in _PASSING_WORDS))


def _message(answer: Answer) -> str | None:
    """What a refusal says: a text, or a list of what is wrong with which part of the request.

    Of such a list no more is taken: the rest of it repeats what was sent, the password too.
    """
    told = answer.data.get("detail") if isinstance(answer.data, dict) else None
    if isinstance(told, dict):
        told = told.get("message") or told.get("msg") or told.get("detail")
    if isinstance(told, list):
        told = "; ".join(_complaint(item) for item in told if isinstance(item, dict))
    return told if isinstance(told, str) and told.strip() else None


def _complaint(item: Mapping[str, Any]) -> str:
    place = item.get("loc")
    where = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    return ": ".join([".".join(where)] * bool(where) + [str(item.get("msg") or "is not accepted")])
