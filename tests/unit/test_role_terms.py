# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages of modules name the variables of the role that they run in, and no option that nobody has set there."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.streamkap.neon.plugins.plugin_utils import _role_terms, _variable_names

from support.modules import ROOT


@pytest.mark.parametrize("role", _role_terms.VARIABLES)
def test_every_variable_is_one_of_the_role(role: str) -> None:
    named = {variable.rstrip(":") for variable in _role_terms.VARIABLES[role].values()}
    assert named <= set(_variable_names.options_of(role))


def test_every_option_of_the_connection_has_a_variable() -> None:
    text = (ROOT / "roles" / "cdc" / "tasks" / "connected.yml").read_text()
    (work,) = [task for task in yaml.safe_load(text) if "module_defaults" in task]
    options = set(work["module_defaults"]["group/streamkap.neon.postgres"])
    assert options == set(_role_terms._CONNECTION)


@pytest.mark.parametrize("option", _role_terms._CONNECTION)
@pytest.mark.parametrize("hint", ["Give %s, or a password.", "Check %s: it is another.", "connect_timeout or %s"])
def test_hints_of_the_connection_name_no_option(option: str, hint: str) -> None:
    translated = _role_terms.translate("cdc", {"hint": hint % option})["hint"]
    assert f"cdc_{option}" in translated
    assert f" {option}" not in translated


def test_only_messages_are_translated_and_only_in_a_role() -> None:
    result = {
        "msg": "Or leave them out with keyless_tables: skip.",
        "warnings": ["raise lock_timeout"],
        "plan": {"warnings": ["give connector_password"], "differences": []},
        "queries": ["SET lock_timeout = 1"],
        "checks": [
            {"found": "lock_timeout is 1", "remedy": "Set lock_timeout for exclude_tables", "sql": ["lock_timeout"]}
        ],
    }
    assert _role_terms.translate("", result) == result
    assert _role_terms.translate("cdc", result) == {
        "msg": "Or leave them out with cdc_keyless_tables: skip.",
        "warnings": ["raise cdc_lock_timeout"],
        "plan": {"warnings": ["give cdc_password"], "differences": []},
        "queries": ["SET lock_timeout = 1"],
        "checks": [
            {"found": "lock_timeout is 1", "remedy": "Set lock_timeout for cdc_exclude_tables", "sql": ["lock_timeout"]}
        ],
    }


@pytest.mark.parametrize("text", ['app."dsn"', "app.login_host", "login_host.app", "'dsn'", "dsn_of_mine", "dsn()"])
def test_names_in_the_database_stay(text: str) -> None:
    assert _role_terms.translate("cdc", {"msg": text})["msg"] == text
