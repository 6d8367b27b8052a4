# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fail, with one sentence that says what to install, when this Python cannot make the environments that make sets up.

It is run before anything else, and by any Python, so it uses nothing that an old one would not understand.
"""

import sys


def find_problem():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        lacks_venv = True
    else:
        lacks_venv = False
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        return "%s is Python %s: install 3.11 or newer, or name one by PYTHON=python3.12." % (sys.executable, version)
    if lacks_venv:
        return (
            "%s cannot make virtual environments: install venv, on Debian by apt-get install python3-venv, or name"
            " another Python by PYTHON=python3.12." % sys.executable
        )
    return None


if __name__ == "__main__":
    sys.exit(find_problem())
