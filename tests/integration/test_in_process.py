# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module gives the same result in the controller's own process and in one of its own; only the time differs."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.streamkap.neon.plugins.action import in_process

from support import modules
from support.modules import PlaybookRun, run_playbook
from support.neon import Database

pytestmark = pytest.mark.core_version

COLLECTION = "ansible_collections.streamkap.neon.plugins"
PASSWORD = "Of-the-user-3-of-the-tests"
VAULT_PASSWORD = "Of-the-vault-4-of-the-tests"

HEAD = """
- hosts: all
  gather_facts: false
  environment:
    PGAPPNAME: from the environment
    PGOPTIONS: -c application_name=of_the_play
  module_defaults:
    group/streamkap.neon.postgres:
      dsn: "{{ dsn }}"
      connect_timeout: 9
  tasks:
    - streamkap.neon.role: {name: streamkap_role, login: false}
    - streamkap.neon.role: {name: streamkap_role, login: false}
    - streamkap.neon.role: {name: streamkap_user, password: "{{ password }}", member_of: [streamkap_role]}
      check_mode: true
      diff: true
    - name: A secret that is a name as well
      streamkap.neon.role: {name: user, password: user}
      check_mode: true
    - streamkap.neon.grant:
        role: streamkap_role
        schemas: [app]
        schema_privileges: [USAGE]
        table_privileges: [SELECT]
    - name: An option that does not exist
      streamkap.neon.grant: {role: streamkap_role, rolle: streamkap_role}
      ignore_errors: true
    - name: A refusal
      streamkap.neon.publication: {name: p, tables: [app.nothing]}
      ignore_errors: true
    - name: A warning
      streamkap.neon.publication: {name: p, tables: [app.nothing]}
      check_mode: true
"""

REST = """
    - name: An option that is missing
      streamkap.neon.grant: {schemas: [app]}
      ignore_errors: true
    - name: An option with a value that is none of its choices
      streamkap.neon.slot: {state: maybe}
      ignore_errors: true
    - name: An option of another type
      streamkap.neon.slot: {connect_timeout: soon}
      ignore_errors: true
    - name: Options that do not go together
      streamkap.neon.replica_identity: {schemas: [app], identity: index}
      ignore_errors: true
    - streamkap.neon.slot: {login_password: wrong-1-of-the-tests, connect_timeout: 1}
      ignore_errors: true
    - streamkap.neon.slot: {dsn: "postgresql://[{{ password }}"}
      ignore_errors: true
    - streamkap.neon.signal_table: {grant_to: [streamkap_role]}
      diff: true
    - streamkap.neon.signal_table: {grant_to: [streamkap_role], state: absent}
      check_mode: true
      diff: false
    - streamkap.neon.readiness_info: {schemas: [app]}
    - name: The connection from the environment
      streamkap.neon.slot: {}
      check_mode: true
      module_defaults:
        group/streamkap.neon.postgres: {}
      environment:
        NEON_DATABASE_URL: "{{ dsn }}"
    - name: A variable of the play's environment that is empty in the task's
      streamkap.neon.slot: {dsn: "{{ dsn }}"}
      check_mode: true
      environment: {PGOPTIONS: ""}
    - name: The home of the environment
      streamkap.neon.slot: {ca_cert: ~/certificate.pem, ssl_mode: verify-full}
      ignore_errors: true
      environment: {HOME: /nowhere/of/the/tests}
    - streamkap.neon.role: {name: "{{ item }}", state: absent}
      loop: [streamkap_user, nobody]
      loop_control: {label: "{{ item | upper }}"}
      throttle: 1
    - name: What looks like another type
      streamkap.neon.role:
        name: 2026
        login: "yes"
        replication: "no"
        connect_timeout: "5"
        lock_timeout: "{{ '7' }}"
        password: "{{ omit }}"
        comment: null
      check_mode: true
    - streamkap.neon.role: {name: 2026-11-24, login: false}
      check_mode: true
    - name: What looks like a template
      streamkap.neon.role: {name: made, login: false, comment: !unsafe "{{ password }}"}
      register: made
    - ansible.builtin.debug: {var: made.queries}
    - name: A secret of the vault
      streamkap.neon.role:
        name: from_the_vault
        password: !vault |
__VAULTED__
      check_mode: true
    - name: All of it a secret
      streamkap.neon.role: {name: made, state: absent}
      no_log: true
    - name: Only until it is so
      streamkap.neon.role: {name: made, state: absent}
      register: gone
      until: gone is not changed
      retries: 2
      delay: 0
    - name: For real even in a check
      streamkap.neon.role: {name: made_in_a_check, login: false}
      check_mode: false
    - streamkap.neon.role: {name: made_in_a_check, state: absent}
      check_mode: false
"""

