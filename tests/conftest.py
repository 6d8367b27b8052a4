# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For all tests: the collection is importable, the environment is empty, and what cannot run says so.

`pytest tests/unit` needs no server; `pytest tests/integration` starts one of every version of PostgreSQL from 14 to 18,
with `--postgres 17` of these versions only (may be repeated, or hold commas). So does `pytest tests/debezium`, which needs
Java besides. The fixtures of both are those of support/fixtures.py.

`--modules ordinary` has all modules run as on any host but the controller; else they run in Ansible's own process, see
plugins/action/in_process.py.
"""

from __future__ import annotations

import argparse
import os
import sys

import ansible.release
import pytest

from support import modules
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
        help=f"PostgreSQL versions to test on, of {', '.join(map(str, VERSIONS))} (default: what the tests' markers say)",
    )
    parser.addoption("--full", action="store_true", help="run every test, each on all of its PostgreSQL versions")
    parser.addoption("--approve", action="store_true", help="write what terminals show to the approved files")
    parser.addoption(
        "--modules",
        choices=modules.WAYS,
        default=modules.WAY,
        help="the way in which the collection's modules run (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any server is set up: libpq goes by these. Tests set their own.
    for name in list(os.environ):
        if name.startswith("PG") or name in ("NEON_DATABASE_URL", "DATABASE_URL", "NEON_API_KEY"):
            del os.environ[name]
    modules.WAY = config.getoption("modules")


def pytest_report_header(config: pytest.Config) -> str:
    return f"modules: {config.getoption('modules')}, ansible-core {ansible.release.__version__}"


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
