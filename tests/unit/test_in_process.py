# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which modules run in Ansible's process, and what of AnsibleModule none of them shows by itself.

A module is named in several places. Its documentation says what it works on: a database, or an API.
"""

from __future__ import annotations

import ast
import datetime

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.action.in_process import MODULES, _Done, _Front, _plain

from support.modules import ROOT

pytestmark = pytest.mark.core_version

RUNTIME = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())


# What a module's documentation has from a fragment says to which action group it belongs.
FRAGMENTS = {
    "postgres": "streamkap.neon._connection",
    "neon_api": "streamkap.neon._neon_api",
    "streamkap_api": "streamkap.neon._streamkap_api",
}


def modules_of(group: str) -> set[str]:
    return {
        path.stem
        for path in (ROOT / "plugins" / "modules").glob("*.py")
        if FRAGMENTS[group] in documentation(path.read_text()).get("extends_documentation_fragment", [])
    }


def documentation(source: str) -> dict[str, object]:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "DOCUMENTATION":
            return yaml.safe_load(statement.value.value)
    return {}


ALL = set().union(*map(modules_of, FRAGMENTS))


def test_every_module_is_imported_before_the_fork() -> None:
    assert len(MODULES) == len(set(MODULES))
    assert set(MODULES) == ALL, "MODULES in plugins/action/in_process.py"


def test_every_module_is_run_by_in_process() -> None:
    routed = {
        name
        for name, routing in RUNTIME["plugin_routing"]["modules"].items()
        if routing.get("action_plugin") == "streamkap.neon.in_process"
    }
    assert routed == ALL, "plugin_routing.modules in meta/runtime.yml"


@pytest.mark.parametrize("group", FRAGMENTS)
def test_every_module_takes_the_groups_defaults(group: str) -> None:
    assert set(RUNTIME["action_groups"][group]) == modules_of(group), f"action_groups.{group} in meta/runtime.yml"


def front(arguments: dict[str, object], **options: dict[str, object]) -> _Front:
    return _Front("streamkap.neon.some", arguments, check_mode=False)(options, supports_check_mode=True)


def test_what_is_deprecated_and_what_is_given_twice_is_told() -> None:
    made = front(
        {"old": "a", "name": "b", "password": "Made-up-6"},
        name={"type": "str", "aliases": ["old"]},
        password={
            "type": "str",
            "no_log": True,
            "removed_in_version": "9.0.0",
            "removed_from_collection": "streamkap.neon",
        },
    )
    with pytest.raises(_Done) as done:
        made.exit_json(changed=True, names={"one"})
    result = done.value.result
    assert result["warnings"] == ["Both option name and its alias old are set."]
    (deprecation,) = result["deprecations"]
    assert "password" in deprecation["msg"]
    assert deprecation["version"] == "9.0.0"
    assert "Made-up-6" not in str(result)
    assert result["names"] == ["one"]


def test_options_arrive_as_in_another_process() -> None:
    given = {
        "on": datetime.date(2026, 11, 24),
        "at": datetime.datetime(2026, 11, 24, 1, 2),
        "names": ("a", None, 1, True),
    }
    assert _plain(given) == {"on": "2026-11-24", "at": "2026-11-24T01:02:00", "names": ["a", None, 1, True]}
