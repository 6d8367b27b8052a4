# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Debezium cannot run nobody is to believe that it did."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.modules import ROOT

OLD = """#!/bin/sh
echo "    java.home = /nowhere
    java.specification.version = 1.8" >&2
"""


@pytest.fixture(params=["none", "old"])
def without_java(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose Java is none, or one that is too old."""
    if request.param == "old":
        program = tmp_path / "bin" / "java"
        program.parent.mkdir()
        program.write_text(OLD)
        program.chmod(0o755)
    return {"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)}


@pytest.mark.parametrize(("environment", "fails"), [({}, False), ({"CI": "true"}, True)], ids=["at home", "in CI"])
def test_without_java_it_says_so_loudly_and_fails_in_ci_only(
    without_java: dict[str, str], environment: dict[str, str], fails: bool
) -> None:
    run = subprocess.run(
        ["make", "debezium"], cwd=ROOT, env=without_java | environment, capture_output=True, text=True, check=False
    )
    assert (run.returncode != 0) == fails
    assert "DEBEZIUM WAS NOT RUN" in run.stderr
    assert "apt-get install default-jre-headless" in run.stderr
    assert "Traceback" not in run.stderr
    assert "Debezium on PostgreSQL" not in run.stdout
