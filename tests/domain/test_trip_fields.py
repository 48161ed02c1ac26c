"""The table of trip fields: each is an option, a key, a schema property and a row of the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import pytest

from gpurent.cli.commands.init import init_command
from gpurent.cli.commands.trips import plan_command, run_command
from gpurent.domain.field_kinds import FieldGroup, FieldKind
from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_toml_value, parse_typed_value
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME, TRIP_FIELDS
from gpurent.domain.trip_values import make_trip_spec
from gpurent.infra.config.project_file import parse_project_values
from gpurent.infra.config.toml_file import TomlFile

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "project-file.md").read_text("utf-8")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
# Options of each command that are not trip fields.
COMMAND_OPTIONS = {
    "run": {"project", "no_project", "lease", "price", "balance", "until", "no_browser", "detach", "json"},
    "plan": {"project", "no_project", "json"},
    "init": {"ignore", "force", "yes", "json"},
}


@pytest.mark.parametrize("command", [run_command, plan_command, init_command], ids=lambda it: str(it.name))
def test_every_field_is_an_option_and_no_option_is_more(command: click.Command) -> None:
    parameters = {str(parameter.name): parameter for parameter in command.params}
    for field in TRIP_FIELDS:
        parameter = parameters.pop(field.name)
        if field.name == "command":
            assert isinstance(parameter, click.Argument)
            continue
        assert isinstance(parameter, click.Option)
        assert parameter.opts[0] == field.option_name == "--" + field.name.replace("_", "-")
        assert parameter.multiple is field.kind.is_list
        assert parameter.is_flag is (field.kind is FieldKind.FLAG)
        assert parameter.help is not None
        assert parameter.help.startswith(field.help_text)
        if field.choices:
            assert isinstance(parameter.type, click.Choice)
            assert tuple(parameter.type.choices) == field.choices
    assert set(parameters) == COMMAND_OPTIONS[str(command.name)]


def test_every_field_is_a_property_of_the_schema_and_no_other() -> None:
    assert list(SCHEMA["properties"]) == list(FIELDS_BY_NAME)
    assert SCHEMA["additionalProperties"] is False
    for field in TRIP_FIELDS:
        described = SCHEMA["properties"][field.name]
        assert described["description"] == field.help_text
        assert described["examples"] == [tomllib.loads(f"value = {field.example}")["value"]]


def test_every_field_is_a_row_of_the_page_and_no_other() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE) == list(FIELDS_BY_NAME)
    headings = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert headings == [group.value for group in FieldGroup]
    for field in TRIP_FIELDS:
        section = PAGE.partition(f"### {field.group.value}\n")[2].partition("\n### ")[0]
        (row,) = re.findall(rf"^\| `{field.name}` \|.*$", section, re.MULTILINE)
        cells = [cell.strip().strip("`") for cell in row.strip("|").split(" | ")]
        option = "-- COMMAND" if field.name == "command" else field.option_name
        assert cells[1].startswith(option)
        assert cells[2:] == [field.example, field.help_text]


def test_page_and_schema_are_as_the_script_writes_them() -> None:
    done = subprocess.run([sys.executable, "scripts/schema.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "python scripts/schema.py"


def test_what_the_page_shows_is_taken() -> None:
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "#:schema" not in block]
    found = [
        make_trip_spec(parse_project_values(TomlFile(ROOT / "gpurent.toml", block), NOW, Path("/nowhere")))
        for block in blocks
    ]
    assert found[0].results.paths == ("out",)
    assert found[0].job.setup.requirements == "requirements.txt"
    assert found[1].job.setup.needs == ("native", "requirements.txt")


def get_set_values(spec: TripSpec) -> dict[str, Any]:
    """Return the values of ``spec`` by field name, without those equal to the default."""
    default = TripSpec()
    found = {field.name: get_value(spec, field.attribute_path) for field in TRIP_FIELDS}
    unset = {field.name: get_value(default, field.attribute_path) for field in TRIP_FIELDS}
    return {name: value for name, value in found.items() if value != unset[name]}


def get_value(spec: TripSpec, attribute_path: str) -> Any:
    match attribute_path:
        case "providers":
            return (spec.provider,) if spec.provider else spec.providers
        case "limits.deadline":
            return spec.limits.deadline_in or spec.limits.deadline_at
        case "job.setup.pip":
            return spec.job.setup.requirements or spec.job.setup.pip
        case "limits.on_error":
            return spec.limits.on_error.value
    value: Any = spec
    for name in attribute_path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("name", FIELDS_BY_NAME)
def test_every_field_has_its_own_place_in_the_trip(name: str) -> None:
    field = FIELDS_BY_NAME[name]
    example = tomllib.loads(f"value = {field.example}")["value"]
    value = parse_toml_value(field, example, NOW)
    values = get_set_values(make_trip_spec({name: value}))
    extra = {"include"} if name in ("conda", "setup_needs", "pip") else set()
    default = get_set_values(TripSpec())
    assert default == {}
    if make_trip_spec({name: value}) == TripSpec():
        assert name in ("gpus", "keep", "on_error", "folder", "fresh"), "the example is the default"
    else:
        assert set(values) - extra == {name}
        assert make_trip_spec(values) == make_trip_spec({name: value})
    assert field.kind in EXPECTED_MESSAGES


@pytest.mark.parametrize("name", FIELDS_BY_NAME)
def test_what_is_typed_is_read_as_in_the_file(name: str) -> None:
    field = FIELDS_BY_NAME[name]
    example = tomllib.loads(f"value = {field.example}")["value"]
    if field.kind is FieldKind.FLAG or field.kind is FieldKind.COMMAND:
        return
    typed = [str(item) for item in example] if isinstance(example, list) else [str(example)]
    found = [parse_typed_value(field, text, NOW) for text in typed]
    if field.kind in (
        FieldKind.TEXT_LIST,
        FieldKind.PATH_LIST,
        FieldKind.PATTERN_LIST,
        FieldKind.VARIABLE_LIST,
    ):
        assert tuple(item for part in found for item in part) == parse_toml_value(field, example, NOW)  # type: ignore[attr-defined]
    else:
        assert found == [parse_toml_value(field, example, NOW)]
