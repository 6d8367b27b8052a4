# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection: a module in this process, which is cheap, or a playbook by the real ansible-playbook.

    result = run_module("slot", dsn=database.dsn, name="s", check=True)
    run = run_playbook("streamkap.neon.setup", extra_vars={"cdc_dsn": database.dsn})

Both go the way that WAY names: that of plugins/action/in_process.py, or that of modules elsewhere, with the real AnsibleModule
and, in a playbook, with a process for each module.

Works on ansible-core 2.16 and newer.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.common import warnings

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".cache" / "collections"

IN_PROCESS, ORDINARY = WAYS = ("in-process", "ordinary")
# Which of them tests go is said by pytest's option --modules.
WAY = IN_PROCESS

RECAP = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>ok=\d+ .*)$", re.MULTILINE)


def collections_path() -> Path:
    """A folder in which Ansible, and Python's import, find the checkout as the collection streamkap.neon."""
    link = COLLECTIONS / "ansible_collections" / "streamkap" / "neon"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(os.path.relpath(ROOT, link.parent), target_is_directory=True)
    return COLLECTIONS


def run_module(module: str, /, *, check: bool = False, diff: bool = True, **options: object) -> dict[str, object]:
    """Runs a module of the collection in this process, and returns its result as the module gave it.

    The collection must be importable, which tests/conftest.py sees to.
    """
    if WAY == IN_PROCESS:
        result = in_process().run_here(f"streamkap.neon.{module}", options, check)
    else:
        internal = {"module_name": f"streamkap.neon.{module}", "check_mode": check, "diff": diff}
        result = _run_ansible_module(
            module, {**options, **{f"_ansible_{key}": given for key, given in internal.items()}}
        )
    result["warnings"] = [_message(warning) for warning in result.get("warnings", [])]
    return result


def in_process() -> ModuleType:
    """What runs modules in this process, with all modules imported."""
    return importlib.import_module("ansible_collections.streamkap.neon.plugins.action.in_process")


def _run_ansible_module(module: str, arguments: dict[str, object]) -> dict[str, object]:
    imported = importlib.import_module(f"ansible_collections.streamkap.neon.plugins.modules.{module}")
    output = io.StringIO()
    with _started_by_ansible(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        imported.main()
    return json.loads(output.getvalue())


@dataclass(frozen=True)
class PlaybookRun:
    """What a run of ansible-playbook left: its exit code, what it printed, and the counts of its recap by host."""

    rc: int
    stdout: str
    stderr: str
    stats: dict[str, dict[str, int]]

    @property
    def changed(self) -> int:
        """The number of changed tasks on all hosts."""
        return sum(counts["changed"] for counts in self.stats.values())


def run_playbook(
    playbook: str | Path,
    *,
    inventory: str | Path | None = None,
    extra_vars: dict[str, object] | None = None,
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
    env: dict[str, str] | None = None,
) -> PlaybookRun:
    """Runs ansible-playbook, with the checkout as the collection.

    playbook: its text, its path, or its name in a collection
    inventory: its YAML text or its path; only the implicit localhost when not given
    env: environment variables besides the few that are always there
    """
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-") as temporary:
        folder = Path(temporary)
        command = [*_program("ansible-playbook", folder), _text_or_name(playbook, folder / "play.yml")]
        if inventory:
            command += ["--inventory", _text_or_name(inventory, folder / "hosts.yml")]
        if WAY == ORDINARY:
            # Wins over what inventories and the implicit localhost say.
            extra_vars = {"ansible_python_interpreter": another_python(folder), **(extra_vars or {})}
        if extra_vars:
            (folder / "vars.json").write_text(json.dumps(extra_vars))
            command += ["--extra-vars", f"@{folder / 'vars.json'}"]
        command += ["--check"] * check + ["--diff"] * diff + ["-v"] * verbosity
        run = _run(command, folder, env)
    return PlaybookRun(run.returncode, run.stdout, run.stderr, _recap(run.stdout))


@dataclass(frozen=True)
class InventoryRun:
    """What ansible-inventory --list left: its exit code, what it printed, and that as data where it is JSON."""

    rc: int
    stdout: str
    stderr: str

    @property
    def hosts(self) -> dict[str, dict[str, object]]:
        """The variables of each host, those of its groups among them."""
        return _as_written(json.loads(self.stdout)["_meta"]["hostvars"])

    def group(self, name: str) -> list[str]:
        return sorted(json.loads(self.stdout).get(name, {}).get("hosts", []))


def _as_written(value: object) -> object:
    """Without the mark of what is no template."""
    if isinstance(value, dict):
        if value.keys() == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {key: _as_written(item) for key, item in value.items()}
    return [_as_written(item) for item in value] if isinstance(value, list) else value


def run_inventory(source: str | Path, *, verbosity: int = 0, env: dict[str, str] | None = None) -> InventoryRun:
    """Runs ansible-inventory --list, with the checkout as the collection.

    source: the inventory's path
    env: environment variables besides the few that are always there
    """
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-") as temporary:
        folder = Path(temporary)
        command = [*_program("ansible-inventory", folder), "--inventory", str(source), "--list", *["-v"] * verbosity]
        run = _run(command, folder, env)
    return InventoryRun(run.returncode, run.stdout, run.stderr)


def _program(name: str, folder: Path) -> list[str]:
    """The beginning of a command that runs a program of Ansible's, on an interpreter whose path has no spaces.

    Ansible runs modules on that interpreter too, and ansible-core 2.16 does not quote its path.
    """
    programs = Path(sys.executable).parent
    if " " in str(programs):
        link = folder / "environment"
        link.symlink_to(programs.parent, target_is_directory=True)
        programs = link / programs.name
    return [str(programs / Path(sys.executable).name), str(programs / name)]


def _run(command: list[str], folder: Path, env: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**_environment(folder, interpreter=command[0]), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def another_python(folder: Path) -> str:
    """Makes an interpreter that is the controller's, but not to be told from another one."""
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@contextlib.contextmanager
def _started_by_ansible(arguments: dict[str, object]) -> Iterator[None]:
    """What ansible-core sets up before a module's main()."""
    warnings._global_warnings.clear()
    warnings._global_deprecations.clear()
    payload = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(basic, "_ANSIBLE_ARGS", payload))
        if hasattr(basic, "_ANSIBLE_PROFILE"):
            stack.enter_context(mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy"))
            # True once a test has imported something of the controller's; warnings would then go to the terminal.
            stack.enter_context(mock.patch("ansible.module_utils._internal.is_controller", False))
        yield


def _message(warning: object) -> str:
    """From ansible-core 2.19 on a warning leaves the module as a structure."""
    return warning if isinstance(warning, str) else warning["event"]["msg"]


def _text_or_name(playbook: str | Path, file: Path) -> str:
    if isinstance(playbook, str) and "\n" in playbook:
        file.write_text(playbook)
        return str(file)
    return str(playbook)


def _environment(folder: Path, interpreter: str) -> dict[str, str]:
    configuration = folder / "ansible.cfg"
    configuration.touch()
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder),
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        # Hosts that are not the implicit localhost, but connect locally, would otherwise search for a Python.
        "ANSIBLE_PYTHON_INTERPRETER": interpreter,
        "ANSIBLE_NOCOLOR": "1",
    }


def _recap(stdout: str) -> dict[str, dict[str, int]]:
    return {
        line["host"]: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line["counts"])}
        for line in RECAP.finditer(stdout)
    }
