"""The part of GraphQL's language that RunPod's clients use: one operation, arguments as literals, no fragments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import define, frozen

_TOKEN = re.compile(
    r'(?P<space>[\s,]+|\#[^\n]*)|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)'
    r"|(?P<name>[A-Za-z_]\w*)|(?P<mark>[{}()\[\]:])",
    re.ASCII,
)
MAX_DEPTH, MAX_TOKENS = 12, 20_000
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class QueryError(Exception):
    """A query that GraphQL refuses; its text is the error's message."""


@frozen
class Selection:
    """A field with its arguments, and what is wanted of its value."""

    name: str
    arguments: Mapping[str, Any]
    fields: tuple[Selection, ...]


def parse_query(text: str) -> tuple[str, tuple[Selection, ...]]:
    """Return the kind of the operation, ``query`` or ``mutation``, and what it selects. Raises `QueryError`."""
    reader = _Reader(_split(text))
    kind = "query"
    if reader.peek() in (("name", "query"), ("name", "mutation")):
        kind = reader.take()[1]
        if reader.peek()[0] == "name":
            reader.take()
    found = reader.read_selections(0)
    if reader.peek()[0] != "end":
        raise QueryError("Syntax Error: one operation expected")
    return kind, found


def project(value: Any, fields: Sequence[Selection], kind: str) -> Any:
    """Return of a value what is wanted. Raises `QueryError` for a field that its type does not have."""
    if not fields or value is None:
        return value
    if isinstance(value, list):
        return [project(item, fields, kind) for item in value]
    if not isinstance(value, Mapping):
        raise QueryError(f'Field of type "{kind}" must not have a selection.')
    missing = next((field.name for field in fields if field.name not in value), None)
    if missing is not None:
        raise QueryError(f'Cannot query field "{missing}" on type "{kind}".')
    found = {}
    for field in fields:
        inner = value[field.name]
        inner = inner(field.arguments) if callable(inner) else inner
        found[field.name] = project(inner, field.fields, field.name)
    return found


def _split(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or len(tokens) > MAX_TOKENS:
            raise QueryError(f"Syntax Error: unexpected character at {place}")
        if match.lastgroup != "space":
            tokens.append((str(match.lastgroup), match[0]))
        place = match.end()
    return tokens


@define
class _Reader:
    tokens: list[tuple[str, str]]
    place: int = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        found = self.peek()
        self.place += 1
        return found

    def expect(self, mark: str) -> None:
        if self.take()[1] != mark:
            raise QueryError(f"Syntax Error: expected {mark!r}")

    def read_selections(self, depth: int) -> tuple[Selection, ...]:
        if depth > MAX_DEPTH:
            raise QueryError("Syntax Error: too deep")
        self.expect("{")
        found = []
        while self.peek()[1] != "}":
            kind, name = self.take()
            if kind != "name":
                raise QueryError("Syntax Error: expected a name")
            arguments = self._read_arguments(depth) if self.peek()[1] == "(" else {}
            fields = self.read_selections(depth + 1) if self.peek()[1] == "{" else ()
            found.append(Selection(name, arguments, fields))
        self.expect("}")
        return tuple(found)

    def _read_arguments(self, depth: int) -> Mapping[str, Any]:
        self.expect("(")
        return self._read_pairs(")", depth)

    def _read_pairs(self, end: str, depth: int) -> dict[str, Any]:
        found = {}
        while self.peek()[1] != end:
            kind, name = self.take()
            if kind != "name":
                raise QueryError("Syntax Error: expected a name")
            self.expect(":")
            found[name] = self._read_value(depth + 1)
        self.expect(end)
        return found

    def _read_value(self, depth: int) -> Any:
        kind, text = self.take()
        if depth > MAX_DEPTH or kind == "end":
            raise QueryError("Syntax Error: expected a value")
        if text == "{" and kind == "mark":
            return self._read_pairs("}", depth)
        if text == "[" and kind == "mark":
            items = []
            while self.peek()[1] != "]":
                items.append(self._read_value(depth + 1))
            self.expect("]")
            return items
        if kind == "text":
            try:
                return json.loads(text)
            except ValueError:
                raise QueryError("Syntax Error: a text with a wrong escape") from None
        if kind == "number":
            return Decimal(text) if "." in text else int(text)
        if kind == "name":
            return _CONSTANTS.get(text, text)
        raise QueryError(f"Syntax Error: unexpected {text!r}")
