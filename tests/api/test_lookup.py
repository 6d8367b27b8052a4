# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lookup of connection strings, in real playbooks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

import pytest
import yaml

from support.console import KEY, ORGANIZATION, OWNER, PASSWORD, PERSONAL_KEY, Console
from support.modules import PlaybookRun, run_playbook

Look = Callable[..., PlaybookRun]


@pytest.fixture
def look(console: Console) -> Look:
    """Evaluates an expression, and shows what comes of it where it is to be shown."""

    def look(
        expression: str, *, key: str = KEY, shown: bool = True, verbosity: int = 0, **variables: object
    ) -> PlaybookRun:
        task: dict[str, object] = (
            {"ansible.builtin.debug": {"msg": "{{ (%s) | to_json | b64encode }}" % expression}}
            if shown
            else {"ansible.builtin.assert": {"that": f"({expression}) is match('postgresql://')"}}
        )
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"neon_api_url": console.url, **variables},
            "tasks": [task],
        }
        return run_playbook(yaml.safe_dump([play], width=1000) + "\n", verbosity=verbosity, env={"NEON_API_KEY": key})

    return look


def found(run: PlaybookRun) -> object:
    assert run.rc == 0, run.stdout + run.stderr
    return json.loads(base64.b64decode(re.search(r'"msg": "([\w+/=]+)"', run.stdout)[1]))


def said(run: PlaybookRun) -> str:
    assert run.rc != 0
    return " ".join((run.stdout + run.stderr).split())


def uri(database: str, host: str = "ep-calm-sea-000001", role: str = OWNER) -> str:
    return f"postgresql://{role}:{PASSWORD}@{host}.us-east-2.aws.neon.tech/{database}?sslmode=require"


LOOKUP = "lookup('streamkap.neon.neon_connection_uri', %s)"


class TestFound:
    def test_is_the_only_database_of_the_default_branch_as_its_owner(self, console: Console, look: Look) -> None:
        console.project("shop", ("orders",)).branch("dev")
        assert found(look(LOOKUP % "'shop'")) == uri("orders")

    @pytest.mark.core_version
    def test_is_what_is_named(self, console: Console, look: Look) -> None:
        shop = console.project("shop", ("orders", "billing", "a b/ä?x=1"))
        shop.main.databases["owned"] = "other"
        shop.branch("dev")
        expected = {
            "database='billing'": uri("billing"),
            "database='a b/ä?x=1'": uri("a%20b%2F%C3%A4%3Fx%3D1"),
            "database='owned', role='other'": uri("owned", role="other"),
            "database='owned'": uri("owned", role="other"),
            "branch='dev', database='billing'": uri("billing", "ep-dev-shiny-wind-000001"),
            "branch='br-dev-shiny-wind-000001', database='billing'": uri("billing", "ep-dev-shiny-wind-000001"),
            "database='billing', pooled=true": uri("billing", "ep-calm-sea-000001-pooler"),
        }
        lookups = [LOOKUP % f"project='shop', {options}" for options in expected]
        assert found(look(f"[{', '.join(lookups)}]")) == list(expected.values())

    def test_is_one_for_each_project(self, console: Console, look: Look) -> None:
        console.project("shop")
        console.project("billing")
        query = "query('streamkap.neon.neon_connection_uri', 'shop', 'shiny-wind-000002')"
        assert found(look(query)) == [uri("neondb"), uri("neondb", "ep-calm-sea-000002")]

    def test_takes_one_request_where_an_inventory_knows_it_all(self, console: Console, look: Look) -> None:
        console.project("shop")
        known = "project='shiny-wind-000001', branch='br-calm-sea-000001', database='neondb', role='neondb_owner'"
        assert found(look(LOOKUP % known)) == uri("neondb")
        assert set(console.asked) == {"connection_uri"}

    def test_with_a_key_of_a_variable_that_is_a_template(self, console: Console, look: Look) -> None:
        console.project("shop")
        run = look(LOOKUP % "'shop'", key="", neon_api_key="{{ vault_key }}", vault_key=KEY)
        assert found(run) == uri("neondb")

    def test_with_a_key_of_its_own(self, console: Console, look: Look) -> None:
        console.project("shop")
        run = look(LOOKUP % "'shop', neon_api_key=vault_key", key="napi_wrong", vault_key=KEY)
        assert found(run) == uri("neondb")

    @pytest.mark.parametrize("variables", [{"neon_org_id": ORGANIZATION}])
    def test_with_a_persons_key(self, console: Console, look: Look, variables: dict[str, object]) -> None:
        console.project("shop")
        assert found(look(LOOKUP % "'shop'", key=PERSONAL_KEY, **variables)) == uri("neondb")


