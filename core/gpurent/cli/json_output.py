"""Domain values as the stable JSON of ``--json``: money in three forms, times as ISO in UTC, durations in seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import attrs

from gpurent.cli.output_encoding import is_utf8_output
from gpurent.domain.money import Currency, Money, UnitPrice
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError

# Incremented when a key of a document changes its name or meaning, but not for new keys.
VERSION = 1


def to_json_value(value: Any) -> Any:  # noqa: C901 - one case a kind of value reads best
    """Convert ``value`` for JSON. Raises `TypeError` for a secret, so that none is printed by accident."""
    match value:
        case None | bool() | int() | str():
            return value
        case Money():
            return {"amount": f"{value.decimal:f}", "minor": value.amount, "currency": value.currency.code}
        case Currency():
            return value.code
        case UnitPrice():
            price = {"value": value.value, "currency": value.currency, "per": value.per}
            return to_json_value(price) if value.is_known else None
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return value // timedelta(seconds=1)
        case Decimal():
            return f"{value:f}"
        case Enum():
            return value.value
        case Path():
            return str(value)
        case Secret():
            raise TypeError("a secret is never printed")
        case float():
            return round(value, 3)
        case Mapping():
            return {str(key): to_json_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json_value(item) for item in value]
    if attrs.has(type(value)):
        return {field.name: to_json_value(getattr(value, field.name)) for field in attrs.fields(type(value))}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def result_json(command: str, data: object) -> str:
    """Return the result of ``command`` in the envelope of every ``--json`` document."""
    return _envelope(command, ok=True, data=to_json_value(data))


def error_json(command: str, error: GpurentError) -> str:
    """Return ``error`` in the envelope; ``code`` is stable, ``message`` and ``hint`` are in the user's language."""
    body = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "spent": error.spent.value if error.spent is not None else None,
        "burning": list(error.burning),
        "retryable": error.retryable,
        "exit_code": error.exit_code,
    }
    return _envelope(command, ok=False, error=body)


def _envelope(command: str, *, ok: bool, **content: object) -> str:
    document = {"version": VERSION, "command": command, "ok": ok, **content}
    return escape_invisible(json.dumps(document, ensure_ascii=not is_utf8_output()))


def escape_invisible(text: str) -> str:
    """Return ``text`` with every character that a terminal does not show, or obeys, as JSON escapes it."""
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]
