# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of report_files: when they are written, how, and what the task returns."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.streamkap.neon.plugins.action import report_files
from ansible_collections.streamkap.neon.plugins.filter.connector_settings import connector_settings
from ansible_collections.streamkap.neon.plugins.modules import report_files as module

from support.reports import CONNECTOR_FILES, READINESS_FILES

pytestmark = pytest.mark.core_version

SERVER = {"host": "127.0.0.1", "port": 5433, "database": "shop", "version": 170011, "neon_project": None}
READINESS = {
    "ready": True,
    "counts": {"critical": 0, "warning": 0, "info": 0, "passed": 0, "skipped": 0},
    "server": SERVER,
    "connector": {"user": "streamkap_user", "looked": True},
    "publication": None,
    "slot": None,
    "checks": [],
    "tables": [],
}


def settings(**given: Any) -> dict[str, Any]:
    fixed = {
        "user": "streamkap_user",
        "slot": "the_slot",
        "publication": "the_publication",
        "signal_schema": "streamkap",
    }
    return connector_settings(SERVER, **{**fixed, "schemas": ["app"], **given})


def run(path: Path, *, check_mode: bool = False, diff: bool = True, **given: Any) -> dict[str, Any]:
    """Run the action as a task of the host `one` does."""
    loader = DataLoader()
    arguments = {"path": str(path), "connector": settings(), "readiness": READINESS, **given}
    task = SimpleNamespace(
        action="streamkap.neon.report_files", args=arguments, async_val=0, check_mode=check_mode, diff=diff
    )
    action = report_files.ActionModule(
        task=task,
        connection=mock.Mock(),
        play_context=None,
        loader=loader,
        templar=Templar(loader),
        shared_loader_obj=None,
    )
    result = action.run(task_vars={"inventory_hostname": "one"})
    # The files are the controller's, wherever the host is and whoever tasks run as there.
    assert action._connection.method_calls == []
    return result


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def version(path: Path) -> tuple[int, int]:
    """What is another after the file was written or replaced."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def strict_umask():
    """No mode of a file is that of the umask."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_all_files_are_written_with_their_modes(tmp_path: Path) -> None:
    result = run(tmp_path / "new" / "reports")
    folder = tmp_path / "new" / "reports" / "one" / "shop@127.0.0.1_5433"
    assert result["changed"] is True
    assert result["folder"] == str(folder)
    assert set(result["files"]) == set(contents(folder)) == CONNECTOR_FILES | READINESS_FILES
    assert {mode(path) for path in folder.iterdir()} == {0o644}
    assert [mode(path) for path in list(folder.parents)[:3]] == [0o755] * 3
    assert mode(folder) == 0o755


def test_the_result_is_the_documented_one(tmp_path: Path) -> None:
    documented = yaml.safe_load(module.RETURN)
    result = run(tmp_path)
    assert set(result) - {"changed", "diff"} == set(documented)
    assert sorted(documented["files"]["sample"]) == sorted(CONNECTOR_FILES)


def test_a_second_run_changes_nothing_but_the_time(tmp_path: Path) -> None:
    folder = Path(run(tmp_path)["folder"])
    before = {name: version(folder / name) for name in CONNECTOR_FILES}
    (folder / "readiness.json").write_text("{}")
    second = run(tmp_path)
    assert (second["changed"], second["diff"]) == (False, [])
    assert {name: version(folder / name) for name in CONNECTOR_FILES} == before
    assert json.loads((folder / "readiness.json").read_text())["ready"] is True


def test_without_readiness_nothing_is_written_about_it(tmp_path: Path) -> None:
    result = run(tmp_path, readiness=None)
    assert set(result["files"]) == set(contents(Path(result["folder"]))) == CONNECTOR_FILES


def test_only_files_that_differ_are_replaced(tmp_path: Path) -> None:
    folder = Path(run(tmp_path)["folder"])
    page = version(folder / "connector.html")
    (folder / "tables.csv").write_text("app\nold\n")
    result = run(tmp_path)
    assert result["changed"] is True
    assert result["diff"] == [
        {
            "before_header": str(folder / "tables.csv"),
            "before": "app\nold\n",
            "after_header": str(folder / "tables.csv"),
            "after": "app\n",
        }
    ]
    assert version(folder / "connector.html") == page
    assert (folder / "tables.csv").read_text() == "app\n"


