# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module gives the same result in the controller's own process and in one of its own; only the time differs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.action import in_process

from support.modules import PlaybookRun, run_playbook
from support.neon import Database

COLLECTION = "ansible_collections.streamkap.neon.plugins"
PASSWORD = "Of-the-user-3-of-the-tests"

PLAY = """
- hosts: all
  gather_facts: false
  environment:
    PGAPPNAME: from the environment
  module_defaults:
    group/streamkap.neon.postgres:
      dsn: "{{ dsn }}"
      connect_timeout: 9
  tasks:
    - streamkap.neon.role: {name: streamkap_role, login: false}
      register: made
    - streamkap.neon.role: {name: streamkap_role, login: false}
      register: made_again
    - streamkap.neon.role: {name: streamkap_user, password: "{{ password }}", member_of: [streamkap_role]}
      register: user
      check_mode: true
      diff: true
    - streamkap.neon.role: {name: user, password: user}
      register: secret_that_is_a_name
      check_mode: true
    - streamkap.neon.grant:
        role: streamkap_role
        schemas: [app]
        schema_privileges: [USAGE]
        table_privileges: [SELECT]
      register: granted
    - streamkap.neon.grant: {role: streamkap_role, rolle: streamkap_role}
      register: unsupported
      ignore_errors: true
    - streamkap.neon.grant: {schemas: [app]}
      register: required
      ignore_errors: true
    - streamkap.neon.slot: {state: maybe}
      register: choice
      ignore_errors: true
    - streamkap.neon.slot: {connect_timeout: soon}
      register: kind
      ignore_errors: true
    - streamkap.neon.publication: {name: p, tables: [app.nothing]}
      register: refused
      ignore_errors: true
    - streamkap.neon.publication: {name: p, tables: [app.nothing]}
      register: warned
      check_mode: true
    - streamkap.neon.slot: {login_password: wrong-1-of-the-tests, connect_timeout: 1}
      register: wrong_password
      ignore_errors: true
    - streamkap.neon.slot: {dsn: "postgresql://[{{ password }}"}
      register: wrong_dsn
      ignore_errors: true
    - streamkap.neon.signal_table: {grant_to: [streamkap_role]}
      register: signal_table
      diff: true
    - streamkap.neon.readiness_info: {schemas: [app]}
      register: readiness
    - streamkap.neon.slot: {}
      register: from_the_environment
      check_mode: true
      module_defaults:
        group/streamkap.neon.postgres: {}
      environment:
        NEON_DATABASE_URL: "{{ dsn }}"
    - streamkap.neon.role: {name: "{{ item }}", state: absent}
      loop: [streamkap_user, nobody]
      register: looped
    - ansible.builtin.copy:
        dest: "{{ results }}"
        content: "{{ dict(names | zip(names | map('extract', vars))) | to_json }}"
        mode: "0600"
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
        names: [made, made_again, user, secret_that_is_a_name, granted, unsupported, required, choice, kind, refused, warned,
                wrong_password, wrong_dsn, signal_table, readiness, from_the_environment, looped]
"""

# Tells of every process that forks from ansible-playbook what has been imported there already.
AT_FORK = """
import os
import sys

from ansible.plugins.callback import CallbackBase


def tell():
    with open(os.environ["IMPORTED_AT_FORK"], "a") as file:
        print(*[name for name in sys.modules if name.startswith("ansible_collections.streamkap")], file=file)


os.register_at_fork(after_in_child=tell)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "at_fork"
"""


@pytest.fixture
def played(
    databases: Callable[..., Database], tmp_path: Path
) -> Callable[[str], tuple[PlaybookRun, dict[str, object]]]:
    """Runs the play on a new database, with a Python, and gives the results of its tasks without what differs by nature."""

    def play(python: str) -> tuple[PlaybookRun, dict[str, object]]:
        database = databases()
        results = tmp_path / "results.json"
        host = {"ansible_connection": "local", "ansible_python_interpreter": python}
        inventory = yaml.safe_dump({"all": {"hosts": {"shop": host}}})
        run = run_playbook(
            PLAY,
            inventory=inventory,
            extra_vars={"dsn": database.dsn, "password": PASSWORD, "results": str(results)},
            verbosity=1,
            env={"ANSIBLE_RETRY_FILES_ENABLED": "0"},
        )
        assert run.rc == 0, run.stdout
        text = results.read_text().replace(database.name, "the_database")
        database.admin("DROP OWNED BY streamkap_role CASCADE; DROP ROLE streamkap_role")
        return run, json.loads(re.sub(r"takes [0-9]+ ms", "takes some ms", text))

    return play


