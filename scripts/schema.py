"""Writes the JSON Schema of gpurent.toml and the tables of its page, from the fields; ``--check`` only compares."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpurent.domain.trip_fields import FIELDS, FILE, FieldKind, Group, TripField
from gpurent.locale.spans import UNITS

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "core" / "gpurent" / "data" / "gpurent.schema.json"
PAGE = ROOT / "docs" / "project-file.md"
TEXT: Mapping[str, Any] = {"type": "string"}
FILLED: Mapping[str, Any] = {"type": "string", "pattern": r"\S"}
BELOW: Mapping[str, Any] = {"type": "string", "pattern": r"^(?!/)(?!(.*/)?\.\.(/|$))(?=.*\S)[^\n]*$"}
MOST = 1_000_000


def _span() -> str:
    units = "|".join(
        "".join(f"[{letter}{letter.upper()}]" if letter.isascii() else letter for letter in unit)
        for unit in sorted(UNITS, key=len, reverse=True)
    )
    return rf"^\s*(\d{{1,6}}\s*({units})\s*)+$"


def _listed(item: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": dict(item)} | ({"minItems": least} if least else {})


def _kind(field: TripField) -> dict[str, Any]:
    filled = {"enum": list(field.choices)} if field.choices else dict(FILLED)
    shapes: dict[FieldKind, dict[str, Any]] = {
        FieldKind.TEXT: {"enum": list(field.choices)} if field.choices else dict(TEXT),
        FieldKind.WORDS: {"anyOf": [dict(FILLED), _listed(TEXT, 1)]},
        FieldKind.TEXTS: _listed(filled),
        FieldKind.PATH: dict(BELOW),
        FieldKind.PATHS: _listed(BELOW),
        FieldKind.PACKAGES: {
            "anyOf": [dict(BELOW), _listed({"type": "string", "pattern": r"^(?!-)(?=.*\S)[^\n]*$"})]
        },
        FieldKind.SPAN: {"type": "string", "pattern": _span()},
        FieldKind.MOMENT: {
            "type": "string",
            "pattern": rf"{_span()}|^\s*\d{{1,2}}:\d{{2}}\s*$|^\s*\d{{4}}-?(\d|W)",
        },
        FieldKind.MONEY: {
            "type": "string",
            "pattern": r"^\s*([¥￥$]\s*\d{1,12}(\.\d{1,18})?|\d{1,12}(\.\d{1,18})?\s*([A-Za-z]{3,5}|元))\s*$",
        },
        FieldKind.NUMBER: {"type": "integer", "minimum": field.least, "maximum": MOST},
        FieldKind.PERCENT: {"type": "integer", "minimum": 0, "maximum": 100},
        FieldKind.FLAG: {"type": "boolean"},
    }
    return shapes[field.kind]


def _property(field: TripField) -> dict[str, Any]:
    example = tomllib.loads(f"value = {field.example}")["value"]
    return {"description": field.about, **_kind(field), "examples": [example]}


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        "description": "What `gpurent run` does in a folder",
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _property(field) for field in FIELDS},
    }


def option(field: TripField) -> str:
    """How the command line says it."""
    if field.name == "command":
        return "-- COMMAND"
    return f"{field.option}, --no-{field.option[2:]}" if field.kind is FieldKind.FLAG else field.option


def table(group: Group) -> str:
    """One heading's fields as the page lists them."""
    rows = [
        f"| `{field.name}` | `{option(field)}` | `{field.example}` | {field.about} |"
        for field in FIELDS
        if field.group is group
    ]
    return "\n".join(("| key | option | example | meaning |", "|---|---|---|---|", *rows)) + "\n"


def page(text: str) -> str:
    """``text`` with the table under the heading of each group written anew."""
    for group in Group:
        below = rf"(^### {re.escape(group.value)}\n\n)(?:\|[^\n]*\n)*\n?"
        rows = table(group)
        text = re.sub(below, lambda match, rows=rows: f"{match[1]}{rows}\n", text, flags=re.MULTILINE)  # type: ignore[misc]
    return text


def main() -> int:
    wanted = {
        SCHEMA: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        PAGE: page(PAGE.read_text("utf-8")),
    }
    if "--check" in sys.argv:
        return int(any(not path.exists() or path.read_text("utf-8") != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
