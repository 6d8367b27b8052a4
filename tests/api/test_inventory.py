# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory, by the real ansible-inventory."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.console import KEY, ORGANIZATION, PASSWORD, PERSONAL_KEY, Console
from support.modules import InventoryRun, run_inventory, run_playbook

List = Callable[..., InventoryRun]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "fleet.neon.yml"


@pytest.fixture
def listing(console: Console, source: Path) -> List:
    """Writes the inventory's file with these options, and lists what comes of it."""

    def listing(
        *, key: str = KEY, verbosity: int = 0, env: dict[str, str] | None = None, **options: object
    ) -> InventoryRun:
        given = {"plugin": "streamkap.neon.neon", "neon_api_url": console.url, **options}
        source.write_text(yaml.safe_dump(given))
        return run_inventory(source, verbosity=verbosity, env={"NEON_API_KEY": key, **(env or {})})

    return listing


def told(run: InventoryRun) -> str:
    """What it says, without the line breaks of a narrow terminal."""
    return " ".join(run.stderr.split())


class TestHosts:
    @pytest.mark.core_version
    def test_are_databases_with_what_the_role_needs(self, console: Console, listing: List) -> None:
        console.project("shop", ("orders",))
        found = listing()
        ((name, variables),) = found.hosts.items()
        assert name == "shiny-wind-000001.br-calm-sea-000001.orders"
        assert Path(variables.pop("ansible_python_interpreter")).samefile(sys.executable)
        assert variables == {
            "neon_project_id": "shiny-wind-000001",
            "neon_project_name": "shop",
            "neon_org_id": ORGANIZATION,
            "neon_region_id": "aws-us-east-2",
            "neon_pg_version": 17,
            "neon_logical_replication": True,
            "neon_branch_id": "br-calm-sea-000001",
            "neon_branch_name": "main",
            "neon_branch_default": True,
            "neon_branch_protected": False,
            "neon_endpoint_id": "ep-calm-sea-000001",
            "neon_endpoint_state": "idle",
            "neon_host": "ep-calm-sea-000001.us-east-2.aws.neon.tech",
            "neon_pooled_host": "ep-calm-sea-000001-pooler.us-east-2.aws.neon.tech",
            "neon_suspends_after_seconds": 300,
            "neon_capture": {"ready": True, "lacks": [], "cautions": []},
            "neon_database": "orders",
            "neon_owner": "neondb_owner",
            "ansible_connection": "local",
            "cdc_login_host": "{{ neon_host }}",
            "cdc_login_db": "{{ neon_database }}",
            "cdc_login_user": "{{ neon_owner }}",
            "cdc_ssl_mode": "require",
        }
        assert found.stderr == ""

    @pytest.mark.core_version
    def test_have_the_groups_variables_filled_in_or_those_of_the_user(
        self, console: Console, listing: List, source: Path
    ) -> None:
        console.project("shop", ("orders",))
        listing()
        (source.parent / "group_vars").mkdir()
        (source.parent / "group_vars" / "neon.yml").write_text("cdc_login_user: deployer\n")
        play = """
- hosts: neon
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ cdc_login_user }} {{ cdc_login_db }} {{ cdc_login_host }}"
"""
        run = run_playbook(play, inventory=source, env=console.env)
        assert "deployer orders ep-calm-sea-000001.us-east-2.aws.neon.tech" in run.stdout

    def test_are_branches(self, console: Console, listing: List) -> None:
        console.project("shop").branch("dev")
        found = listing(hosts="branch", branches=["*"])
        assert set(found.hosts) == {
            "shiny-wind-000001.br-calm-sea-000001",
            "shiny-wind-000001.br-dev-shiny-wind-000001",
        }
        assert "databases" not in console.asked
        assert all("cdc_login_db" not in variables for variables in found.hosts.values())

    def test_are_projects(self, console: Console, listing: List) -> None:
        console.project("shop")
        console.project("billing", logical_replication=False)
        found = listing(hosts="project", named_by="names")
        assert {name: variables["neon_logical_replication"] for name, variables in found.hosts.items()} == {
            "shop": True,
            "billing": False,
        }
        assert console.asked == {"projects": 1}
        assert all("cdc_login_host" not in variables for variables in found.hosts.values())

    def test_are_called_by_names_that_are_valid_and_one_database_each(self, console: Console, listing: List) -> None:
        names = ("a.b", "a b", "a%20b", "ä", "x:y", "[1:3]", "~.*", "!all,&neon", "/etc", "A", "a", "\n", "{{ 7 * 6 }}")
        console.project("my.shop", names)
        found = listing(named_by="names")
        assert {name: variables["neon_database"] for name, variables in found.hosts.items()} == {
            "my%2Eshop.main.a%2Eb": "a.b",
            "my%2Eshop.main.a%20b": "a b",
            "my%2Eshop.main.a%2520b": "a%20b",
            "my%2Eshop.main.%C3%A4": "ä",
            "my%2Eshop.main.x%3Ay": "x:y",
            "my%2Eshop.main.%5B1%3A3%5D": "[1:3]",
            "my%2Eshop.main.%7E%2E%2A": "~.*",
            "my%2Eshop.main.%21all%2C%26neon": "!all,&neon",
            "my%2Eshop.main.%2Fetc": "/etc",
            "my%2Eshop.main.A": "A",
            "my%2Eshop.main.a": "a",
            "my%2Eshop.main.%0A": "\n",
            "my%2Eshop.main.%7B%7B%207%20%2A%206%20%7D%7D": "{{ 7 * 6 }}",
        }

    @pytest.mark.core_version
    def test_do_not_run_what_a_database_is_called(
        self, console: Console, listing: List, source: Path, tmp_path: Path
    ) -> None:
        evidence = tmp_path / "evidence"
        hostile = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}" % evidence
        console.project(hostile, (hostile,))
        made = listing(
            compose={"copied": "neon_database"}, keyed_groups=[{"key": "neon_database", "prefix": "of"}], strict=True
        )
        assert [variables["copied"] for variables in made.hosts.values()] == [hostile]
        play = "- hosts: neon\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {var: cdc_login_db}\n"
        run = run_playbook(play, inventory=source, env=console.env)
        assert run.rc == 0, run.stdout
        assert str(evidence) in run.stdout
        assert not evidence.exists()

    def test_of_the_same_name_are_an_error(self, console: Console, listing: List) -> None:
        console.project("shop")
        console.project("shop")
        assert "Two hosts would be called shop.main.neondb" in told(listing(named_by="names"))
        assert len(listing().hosts) == 2

    def test_that_nobody_can_connect_to_are_left_out(self, console: Console, listing: List) -> None:
        console.project("shop")
        console.project("empty").main.computes.clear()
        console.project("off").main.computes[0]["disabled"] = True
        console.project("copies").main.computes[0]["type"] = "read_only"
        found = listing()
        assert [variables["neon_project_name"] for variables in found.hosts.values()] == ["shop"]
        for number, name in ((2, "empty"), (3, "off"), (4, "copies")):
            assert f"of the project shiny-wind-{number:06} ({name}) has no read-write compute" in told(found)
        assert "has no read-write compute" in told(strict := listing(strict=True))
        assert strict.hosts == {}

    def test_of_a_project_that_is_gone_meanwhile_are_left_out(self, console: Console, listing: List) -> None:
        console.project("shop")
        console.project("moved", gone=True)
        found = listing()
        assert [variables["neon_project_name"] for variables in found.hosts.values()] == ["shop"]
        assert "The project shiny-wind-000002 was listed and is gone." in told(found)
        assert listing(strict=True).hosts == {}

    def test_are_none(self, listing: List) -> None:
        found = listing()
        assert found.hosts == {}
        assert "nothing at Neon fits its filters" in told(found)


