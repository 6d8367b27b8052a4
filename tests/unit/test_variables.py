# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that are text, as -e name=value and a survey give them; variables that are misspelt; conditions that always hold or not.

What a role does with its variables is read from the syntax trees of its templates, which takes no run of a playbook: each
variable that is no text by its argument specification is converted wherever it is used.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.template import Templar
from ansible_collections.streamkap.neon.plugins.action.validate_variables import ActionModule
from ansible_collections.streamkap.neon.plugins.plugin_utils import _variable_names, _variables
from jinja2 import nodes

from support.modules import ROOT

# Templates have escapes for regular expressions.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")

ROLES = sorted(folder.name for folder in (ROOT / "roles").iterdir() if folder.is_dir())
CONVERTED = ("cdc", "connector", "neon")
CONDITIONS = ("when", "until", "changed_when", "failed_when", "that")
# What a variable of each type is converted by.
CONVERSIONS = {
    "bool": {"streamkap.neon.to_bool"},
    "int": {"int"},
    "float": {"float"},
    "list": {"streamkap.neon.to_list"},
    "dict": {"streamkap.neon.to_dict"},
}
# A test or a default does not depend on what a variable holds.
TRANSPARENT = {"default"}
ENVIRONMENT = jinja2.Environment(extensions=["jinja2.ext.do"])


class _Filters(dict):
    """Any name is a filter or a test to the parser."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> object:
        return lambda value, *_arguments, **_named: value


ENVIRONMENT.filters = ENVIRONMENT.tests = _Filters()


@dataclass(frozen=True)
class Expression:
    """An expression of a role or playbook.

    option: the option of a module that it is all of the value of
    condition: the keyword that it is the condition of
    """

    file: str
    text: str
    option: tuple[str, str] | None = None
    condition: str | None = None

    @functools.cached_property
    def parents(self) -> dict[int, nodes.Node]:
        parents = {}
        for node in self.tree.find_all(nodes.Node):
            parents.update({id(child): node for child in node.iter_child_nodes()})
        return parents

    @functools.cached_property
    def tree(self) -> nodes.Template:
        return ENVIRONMENT.parse("{{ (%s) }}" % self.text if self.condition else self.text)

    @property
    def root(self) -> nodes.Expr | None:
        """The expression, where the text is nothing else."""
        body = self.tree.body
        if len(body) == 1 and isinstance(body[0], nodes.Output):
            parts = [
                part for part in body[0].nodes if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
            ]
            if len(parts) == 1:
                return parts[0]
        return None


def expressions(role: str | None) -> list[Expression]:
    """Those of a role's tasks, variables and templates, or of the playbooks."""
    found = []
    folders = [ROOT / "roles" / role / part for part in ("tasks", "vars", "defaults")] if role else [ROOT / "playbooks"]
    for folder in folders:
        for file in sorted(folder.glob("*.yml")):
            found += _of_data(yaml.safe_load(file.read_text()), str(file.relative_to(ROOT)))
    for file in sorted((ROOT / "roles" / role / "templates").glob("*.j2")) if role else []:
        found.append(Expression(str(file.relative_to(ROOT)), file.read_text()))
    return found


def _of_data(data: Any, file: str, option: tuple[str, str] | None = None) -> Iterator[Expression]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key in CONDITIONS:
                for text in value if isinstance(value, list) else [value]:
                    yield Expression(file, str(text), condition=key)
            elif str(key).startswith("streamkap.neon.") and isinstance(value, dict):
                for name, given in value.items():
                    yield from _of_data(given, file, (key, name))
            elif key == "group/streamkap.neon.postgres":
                for name, given in value.items():
                    yield from _of_data(given, file, ("streamkap.neon.slot", name))
            else:
                yield from _of_data(value, file)
    elif isinstance(data, list):
        for item in data:
            yield from _of_data(item, file)
    elif isinstance(data, str) and ("{{" in data or "{%" in data):
        yield Expression(file, data, option)


@functools.cache
def options_of_module(module: str) -> dict[str, str]:
    """The type of each option of a module."""
    name = module.rpartition(".")[2]
    documentation = importlib.import_module(f"ansible_collections.streamkap.neon.plugins.modules.{name}").DOCUMENTATION
    parsed = yaml.safe_load(documentation)
    options = dict(parsed.get("options", {}))
    for fragment in parsed.get("extends_documentation_fragment", []):
        plugin = fragment.split(".")[2]
        text = importlib.import_module(
            f"ansible_collections.streamkap.neon.plugins.doc_fragments.{plugin}"
        ).ModuleDocFragment.DOCUMENTATION
        options.update(yaml.safe_load(text).get("options", {}))
    return {name: option.get("type", "str") for name, option in options.items()}


