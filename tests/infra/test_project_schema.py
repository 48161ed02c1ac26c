"""The schema and the examples of the project file, and what `gpurent init` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from gpurent.domain.trip_fields import FIELDS_BY_NAME, PROJECT_FILE, TRIP_FIELDS
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from gpurent.infra.config.project_file import read_project_file, render_project_file, write_new_file
from tests.infra.test_project_file import FULL_FILE, NOW, ROOT, SCHEMA, is_valid, parse_values


def test_the_schema_is_the_model() -> None:
    done = subprocess.run([sys.executable, "scripts/schema.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "python scripts/schema.py"
    Draft202012Validator.check_schema(SCHEMA)
    assert is_valid(FULL_FILE)
    assert not is_valid("comand = 'x'")
    assert not is_valid("[gpu]\ncount = 1")
    assert "http" not in json.dumps({key: value for key, value in SCHEMA.items() if key != "$schema"})


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/gpurent.toml")), ids=str)
def test_the_examples_are_good(path: Path) -> None:
    spec = make_trip_spec(read_project_file(path, NOW, Path("/nowhere")).values)
    assert is_valid(path.read_text("utf-8"))
    assert spec.job.command
    assert all((path.parent / name).exists() for name in spec.upload.include)


# writing


def test_what_is_written_says_every_key_and_reads_back() -> None:
    file_values: dict[str, Any] = tomllib.loads(FULL_FILE)
    text = render_project_file(file_values)
    assert tomllib.loads(text) == file_values
    assert parse_values(text) == parse_values(FULL_FILE)
    assert is_valid(text)
    for field in TRIP_FIELDS:
        for written in (text, render_project_file({})):
            line = next(row for row in written.split("\n") if re.match(rf"(# )?{field.name} = ", row))
            assert len(line) <= 120, line
            assert field.help_text in line


def test_the_examples_in_an_empty_file_can_be_switched_on() -> None:
    text = render_project_file({})
    assert parse_values(text) == {"folder": "/somewhere"}
    switched_on = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert set(parse_values(switched_on)) == set(FIELDS_BY_NAME)


def test_nothing_is_written_over_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / PROJECT_FILE
    write_new_file(path, "a", force=False)
    with pytest.raises(UsageError, match="already exists"):
        write_new_file(path, "b", force=False)
    assert path.read_text() == "a"
    write_new_file(path, "b", force=True)
    assert path.read_text() == "b"


# arbitrary content