# Tells everything that Ansible knows of a task's result, and of what the terminal gets little.
RESULTS = """
import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"

    def v2_runner_on_ok(self, result, ignore_errors=False):
        with open(os.environ["RESULTS"], "a") as file:
            told = {key: value for key, value in result._result.items() if not key.startswith("_ansible_")}
            print(json.dumps([result._task.get_name(), told], default=repr), file=file)

    v2_runner_on_failed = v2_runner_item_on_ok = v2_runner_item_on_failed = v2_runner_on_ok
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

# A way to become somebody that needs neither sudo nor a password.
BECOME = """
DOCUMENTATION = '''
name: nobody_else
short_description: Becomes nobody else
description: It runs what it is given.
options:
  become_user:
    description: Nobody.
    default: root
    keyword: [{name: become_user}]
'''

from ansible.plugins.become import BecomeBase


class BecomeModule(BecomeBase):
    name = "nobody_else"

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        return self._build_success_command(cmd, shell) if cmd else cmd
"""

# Breaks what a module does not expect to be broken.
BROKEN = """
import psycopg2


def connect(*arguments, **keywords):
    raise ZeroDivisionError(f"broken for {arguments} {keywords}")


psycopg2.connect = connect
"""

Results = list[list[object]]


@pytest.fixture(autouse=True)
def own_choice_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests choose it themselves."""
    monkeypatch.setattr(modules, "WAY", modules.IN_PROCESS)


@pytest.fixture
def another_python(tmp_path: Path) -> str:
    """An interpreter that is not the controller's, so that modules run in processes of their own."""
    return modules.another_python(tmp_path)


