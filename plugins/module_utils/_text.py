# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection.

"""Text for who reads the terminal, on the controller and in the modules."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """The text with everything escaped that could steer a terminal, turn what is read around, or pass for another line.

    :param keep: characters that stay as they are.
    """
    return "".join(
        character if character in keep or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
