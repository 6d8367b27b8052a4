# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent for a project, from what it has and what is desired."""

from __future__ import annotations

import pytest
from ansible_collections.streamkap.neon.plugins.module_utils._errors import Failure
from ansible_collections.streamkap.neon.plugins.module_utils._neon.project import Desired, plan


def restricted(*ips: str, protected: bool = False) -> dict[str, object]:
    return {"allowed_ips": {"ips": list(ips), "protected_branches_only": protected}}


class TestLogicalReplication:
    @pytest.mark.parametrize("settings", [{}, {"enable_logical_replication": False}])
    def test_is_enabled_where_it_is_not(self, settings):
        made = plan(Desired(enable_logical_replication=True), settings)
        assert made.settings == {"enable_logical_replication": True}
        assert made.restarts
        assert (made.before, made.after) == (
            {"enable_logical_replication": False},
            {"enable_logical_replication": True},
        )

    def test_is_left_where_it_is(self):
        made = plan(Desired(enable_logical_replication=True), {"enable_logical_replication": True})
        assert not made.settings
        assert not made.restarts

    def test_cannot_be_disabled(self):
        with pytest.raises(Failure, match="cannot disable it again"):
            plan(Desired(enable_logical_replication=False), {"enable_logical_replication": True})

    def test_is_disabled_already(self):
        assert not plan(Desired(enable_logical_replication=False), {}).settings

    def test_is_not_spoken_of_unless_asked_for(self):
        made = plan(Desired(), {"enable_logical_replication": True})
        assert (made.settings, made.before, made.after) == ({}, {}, {})


class TestAllowedIps:
    def test_are_added_to_those_that_are_there(self):
        made = plan(Desired(allowed_ips=["203.0.113.7"]), restricted("198.51.100.0/24", protected=True))
        assert made.settings == restricted("198.51.100.0/24", "203.0.113.7", protected=True)
        assert made.shuts_out is None

    @pytest.mark.parametrize(
        ("there", "wanted"),
        [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24", "203.0.113.0-203.0.113.255"),
            ("203.0.113.1-203.0.113.9", " 203.0.113.1 - 203.0.113.9 "),
            ("2001:db8::/32", "2001:0db8:0::/32"),
        ],
    )
    def test_are_not_added_again_in_other_words(self, there, wanted):
        assert not plan(Desired(allowed_ips=[wanted]), restricted(there)).settings

    def test_are_added_once(self):
        made = plan(Desired(allowed_ips=["203.0.113.7", "203.0.113.7/32"]), restricted("198.51.100.1"))
        assert made.settings["allowed_ips"]["ips"] == ["198.51.100.1", "203.0.113.7"]

    def test_the_first_one_shuts_everybody_else_out(self):
        made = plan(Desired(allowed_ips=["203.0.113.7"]), {})
        assert made.settings == restricted("203.0.113.7")
        assert made.shuts_out == "all but 203.0.113.7"

    def test_none_shuts_nobody_out(self):
        made = plan(Desired(allowed_ips=[]), {})
        assert (made.settings, made.shuts_out) == ({}, None)

    def test_others_are_removed_only_on_request(self):
        made = plan(
            Desired(allowed_ips=["203.0.113.7"], exclusive=True), restricted("203.0.113.7", "somebody's own way")
        )
        assert made.settings == restricted("203.0.113.7")
        assert made.warnings == ["allowed_ips is exclusive: somebody's own way can no longer connect."]

    def test_what_somebody_wrote_in_a_way_of_his_own_stays(self):
        made = plan(Desired(allowed_ips=["203.0.113.7"]), restricted("somebody's own way"))
        assert made.settings == restricted("somebody's own way", "203.0.113.7")

    def test_no_entry_opens_the_project(self):
        made = plan(Desired(allowed_ips=[], exclusive=True), restricted("203.0.113.7"))
        assert made.settings == restricted()
        assert made.warnings == ["allowed_ips is exclusive and empty: every address can connect."]

    @pytest.mark.parametrize(
        ("entry", "remedy"),
        [
            ("203.0.113", "Write an address"),
            ("", "Write an address"),
            ("localhost", "Write an address"),
            ("203.0.113.9-203.0.113.1", "Write an address"),
            ("203.0.113.1-2001:db8::1", "Write an address"),
            ("203.0.113.1-203.0.113.2-203.0.113.3", "Write an address"),
            ("203.0.113.7/24", "Write the network, 203.0.113.0/24."),
            ("203.0.113.0/33", "Write an address"),
        ],
    )
    def test_are_checked_before_anything_is_asked(self, entry, remedy):
        with pytest.raises(Failure) as caught:
            Desired(allowed_ips=["203.0.113.7", entry])
        assert remedy in caught.value.hint

    def test_are_of_no_matter_where_all_is_blocked(self):
        made = plan(
            Desired(allowed_ips=["203.0.113.7"]), {**restricted("198.51.100.1"), "block_public_connections": True}
        )
        assert "block_public_connections" in made.warnings[0]


class TestProtectedBranchesOnly:
    def test_holds_for_all_branches_then(self):
        made = plan(Desired(protected_branches_only=False), restricted("203.0.113.7", protected=True))
        assert made.settings == restricted("203.0.113.7")
        assert made.shuts_out == "all but 203.0.113.7 from the branches that are not protected"

    def test_opens_the_others(self):
        made = plan(Desired(protected_branches_only=True), restricted("203.0.113.7"))
        assert made.settings == restricted("203.0.113.7", protected=True)
        assert made.warnings == ["Every address can connect to the branches that are not protected."]
        assert made.shuts_out is None

    def test_is_no_matter_without_entries(self):
        made = plan(Desired(protected_branches_only=True), {})
        assert made.settings == restricted(protected=True)
        assert (made.shuts_out, made.warnings) == (None, [])
