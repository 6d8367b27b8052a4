# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Streamkap's REST API (https://docs.streamkap.com/api-quickstart).

The one client of the modules: it gets a token and renews it, sends again what may be sent again, follows pages, and tells what went
wrong. The credentials are in the request for a token, the token is in the header of the others, and they are nowhere else.

What is known of this API is from public sources, and docs/streamkap_api.md says what of it nobody here has seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible.module_utils.basic import env_fallback

from ._errors import Failure
from ._http import Answer, Pace, Unanswered, base_url, path, persist, send
from ._sql import MASK, SHORTEST_MASKED, listed, written
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

_SOURCES_A_PAGE = 100  # the most that there may be

# Streamkap has tried Kafka Connect itself before it says that it is busy: seconds before the first of the further tries, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 60.0
FURTHER_TRIES = 5

_BUSY = (429, 502, 503, 504)
_REFUSED = (401, 403, 422)
# What passes by itself has many a status, and is known by Kafka Connect's words in the message.
_PASSING_WORDS = (
    "timed out",
    "rebalance",
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
            return _backoff(tries) if outcome.passing and (repeatable or not outcome.arrived) else None
        if outcome.status == 429:
            # It was not carried out. Whoever asks beside this request has met the same limit.
            seconds = _backoff(tries) if outcome.retry_after is None else outcome.retry_after
            self._pace.hold(seconds)
            return seconds
        if repeatable and _passes(outcome):
            return _backoff(tries) if outcome.retry_after is None else outcome.retry_after
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

    # Sources

    def sources(self, partial_name: str | None = None) -> Iterator[dict[str, Any]]:
        """All sources of the token's project, without their secrets.

        :param partial_name: only those in whose name this is, in part.
        """
        seen: set[Any] = set()
        page = 1
        while True:
            answer = self.get(
                "/sources", page=page, page_size=_SOURCES_A_PAGE, partial_name=partial_name, secret_returned=False
            )
            found = _results(answer)
            # Where one is made or removed meanwhile, the next page may hold one of this page again.
            fresh = [source for source in found if source.get("id") not in seen]
            yield from fresh
            seen.update(source.get("id") for source in fresh)
            told = answer.get("page_size")
            size = told if isinstance(told, int) and 0 < told < _SOURCES_A_PAGE else _SOURCES_A_PAGE
            # What it says of a total is not to be relied on.
            if len(found) < size or not fresh:
                return
            page += 1

    def source_named(self, name: str) -> dict[str, Any] | None:
        """The source of exactly this name. Streamkap only looks for parts of names."""
        found = [source for source in self.sources(partial_name=name) if source.get("name") == name]
        if len(found) > 1:
            raise Failure(
                "%d sources are called %s: %s." % (len(found), name, listed(source["id"] for source in found)),
                hint="Rename all but one in Streamkap.",
            )
        return found[0] if found else None

    def source(self, source_id: str, secrets: bool = False) -> dict[str, Any] | None:
        """The source of this id.

        :param secrets: whether with its password, in plain text. It is hidden in whatever is said from then on.
        """
        try:
            found = _results(self.get(path("/sources/%s", source_id), secret_returned=secrets))
        except Failure as failure:
            if status_of(failure) == 404:
                return None
            raise
        if secrets and found:
            self.keep_secret((found[0].get("config") or {}).get("database.password"))
        return found[0] if found else None

    def create_source(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a source, once: whenever it is not known whether that was done, its name is looked up before anything is sent again."""
        tries = 0
        while True:
            tries += 1
            try:
                made = self.change("POST", "/sources", body, repeatable=False, secret_returned=False, wait=False)
                if isinstance(made, dict) and made.get("id"):
                    return made
                unknown = Unknown(
                    "Streamkap's answer to POST /sources does not say which source it has made.", hint=_UNKNOWN
                )
            except Unknown as lost:
                unknown = lost
            except Failure as failure:
                found = self.source_named(body["name"]) if tries > 1 and already_exists(failure) else None
                if found:
                    return found
                raise
            if unknown.passing:
                self.sleep(_backoff(tries))
            found = self.source_named(body["name"])
            if found:
                return found
            if not unknown.passing or tries > FURTHER_TRIES:
                raise unknown.adding("Looked at afterwards, there was no source %s." % body["name"])

    def update_source(self, source_id: str, body: Mapping[str, Any]) -> None:
        self.change("PUT", path("/sources/%s", source_id), body, secret_returned=False, wait=False)

    def delete_source(self, source_id: str) -> None:
        try:
            self.change("DELETE", path("/sources/%s", source_id), secret_returned=False, wait=False)
        except Failure as failure:
            # An earlier try was carried out after all.
            if status_of(failure) != 404:
                raise

    def act(self, source_id: str, action: str) -> None:
        """
        :param action: pause, resume or restart.
        """
        self.change("POST", path("/sources/%s/actions/%s", source_id, action))

    # What went wrong

    def _no_answer(self, method: str, where: str, unanswered: Unanswered) -> Failure:
        said = "Streamkap's API at %s did not answer to %s %s: %s." % (self._url, method, where, unanswered.why)
        if unanswered.arrived and method != "GET" and not where.startswith("/auth/"):
            return Unknown(said, hint=_UNKNOWN, passing=unanswered.passing)
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
            return Unknown(said, hint=_UNKNOWN, passing=passing, error=error)
        return Failure(said, hint=hint, passing=passing, error=error)

    @staticmethod
    def _error(answer: Answer, message: str | None) -> dict[str, Any]:
        return {"message": message, "request_id": answer.headers.get("x-request-id"), "status": answer.status}


_UNKNOWN = "It may have been carried out all the same. Run again: it looks first and does only what is still to do."

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


def already_exists(failure: Failure) -> bool:
    """Whether Streamkap has refused a name that another source has."""
    said = message_of(failure).lower()
    return status_of(failure) in (400, 409, 422) and "already exists" in said and "slot" not in said


def _backoff(tries: int) -> float:
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


def _results(answer: Any) -> list[dict[str, Any]]:
    found = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Failure(
            "Streamkap's answer has no list of sources in it.",
            hint="Is streamkap_api_url right? If so, the API has changed, and this collection does not know it yet.",
        )
    return [source for source in found if isinstance(source, dict)]