def is_converted(name: nodes.Name, expression: Expression, type_: str) -> bool:
    """Whether a variable is converted before anything depends on what it holds."""
    node: nodes.Node = name
    while True:
        parent = expression.parents.get(id(node))
        if isinstance(parent, nodes.Test) and parent.name in ("defined", "undefined"):
            return True
        if not isinstance(parent, nodes.Filter) or parent.node is not node:
            break
        if parent.name in CONVERSIONS[type_]:
            return True
        if parent.name not in TRANSPARENT:
            return False
        node = parent
    # A module converts its options by itself, but it does not take away the blanks between the names of a list.
    return (
        type_ != "list"
        and expression.option is not None
        and expression.root is node
        and options_of_module(expression.option[0]).get(expression.option[1]) == type_
    )


@pytest.mark.parametrize("role", CONVERTED)
def test_every_variable_that_may_be_text_is_converted_wherever_it_is_used(role: str) -> None:
    types = {name: option.get("type", "str") for name, option in _variable_names.options_of(role).items()}
    # A list of dictionaries is no text that somebody types, and cdc_connector is a fact.
    left = {"cdc_snapshot_conditions", "cdc_connector"}
    used, wrong = set(), []
    for expression in [*expressions(role), *expressions(None)]:
        for name in expression.tree.find_all(nodes.Name):
            type_ = types.get(name.name)
            if type_ not in CONVERSIONS or name.name in left:
                continue
            used.add(name.name)
            if not is_converted(name, expression, type_):
                wrong.append(f"{expression.file}: {name.name} ({type_}): {' '.join(expression.text.split())[:100]}")
    assert wrong == []
    assert used == {name for name, type_ in types.items() if type_ in CONVERSIONS} - left


@pytest.mark.core_version
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        *[(text, False) for text in ("false", "False", "no", "n", "off", "0", "f", " no ", 0, False)],
        *[(text, True) for text in ("true", "yes", "y", "on", "1", "t", "TRUE", 1, True)],
    ],
)
def test_a_boolean_is_what_modules_take_it_for(value: object, meant: bool) -> None:
    assert _variables.to_bool(value, "cdc_bypassrls") is meant


@pytest.mark.core_version
@pytest.mark.parametrize("value", ["perhaps", "", None, 2, [], "nein", "falsch"])
def test_an_unclear_boolean_is_an_error_that_names_the_variable(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^cdc_bypassrls is .*\. Write one of them\.$"):
        _variables.to_bool(value, "cdc_bypassrls")


@pytest.mark.core_version
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("app", ["app"]),
        ("app,billing", ["app", "billing"]),
        (" app, billing ,", ["app", "billing"]),
        ("app\nbilling\n", ["app", "billing"]),
        ("a schema with blanks", ["a schema with blanks"]),
        ('app."a,b",app.c', ['app."a,b"', "app.c"]),
        ('app."a"",b"', ['app."a"",b"']),
        ('half "quoted', ['half "quoted']),
        ('["app", "billing"]', ["app", "billing"]),
        ("[app, billing]", ["app", "billing"]),
        ("", []),
        (None, []),
        (2026, ["2026"]),
        (["app", 2026], ["app", "2026"]),
        (("app",), ["app"]),
        ([{"data_collection": "app.a"}], [{"data_collection": "app.a"}]),
    ],
)
def test_a_list_may_be_text(value: object, meant: list[object]) -> None:
    assert _variables.to_list(value, "cdc_schemas") == meant


