# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One small fault that can be put into one file of the collection."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Mutant:
    """Replace the bytes from start to end of a file.

    first_line, last_line: the statement or task around it; a test that runs none of these lines cannot notice the mutant
    scope: the function, or the file, that holds it; two mutants in one scope are never tried together
    loaded: it takes effect when the file is imported, so the lines say nothing about the tests that it concerns
    """

    path: str
    line: int
    column: int
    operator: str
    start: int
    end: int
    replacement: str
    first_line: int
    last_line: int
    scope: str
    loaded: bool = False

    @property
    def id(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.operator}"

    @property
    def kind(self) -> str:
        return "Python" if self.path.endswith(".py") else "YAML"

    @property
    def package(self) -> str:
        """Return the part of the collection that the report counts it under."""
        parts = self.path.split("/")
        return "/".join(parts[:2]) if len(parts) > 2 else parts[0]

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def apply(source: bytes, mutants: list[Mutant]) -> bytes:
    """Return the source with all of these mutants, which must not overlap."""
    end = len(source) + 1
    for mutant in sorted(mutants, key=lambda mutant: mutant.start, reverse=True):
        if mutant.end > end:
            raise ValueError(f"{mutant.id} overlaps another mutant")
        source = source[: mutant.start] + mutant.replacement.encode() + source[mutant.end :]
        end = mutant.start
    return source
