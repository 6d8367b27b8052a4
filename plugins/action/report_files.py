# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the reports about a database on the controller. Documented in plugins/modules/report_files.py.

All files of a database are one task, in Ansible's own process: as a task each, they took most of the time of a run.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.streamkap.neon.plugins.module_utils._text import printable
from ansible_collections.streamkap.neon.plugins.plugin_utils import _reports

_FOLDER_MODE = 0o755
_FILE_MODE = 0o644


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "path": {"type": "path", "required": True},
                "connector": {"type": "dict", "required": True},
                "readiness": {"type": "dict"},
            }
        )
        connector, readiness = _reports.plain(arguments["connector"]), _reports.plain(arguments["readiness"])
        # Every file is made before the first one is written: incomplete data changes nothing.
        try:
            stable = _reports.connector_files(connector)
            timed = _reports.readiness_files(readiness, datetime.now(timezone.utc)) if readiness else {}
        except _reports.IncompleteDataError as error:
            raise AnsibleActionFail(
                f"The reports cannot be written: {error} Give the fact cdc_connector as connector, and the whole result of "
                "streamkap.neon.readiness_info as readiness. Nothing was changed."
            ) from error
        folder = Path(arguments["path"]).resolve() / _reports.database_folder(
            (task_vars or {})["inventory_hostname"], connector["database"], connector["hostname"], connector["port"]
        )
        try:
            changes = [write_folder(folder, self._task.check_mode)]
            changes += [write_file(folder / name, text, self._task.check_mode) for name, text in stable.items()]
            for name, text in timed.items():
                write_file(folder / name, text, self._task.check_mode)
        except OSError as error:
            raise AnsibleActionFail(
                f"The reports cannot be written: {error.filename or folder}: {error.strerror}. Check the folder and who may write to it."
            ) from error
        changed = [change for change in changes if change]
        result.update(changed=bool(changed), folder=str(folder), files=sorted([*stable, *timed]))
        if self._task.diff:
            result["diff"] = [change.diff() for change in changed]
        return result


@dataclass(frozen=True)
class Change:
    """One file or folder before and after: its mode, and a file's content. Null is one that does not exist."""

    path: Path
    mode_before: int | None
    mode_after: int
    before: bytes | None = None
    after: bytes | None = None

    def diff(self) -> dict[str, Any]:
        """Return the difference as Ansible's callbacks show it."""
        if self.before == self.after:
            return {
                "before": {"path": str(self.path), "mode": _octal(self.mode_before)},
                "after": {"path": str(self.path), "mode": _octal(self.mode_after)},
            }
        diff: dict[str, Any] = {}
        for side, content, too_large in (("before", self.before, "dst_larger"), ("after", self.after, "src_larger")):
            diff[f"{side}_header"] = str(self.path)
            if len(content or b"") > constants.MAX_FILE_SIZE_FOR_DIFF:
                diff[too_large] = constants.MAX_FILE_SIZE_FOR_DIFF
            else:
                # In a file for programs a name stands as it is, and could steer the terminal.
                diff[side] = printable((content or b"").decode(errors="replace"), keep="\n")
        return diff


def write_folder(folder: Path, check_mode: bool) -> Change | None:
    """Create the folder with its parents, or correct its mode."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except FileNotFoundError:
        mode = None
    if mode == _FOLDER_MODE:
        return None
    if not check_mode:
        for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
            # Another host's task may create a parent at the same time.
            with suppress(FileExistsError):
                missing.mkdir()
                missing.chmod(_FOLDER_MODE)
        folder.chmod(_FOLDER_MODE)
    return Change(folder, mode, _FOLDER_MODE)


def write_file(path: Path, text: str, check_mode: bool) -> Change | None:
    """Replace the file in one step where its content differs, or correct its mode."""
    content = text.encode(errors="replace")
    mode, before = _read(path)
    if (mode, before) == (_FILE_MODE, content):
        return None
    if not check_mode:
        if before == content:
            path.chmod(_FILE_MODE)
        else:
            _replace(path, content)
    return Change(path, mode, _FILE_MODE, before, content)


def _read(path: Path) -> tuple[int | None, bytes | None]:
    """Return the mode and the content of a file. A link is none: it is replaced, and what it leads to stays as it is."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None, None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return (stat.S_IMODE(mode), path.read_bytes()) if stat.S_ISREG(mode) else (None, None)


def _replace(path: Path, content: bytes) -> None:
    """Have the content in the file, of which a reader sees either all or nothing."""
    temporary = None
    try:
        file, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            os.fchmod(file, _FILE_MODE)
        Path(temporary).replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()


def _octal(mode: int | None) -> str | None:
    return None if mode is None else f"0{mode:03o}"
