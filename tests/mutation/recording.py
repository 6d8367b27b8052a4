# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pytest plugin that records what each test runs of the collection: its lines, its tasks, and the files that it reads.

coverage is started by its own start-up hook, in this process and in all that a test starts. This plugin says whose the lines are.
What a fixture of a module or a session runs belongs to every test that uses the fixture.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from support import modules

from .node_ids import base_id, short_id

FOLDER = Path(os.environ["MUTATION_FOLDER"])
ROOT = Path(__file__).resolve().parents[2]
CALLBACK = Path(__file__).parent / "callback"
# Read by coverage's configuration, and by the callback plugin.
CONTEXT = "MUTATION_CONTEXT"
# How the tests' own clean environment learns of the recording.
HANDED_ON = ("COVERAGE_PROCESS_START", CONTEXT, "MUTATION_FOLDER")

_names: dict[str, str] = {}
_fixtures: dict[str, set[str]] = {}
_reads: dict[str, set[str]] = {}
_seconds: dict[str, float] = {}
_failed: set[str] = set()


def _switch(name: str) -> str:
    """Have what runs from now on belong to this name, and return the one before."""
    before = os.environ.get(CONTEXT, "")
    os.environ[CONTEXT] = name
    coverage.Coverage.current().switch_context(name)
    return before


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    test = base_id(item.nodeid)
    _names[short_id(test)] = test
    _fixtures[test] = {
        _fixture_name(definition, getattr(item, "callspec", None))
        for definitions in item._fixtureinfo.name2fixturedefs.values()
        for definition in definitions
        if definition.scope != "function"
    }
    before = _switch(short_id(test))
    try:
        return (yield)
    finally:
        _switch(before)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> Iterator[object]:
    if fixturedef.scope == "function":
        return (yield)
    name = _fixture_name(fixturedef, getattr(request._pyfuncitem, "callspec", None))
    _names[short_id(name)] = name
    before = _switch(short_id(name))
    try:
        return (yield)
    finally:
        _switch(before)


def _fixture_name(definition: pytest.FixtureDef, callspec: object) -> str:
    parameter = callspec.params.get(definition.argname, "") if callspec else ""
    return f"fixture {definition.baseid} {definition.argname} {parameter}"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Import everything before the first test, so that what runs at import belongs to no test."""
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        importlib.import_module(".".join(("ansible_collections.streamkap.neon", *parts)).removesuffix(".__init__"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    test = base_id(report.nodeid)
    _seconds[test] = _seconds.get(test, 0) + report.duration
    if report.failed:
        _failed.add(test)


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    found = {
        "names": _names,
        "fixtures": {test: sorted(names) for test, names in _fixtures.items()},
        "reads": {path: sorted(contexts) for path, contexts in _reads.items()},
        # The process that collects the reports of all others knows these.
        "seconds": {} if is_worker else _seconds,
        "failed": [] if is_worker else sorted(_failed),
    }
    (FOLDER / "tests").mkdir(parents=True, exist_ok=True)
    (FOLDER / "tests" / f"{os.getpid()}.json").write_text(json.dumps(found))


def _run_recorded(command: list[str], folder: Path, env: dict[str, str] | None) -> object:
    """Run Ansible with what records it, beside what the test itself sets."""
    env = {**{name: os.environ[name] for name in HANDED_ON}, **(env or {})}
    own = env.get("ANSIBLE_CALLBACK_PLUGINS")
    env["ANSIBLE_CALLBACK_PLUGINS"] = f"{CALLBACK}{os.pathsep}{own}" if own else str(CALLBACK)
    return _run(command, folder, env)


def _notice_reads(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and (context := os.environ.get(CONTEXT)):
        for part in ("/plugins/", "/roles/", "/playbooks/"):
            # Only real files of the checkout are looked up later; a path through the collection's link ends alike.
            if part in arguments[0] and arguments[0].endswith((".py", ".yml")):
                path = part.strip("/") + "/" + arguments[0].rpartition(part)[2]
                _reads.setdefault(path, set()).add(context)


_run = modules._run
modules._run = _run_recorded
os.environ.setdefault(CONTEXT, "")
sys.addaudithook(_notice_reads)
