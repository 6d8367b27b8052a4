# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For all tests: the collection is importable, the environment is empty, and what cannot run says so.

`pytest tests/unit` needs no server; `pytest tests/integration` starts one of every version of PostgreSQL from 14 to 18,
with `--postgres 17` of these versions only (may be repeated, or hold commas). So does `pytest tests/debezium`, which needs
Java besides. The fixtures of both are those of support/fixtures.py.
"""

from __future__ import annotations

import argparse
import os
import sys

import pytest

from support.binaries import VERSIONS
from support.modules import collections_path

sys.path.insert(0, str(collections_path()))

pytest_plugins = ["support.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        action="extend",
        type=_majors,
        metavar="MAJOR[,MAJOR...]",
        help=f"PostgreSQL versions to test on (default: all of {', '.join(map(str, VERSIONS))})",
    )


def _majors(text: str) -> list[int]:
    majors = text.split(",")
    if unknown := set(majors) - set(map(str, VERSIONS)):
        raise argparse.ArgumentTypeError(f"{unknown} is none of {', '.join(map(str, VERSIONS))}")
    return [int(major) for major in majors]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI, where everything that a test needs is to be there, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"Skipped in CI: {item.nodeid}: {report.longrepr[2]}"
    return report


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test connects to what the environment of the developer names."""
    for name in list(os.environ):
        if name.startswith("PG") or name in ("NEON_DATABASE_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
