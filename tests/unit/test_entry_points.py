# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entry points of the roles: each has an argument specification, by which Ansible documents and validates it."""

from __future__ import annotations

import re

import pytest
import yaml

from support.modules import ROOT, run_playbook

ROLES = sorted(folder.name for folder in (ROOT / "roles").iterdir() if folder.is_dir())
FORM = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: streamkap.neon.cdc
        tasks_from: form
"""


def specified_entry_points(role: str) -> dict[str, dict[str, object]]:
    return yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]


def task_files(role: str) -> dict[str, str]:
    return {file.stem: file.read_text() for file in (ROOT / "roles" / role / "tasks").glob("*.yml")}


def internal_files(role: str) -> set[str]:
    """The files that another file of the role includes: by name, as a step, or for a value of the state."""
    text = "\n".join(task_files(role).values())
    included = set(re.findall(r"(?:include|import)_tasks: (\w+)\.yml", text))
    for step in re.findall(r"__cdc_step: (.+)", text):
        included.update(re.findall(r"'(\w+)'", step) or [step])
    options = specified_entry_points(role)["main"]["options"]
    states = [option["choices"] for name, option in options.items() if name in ("cdc_state", "ssh_tunnel_state")]
    return included.union(*states)


@pytest.mark.parametrize("role", ROLES)
def test_each_task_file_is_a_specified_entry_point_or_internal(role: str) -> None:
    assert set(task_files(role)) - internal_files(role) == set(specified_entry_points(role))


def test_each_entry_point_that_is_called_is_specified() -> None:
    called = set()
    for pattern in ("README.md", "demo/**/*", "docs/**/*.md", "extensions/**/*", "playbooks/**/*", "roles/**/*"):
        for file in ROOT.glob(pattern):
            if file.suffix in (".md", ".yml"):
                called.update(re.findall(r"streamkap\.neon\.(\w+)\W+tasks_from:\W*(\w+)", file.read_text()))
    assert ("cdc", "form") in called
    assert [(role, entry) for role, entry in sorted(called) if entry not in specified_entry_points(role)] == []


def test_the_options_of_form_are_validated() -> None:
    run = run_playbook(FORM)
    assert run.rc == 2, run.stdout
    assert "missing required arguments: cdc_connector" in run.stdout


def test_form_shows_the_fact() -> None:
    names = ["name", "hostname", "username", "database", "slot", "publication", "signal_schema", "signal_table"]
    connector = {
        **{name: f"the {name}" for name in names},
        "port": 5432,
        "heartbeat": False,
        "ssh_tunnel": False,
        "binary_handling_mode": "bytes",
        "password_prefix": "",
        "upload": ["app.products"],
    }
    run = run_playbook(FORM, extra_vars={"cdc_connector": connector})
    assert run.rc == 0, run.stdout
    assert re.search(r"Hostname +the hostname", run.stdout), run.stdout


@pytest.mark.parametrize("role", ROLES)
def test_the_documented_defaults_are_the_roles(role: str) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text()) or {}
    # A default that is a template is documented in words.
    expected = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    documented: dict[str, object] = {}
    for specification in specified_entry_points(role).values():
        for name, option in specification["options"].items():
            if name in expected:
                assert option.get("default") == expected[name], name
                documented[name] = option["default"]
    assert documented == expected
