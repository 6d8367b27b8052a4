# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record which tasks a run of ansible-playbook starts, in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record_tasks
type: aggregate
short_description: Record which tasks a run starts
description: For the mutation run of the tests.
author: The streamkap.neon contributors (@streamkap)
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record_tasks"

    def __init__(self) -> None:
        super().__init__()
        folder = Path(os.environ["MUTATION_FOLDER"]) / "tasks"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.environ['MUTATION_CONTEXT']}-{os.getpid()}"

    def v2_playbook_on_play_start(self, play) -> None:
        self._record(play)

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        del is_conditional
        self._record(task)

    def v2_playbook_on_handler_task_start(self, task) -> None:
        self._record(task)

    def _record(self, thing) -> None:
        if path := thing.get_path():
            with self._file.open("a") as file:
                file.write(f"{os.path.realpath(path.rpartition(':')[0])}:{path.rpartition(':')[2]}\n")
