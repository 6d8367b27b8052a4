# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the layers of tests need of the machine, and what is not tested where it is missing.

    python tests/support/prerequisites.py [LAYER ...]

prints what is missing for these layers, for all of them when none is named, and fails then in CI.
It runs before any environment is set up, so it uses nothing but Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from debezium import java
from support import binaries

LAYERS = ("unit", "integration", "api", "ssh", "robustness", "matrix", "debezium", "molecule", "lint")

SSHD = Path("/usr/sbin/sshd")

ALL = "all of it"


@dataclass(frozen=True)
class Need:
    """What some layers need.

    untested: what each layer leaves out without it
    install: the command of Debian's that installs it, or what else provides it
    """

    name: str
    is_met: Callable[[], bool]
    untested: dict[str, str]
    install: str


def is_root() -> bool:
    return os.geteuid() == 0


def has_openssh() -> bool:
    return SSHD.exists() and bool(shutil.which("ssh"))


def has_npm() -> bool:
    return bool(shutil.which("npm") and shutil.which("node"))


def has_java() -> bool:
    try:
        java.home()
    except java.NoJavaError:
        return False
    return True


def has_container_engine() -> bool:
    return any(_succeeds(engine, "info") for engine in os.environ.get("MOLECULE_ENGINE", "podman docker").split())


def has_python_of(core: str) -> bool:
    """Whether there is a Python that runs this version of ansible-core."""
    return _succeeds("bash", "-c", '. "$0" && python_of "$1"', str(TESTS / "pythons.sh"), core)


def has_oldest_python() -> bool:
    return _succeeds("bash", "-c", '. "$0" && oldest_python', str(TESTS / "pythons.sh"))


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _needs() -> Iterator[Need]:
    on_servers = ("integration", "api", "ssh", "robustness", "matrix", "debezium")
    libraries = binaries.missing_libraries()
    yield Need(
        ", ".join(libraries),
        lambda: not libraries,
        dict.fromkeys(on_servers, ALL),
        binaries.how_to_install(libraries),
    )
    yield Need(
        "git", lambda: bool(shutil.which("git")), dict.fromkeys(("molecule", "lint"), ALL), "apt-get install git"
    )
    yield Need(
        "npm, node",
        has_npm,
        dict.fromkeys(("api", "matrix"), "Neon's API"),
        "apt-get install nodejs npm",
    )
    tunnel = "onboarding through a tunnel"
    yield Need(
        "root",
        is_root,
        {"ssh": ALL, "debezium": tunnel, "integration": "servers of another user"},
        "sudo make ...",
    )
    yield Need(
        "sshd, ssh", has_openssh, {"ssh": ALL, "debezium": tunnel}, "apt-get install openssh-server openssh-client"
    )
    # Also of the versions between, which only a full run needs.
    pythons = {"2.16": ("3.11 or 3.12", "PYTHON"), "2.21": ("3.12 or newer", "PYTHON_NEWEST")}
    if os.environ.get("FULL"):
        pythons |= dict.fromkeys(("2.18", "2.19"), ("3.11 to 3.13", "PYTHON"))
    for core, (versions, variable) in pythons.items():
        layers = ("matrix", "lint") if core in ("2.16", "2.21") else ("lint",)
        yield Need(
            f"Python {versions} with venv",
            lambda core=core: has_python_of(core),
            dict.fromkeys(layers, f"ansible-core {core}"),
            f"name one by {variable}=..., or pyenv install 3.12",
        )
    yield Need(
        "Python 3.9 with venv",
        has_oldest_python,
        {"lint": "importing the plugins on the oldest Python"},
        "name one by PYTHON_OLDEST=..., or pyenv install 3.9",
    )
    yield Need("Java 17", has_java, {"debezium": ALL}, "apt-get install default-jre-headless")
    yield Need("podman or docker", has_container_engine, {"molecule": ALL}, "apt-get install podman runc")


def find_missing(layers: list[str]) -> list[Need]:
    return [need for need in _needs() if set(need.untested) & set(layers) and not need.is_met()]


def describe(missing: list[Need], layers: list[str]) -> str:
    """A table of what is missing, or for one layer a sentence for each."""
    if not missing:
        return f"{', '.join(layers)}: nothing is missing."
    if len(layers) == 1:
        (layer,) = layers
        return "\n".join(
            f"{layer}: {need.untested[layer]} will not be tested, for lack of {need.name} ({need.install})."
            for need in missing
        )
    rows = [("missing", "not tested without it", "how to get it")]
    for need in missing:
        untested: dict[str, list[str]] = {}
        for layer in layers:
            if layer in need.untested:
                untested.setdefault(need.untested[layer], []).append(layer)
        what = "; ".join(f"{', '.join(named)}: {part}" for part, named in untested.items())
        rows.append((need.name, what, need.install))
    return format_table(rows)


def format_table(rows: list[tuple[str, ...]]) -> str:
    """Text in columns, the first row as their heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    layers = arguments or list(LAYERS)
    if unknown := set(layers) - set(LAYERS):
        sys.exit(f"{', '.join(sorted(unknown))}: none of {', '.join(LAYERS)}")
    missing = find_missing(layers)
    print(describe(missing, layers), flush=True)
    return int(bool(missing) and os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
