# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neon's own description of its API, as a judge between who asks and who answers.

Prism (https://github.com/stoplightio/prism) stands between the two, and says of each request and of each answer whether it is as the
description has it. What the description does not name in a request, and does not forbid either, is a violation here: Neon would
overlook it. Both come from npm, in these versions, into .cache/prism, and are not kept in the repository.

    with Judge() as judge:
        judge.upstream = lambda request: (200, {"projects": []})
        answer = judge.ask(request)
        assert answer.violations == []
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlencode

import yaml

from . import prerequisites
from .binaries import ROOT
from .http_stub import Reply, Request, stub
from .postgres import free_port
from .waiting import eventually

CACHE = ROOT / ".cache" / "prism"
PACKAGES = {"@stoplight/prism-cli": "5.14.2", "@neondatabase/api-client": "2.7.3"}
PROGRAM = CACHE / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
DESCRIPTION = CACHE / "node_modules" / "@neondatabase" / "api-client" / "public-v2-for-users.gen.yaml"

# They are between who asks and his server, and nobody else's.
OF_THE_CONNECTION = ("host", "content-length", "connection")

# It ends with this process, however that ends.
WATCHER = '"$@" & read -r _; kill $!'

BANNER = """
    ##########################################################################
    #                                                                        #
    #   NEON'S API WAS NOT TRIED: npm, or node, is not here.                 #
    #   Install them, on Debian: apt-get install nodejs npm                  #
    #   Then: make api                                                       #
    #                                                                        #
    ##########################################################################
"""


@dataclass
class Answer:
    """
    :param violations: what of the request or the answer is not as Neon describes it, a sentence each.
    """

    status: int
    headers: dict[str, str]
    body: str
    violations: list[str]


def lacks_npm() -> bool:
    return not prerequisites.has_npm()


def install() -> None:
    """Once, even if several processes want it at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    stamp = CACHE / "installed.json"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and json.loads(stamp.read_text()) == PACKAGES:
            return
        print(f"Fetching Prism and Neon's description of its API with npm into {CACHE}", file=sys.stderr)
        wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
        run = subprocess.run(
            ["npm", "install", "--prefix", CACHE, "--no-audit", "--no-fund", "--no-package-lock", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        stamp.write_text(json.dumps(PACKAGES))


def _fits(template: str, path: str) -> bool:
    described, asked = template.split("/"), path.split("/")
    return len(described) == len(asked) and all(
        part == given or part.startswith("{") for part, given in zip(described, asked, strict=True)
    )


class Judge(contextlib.ExitStack):
    """
    :param upstream: answers what is asked.
    """

    upstream: Callable[[Request], Reply]

    def _answer(self, request: Request) -> Reply:
        return self.upstream(request)

    def __enter__(self) -> Judge:
        super().__enter__()
        install()
        self._description = yaml.load(DESCRIPTION.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        answering = self.enter_context(stub(self._answer))
        self._port = free_port()
        self._log: TextIO = self.enter_context(tempfile.TemporaryFile("w+", prefix="prism-"))
        watcher = subprocess.Popen(
            [
                *("sh", "-c", WATCHER, "sh"),
                *("node", PROGRAM, "proxy", DESCRIPTION, answering.url),
                *("--host", "127.0.0.1", "--port", str(self._port)),
            ],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.callback(watcher.wait)
        self.callback(watcher.stdin.close)
        eventually(self._listens, 60)
        return self

    def ask(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(connection):
            headers = {name: value for name, value in request.headers.items() if name not in OF_THE_CONNECTION}
            path = request.path + ("?" + urlencode(request.query) if request.query else "")
            body = None if request.body is None else json.dumps(request.body)
            connection.request(request.method, path, body, headers)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.headers.items()}
            text = response.read().decode()
        return Answer(response.status, told, text, self._violations(request, told, text))

    def _violations(self, request: Request, headers: dict[str, str], text: str) -> list[str]:
        found = [f"{request}: {violation}" for violation in json.loads(headers.get("sl-violations", "[]"))]
        # What Prism itself answers: it does not know the path, for instance, or the double broke down.
        if text.startswith('{"type":'):
            found.append(f"{request}: {text}")
        return found + [f"{request}: {name} is not described" for name in self._undescribed(request)]

    def _undescribed(self, request: Request) -> list[str]:
        """The parameters and the keys of the body that nobody will look at."""
        template = next((path for path in self._description["paths"] if _fits(path, request.path)), None)
        operation = self._description["paths"].get(template, {}).get(request.method.lower())
        if not operation:
            return []
        shared = self._description["paths"][template].get("parameters", [])
        parameters = {self._resolved(parameter)["name"] for parameter in [*shared, *operation.get("parameters", [])]}
        content = self._resolved(operation.get("requestBody", {})).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        return sorted(set(request.query) - parameters) + self._unknown_keys(request.body, schema, "")

    def _unknown_keys(self, value: object, schema: dict[str, object], where: str) -> list[str]:
        schema = self._resolved(schema)
        if not isinstance(value, dict):
            return []
        properties = schema.get("properties", {})
        found = []
        for key, item in value.items():
            if key in properties:
                found += self._unknown_keys(item, properties[key], f"{where}{key}.")
            else:
                found.append(f"{where}{key}")
        return found

    def _resolved(self, described: dict[str, object]) -> dict[str, object]:
        while "$ref" in described:
            found = self._description
            for part in str(described["$ref"]).removeprefix("#/").split("/"):
                found = found[part]
            described = found
        return described

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
