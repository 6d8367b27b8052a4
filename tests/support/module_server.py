# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run Ansible's modules in forks of one process that has imported their libraries.

    with module_server() as python:
        run_playbook(..., extra_vars={"ansible_python_interpreter": python})

A module takes 0.3 s, nearly all of it for starting Python and compiling ansible.module_utils from the archive that is sent
with each module. A playbook with many small modules takes a third of its time when only the module itself is left.

`python` is a script that hands its arguments, environment, folder and standard streams to the server. The modules are those
of the same ansible-core, and each has a process of its own, as ever.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import runpy
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from .waiting import eventually

# The rest is imported by each module for itself.
LIBRARIES = [
    "ansible.module_utils.basic",
    "ansible.module_utils.service",
    "ansible.module_utils.facts.system.service_mgr",
]
# It exits as the module does, and with 1 where the server ended without an answer.
CLIENT = """
import array, json, os, socket, sys
place, *arguments = sys.argv[1:]
request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(place)
    streams = array.array("i", [0, 1, 2])
    connection.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    answer = connection.recv(1)
sys.exit(answer[0] if answer else 1)
"""


@contextlib.contextmanager
def module_server() -> Iterator[str]:
    """Start the server, and yield the path of the interpreter that uses it."""
    with tempfile.TemporaryDirectory(prefix="streamkap-neon-") as temporary:
        folder = Path(temporary)
        place = folder / "socket"
        client = folder / "client.py"
        client.write_text(CLIENT)
        python = folder / "python"
        words = [sys.executable, "-IS", str(client), str(place)]
        python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        python.chmod(0o755)
        # It ends with this process, however that ends.
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "support.module_server", place],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: place.exists() or server.poll() is not None, seconds=60)
            assert server.poll() is None, "the server of modules has ended"
            yield str(python)
        finally:
            server.terminate()
            server.wait()


def serve(place: str) -> None:
    """Fork for each request, until terminated."""
    for library in LIBRARIES:
        importlib.import_module(library)
    with socket.socket(socket.AF_UNIX) as listener:
        # The socket accepts connections as soon as its file exists.
        listener.bind(f"{place}.new")
        listener.listen()
        Path(f"{place}.new").rename(place)
        while True:
            connection, _address = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _answer(connection)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass


def _answer(connection: socket.socket) -> None:
    """Become the process of the requested module, and never return."""
    status = 1
    try:
        streams = array.array("i")
        _data, ((_level, _type, received),), _flags, _address = connection.recvmsg(
            1, socket.CMSG_SPACE(3 * streams.itemsize)
        )
        streams.frombytes(received)
        with connection.makefile("rb") as request:
            asked = json.load(request)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = asked["arguments"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        connection.sendall(bytes([status]))
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