class TestFilters:
    @pytest.mark.parametrize(
        ("options", "databases", "requests"),
        [
            ({}, {"shop/main/orders", "shop/main/test", "lab/main/test"}, 7),
            ({"projects": ["sh*"]}, {"shop/main/orders", "shop/main/test"}, 4),
            ({"projects": ["shiny-wind-000002"]}, {"lab/main/test"}, 4),
            ({"exclude_projects": ["lab"]}, {"shop/main/orders", "shop/main/test"}, 4),
            ({"branches": ["dev"]}, {"shop/dev/orders", "shop/dev/test"}, 5),
            (
                {"branches": ["*"], "databases": ["o*"]},
                {"shop/main/orders", "shop/dev/orders"},
                8,
            ),
            ({"branches": ["*"], "exclude_branches": ["ma?n"]}, {"shop/dev/orders", "shop/dev/test"}, 5),
            ({"exclude_databases": ["test"]}, {"shop/main/orders"}, 7),
        ],
    )
    def test_say_what_is_asked_for(
        self, console: Console, listing: List, options: dict[str, object], databases: set[str], requests: int
    ) -> None:
        console.project("shop", ("orders", "test")).branch("dev")
        console.project("lab", ("test",))
        found = {
            "{neon_project_name}/{neon_branch_name}/{neon_database}".format(**variables)
            for variables in listing(**options).hosts.values()
        }
        assert found == databases
        assert len(console.requests) == requests

    def test_that_are_mistyped_let_nothing_through(self, console: Console, listing: List) -> None:
        console.project("shop")
        found = listing(project=["lab"])
        assert "This is no option of the inventory streamkap.neon.neon: project." in told(found)
        assert found.hosts == {}
        assert console.requests == []


