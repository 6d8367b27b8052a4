# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints text to the terminal as it is. Documented in plugins/modules/show.py."""

from __future__ import annotations

from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.streamkap.neon.plugins.module_utils._text import printable

# What these print is read by programs, and one line of text in between breaks it. They have the text from the result.
_FOR_PROGRAMS = {"json", "jsonl"}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {"text": {"type": "str", "required": True}, "failure": {"type": "str", "default": ""}}
        )
        text = printable(arguments["text"].rstrip("\n"), keep="\n")
        if constants.DEFAULT_STDOUT_CALLBACK.rpartition(".")[2] not in _FOR_PROGRAMS:
            # From a worker this travels to the main process in one piece, so that the texts of two hosts never mix.
            Display().display(text)
        result.update(changed=False, text=text)
        if arguments["failure"]:
            # The text would stand once more in the line that says what has failed.
            del result["text"]
            result.update(failed=True, msg=printable(arguments["failure"]))
        return result
