# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make bench` runs, and what writes docs/benchmarks.

run          what is measured, from the first cell to the page
stage        the server, databases of a size, and the network in front of them
contenders   how each contender brings a database to the same state
measure      one run of a program: its time, its round trips, its memory, and what it changed
page, plots  what is written of it
"""

from __future__ import annotations