@pytest.fixture
def another_python(tmp_path: Path) -> str:
    """An interpreter that is not the controller's, so that modules run in processes of their own."""
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@pytest.mark.postgres(17)
def test_results_are_the_same_in_both_ways(played, another_python: str) -> None:
    here, in_process = played(sys.executable)
    there, ordinary = played(another_python)
    for name in ordinary:
        assert in_process[name] == ordinary[name], name
    assert in_process["warned"]["warnings"]
    assert in_process["unsupported"]["msg"].startswith(
        "Unsupported parameters for (streamkap.neon.grant) module: rolle."
    )
    for run in (here, there):
        assert PASSWORD not in run.stdout
        assert "7-of-the-tests" not in run.stdout
    assert re.findall(r"^\[WARNING\].*", here.stderr, re.M) == re.findall(r"^\[WARNING\].*", there.stderr, re.M)


@pytest.mark.postgres(17)
@pytest.mark.parametrize(
    ("host", "keywords", "own"),
    [
        ({}, {}, False),
        ({"ansible_python_interpreter": sys.executable}, {}, False),
        ({"ansible_python_interpreter": "auto_silent"}, {}, False),
        ({"ansible_python_interpreter": "{{ another }}"}, {}, True),
        ({}, {"async": 30, "poll": 1}, True),
        ({"ansible_connection": "ssh"}, {"delegate_to": "localhost"}, False),
        ({}, {"delegate_to": "beside"}, True),
    ],
)
def test_which_modules_get_a_process_of_their_own(
    database: Database,
    another_python: str,
    host: dict[str, str],
    keywords: dict[str, object],
    own: bool,
    tmp_path: Path,
) -> None:
    hosts = {
        "shop": {"ansible_connection": "local", **host},
        "beside": {"ansible_connection": "local", "ansible_python_interpreter": another_python},
    }
    task = {
        "streamkap.neon.slot": {"dsn": "{{ dsn }}"},
        **({} if "async" in keywords else {"check_mode": True}),
        **keywords,
    }
    run = run_playbook(
        yaml.safe_dump([{"hosts": "shop", "gather_facts": False, "tasks": [task]}]),
        inventory=yaml.safe_dump({"all": {"hosts": hosts}}),
        extra_vars={"dsn": database.dsn, "another": another_python},
        verbosity=3,
        # Otherwise the job is written to one home and looked for in another.
        env={"ANSIBLE_ASYNC_DIR": str(tmp_path / "jobs")},
    )
    assert run.rc == 0, run.stdout
    assert ("Using module file" in run.stdout) == own


def test_workers_import_nothing_again(tmp_path: Path) -> None:
    """The list of what a worker has when it is forked, for the first task already."""
    (tmp_path / "at_fork.py").write_text(AT_FORK)
    told = tmp_path / "told"
    run = run_playbook(
        """
        - hosts: localhost
          gather_facts: false
          tasks:
            - streamkap.neon.slot: {dsn: unreadable}
        """,
        env={"ANSIBLE_CALLBACK_PLUGINS": str(tmp_path), "IMPORTED_AT_FORK": str(told)},
    )
    assert "not a valid libpq connection string" in run.stdout
    (imported,) = map(set, map(str.split, told.read_text().splitlines()))
    here = {name for name in sys.modules if name.startswith(f"{COLLECTION}.module_utils.")}
    assert imported >= {
        f"{COLLECTION}.action.in_process",
        *(f"{COLLECTION}.modules.{name}" for name in in_process.MODULES),
        *here,
    }
