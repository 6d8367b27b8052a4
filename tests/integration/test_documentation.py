# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation tells the truth: examples run as they stand, and every key that a module returns is described."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
import yaml

from support.hurting import PASSWORD, make_user_where_sql_cannot
from support.modules import ROOT, run_playbook
from support.neon import Database

# Those that run on the controller only have an action plugin of the same name, and know no database.
ACTIONS = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")}
ALL_MODULES = sorted({path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")} - ACTIONS)
ACTION_GROUPS = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
# Those that work on a database. The others are documented by what tests/api does with them.
MODULES = sorted(ACTION_GROUPS["postgres"])
# What Ansible itself puts into every result.
OF_ANSIBLE = {"changed", "failed", "diff", "invocation", "warnings", "deprecations", "msg", "exception"}


def documentation(module: str, part: str) -> object:
    found = importlib.import_module(f"ansible_collections.streamkap.neon.plugins.modules.{module}")
    return yaml.safe_load(getattr(found, part))


def test_every_module_is_in_one_action_group() -> None:
    assert sorted(name for group in ACTION_GROUPS.values() for name in group) == ALL_MODULES


@pytest.mark.newest_version
@pytest.mark.matrix
@pytest.mark.postgres(14, 18)
def test_the_examples_run_as_they_stand(databases: Callable[..., Database]) -> None:
    """Each module's on a host, and in a database, of its own."""
    # The slot of `prerequisites` stays, and its name is taken on the whole server: its examples come last.
    shops = {module: databases() for module in sorted(MODULES, key=lambda module: module == "prerequisites")}
    database = shops["prerequisites"]
    # The variables that examples take from a vault, and what they take for granted: the connector's role and user.
    given = {"streamkap_password": "Vault-8-of-the-tests"}
    database.admin("CREATE ROLE streamkap_role; GRANT streamkap_role TO neondb_owner WITH ADMIN OPTION")
    database.admin(
        # Before PostgreSQL 16 nobody but a superuser could set its password.
        "CREATE ROLE streamkap_user LOGIN REPLICATION PASSWORD 'Vault-8-of-the-tests';"
        "GRANT streamkap_user TO neondb_owner WITH ADMIN OPTION"
    )
    plays = [
        {
            "hosts": module,
            "gather_facts": False,
            "environment": {"NEON_DATABASE_URL": shop.dsn},
            "tasks": documentation(module, "EXAMPLES"),
        }
        for module, shop in shops.items()
    ]
    inventory = {"all": {"hosts": {module: {"ansible_connection": "local"} for module in MODULES}}}
    run = run_playbook(
        yaml.safe_dump(plays, sort_keys=False),
        inventory=yaml.safe_dump(inventory),
        extra_vars=given,
        # This one's examples read it by a lookup, which goes by the controller's environment.
        env={"NEON_DATABASE_URL": shops["prerequisites"].dsn},
    )
    assert run.rc == 0, run.stdout


@pytest.mark.matrix
@pytest.mark.parametrize("module", MODULES)
def test_every_returned_key_is_described(database: Database, module: str, run) -> None:
    described = documentation(module, "RETURN")
    options = {
        "role": {"name": "documented"},
        "grant": {
            "role": "streamkap_role",
            "schemas": ["app"],
            "schema_privileges": ["USAGE"],
            "table_privileges": ["SELECT"],
        },
        "replica_identity": {"schemas": ["app"], "identity": "full"},
        "publication": {"tables_from_schemas": ["app"]},
        "signal": {"type": "pause-snapshot"},
        # The group role of the others was not made by who runs this.
        "prerequisites": {"connector_password": PASSWORD, "connector_role": "documented", "schemas": ["app"]},
    }.get(module, {})
    database.admin("CREATE ROLE streamkap_role")
    if module == "prerequisites":
        make_user_where_sql_cannot(database.server)
    if module == "signal":
        run("signal_table")
        run("publication", tables=["streamkap.streamkap_signal"])
    result = run(module, **options)
    assert not result.get("failed"), result["msg"]
    assert set(result) - OF_ANSIBLE <= set(described)
    # None of the names is a part of a password.
    assert not [warning for warning in result.get("warnings", []) if "A password is also a part" in warning]
    for key, about in described.items():
        if "contains" in about and isinstance(result.get(key), dict):
            assert set(result[key]) <= set(about["contains"]), key
    failure = run(module, **options, login_password="wrong-4-of-the-tests")
    assert set(failure) - OF_ANSIBLE <= set(described)
