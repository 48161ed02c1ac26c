"""Writes the JSON Schema of gpurent.toml from the model: ``python scripts/schema.py``; ``--check`` only compares."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpurent.domain.project import FILE, Key, Kind, keys, tables
from gpurent.locale.spans import UNITS

PATH = Path(__file__).parents[1] / "core" / "gpurent" / "data" / "gpurent.schema.json"
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


def _kind(key: Key) -> dict[str, Any]:
    filled = {"enum": list(key.choices)} if key.choices else dict(FILLED)
    shapes: dict[Kind, dict[str, Any]] = {
        Kind.TEXT: {"enum": list(key.choices)} if key.choices else dict(TEXT),
        Kind.WORDS: {"anyOf": [dict(FILLED), _listed(TEXT, 1)]},
        Kind.TEXTS: _listed(filled),
        Kind.PATH: dict(BELOW),
        Kind.PATHS: _listed(BELOW),
        Kind.PACKAGES: {
            "anyOf": [dict(BELOW), _listed({"type": "string", "pattern": r"^(?!-)(?=.*\S)[^\n]*$"})]
        },
        Kind.SPAN: {"type": "string", "pattern": _span()},
        Kind.MOMENT: {"type": "string", "pattern": rf"{_span()}|^\s*\d{{4}}-?(\d|W)"},
        Kind.MONEY: {
            "type": "string",
            "pattern": r"^\s*([¥￥$]\s*\d{1,12}(\.\d{1,18})?|\d{1,12}(\.\d{1,18})?\s*([A-Za-z]{3,5}|元))\s*$",
        },
        Kind.NUMBER: {"type": "integer", "minimum": key.least, "maximum": MOST},
        Kind.PERCENT: {"type": "integer", "minimum": 0, "maximum": 100},
        Kind.FLAG: {"type": "boolean"},
    }
    return shapes[key.kind]


def _property(key: Key) -> dict[str, Any]:
    example = tomllib.loads(f"value = {key.example}")["value"]
    return {"description": key.about, **_kind(key), "examples": [example]}


def _object(known: Mapping[str, Key], inner: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(key) for name, key in known.items()} | dict(inner or {}),
    }


def schema() -> dict[str, Any]:
    inner = {name: {"description": about, **_object(keys(kind))} for name, (about, kind) in tables().items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        "description": "What `gpurent run` does in a folder",
        **_object(keys(), inner),
    }


def main() -> int:
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        return int(not PATH.exists() or PATH.read_text("utf-8") != text)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