@pytest.mark.parametrize("value", ["[app", "[app]: b", True, {"app": 1}])
def test_what_is_no_list_is_an_error_that_names_the_variable(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^cdc_schemas is .* which is no list\. Write "):
        _variables.to_list(value, "cdc_schemas")


@pytest.mark.parametrize("value", ['{"max_lag": 5}', "max_lag=5", {"max_lag": 5}])
def test_a_dictionary_may_be_text(value: object) -> None:
    assert int(_variables.to_dict(value, "cdc_thresholds")["max_lag"]) == 5


def test_what_is_no_dictionary_is_an_error_without_what_it_holds() -> None:
    with pytest.raises(AnsibleFilterError, match=r"^connector_config is no dictionary\. ") as error:
        _variables.to_dict("Secret-of-the-tests", "connector_config")
    assert "Secret" not in str(error.value)
    assert _variables.to_dict(None, "connector_config") == {}


def template(text: str, **variables: object) -> object:
    from ansible.parsing.dataloader import DataLoader

    try:
        from ansible.template import trust_as_template
    except ImportError:  # before ansible-core 2.19 every text was a template
        trust_as_template = str
    return Templar(DataLoader(), variables=variables).template(trust_as_template(text))


def booleans() -> set[str]:
    """Variables that hold a boolean: of Ansible, facts, and those of the roles whose expression can give nothing else."""
    known = {"ansible_check_mode", "ansible_diff_mode", "neon_pending", "__cdc_look"}
    definitions = {}
    for role in ROLES:
        definitions |= yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text()) or {}
    for playbook in (ROOT / "playbooks").glob("*.yml"):
        definitions |= yaml.safe_load(playbook.read_text())[0].get("vars", {})
    while True:
        found = {
            name
            for name, text in definitions.items()
            if name not in known
            and isinstance(text, str)
            and "{{" in text
            and (root := Expression("", text).root) is not None
            and is_boolean(root, known)
        }
        if not found:
            return known
        known |= found


def is_boolean(node: nodes.Node, known: set[str]) -> bool:
    """Whether an expression can have no value but true and false: ansible-core 2.19 and newer refuse any other condition."""
    if isinstance(node, (nodes.And, nodes.Or)):
        return is_boolean(node.left, known) and is_boolean(node.right, known)
    if isinstance(node, nodes.Const):
        return isinstance(node.value, bool)
    if isinstance(node, nodes.CondExpr):
        return is_boolean(node.expr1, known) and is_boolean(node.expr2, known)
    if isinstance(node, nodes.Filter):
        # default(false, true) makes false of all that is none of a module's booleans.
        makes_false = node.name == "default" and node.args == [nodes.Const(False), nodes.Const(True)]
        return node.name in ("bool", "streamkap.neon.to_bool") or (makes_false and isinstance(node.node, nodes.Getattr))
    if isinstance(node, nodes.Name):
        return node.name in known
    return isinstance(node, (nodes.Compare, nodes.Not, nodes.Test)) or _is_field_of_result(node)


# Booleans of the modules' results, which are there whenever a task has not failed and has looked at something.
FIELDS = {"ready", "exists", "bypassrls"}


def _is_field_of_result(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Getattr) and node.attr in FIELDS


@pytest.mark.parametrize("role", [*CONVERTED, None])
def test_every_condition_is_a_boolean_whatever_was_found(role: str | None) -> None:
    known = booleans()
    wrong = [
        f"{expression.file}: {expression.condition}: {expression.text}"
        for expression in expressions(role)
        if expression.condition and not is_boolean(expression.root, known)
    ]
    assert wrong == []


@pytest.mark.core_version
@pytest.mark.parametrize("role", CONVERTED)
def test_the_message_of_a_failed_task_is_not_hidden_by_an_error_in_its_conditions(role: str) -> None:
    """Ansible evaluates these conditions of a task that has failed too."""
    own = yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text())
    failed = {"failed": True, "changed": False, "msg": "the reason", "attempts": 1}
    wrong, seen = [], 0
    for file, task in _tasks(role):
        for keyword in ("until", "changed_when", "failed_when"):
            condition = task.get(keyword)
            if not isinstance(condition, str):
                continue
            seen += 1
            variables = {
                "ansible_check_mode": True,
                **{name: _trusted(value) for name, value in own.items()},
                **{name: option.get("default") for name, option in _variable_names.options_of(role).items()},
                task["register"]: failed,
            }
            try:
                template("{{ (%s) | bool }}" % condition, **variables)
            except Exception as error:
                wrong.append(f"{file}: {keyword}: {condition}: {error}")
    assert wrong == []
    assert seen or role in ("connector", "neon")


def _trusted(value: object) -> object:
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return value
    return trust_as_template(value) if isinstance(value, str) else value


