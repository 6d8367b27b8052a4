# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who brings databases to the same state, each in its own way, with the same variables in the same inventory."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support import neon
from support.modules import collections_path
from support.neon import Database
from support.proxy import Proxy

from .measure import Run, measure
from .stage import Size

HERE = Path(__file__).parent
PASSWORD = "Connector-3-of-the-benchmarks"
FORKS = 5  # Ansible's default
MASKED = "'********'"


@dataclass(frozen=True)
class Task:
    """What a contender is to do.

    databases: of one server, each with the schemas of `size`
    timeout: seconds
    watch: whether to look at the server's memory
    """

    databases: list[Database]
    size: Size
    network: Proxy
    folder: Path
    timeout: float
    watch: bool = False
    verbose: bool = False

    def measure(self, command: list[str], environment: dict[str, str]) -> Run:
        server = self.databases[0].server if self.watch else None
        return measure(command, environment, self.network, self.timeout, server)


@dataclass(frozen=True)
class Playbook:
    """A playbook, run by ansible-playbook.

    repeatable: whether a second run has something to tell of its own
    settings: in Ansible's environment
    """

    name: str
    playbook: str
    settings: dict[str, str] = field(default_factory=dict)
    own_processes: bool = False
    repeatable: bool = True

    def run(self, task: Task) -> Run:
        inventory = task.folder / "databases.json"
        inventory.write_text(json.dumps({"databases": {"hosts": self._hosts(task)}}))
        command = [_program(), self.playbook, "--inventory", str(inventory), "--extra-vars", "cdc_hosts=databases"]
        return task.measure(command + ["-v"] * task.verbose, {**_environment(task.folder), **self.settings})

    def _hosts(self, task: Task) -> dict[str, dict[str, object]]:
        hosts = {}
        for number, database in enumerate(task.databases):
            # On Neon each would be on a server of its own. Here roles and slots need names of their own.
            own = f"_{number}" if number else ""
            hosts[database.name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": self._python(task.folder),
                "cdc_login_host": "127.0.0.1",
                "cdc_login_port": task.network.port,
                "cdc_login_user": neon.OWNER,
                "cdc_login_password": neon.OWNER_PASSWORD,
                "cdc_login_db": database.name,
                "cdc_password": PASSWORD,
                "cdc_schemas": task.size.names,
                "cdc_user": f"streamkap_user{own}",
                "cdc_role": f"streamkap_role{own}",
                "cdc_slot": f"streamkap_pgoutput_slot{own}",
            }
        return hosts

    def _python(self, folder: Path) -> str:
        if not self.own_processes:
            return sys.executable
        # Another one than the controller's, so the modules are not run in its process.
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        return str(python)


@dataclass
class Psql:
    """The SQL that the role has sent to a new database, from a file. A second time it fails, so there is none."""

    name: str = "`psql -f`"
    repeatable: bool = False
    statements: dict[Size, list[str]] = field(default_factory=dict)

    def run(self, task: Task) -> Run:
        file = task.folder / "setup.sql"
        file.write_text("".join(f"{statement};\n" for statement in self.statements[task.size]))
        (database,) = task.databases
        installation = database.server.installation
        command = [str(installation / "bin" / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        command += [f"--file={file}", f"--dbname={task.network.dsn(database.dsn)}"]
        # The libraries of the installation name the place where they were built as the place of their libpq.
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": str(installation / "lib")}
        return task.measure(command, environment)


ROLE = Playbook("role, in process", "streamkap.neon.setup")
ORDINARY = Playbook("role, ordinary modules", "streamkap.neon.setup", own_processes=True)
PEER = Playbook("community.postgresql", str(HERE / "peer.yml"), {"ANSIBLE_PIPELINING": "1"})
PSQL = Psql()
EMPTY = Playbook("empty playbook", str(HERE / "empty.yml"), repeatable=False)
CONTENDERS = [ROLE, ORDINARY, PEER, PSQL, EMPTY]


def sent_by(run: Run) -> list[str]:
    """The SQL of a verbose run of the role, with the password that it does not tell."""
    return [query.replace(MASKED, f"'{PASSWORD}'") for _task, queries in run.changed for query in queries]


def _program() -> str:
    return str(Path(sys.executable).with_name("ansible-playbook"))


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of who runs this, and one home for all runs, so that none of them has to fill a cache first."""
    configuration = folder / "ansible.cfg"
    configuration.touch()
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder),
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        "ANSIBLE_FORKS": str(FORKS),
        "ANSIBLE_NOCOLOR": "1",
    }