class TestConstructed:
    @pytest.mark.core_version
    def test_groups_and_variables(self, console: Console, listing: List) -> None:
        console.project("shop", ("orders",))
        console.project("old", ("neondb",), logical_replication=False, pg_version=15)
        found = listing(
            named_by="names",
            compose={"cdc_slot": "'cdc_' ~ neon_database"},
            keyed_groups=[{"key": "neon_pg_version | string", "prefix": "postgresql"}],
            groups={"to_do": "not neon_capture.ready"},
            strict=True,
        )
        assert found.hosts["shop.main.orders"]["cdc_slot"] == "cdc_orders"
        assert found.group("postgresql_15") == found.group("to_do") == ["old.main.neondb"]
        assert found.group("postgresql_17") == ["shop.main.orders"]
        assert found.group("neon") == ["old.main.neondb", "shop.main.orders"]

    @pytest.mark.core_version
    def test_mistakes_are_errors_when_strict(self, console: Console, listing: List) -> None:
        console.project("shop")
        mistaken = {"compose": {"x": "no_such_variable + 1"}}
        assert len(listing(**mistaken).hosts) == 1
        strict = listing(**mistaken, strict=True)
        assert "no_such_variable" in told(strict)


class TestCache:
    @pytest.fixture
    def cached(self, tmp_path: Path) -> dict[str, object]:
        return {
            "cache": True,
            "cache_plugin": "ansible.builtin.jsonfile",
            "cache_connection": str(tmp_path / "cache"),
        }

    @pytest.mark.core_version
    def test_spares_all_requests(self, console: Console, listing: List, cached: dict[str, object]) -> None:
        console.project("shop")
        first = listing(**cached)
        sent = len(console.requests)
        assert listing(**cached).hosts == first.hosts != {}
        assert len(console.requests) == sent

    def test_is_the_owners_alone_and_holds_no_secret(
        self, console: Console, listing: List, cached: dict[str, object], tmp_path: Path
    ) -> None:
        console.project("shop")
        listing(**cached)
        (file,) = (tmp_path / "cache").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        text = file.read_text()
        assert "shiny-wind-000001" in text
        assert KEY not in text
        assert PASSWORD not in text
        assert "postgresql://" not in text
        # Whoever opened it meanwhile finds it closed again.
        file.chmod(0o644)
        listing(**cached)
        assert file.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("other", [{"exclude_databases": ["x"]}, {"key": PERSONAL_KEY, "org_id": ORGANIZATION}])
    def test_answers_no_other_question(
        self, console: Console, listing: List, cached: dict[str, object], other: dict[str, object]
    ) -> None:
        console.project("shop")
        listing(**cached)
        sent = len(console.requests)
        assert len(listing(**cached, **other).hosts) == 1
        assert len(console.requests) == 2 * sent

    def test_is_made_anew_when_ansible_is_told_to(
        self, console: Console, listing: List, cached: dict[str, object], source: Path
    ) -> None:
        console.project("shop")
        listing(**cached)
        console.project("new")
        play = "- hosts: neon\n  gather_facts: false\n  tasks:\n    - ansible.builtin.meta: refresh_inventory\n"
        run_playbook(play, inventory=source, env=console.env)
        assert len(listing(**cached).hosts) == 2


