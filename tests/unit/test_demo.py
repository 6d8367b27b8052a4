# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo on a database of the user's: it takes no secret from where every user of the machine can read it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.modules import ROOT

DSN = "postgresql://u:Secret-of-the-tests@127.0.0.1:1/x"


@pytest.mark.parametrize("flags", [f"-- DSN={DSN}", f" -- SCHEMAS=app STREAMKAP_PASSWORD=a DSN={DSN}"])
def test_a_secret_behind_make_is_refused(flags: str) -> None:
    given = {"DSN": DSN, "SCHEMAS": "app", "STREAMKAP_PASSWORD": "a", "MAKEFLAGS": flags}
    run = subprocess.run(
        [sys.executable, str(ROOT / "demo" / "run.py")],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "Write it in front of make" in run.stderr
    assert "Secret-of-the-tests" not in run.stdout + run.stderr
