# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of all tests on servers: real ones of every version, and a fresh database for every test.

server      the running Server (support/postgres.py) with Neon's roles, shared by all tests of one version
database    a fresh Database (support/neon.py) of neondb_owner on it, with the application of demo/shop.sql in it
databases   makes more of them: databases(shop=True, neon=False)
standby     the same database on a hot standby of the server; call standby.server.catch_up() after writing
run         runs a module as neondb_owner in `database`: run("slot", name="s", check=True)
console     Neon's API in small, judged by Neon's own description of it (support/console.py); needs npm

Markers: `@pytest.mark.database(shop=False, neon=True)` says what `database` is like: without the application, and
recognised as Neon's. `@pytest.mark.postgres(16, 17, 18)` restricts a test to these versions.

A test runs on the oldest and the newest of its versions, with `@pytest.mark.every_version` on all of them: for what
depends on a version's catalogs, grammar or rules, with `@pytest.mark.newest_version` on the newest alone: for playbooks
whose modules are tested on the others, and for what our side of a connection does. `@pytest.mark.full` keeps a test for
`--full`, which also runs every test on all of its versions. `--postgres 16,17` runs every test on those.

At the end of a test every slot, database and role that it left is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from . import binaries, neon, prism
from .console import Console
from .modules import run_module
from .neon import Database
from .postgres import Server
from .prism import Judge


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        majors = sorted(set(metafunc.config.getoption("postgres") or binaries.VERSIONS))
        parameters = [pytest.param(major, id=f"pg{major}") for major in majors]
        metafunc.parametrize("server", parameters, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what the marker `postgres` rules out, and without --full what only a full run repeats."""
    chosen, deselected = [], []
    for item in items:
        (chosen if _is_selected(item, config) else deselected).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = chosen


def _is_selected(item: pytest.Item, config: pytest.Config) -> bool:
    full = config.getoption("full")
    if item.get_closest_marker("full") and not full:
        return False
    if "server" not in getattr(item, "fixturenames", ()):
        return True
    major = item.callspec.params["server"]
    marker = item.get_closest_marker("postgres")
    majors = sorted(marker.args if marker else binaries.VERSIONS)
    if major not in majors:
        return False
    # Where versions are named, these are meant.
    if full or config.getoption("postgres") or item.get_closest_marker("every_version"):
        return True
    if item.get_closest_marker("newest_version"):
        return major == majors[-1]
    return major in (majors[0], majors[-1])


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(binaries.matrix(request.param)) as server:
        neon.prepare(server)
        neon.create_templates(server)
        yield server


@pytest.fixture
def databases(server: Server) -> Iterator[Callable[..., Database]]:
    with neon.isolated(server):
        yield lambda **kind: neon.fresh_database(server, **kind)


@pytest.fixture
def database(request: pytest.FixtureRequest, databases: Callable[..., Database]) -> Database:
    marker = request.node.get_closest_marker("database")
    return databases(**(marker.kwargs if marker else {}))


# Not for longer: a restart of the primary with other settings, which some tests need, may bring a standby to a halt.
@pytest.fixture(scope="module")
def standby_server(server: Server) -> Iterator[Server]:
    with server.standby() as standby:
        yield standby


@pytest.fixture
def standby(database: Database, standby_server: Server) -> Database:
    standby_server.catch_up()
    return Database(standby_server, database.name)


@pytest.fixture
def run(database: Database) -> Callable[..., dict[str, object]]:
    def run(module: str, /, **options: object) -> dict[str, object]:
        return run_module(module, **{"dsn": database.dsn, **options})

    return run


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    if prism.lacks_npm():
        pytest.skip("Neon's API was not tried: npm, or node, is not here")
    with Judge() as judge:
        yield judge


@pytest.fixture
def console(judge: Judge) -> Iterator[Console]:
    with Console(judge) as console:
        yield console
    assert not console.violations
