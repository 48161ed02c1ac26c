"""Write the JSON Schema of gpurent.toml and the tables of its page from the fields; ``--check`` only compares."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpurent.domain.field_kinds import FieldGroup, FieldKind, TripField
from gpurent.domain.job_variables import NAME_PATTERN
from gpurent.domain.trip_fields import PROJECT_FILE, TRIP_FIELDS
from gpurent.locale.durations import UNIT_SECONDS

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "core" / "gpurent" / "data" / "gpurent.schema.json"
DOCS_PAGE = ROOT / "docs" / "project-file.md"
TEXT_SCHEMA: Mapping[str, Any] = {"type": "string"}
NONEMPTY_SCHEMA: Mapping[str, Any] = {"type": "string", "pattern": r"\S"}
RELATIVE_PATH_SCHEMA: Mapping[str, Any] = {
    "type": "string",
    "pattern": r"^(?!/)(?!(.*/)?\.\.(/|$))(?=.*\S)[^\n]*$",
}
MAX_NUMBER = 1_000_000


def _span_pattern() -> str:
    units = "|".join(
        "".join(f"[{letter}{letter.upper()}]" if letter.isascii() else letter for letter in unit)
        for unit in sorted(UNIT_SECONDS, key=len, reverse=True)
    )
    return rf"^\s*(\d{{1,6}}\s*({units})\s*)+$"


def _array_schema(item: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": dict(item)} | ({"minItems": least} if least else {})


def _kind_schema(field: TripField) -> dict[str, Any]:
    filled = {"enum": list(field.choices)} if field.choices else dict(NONEMPTY_SCHEMA)
    shapes: dict[FieldKind, dict[str, Any]] = {
        FieldKind.TEXT: {"enum": list(field.choices)} if field.choices else dict(TEXT_SCHEMA),
        FieldKind.COMMAND: {"anyOf": [dict(NONEMPTY_SCHEMA), _array_schema(TEXT_SCHEMA, 1)]},
        FieldKind.TEXT_LIST: _array_schema(filled),
        FieldKind.PATH: dict(RELATIVE_PATH_SCHEMA),
        FieldKind.PATH_LIST: _array_schema(RELATIVE_PATH_SCHEMA),
        FieldKind.PATTERN_LIST: _array_schema(RELATIVE_PATH_SCHEMA),
        FieldKind.PACKAGES: {
            "anyOf": [
                dict(RELATIVE_PATH_SCHEMA),
                _array_schema({"type": "string", "pattern": r"^(?!-)(?=.*\S)[^\n]*$"}),
            ]
        },
        FieldKind.FILE: dict(RELATIVE_PATH_SCHEMA),
        FieldKind.VARIABLE_LIST: _array_schema(
            {"type": "string", "pattern": rf"^(?!GPURENT_){NAME_PATTERN}=[\s\S]*$"}
        ),
        FieldKind.SECRET_LIST: _array_schema(
            {"type": "string", "pattern": rf"^(?!GPURENT_)({NAME_PATTERN}=)?{NAME_PATTERN}$"}
        ),
        FieldKind.DURATION: {"type": "string", "pattern": _span_pattern()},
        FieldKind.TIME: {
            "type": "string",
            "pattern": rf"{_span_pattern()}|^\s*\d{{1,2}}:\d{{2}}\s*$|^\s*\d{{4}}-?(\d|W)",
        },
        FieldKind.MONEY: {
            "type": "string",
            "pattern": r"^\s*([¥￥$]\s*\d{1,12}(\.\d{1,18})?|\d{1,12}(\.\d{1,18})?\s*([A-Za-z]{3,5}|元))\s*$",
        },
        FieldKind.NUMBER: {"type": "integer", "minimum": field.minimum, "maximum": MAX_NUMBER},
        FieldKind.PERCENT: {"type": "integer", "minimum": 0, "maximum": 100},
        FieldKind.EXACT_PERCENT: {"type": "string", "pattern": r"^\s*\d{1,3}(\.\d{1,6})?\s*%?\s*$"},
        FieldKind.PRICE: {"type": "string", "pattern": r"\d.*(/|per|每)"},
        FieldKind.TRAFFIC_PRICE: {"type": "string", "pattern": r"\d"},
        FieldKind.VERSION: {"type": "string", "pattern": r"^\s*\d{1,4}(\.\d{1,4}){0,2}\s*$"},
        FieldKind.SIZE: {"type": "string", "pattern": r"^\s*\d{1,9}\s*([kKmMgGtT][iI]?)?[bB]?\s*$"},
        FieldKind.FLAG: {"type": "boolean"},
    }
    return shapes[field.kind]


def _property_schema(field: TripField) -> dict[str, Any]:
    example = tomllib.loads(f"value = {field.example}")["value"]
    return {"description": field.help_text, **_kind_schema(field), "examples": [example]}


def make_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": PROJECT_FILE,
        "description": "What `gpurent run` does in a folder",
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _property_schema(field) for field in TRIP_FIELDS},
    }


def format_option(field: TripField) -> str:
    """Return the field as an option of the command line."""
    if field.name == "command":
        return "-- COMMAND"
    has_negation = field.kind is FieldKind.FLAG and not field.name.startswith("no_")
    return f"{field.option_name}, --no-{field.option_name[2:]}" if has_negation else field.option_name


def format_field_table(group: FieldGroup) -> str:
    """Return one heading's fields as a table of the page."""
    rows = [
        f"| `{field.name}` | `{format_option(field)}` | `{field.example}` | {field.help_text} |"
        for field in TRIP_FIELDS
        if field.group is group
    ]
    return "\n".join(("| key | option | example | meaning |", "|---|---|---|---|", *rows)) + "\n"


def render_page(text: str) -> str:
    """Return ``text`` with the table under each group's heading replaced."""
    for group in FieldGroup:
        below = rf"(^### {re.escape(group.value)}\n\n)(?:\|[^\n]*\n)*\n?"
        rows = format_field_table(group)
        text = re.sub(below, lambda match, rows=rows: f"{match[1]}{rows}\n", text, flags=re.MULTILINE)  # type: ignore[misc]
    return text


def main() -> int:
    wanted = {
        SCHEMA_FILE: json.dumps(make_schema(), indent=2, ensure_ascii=False) + "\n",
        DOCS_PAGE: render_page(DOCS_PAGE.read_text("utf-8")),
    }
    if "--check" in sys.argv:
        return int(any(not path.exists() or path.read_text("utf-8") != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