def _tasks(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    def walk(tasks: list[dict[str, Any]], file: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for task in tasks:
            yield file, task
            for part in ("block", "rescue", "always"):
                yield from walk(task.get(part, []), file)

    for file in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        yield from walk(yaml.safe_load(file.read_text()), str(file.relative_to(ROOT)))


@pytest.mark.parametrize(
    ("role", "name", "nearest", "nearly_equal"),
    [
        ("cdc", "cdc_schema", "cdc_schemas", True),
        ("cdc", "cdc_exclude_table", "cdc_exclude_tables", True),
        ("cdc", "cdc_pasword", "cdc_password", True),
        ("cdc", "cdc_host", "cdc_hosts", True),
        ("cdc", "cdc_slot_name", "cdc_slot", False),
        ("cdc", "cdc_zzz", None, False),
        ("neon", "neon_projekt", "neon_project", True),
        ("neon", "neon_allow_restarts", "neon_allow_restart", True),
        ("connector", "streamkap_client_id", "connector_client_id", False),
        ("connector", "connector_tag", "connector_tags", True),
        ("ssh_tunnel", "ssh_tunnel_database", "ssh_tunnel_databases", True),
    ],
)
def test_a_misspelt_variable_is_noticed(role: str, name: str, nearest: str | None, nearly_equal: bool) -> None:
    known = {*_variable_names.options_of(role), *_variable_names.OTHERS[role]}
    (unknown,) = _variable_names.find_unknown(role, known, [name, *known, "other", f"__{name}"])
    assert (unknown.name, unknown.nearest, unknown.nearly_equal) == (name, nearest, nearly_equal)


def test_an_error_is_made_only_where_the_variable_that_is_meant_is_not_given() -> None:
    options = _variable_names.options_of("cdc")

    def look(**variables: object) -> tuple[list[str], list[str]]:
        errors: list[str] = []
        warnings: list[str] = []
        ActionModule._look_for_unknown("cdc", options, variables, errors, warnings)
        return errors, warnings

    errors, warnings = look(cdc_schemas=[], cdc_schema="app")
    assert (len(errors), warnings) == (1, [])
    assert "Write cdc_schemas" in errors[0]
    errors, warnings = look(cdc_password="{{ cdc_passwords.a }}", cdc_passwords={})
    assert (errors, len(warnings)) == ([], 1)
    assert "cdc_password" in warnings[0]


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_that_a_role_sets_or_a_playbook_reads_is_known(role: str) -> None:
    prefixes = "|".join(_variable_names.PREFIXES[role])
    known = {*_variable_names.options_of(role), *_variable_names.OTHERS[role]}
    files = [*(ROOT / "playbooks").glob("**/*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]
    files += [ROOT / "plugins" / "inventory" / "neon.py", *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    named = set()
    for file in files:
        named.update(re.findall(rf"^ *[\"']?((?:{prefixes})\w+)[\"']?:", file.read_text(), re.MULTILINE))
    # Options of modules that begin in the same way.
    named -= {"connector_role", "connector_running", "connector_user"}
    named = {name for name in named if not name.startswith("streamkap_")}
    assert named - known == set()
    assert named


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_every_playbook_validates_its_hosts_first(path: Path) -> None:
    (play,) = yaml.safe_load(path.read_text())
    first = play["tasks"][0]
    assert first["tags"] == "always"
    variable = first["streamkap.neon.validate_variables"]["hosts_variable"]
    assert variable in play["hosts"]
    assert "inventory_hostnames" in play["hosts"]


@pytest.mark.parametrize(
    ("tags", "fails"), [(["all"], False), (["untagged"], False), (["setup"], True), (["tagged"], True)]
)
def test_tags_that_leave_out_every_task_are_an_error(tags: list[str], fails: bool) -> None:
    errors = ActionModule._errors_of_tags({"ansible_run_tags": tags})
    assert [f"--tags {tags[0]} would do nothing" in error for error in errors] == [True] * fails


def test_hosts_of_the_inventory_that_have_a_database_are_found_but_none_with_what_all_have() -> None:
    hostvars = {"orders": {"cdc_dsn": "a"}, "web": {"cdc_schemas": ["app"]}}
    variables = {"hostvars": hostvars}
    assert ActionModule._databases_among(["orders", "web", "gone"], variables) == ["orders"]
    assert ActionModule._databases_among(["orders"], {**variables, "cdc_dsn": "of all"}) == []
