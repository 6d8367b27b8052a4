# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who asks the double of Streamkap's API by plain HTTP, and knows nothing of the collection's own client."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field

from .streamkap_api import CLIENT_ID, CONFIG, SECRET, Streamkap
from .streamkap_config import Config


@dataclass
class Answer:
    status: int
    body: object
    headers: dict[str, str]

    @property
    def detail(self) -> object:
        return self.body["detail"]


@dataclass
class Client:
    streamkap: Streamkap
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_token(cls, streamkap: Streamkap) -> Client:
        client = cls(streamkap)
        client.use(client.token().body)
        return client

    def __call__(self, method: str, path: str, body: object = None) -> Answer:
        connection = http.client.HTTPConnection(self.streamkap.url.removeprefix("http://"), timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json", **self.headers})
            response = connection.getresponse()
            text = response.read().decode()
            headers = {name.lower(): value for name, value in response.getheaders()}
            told = json.loads(text) if headers["content-type"] == "application/json" else text
            return Answer(response.status, told, headers)
        finally:
            connection.close()

    def token(self, **credentials: str) -> Answer:
        return self("POST", "/auth/access-token", {"client_id": CLIENT_ID, "secret": SECRET, **credentials})

    def use(self, token: dict[str, object]) -> None:
        self.headers["Authorization"] = f"Bearer {token['accessToken']}"

    def create(self, name: str = "shop", config: Config | None = None, query: str = "", **more: object) -> Answer:
        config = CONFIG if config is None else config
        body = {"name": name, "connector": "postgresql", "config": config, "created_from": "api", **more}
        return self("POST", f"/sources{query}", body)

    def update(self, source_id: str, config: Config, **more: object) -> Answer:
        body = {"name": "shop", "connector": "postgresql", "config": config, **more}
        return self("PUT", f"/sources/{source_id}", body)

    def act(self, source_id: str, action: str) -> Answer:
        return self("POST", f"/sources/{source_id}/actions/{action}")

    def get(self, source_id: str, query: str = "") -> dict[str, object]:
        (source,) = self("GET", f"/sources/{source_id}{query}").body["result"]
        return source

    def states(self, source_id: str) -> tuple[object, object]:
        """Of the connector, and of its tasks."""
        source = self.get(source_id)
        tasks = {number: task["state"] for number, task in source["task_statuses"].items()}
        return source["connector_status"], tasks

    def metrics(self, source_id: str) -> dict[str, object]:
        query = "time_type=latest&time_interval=1&time_unit=hour"
        return self("GET", f"/sources/{source_id}/metrics?{query}").body["data"]
