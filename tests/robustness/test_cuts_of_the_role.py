# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole role, set up and torn down, cut off at its messages: the steps before the cut stand, and the rest is done by another run.

Each cut has a database of its own, and all of them are hosts of one inventory, so that one run of ansible-playbook tries them all.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from support.faults import Cut, Line, Message, Place, Tally, faulty
from support.figures import Figures
from support.hurting import PASSWORD
from support.modules import PlaybookRun, run_playbook
from support.neon import Database
from support.postgres import Server
from support.state import State, Watcher, difference

# Before 16 SQL cannot give the users of all these hosts REPLICATION.
VERSIONS = (16, 17, 18)
pytestmark = [pytest.mark.postgres(*VERSIONS), pytest.mark.newest_version]

# The places of one message after the other, so that all are tried in turn.
PLACES = [Place.SENT, Place.UNANSWERED, Place.BEFORE, Place.ANSWERED, Place.INSIDE, Place.HALF_ANSWERED]

FAILED = re.compile(r"^fatal: \[(?P<host>\w+)\]: FAILED! => (?P<result>\{.*\})$", re.MULTILINE)


@dataclass
class Shop:
    """One host of the inventory.

    states: in which it was found on the way, on a line that is whole
    stood: which of these it was in when each message was sent
    """

    database: Database
    line: Line
    states: list[State] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    stood: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.database.name

    @property
    def variables(self) -> dict[str, object]:
        return {
            "ansible_connection": "local",
            "cdc_dsn": self.line.dsn(self.database.dsn),
            # Those are of the whole server.
            "cdc_user": f"user_of_{self.name}",
            "cdc_role": f"role_of_{self.name}",
            "cdc_slot": f"slot_of_{self.name}",
        }

    def state(self) -> State:
        """What is its own, by the name that all of them have in common."""
        lines = Watcher(self.database, {"the password": PASSWORD}).state()
        own = [line for line in lines if set(re.findall(r"shop_\d+", line)) <= {self.name}]
        return tuple(sorted(re.sub(r"shop_\d+", "shop", line) for line in own))

    def record(self) -> None:
        self.states = [self.state()]
        self.stood = []

        def note() -> None:
            messages = self.line.messages
            self.stood += [len(self.states) - 1] * (len(messages) - len(self.stood))
            state = self.state()
            if state != self.states[-1]:
                self.states.append(state)

        self.line.watch(settled=note)

    def end_record(self) -> None:
        self.messages = list(self.line.messages)
        self.stood += [len(self.states) - 1] * (len(self.messages) + 1 - len(self.stood))


@pytest.fixture
def roomy(server: Server) -> Iterator[Server]:
    """As many slots as there are hosts."""
    with server.restarted(max_replication_slots=100, max_connections=100):
        yield server


@pytest.fixture
def shops(roomy: Server, databases: Callable[..., Database]) -> Iterator[Callable[[], Shop]]:
    with contextlib.ExitStack() as stack:

        def shop() -> Shop:
            database = databases()
            database.sql("CREATE TABLE app.keyless (id int)")
            return Shop(database, stack.enter_context(faulty(roomy.port)))

        yield shop


def play(playbook: str, shops: list[Shop]) -> PlaybookRun:
    return run_playbook(
        f"streamkap.neon.{playbook}",
        inventory=json.dumps({"databases": {"hosts": {shop.name: shop.variables for shop in shops}}}, indent=1),
        extra_vars={
            "cdc_hosts": "databases",
            "cdc_password": PASSWORD,
            "cdc_schemas": ["app", "billing"],
            "cdc_keyless_tables": "replica_identity_full",
        },
    )


def test_the_role_goes_on_where_it_was_cut_off(server: Server, shops: Callable[[], Shop], figures: Figures) -> None:
    """At each message of the role, on one version or another; a run on one version cuts every third."""
    playbooks = {"setup": 5, "teardown": 7}
    wholes = {playbook: shops() for playbook in playbooks}
    for playbook, whole in wholes.items():
        if playbook == "teardown":
            assert play("setup", [whole]).rc == 0
        whole.record()
        run = play(playbook, [whole])
        assert run.rc == 0, run.stdout
        whole.end_record()
        assert len(whole.states) == playbooks[playbook]
    cuts = {playbook: chosen(whole.messages, server.major) for playbook, whole in wholes.items()}
    tried = [shops() for _cut in max(cuts.values(), key=len)]
    tally = Tally()
    for playbook, whole in wholes.items():
        cut_off(playbook, tried, cuts[playbook], whole, tally)
    tally.record(figures)


def chosen(messages: list[Message], major: int) -> list[Cut]:
    """This version's share of the queries, each at another place than the one before."""
    queries = [number for number, message in enumerate(messages) if message.is_query]
    return [
        Cut(number, PLACES[(count // len(VERSIONS)) % len(PLACES)], is_for_good=count % 4 < 2)
        for count, number in enumerate(queries)
        if count % len(VERSIONS) == VERSIONS.index(major)
    ]


def cut_off(playbook: str, shops: list[Shop], cuts: list[Cut], whole: Shop, tally: Tally) -> None:
    """Has the lines of the first of these shops cut, of each at its own place."""
    of_shops = list(zip(shops, cuts, strict=False))
    for shop, cut in of_shops:
        shop.line.watch(cut)
    run = play(playbook, shops)
    failures = {match["host"]: json.loads(match["result"])["msg"] for match in FAILED.finditer(run.stdout)}
    for shop, cut in of_shops:
        assert shop.line.has_cut, cut
        tally.cuts += 1
        what = f"{playbook} {cut}"
        Watcher(shop.database).wait_for_the_end()
        found = shop.state()
        if found not in whole.states:
            tally.half_applied.append(f"{what}: {difference(whole.states[0], found)}")
        elif why := untruth(whole, whole.states.index(found), cut, failures.get(shop.name)):
            tally.untrue.append(f"{what}: {why}: {failures.get(shop.name)}")
        shop.line.watch()
    tally.lost_commits += (run.stdout + run.stderr).count("was lost before the server had answered")
    # Once to do what is still to do, and once more to find that there is nothing.
    for is_last in (False, True):
        run = play(playbook, shops)
        assert not is_last or run.changed == 0, run.stdout
        tally.not_converged += [f"{playbook} {shop.name}" for shop in shops if run.stats[shop.name]["failed"]]
    tally.not_converged += [
        f"{playbook}: {difference(whole.states[-1], shop.state())}"
        for shop in shops
        if shop.state() != whole.states[-1]
    ]


def untruth(whole: Shop, found: int, cut: Cut, said: str | None) -> str | None:
    """What is wrong with what a playbook said after the cut, when that state was found."""
    last = len(whole.states) - 1
    # Who has the whole answer learns of the cut from the next message.
    number = cut.message + (cut.place is Place.ANSWERED)
    stood = whole.stood[number]
    if said is None:
        return None if found == last else f"successful, but in state {found}"
    if not cut.is_for_good:
        return "could have gone on"
    if found not in (stood, stood + 1):
        return f"the steps before do not stand: state {found} instead of {stood}"
    if "is not known" in said:
        return None if whole.messages[number].writes else "nothing was sent that could have been done"
    if "Nothing was changed." in said or said.startswith("Cannot connect"):
        return None if found == stood else f"changed: state {found}"
    return None if "stays:" in said or "not ready" in said else "does not say whether anything was changed"
