# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""JSON over HTTP, for the clients of the two control planes: one request and its answer, and the patience to send it again.

What may be sent again is the clients' to say: they know which requests are safe to repeat.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit

from ansible.module_utils.urls import ConnectionError as UrlsConnectionError
from ansible.module_utils.urls import SSLValidationError, open_url

from ._errors import Failure

AGENT = "ansible-streamkap.neon"


@dataclass(frozen=True)
class Answer:
    """What the server said.

    :param headers: by their names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON; None where it is none, such as a gateway's page."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None

    @property
    def retry_after(self) -> float | None:
        """The seconds that the header Retry-After asks for, which may be written as a date."""
        told = self.headers.get("retry-after", "").strip()
        if told.isdigit():
            return float(told)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
        except (TypeError, ValueError, IndexError):
            return None


class Unanswered(Exception):
    """No answer came.

    :param why: a few words, without secrets.
    :param arrived: whether the request may have arrived, and have been carried out.
    :param passing: whether another try may fare better.
    """

    def __init__(self, why: str, arrived: bool, passing: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.arrived = arrived
        self.passing = passing


def base_url(option: str, url: str) -> str:
    """The URL that all paths of an API follow, checked: credentials go to nobody in plain text, but to this machine itself.

    :param option: the option that it was given in.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Failure("%s is not the URL of an API." % option, hint="Write https://host/path, and nothing more.")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise Failure("%s would send the credentials unencrypted." % option, hint="Write https:// in place of http://.")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path(template: str, *parts: str) -> str:
    """A path with names in it, each percent-encoded: ``path("/projects/%s", project)``."""
    return template % tuple(quote(part, safe="") for part in parts)


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    timeout: float,
    query: Mapping[str, Any] | None = None,
    body: Any = None,
) -> Answer:
    """Send one request, once. A redirection is an answer as any other: credentials follow none.

    :param query: values that are None are left out.
    :param body: sent as JSON, unless it is None.
    :param timeout: seconds to wait for a connection, and for each part of the answer.
    :raises Unanswered: what is no answer.
    """
    given = {key: _as_text(value) for key, value in (query or {}).items() if value is not None}
    try:
        response = open_url(
            url + ("?" + urlencode(given) if given else ""),
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/json",
                **({} if body is None else {"Content-Type": "application/json"}),
                **headers,
            },
            timeout=timeout,
            http_agent=AGENT,
            follow_redirects="none",
            use_netrc=False,
        )
        return _answer(response)
    except HTTPError as error:
        try:
            return _answer(error)
        except (OSError, http.client.HTTPException) as cut:
            raise _unanswered(cut) from None
    except (OSError, http.client.HTTPException, SSLValidationError, UrlsConnectionError) as error:
        raise _unanswered(error) from None


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(response: Any) -> Answer:
    with response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status if hasattr(response, "status") else response.code, headers, response.read())


def _unanswered(error: BaseException) -> Unanswered:
    reason = getattr(error, "reason", None) if isinstance(error, URLError) else error
    if isinstance(error, SSLValidationError) or isinstance(reason, ssl.SSLCertVerificationError):
        return Unanswered("its certificate could not be verified", arrived=False, passing=False)
    if isinstance(reason, socket.gaierror):
        return Unanswered("its name could not be resolved", arrived=False)
    if isinstance(reason, ConnectionRefusedError):
        return Unanswered("it refused the connection", arrived=False)
    if isinstance(reason, (TimeoutError, socket.timeout)):
        return Unanswered("it did not answer in time", arrived=True)
    return Unanswered("the connection was lost", arrived=True)


class Pace:
    """Keeps to a number of requests a minute, for all threads that share it.

    :param a_minute: requests that begin within any minute, at most, apart from the first ``burst`` of them, which go at once.
    """

    def __init__(
        self,
        a_minute: float,
        burst: int = 20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 60 / a_minute
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = clock() - burst * self._interval

    def wait(self) -> None:
        """Return when it is this request's turn."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now - self._burst * self._interval) + self._interval
            pause = self._next - now
        if pause > 0:
            self._sleep(pause)

    def hold(self, seconds: float) -> None:
        """Nobody sends anything for a while: the server has said so."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


def persist(
    attempt: Callable[[], Answer],
    pause: Callable[[Answer | Unanswered, int], float | None],
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Send a request again as long as it makes sense.

    :param pause: how many seconds to wait before it is sent again, from what came of it and of how many tries; None to leave it at that.
    :param patience: seconds in all.
    :raises Unanswered: the last one, where no answer came.
    """
    deadline = clock() + patience
    tries = 0
    while True:
        tries += 1
        outcome: Answer | Unanswered
        try:
            outcome = attempt()
        except Unanswered as unanswered:
            outcome = unanswered
        seconds = pause(outcome, tries)
        if seconds is None or clock() + seconds > deadline:
            if isinstance(outcome, Unanswered):
                raise outcome
            return outcome
        sleep(seconds)
