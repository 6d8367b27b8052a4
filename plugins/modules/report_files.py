#!/usr/bin/python
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Reports about a database as files on the controller
version_added: 0.2.0
description:
  - Writes what Streamkap's form and Streamkap's API ask for, and what M(streamkap.neon.readiness_info) found, into files that people and
    programs read. The role P(streamkap.neon.cdc#role) writes its reports with it.
  - Each database has a folder of its own in O(path), C(<inventory host>/<database>@<server>), so that none overwrites the files of
    another. A name with characters that not every file system takes has them replaced, and a part of its hash at the end.
  - Names from the database do no harm in the files, whatever they are. No password is in any of them.
  - Every file is replaced in one step. Folders have the mode C(0755) and files the mode C(0644).
author:
  - The streamkap.neon contributors (@streamkap)
options:
  path:
    description: The folder for all reports. It is created with its parents.
    type: path
    required: true
  connector:
    description:
      - The settings of the source, as the fact C(cdc_connector) or the filter P(streamkap.neon.connector_settings#filter) has them.
      - They go into C(connector.html), C(connector.md), C(connector.json) and C(tables.csv).
    type: dict
    required: true
  readiness:
    description:
      - The result of M(streamkap.neon.readiness_info). Without it nothing is written about it.
      - It goes into C(readiness.html), C(readiness.md) and C(readiness.json), which hold the time too. They differ every time, and never
        count as changed.
    type: dict
attributes:
  action:
    description: It runs on the controller.
    support: full
  async:
    description: It can be run in the background.
    support: none
  check_mode:
    description: It says what would change, and writes nothing.
    support: full
  diff_mode:
    description: It shows what differs in each file that counts as changed.
    support: full
  idempotent:
    description: A file is replaced only where its content differs, but for those of O(readiness).
    support: full
  platform:
    description: The systems that it is for.
    support: full
    platforms: posix
seealso:
  - module: streamkap.neon.readiness_info
  - plugin: streamkap.neon.connector_settings
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check the database
  ansible.builtin.include_role:
    name: streamkap.neon.cdc
    tasks_from: connector

- name: Write what the connector's form asks for
  streamkap.neon.report_files:
    path: /srv/reports
    connector: "{{ cdc_connector }}"
"""

RETURN = r"""
folder:
  description: The folder of the database, with links in O(path) resolved.
  returned: success
  type: str
  sample: /srv/reports/localhost/shop@ep-cool-darkness-123456.us-east-2.aws.neon.tech
files:
  description: The names of the files in it that belong to these reports.
  returned: success
  type: list
  elements: str
  sample: [connector.html, connector.json, connector.md, tables.csv]
"""