@pytest.fixture
def played(databases: Callable[..., Database], tmp_path: Path) -> Callable[..., tuple[PlaybookRun, Results]]:
    """Runs the play on a new database, with a Python, and gives the results of its tasks without what differs by nature."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "results.py").write_text(RESULTS)
    (tmp_path / "vault_password").write_text(VAULT_PASSWORD)
    vaulted = VaultLib([("default", VaultSecret(VAULT_PASSWORD.encode()))]).encrypt(PASSWORD).decode()

    def play(text: str, python: str, env: dict[str, str]) -> tuple[PlaybookRun, Results]:
        database = databases()
        results = tmp_path / "results"
        host = {"ansible_connection": "local", "ansible_python_interpreter": python}
        run = run_playbook(
            text.replace("__VAULTED__", textwrap.indent(vaulted.rstrip(), " " * 10)),
            inventory=yaml.safe_dump({"all": {"hosts": {"shop": host}}}),
            extra_vars={"dsn": database.dsn, "password": PASSWORD},
            verbosity=1,
            env={
                "ANSIBLE_CALLBACK_PLUGINS": str(plugins),
                "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "vault_password"),
                "RESULTS": str(results),
                **env,
            },
        )
        assert run.rc == 0, run.stdout
        told = re.sub(r"takes [0-9]+ ms", "takes some ms", results.read_text().replace(database.name, "the_database"))
        results.unlink()
        database.admin("DROP OWNED BY streamkap_role CASCADE; DROP ROLE streamkap_role")
        return run, list(map(json.loads, told.splitlines()))

    return play


def assert_same(in_process: tuple[PlaybookRun, Results], ordinary: tuple[PlaybookRun, Results]) -> None:
    (here, results), (there, others) = in_process, ordinary
    for result, other in zip(results, others, strict=True):
        assert result == other
    assert here.stats == there.stats
    for run in (here, there):
        assert PASSWORD not in run.stdout + run.stderr
        assert "7-of-the-tests" not in run.stdout + run.stderr
    assert re.findall(r"^\[WARNING\].*", here.stderr, re.M) == re.findall(r"^\[WARNING\].*", there.stderr, re.M)


@pytest.mark.postgres(18)
def test_results_are_the_same_in_both_ways(played, another_python: str) -> None:
    in_process = played(HEAD + REST, sys.executable, {})
    assert_same(in_process, played(HEAD + REST, another_python, {}))
    told = dict(in_process[1])
    assert told["A warning"]["warnings"]
    assert told["An option that does not exist"]["msg"].startswith(
        "Unsupported parameters for (streamkap.neon.grant) module: rolle."
    )
    assert "{{ password }}" in str(told["What looks like a template"]["queries"])
    assert PASSWORD not in str(in_process[1])


@pytest.mark.postgres(18)
@pytest.mark.parametrize(
    "env",
    [
        {"ANSIBLE_NO_LOG": "1"},
        {"ANSIBLE_INJECT_INVOCATION": "1", "ANSIBLE_DISPLAY_TRACEBACK": "always", "ANSIBLE_VERBOSITY": "3"},
    ],
    ids=["no_log", "all"],
)
def test_more_or_less_is_told_in_both_ways(played, another_python: str, env: dict[str, str]) -> None:
    in_process, ordinary = played(HEAD, sys.executable, env), played(HEAD, another_python, env)
    for _name, result in in_process[1] + ordinary[1]:
        # It names other files.
        if "exception" in result:
            result["exception"] = "told"
    assert_same(in_process, ordinary)


def test_what_no_module_expects_fails_the_task_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    run = run_playbook(
        """
        - hosts: localhost
          gather_facts: false
          tasks:
            - streamkap.neon.slot: {dsn: "postgresql://me:{{ password }}@127.0.0.1:1/db"}
              register: broken
              ignore_errors: true
            - ansible.builtin.debug: {msg: "{{ broken.msg }}"}
        """,
        extra_vars={"password": PASSWORD},
        verbosity=3,
        env={"PYTHONPATH": str(tmp_path), "ANSIBLE_DISPLAY_TRACEBACK": "always"},
    )
    assert run.rc == 0, run.stdout
    assert run.stats["localhost"]["ignored"] == 1
    assert "The module streamkap.neon.slot has failed unexpectedly. ZeroDivisionError: broken for " in run.stdout
    assert "sitecustomize.py" in run.stdout + run.stderr
    assert PASSWORD not in run.stdout + run.stderr


@pytest.mark.postgres(18)
@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_hosts_side_by_side_do_not_mix(databases: Callable[..., Database], strategy: str) -> None:
    own = {f"shop_{number}": databases() for number in range(4)}
    play = f"""
        - hosts: all
          gather_facts: false
          strategy: {strategy}
          environment: {{NEON_DATABASE_URL: "{{{{ dsn }}}}"}}
          tasks:
            - streamkap.neon.signal_table:
              register: made
            - ansible.builtin.assert: {{that: "made.changed and made.server.database == name"}}
            - streamkap.neon.slot: {{name: "{{{{ inventory_hostname }}}}"}}
              delegate_to: localhost
              register: made
            - ansible.builtin.assert: {{that: "made.changed and made.server.database == name"}}
        """
    run = run_playbook(
        play,
        inventory=yaml.safe_dump(
            {
                "all": {
                    "vars": {"ansible_connection": "local"},
                    "hosts": {host: {"dsn": database.dsn, "name": database.name} for host, database in own.items()},
                }
            }
        ),
    )
    assert run.rc == 0, run.stdout
    for host, database in own.items():
        assert database.sql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()") == [
            (host,)
        ]
        assert database.sql("SELECT count(*) FROM streamkap.streamkap_signal") == [(0,)]


@pytest.mark.postgres(18)
@pytest.mark.parametrize(
    ("env", "cases"),
    [
        (
            {},
            [
                ({}, {}, False),
                ({"ansible_python_interpreter": sys.executable}, {}, False),
                ({"ansible_python_interpreter": "auto_silent"}, {}, False),
                ({"ansible_python_interpreter": ""}, {}, False),
                ({"ansible_python_interpreter": "{{ another }}"}, {}, True),
                ({"ansible_python_interpreter": "{{ linked }}"}, {}, True),
                ({}, {"async": 30, "poll": 1}, True),
                ({}, {"timeout": 30}, True),
                ({}, {"become": True, "become_method": "nobody_else"}, True),
                ({"ansible_become": True, "ansible_become_method": "nobody_else"}, {}, True),
                ({"ansible_connection": "ansible.builtin.local"}, {}, False),
                ({"ansible_connection": "ssh"}, {"delegate_to": "localhost"}, False),
                ({}, {"delegate_to": "beside"}, True),
            ],
        ),
        (
            {"ANSIBLE_PYTHON_INTERPRETER": "ANOTHER"},
            [({}, {}, True), ({"ansible_python_interpreter": sys.executable}, {}, False)],
        ),
        ({"ANSIBLE_TASK_TIMEOUT": "30"}, [({}, {}, True)]),
    ],
    ids=["hosts-and-tasks", "interpreter", "timeout"],
)
def test_which_modules_get_a_process_of_their_own(
    database: Database,
    another_python: str,
    env: dict[str, str],
    cases: list[tuple[dict[str, object], dict[str, object], bool]],
    tmp_path: Path,
) -> None:
    """Each case is the variables of a host, the keywords of its task, and whether its module gets a process."""
    hosts = {
        f"host{number}": {"ansible_connection": "local", **host} for number, (host, _keywords, _own) in enumerate(cases)
    }
    hosts["beside"] = {"ansible_connection": "local", "ansible_python_interpreter": another_python}
    linked = tmp_path / "linked" / "bin" / "python"
    linked.parent.mkdir(parents=True)
    # To look for packages where this one does, and yet to be another environment.
    linked.symlink_to(sys.executable)
    (linked.parents[1] / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
    (linked.parents[1] / "lib").symlink_to(Path(sys.prefix) / "lib")
    (tmp_path / "nobody_else.py").write_text(BECOME)
    # One play and one task for each host.
    plays = [
        {
            "hosts": f"host{number}",
            "gather_facts": False,
            "tasks": [
                {
                    "name": f"Case {number}.",
                    "streamkap.neon.slot": {"dsn": "{{ dsn }}", "name": f"slot{number}"},
                    **({} if "async" in keywords else {"check_mode": True}),
                    **keywords,
                }
            ],
        }
        for number, (_host, keywords, _own) in enumerate(cases)
    ]
    run = run_playbook(
        yaml.safe_dump(plays),
        inventory=yaml.safe_dump({"all": {"hosts": hosts}}),
        extra_vars={"dsn": database.dsn, "another": another_python, "linked": str(linked)},
        verbosity=3,
        env={
            # Otherwise the job is written to one home and looked for in another.
            "ANSIBLE_ASYNC_DIR": str(tmp_path / "jobs"),
            "ANSIBLE_BECOME_PLUGINS": str(tmp_path),
            **{name: another_python if value == "ANOTHER" else value for name, value in env.items()},
        },
    )
    assert run.rc == 0, run.stdout
    outputs = [
        run.stdout.partition(f"TASK [Case {number}.]")[2].partition("\nPLAY ")[0] for number in range(len(cases))
    ]
    assert ["Using module file" in output for output in outputs] == [own for _host, _keywords, own in cases]


@pytest.mark.postgres(18)
def test_a_task_ends_when_its_time_is_up(database: Database) -> None:
    with contextlib.closing(psycopg2.connect(database.dsn)) as other:
        other.cursor().execute("LOCK TABLE app.orders")
        run = run_playbook(
            """
            - hosts: localhost
              gather_facts: false
              tasks:
                - streamkap.neon.replica_identity:
                    dsn: "{{ dsn }}"
                    tables: [app.orders]
                    identity: full
                    lock_timeout: 200
                    statement_timeout: 200
                  timeout: 3
            """,
            extra_vars={"dsn": database.dsn},
        )
    assert run.rc == 2
    assert "Timed out" in run.stdout + run.stderr or "in the expected time frame" in run.stdout


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
    # What other tests have imported that no module does: the lookup's.
    here.discard(f"{COLLECTION}.module_utils._neon.connection_uri")
    assert imported >= {
        f"{COLLECTION}.action.in_process",
        *(f"{COLLECTION}.modules.{name}" for name in in_process.MODULES),
        *here,
    }


def test_what_runs_the_modules_is_none() -> None:
    run = run_playbook("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - streamkap.neon.in_process:\n")
    assert run.rc == 2
    assert "streamkap.neon.in_process is no module for tasks" in run.stdout + run.stderr
