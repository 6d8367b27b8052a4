# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make test` lists what is missing, runs every layer whatever fails, and refuses a Python that cannot make environments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import prerequisites
from support.modules import ROOT
from support.prerequisites import ALL, LAYERS, Need

SCRIPTS = ROOT / "tests"

MAKE = """#!/bin/sh
case "$2" in
    ssh | environments) exit 2 ;;
esac
"""


def have_needs(monkeypatch: pytest.MonkeyPatch, **met: bool) -> None:
    needs = [
        Need("Java 17", lambda: met["java"], {"debezium": ALL}, "apt-get install java"),
        Need("root", lambda: met["root"], {"ssh": ALL, "integration": "servers of another user"}, "sudo make ..."),
    ]
    monkeypatch.setattr(prerequisites, "_needs", lambda: iter(needs))
    monkeypatch.delenv("CI", raising=False)


def test_nothing_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    have_needs(monkeypatch, java=True, root=False)
    assert prerequisites.main(["debezium", "unit"]) == 0
    assert capsys.readouterr().out == "debezium, unit: nothing is missing.\n"


def test_what_is_missing_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    have_needs(monkeypatch, java=False, root=False)
    assert prerequisites.main([]) == 0
    heads, _rule, java, root = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", heads) == ["missing", "not tested without it", "how to get it"]
    assert re.split(" {2,}", java) == ["Java 17", "debezium: all of it", "apt-get install java"]
    assert "integration: servers of another user; ssh: all of it" in root


def test_layer_says_what_it_leaves_out_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    have_needs(monkeypatch, java=False, root=False)
    assert prerequisites.main(["integration"]) == 0
    assert capsys.readouterr().out == (
        "integration: servers of another user will not be tested, for lack of root (sudo make ...).\n"
    )


def test_what_is_missing_is_an_error_in_ci_only_for_the_layers_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    have_needs(monkeypatch, java=False, root=True)
    monkeypatch.setenv("CI", "true")
    assert prerequisites.main(["debezium"]) == 1
    assert prerequisites.main(["integration", "ssh"]) == 0


def test_real_needs_are_of_layers_that_exist() -> None:
    needs = list(prerequisites._needs())
    assert len({need.name for need in needs}) == len(needs) > 5
    for need in needs:
        assert set(need.untested) <= set(LAYERS)
        assert need.install


@pytest.fixture
def empty_path(tmp_path: Path) -> str:
    """A PATH on which nothing is but what the scripts themselves need."""
    folder = tmp_path / "path"
    folder.mkdir()
    folder.joinpath("bash").symlink_to("/bin/bash")
    return str(folder)


def test_machine_without_anything_is_told_what_to_install(empty_path: str) -> None:
    env = {"PATH": empty_path, "HOME": empty_path, "CI": "true"}
    command = [sys.executable, SCRIPTS / "support" / "prerequisites.py"]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    for missing in ("npm, node", "Java 17", "podman or docker", "git", "sshd, ssh", "Python 3.11 or 3.12 with venv"):
        assert f"\n{missing}  " in run.stdout
    assert "apt-get install default-jre-headless" in run.stdout


def run_layers(tmp_path: Path, *layers: str) -> subprocess.CompletedProcess[str]:
    make = tmp_path / "my make"
    make.write_text(MAKE)
    make.chmod(0o755)
    env = {**os.environ, "MAKE": str(make)}
    env.pop("CI", None)
    command = [sys.executable, SCRIPTS / "run_layers.py", *layers]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_layers_go_on_after_a_failed_one_and_name_it_at_the_end(tmp_path: Path) -> None:
    run = run_layers(tmp_path, "unit", "ssh", "robustness")
    assert run.returncode == 1, run.stderr
    *_heads, environments, unit, ssh, robustness, total, failed = run.stdout.splitlines()
    assert [line.split()[0::2] for line in (environments, unit, ssh)] == [
        ["environments", "FAILED"],
        ["unit", "passed"],
        ["ssh", "FAILED"],
    ]
    assert robustness.startswith("robustness ")
    assert total.startswith("all ")
    assert failed == "Failed: environments, ssh"


def test_layers_that_pass_are_a_success(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "make").write_text("#!/bin/sh\n")
    (folder / "make").chmod(0o755)
    env = {**os.environ, "MAKE": str(folder / "make")}
    command = [sys.executable, SCRIPTS / "run_layers.py", "unit"]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "FAILED" not in run.stdout


@pytest.mark.parametrize("lacking", ["ensurepip", "venv"])
def test_python_without_venv_is_refused_in_one_sentence_before_anything_else(tmp_path: Path, lacking: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules['{lacking}'] = None\n")
    # The Makefile alone: whatever else it did would fail.
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    check = tmp_path / "tests" / "support" / "python_check.py"
    check.parent.mkdir(parents=True)
    check.write_text((SCRIPTS / "support" / "python_check.py").read_text())
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "site")}
    for target in ("demo", "test", "unit", "debezium", "environments"):
        command = ["make", target, f"PYTHON={sys.base_prefix}/bin/python3"]
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert run.stdout == ""
        message, *rest = run.stderr.splitlines()
        assert "on Debian by apt-get install python3-venv" in message
        assert all(line.startswith("make: ***") for line in rest)