class TestKeys:
    def test_are_taken_from_the_file_a_template_in_it_or_an_extra_variable(
        self, console: Console, listing: List, source: Path, tmp_path: Path
    ) -> None:
        console.project("shop")
        (tmp_path / "key").write_text(KEY)
        assert listing(key="", neon_api_key=KEY).hosts
        assert listing(key="", neon_api_key="{{ lookup('ansible.builtin.file', '%s') }}" % (tmp_path / "key")).hosts
        listing()
        play = "- hosts: neon\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"
        run = run_playbook(play, inventory=source, extra_vars={"neon_api_key": KEY})
        assert list(run.stats) == ["shiny-wind-000001.br-calm-sea-000001.neondb"]

    @pytest.mark.parametrize(
        ("key", "options", "words"),
        [
            ("", {}, "neon_api_key is missing."),
            ("napi_wrong", {}, "Neon refused GET /projects (401): authorization failed. The key is wrong, has expired"),
            (PERSONAL_KEY, {}, "Where it asks for an organization, give org_id."),
            (KEY, {"neon_api_url": "http://example.com"}, "neon_api_url would send the credentials unencrypted."),
            (KEY, {"requests_per_minute": 0}, "requests_per_minute is 0."),
            (KEY, {"neon_api_timeout": 0}, "neon_api_timeout is 0."),
        ],
    )
    def test_that_do_not_open_are_told(
        self, console: Console, listing: List, key: str, options: dict[str, object], words: str
    ) -> None:
        console.project("shop")
        found = listing(key=key, **options)
        assert words in told(found)
        assert found.hosts == {}
        failed = listing(key=key, env={"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true"}, **options)
        assert failed.rc != 0

    def test_of_a_person_open_an_organization(self, console: Console, listing: List) -> None:
        console.project("shop")
        assert len(listing(key=PERSONAL_KEY, org_id=ORGANIZATION).hosts) == 1

    def test_that_are_revoked_meanwhile_end_it_at_once(self, console: Console, listing: List) -> None:
        for number in range(200):
            console.project(f"p{number}")
        console.revoked_after = 50
        found = listing(requests_per_minute=100_000)
        assert "has expired or was revoked" in told(found)
        assert found.hosts == {}
        assert len(console.requests) < 100

    @pytest.mark.core_version
    def test_are_shown_at_no_verbosity(self, console: Console, listing: List) -> None:
        console.project("shop")
        console.project("empty").main.computes.clear()
        for key in (KEY, "napi_wrong-one-of-the-tests"):
            found = listing(key=key, verbosity=4)
            for secret in (key, PASSWORD, "postgresql://"):
                assert secret not in found.stdout + found.stderr


class TestSize:
    # Nothing is encrypted on the way to this machine, and to read all authorities' certificates takes longest of a request.
    PLAIN = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nonexistent"}  # noqa: RUF012

    @pytest.mark.full
    def test_a_thousand_projects_with_three_thousand_databases(self, console: Console, listing: List) -> None:
        projects, databases_each, per_minute = 1000, 3, 6000
        # What Neon takes in a minute, 700 at a pace of 600, in a minute that is a tenth as long.
        console.limit = (700, 6)
        for number in range(projects):
            console.project(f"p{number}", tuple(f"d{number}" for number in range(databases_each)))
        begin = time.monotonic()
        found = listing(requests_per_minute=per_minute, env=self.PLAIN)
        taken = time.monotonic() - begin
        assert len(found.hosts) == projects * databases_each
        # Pages of 400; then branches and computes of each project, and the databases of each branch.
        expected = math.ceil(projects / 400) + 2 * projects + projects
        assert len(console.requests) == expected == 3003
        assert console.refused_for_pace == 0
        # At this pace it takes half a minute, and Ansible needs its time for so many hosts.
        assert expected / per_minute * 60 - 1 < taken < 150
        assert json.loads(found.stdout)["neon"]["hosts"]

    def test_the_pace_is_kept_where_nothing_else_slows_it(self, console: Console, listing: List) -> None:
        console.limit = (140, 6)
        for number in range(100):
            console.project(f"p{number}")
        begin = time.monotonic()
        assert len(listing(requests_per_minute=1200, env=self.PLAIN).hosts) == 100
        assert console.refused_for_pace == 0
        # The first twenty go at once.
        assert time.monotonic() - begin > (301 - 20) / 20

    def test_when_others_use_up_the_limit_it_is_waited_for(self, console: Console, listing: List) -> None:
        # Fewer than even a slow machine sends.
        console.limit = (30, 1)
        for number in range(100):
            console.project(f"p{number}")
        assert len(listing(requests_per_minute=100_000, env=self.PLAIN).hosts) == 100
        assert console.refused_for_pace > 0
