# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generates a password into a file of the controller, in two steps. Documented in plugins/modules/password_file.py."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.streamkap.neon.plugins.module_utils import _password

_PENDING = ".new"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "path": {"type": "path", "required": True},
                "state": {"type": "str", "choices": ["pending", "current"], "default": "pending"},
            }
        )
        path = Path(arguments["path"]).resolve()
        pending = path.with_name(path.name + _PENDING)
        try:
            if arguments["state"] == "pending":
                changed = _pend(pending, self._task.check_mode)
            else:
                changed = _make_current(pending, path, self._task.check_mode)
        except OSError as error:
            raise AnsibleActionFail(
                f"The file for the password cannot be written: {error.filename or pending}: {error.strerror}. Nothing was changed. "
                "Check the folder and who may write to it."
            ) from error
        result.update(
            changed=changed, path=str(path), pending=str(pending) if arguments["state"] == "pending" else None
        )
        return result


def _pend(pending: Path, check_mode: bool) -> bool:
    """Have a password in the file that is pending: the one that an interrupted change has left there, or a new one."""
    if check_mode:
        return not pending.exists()
    while True:
        file = os.open(pending, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # of two at once, the second finds what the first has generated
            if _is_at(pending, file):
                return _fill(file, pending)
        finally:
            os.close(file)


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file has not become the current one meanwhile."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _fill(file: int, pending: Path) -> bool:
    status = os.fstat(file)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise AnsibleActionFail(
            f"{pending} belongs to somebody else, or others may read or write it, so its password may be known. Nothing was changed. "
            "If no change was interrupted, delete it; otherwise see whether its password is in use, and take that right from them."
        )
    # The end of the line was written last. Without it nobody has used what is there.
    if os.pread(file, 4096, 0).endswith(b"\n"):
        return False
    os.ftruncate(file, 0)
    os.pwrite(file, f"{_password.generate()}\n".encode(), 0)
    os.fsync(file)
    _sync_folder(pending.parent)
    return True


def _make_current(pending: Path, path: Path, check_mode: bool) -> bool:
    """Have what was pending be the current file; both have been there until then."""
    if not pending.exists():
        return False
    if not check_mode:
        pending.replace(path)
        _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    """Have the names in it on the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