@pytest.mark.parametrize("name", ["", "connector.json"])
def test_a_mode_is_corrected(tmp_path: Path, name: str) -> None:
    folder = Path(run(tmp_path)["folder"])
    path = folder / name
    before = path.stat().st_ino
    path.chmod(0o700)
    check = run(tmp_path, check_mode=True)
    assert mode(path) == 0o700
    result = run(tmp_path)
    assert result["changed"] is check["changed"] is True
    mode_after = "0644" if name else "0755"
    assert result["diff"] == [
        {"before": {"path": str(path), "mode": "0700"}, "after": {"path": str(path), "mode": mode_after}}
    ]
    assert mode(path) == int(mode_after, 8)
    assert path.stat().st_ino == before
    assert run(tmp_path)["changed"] is False


def test_check_mode_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    check = run(tmp_path, check_mode=True)
    assert list(tmp_path.iterdir()) == []
    assert check == run(tmp_path)
    folder = Path(check["folder"])
    (folder / "tables.csv").unlink()
    before = contents(folder)
    check = run(tmp_path, check_mode=True)
    assert contents(folder) == before
    assert check == run(tmp_path)


def test_a_diff_is_made_on_request_and_has_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "diff" not in run(tmp_path / "quiet", diff=False)
    monkeypatch.setattr(constants, "MAX_FILE_SIZE_FOR_DIFF", 50)
    captured = [f"app.table_{number}" for number in range(10)]
    run(tmp_path, connector=settings(captured=captured, list_tables=True))
    result = run(tmp_path)
    (csv,) = [diff for diff in result["diff"] if diff["after_header"].endswith("tables.csv")]
    assert csv == {
        "before_header": csv["after_header"],
        "dst_larger": 50,
        "after_header": csv["after_header"],
        "after": "app\n",
    }


def test_a_diff_steers_no_terminal(tmp_path: Path) -> None:
    result = run(tmp_path, connector=settings(captured=["app.\x1b[31mred\n"], list_tables=True))
    (csv,) = [diff for diff in result["diff"] if diff.get("after_header", "").endswith("tables.csv")]
    assert csv["after"] == '"app.\\x1b[31mred\n"\n'
    assert "\x1b" in (Path(result["folder"]) / "tables.csv").read_text()


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    folder = Path(run(tmp_path)["folder"])
    other = tmp_path / "other"
    other.write_text((folder / "tables.csv").read_text())
    (folder / "tables.csv").unlink()
    (folder / "tables.csv").symlink_to(other)
    (folder / "readiness.md").unlink()
    (folder / "readiness.md").symlink_to(other)
    assert run(tmp_path)["changed"] is True
    assert not (folder / "tables.csv").is_symlink()
    assert not (folder / "readiness.md").is_symlink()
    assert other.read_text() == "app\n"


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path, check_mode: bool) -> None:
    folder = Path(run(tmp_path)["folder"])
    (folder / "tables.csv").unlink()
    (folder / "tables.csv").mkdir()
    with pytest.raises(
        AnsibleActionFail, match=r"The reports cannot be written: .*/tables\.csv: Is a directory\. Check"
    ):
        run(tmp_path, check_mode=check_mode)


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    with pytest.raises(
        AnsibleActionFail, match=r"The reports cannot be written: .*/reports/one.*: Not a directory\. Check"
    ):
        run(tmp_path / "reports")


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(run(tmp_path)["folder"])
    before = contents(folder)

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_files.os, "fchmod", fail)
    with pytest.raises(AnsibleActionFail, match=r"/connector\.html: No space left on device\. Check"):
        run(tmp_path, connector=settings(name="another"))
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"connector": {"name": "x"}}, "hostname, port, .*: missing in the settings of the source"),
        ({"connector": {**settings(), "config": None, "upload": []}, "readiness": {"failed": True}}, "ready, counts, "),
    ],
)
def test_incomplete_data_changes_nothing(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleActionFail, match=f"The reports cannot be written: {message}.* Nothing was changed"):
        run(tmp_path, **given)
    assert list(tmp_path.iterdir()) == []