class TestNotFound:
    @pytest.mark.core_version
    def test_names_what_is_missing(self, console: Console) -> None:
        console.project("shop", ("orders", "billing"))
        console.project("others", organization="org-of-others")
        console.project("twin")
        console.project("twin")
        console.project("empty", ())
        no_role = "Is there a database orders and a role nobody on the branch"
        expected = {
            "'nowhere'": "There is no project nowhere that this API key may see.",
            "'shiny-wind-000002'": "There is no project shiny-wind-000002 that this API key may see.",
            "'twin'": "2 projects are called twin: shiny-wind-000003, shiny-wind-000004.",
            "'shop', branch='staging'": "The project shiny-wind-000001 has no branch staging. It has: main.",
            "'shop', branch='br-gone'": "The project shiny-wind-000001 has no branch br-gone.",
            "'shop'": "has 2 databases. Name one in database: billing, orders.",
            "'shop', database='test'": "has no database test. It has: billing, orders.",
            "'shop', database='orders', role='nobody'": no_role,
            "'shiny-wind-000001', branch='br-calm-sea-000001', database='orders', role='nobody'": no_role,
            "'empty'": "has 0 databases. Make one first.",
            "'shop', project='shop'": "takes projects as its terms or one as project=..., and has both.",
            "database='orders'": "takes projects as its terms or one as project=..., and has neither.",
            "''": "has a project that is no id or name.",
        }
        tasks = [
            {
                "name": f"Case {number}.",
                "ansible.builtin.debug": {"msg": "{{ %s }}" % (LOOKUP % options)},
                "ignore_errors": True,
            }
            for number, options in enumerate(expected)
        ]
        play = {"hosts": "localhost", "gather_facts": False, "vars": {"neon_api_url": console.url}, "tasks": tasks}
        # A task's error is printed to either stream, by the version of ansible-core.
        run = run_playbook(
            yaml.safe_dump([play], width=1000) + "\n",
            env={"NEON_API_KEY": KEY, "ANSIBLE_DISPLAY_FAILED_STDERR": "false"},
        )
        assert run.stats["localhost"]["ignored"] == len(expected), run.stdout
        for number, (options, words) in enumerate(expected.items()):
            output = run.stdout.partition(f"TASK [Case {number}.]")[2].partition("\nTASK ")[0]
            assert words in " ".join(output.split()), options
        assert PASSWORD not in run.stdout + run.stderr

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            ("", "neon_api_key is missing."),
            ("napi_wrong", "(401): authorization failed. The key is wrong, has expired or was revoked."),
            (PERSONAL_KEY, "Where it asks for an organization, give org_id."),
        ],
    )
    def test_for_want_of_a_key_is_told(self, console: Console, look: Look, key: str, words: str) -> None:
        console.project("shop")
        assert words in said(look(LOOKUP % "'shop'", key=key))


class TestSecrets:
    @pytest.mark.core_version
    @pytest.mark.parametrize("key", [KEY, "napi_wrong-one-of-the-tests"])
    def test_are_displayed_at_no_verbosity(self, console: Console, look: Look, key: str) -> None:
        console.project("shop")
        run = look(LOOKUP % "'shop'", key=key, shown=False, verbosity=4)
        assert (run.rc == 0) == (key == KEY)
        for secret in (key, PASSWORD):
            assert secret not in run.stdout + run.stderr
