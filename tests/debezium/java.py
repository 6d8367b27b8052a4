# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the Java is that Debezium runs on: JAVA_HOME's, or else the PATH's.

    python tests/debezium/java.py

fails when there is none that is new enough, and says so where nobody can overlook it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

NEEDED = 17

BANNER = """
    ##########################################################################
    #                                                                        #
    #   DEBEZIUM WAS NOT RUN: {why:<45}  #
    #   Install one, on Debian: apt-get install default-jre-headless         #
    #   or point JAVA_HOME to one. Then: make debezium                       #
    #                                                                        #
    ##########################################################################
"""


class NoJavaError(Exception):
    """There is no Java here, or an old one only; the message says which."""


def home() -> Path:
    """The folder of the installation."""
    program = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    try:
        told = subprocess.run(
            [program, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
        ).stderr
    except (OSError, subprocess.CalledProcessError):
        raise NoJavaError("no Java runs here.") from None
    settings = dict(re.findall(r"^\s+(java\.\S+) = (.*)$", told, re.MULTILINE))
    version = settings["java.specification.version"]
    if float(version) < NEEDED:
        raise NoJavaError(f"it needs Java {NEEDED}, and here is {version}.")
    return Path(settings["java.home"])


if __name__ == "__main__":
    try:
        home()
    except NoJavaError as error:
        sys.exit(BANNER.format(why=str(error)))
