# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a playbook as somebody does at a terminal, and compare what it shows with an approved file.

    shown = screen(["streamkap.neon.setup", "-e", "@neon.yml"], files={"neon.yml": "cdc_schemas: [app]"})
    compare("setup", shown, approve=False)

What differs from run to run, and from machine to machine, is written in one way: paths, ports, versions, sizes and counts.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ansible.release

from . import modules

ROOT = Path(__file__).resolve().parents[1]

# Ansible-core 2.19 shows a failure in another way.
NEW = tuple(map(int, ansible.release.__version__.split(".")[:2])) >= (2, 19)
APPROVED = ROOT / "integration" / "terminal" / ("ansible-core-2.19" if NEW else "ansible-core-2.16")

# Nobody who runs a playbook should see any of these, but in the lines before a task that Ansible quotes.
INTERNAL = re.compile(
    r"Traceback|An exception occurred|expression failed|conditional check|has no attribute|is undefined|NoneType|unexpectedly failed"
    r"|failed unexpectedly|omit_place_holder|__(?:cdc|connector|neon|ssh_tunnel)_|\{\{|\{%"
)


@dataclass(frozen=True)
class Screen:
    """What a terminal shows after a command: both of its output streams, as they came."""

    command: str
    rc: int
    text: str

    @property
    def failure(self) -> str:
        """What follows the heading of the task that failed."""
        return re.split(r"^TASK \[.*\n", self.text.partition("\nPLAY RECAP")[0], flags=re.MULTILINE)[-1]


def screen(arguments: list[str], files: Mapping[str, str], env: Mapping[str, str]) -> Screen:
    """Run ansible-playbook.

    files: what is in the current folder, by name
    env: environment variables besides the few that are always there
    """
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-") as temporary:
        folder = Path(temporary)
        for name, text in files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        program = modules._program("ansible-playbook", folder)
        environment = {**modules._environment(folder, interpreter=program[0]), **env}
        del environment["ANSIBLE_PYTHON_INTERPRETER"]
        run = subprocess.run(
            [*program, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        text = run.stdout.replace(str(folder), "FOLDER")
    return Screen(f"ansible-playbook {' '.join(arguments)}", run.returncode, text)


def compare(name: str, shown: Screen, replaced: Mapping[str, str], approve: bool) -> None:
    """Assert that a screen is the approved one, or approve it.

    replaced: texts of this run, each with what stands for it
    """
    text = _normalized(f"$ {shown.command}\n{shown.text}[exit status {shown.rc}]\n", replaced)
    assert not INTERNAL.search(text), text
    file = APPROVED / f"{name}.txt"
    if approve:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"{file.name} is not approved yet: make screens"
    approved = file.read_text()
    difference = difflib.unified_diff(approved.splitlines(), text.splitlines(), "approved", "shown", lineterm="")
    assert text == approved, "\n".join(
        [f"{file.name} differs from what is approved. Where that is right: make screens", *difference]
    )


def _normalized(text: str, replaced: Mapping[str, str]) -> str:
    for given, shown in {
        **replaced,
        str(modules.COLLECTIONS / "ansible_collections" / "streamkap" / "neon"): "COLLECTION",
        str(Path(sys.executable).parent): "BIN",
    }.items():
        text = text.replace(given, shown)
    for pattern, shown in [
        (r"\*{3,}$", "***"),
        (r"^(Origin: \S+?):\d+:\d+$", r"\1:LINE"),
        # Of the source that Ansible shows, only the line that it is about.
        (r"(?<=:LINE\n)\n(?:\d+ ?.*\n)*?\d+ (.*\n) +\^ column \d+$", r"\1"),
        (r'"(?:changed_when_result|failed_when_result)": false, ', ""),
        (r'"argument_spec_data": \{.*?\}, "changed"', '"argument_spec_data": {...}, "changed"'),
        (r"Valid booleans include: [^\"\n]*", "Valid booleans include: ..."),
        (
            r"^\{'action': 'ansible\.builtin\.validate_argument_spec'.*$",
            "{'action': 'ansible.builtin.validate_argument_spec' ...}",
        ),
        (r"BIN/python3(?:\.\d+)?\b", "BIN/python"),
        (r"PostgreSQL \d+\.\d+", "PostgreSQL VERSION"),
        (r"\b[0-9A-F]+/[0-9A-F]{3,}\b", "LSN"),
        (r"\b\d+(?:\.\d+)? (?:bytes?|[KMG]B)\b", "SIZE"),
        (r"\b\d+(?:\.\d+)? (?:ms|milliseconds)\b", "TIME"),
        (r"\b\d+ checks passed, \d+ skipped", "N checks passed, N skipped"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
        (r" +$", ""),
    ]:
        text = re.sub(pattern, shown, text, flags=re.MULTILINE)
    return text
