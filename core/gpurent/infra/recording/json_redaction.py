"""Redacts JSON: by the names of fields, then by the form and the value of each text. Numbers keep their digits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from gpurent.infra.recording.placeholders import ValueKind
from gpurent.infra.recording.redact_text import MIN_ACCOUNT_LENGTH, TextRedaction
from gpurent.infra.recording.value_names import classify_name, describes_account

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z_ -]{0,39}|[A-Za-z_][A-Za-z0-9_]{0,23}")
_WHOLE_OBJECTS = (ValueKind.SECRET, ValueKind.CONTENT)
"""What a name says about everything in an object."""
_NAME_FIELDS, _VALUE_FIELDS = ("name", "key", "field", "variable"), ("value", "val")


@frozen
class NumberText:
    """A number as it is written, digit by digit."""

    text: str


def parse_json(text: str) -> Any:
    """Parse JSON with numbers as `NumberText`; raises ``ValueError``, also for what is nested too deep."""
    try:
        return json.loads(text, parse_float=NumberText, parse_int=NumberText, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(name: str) -> Any:
    raise ValueError(name)


def format_json(value: Any) -> str:
    """Write JSON again; raises ``ValueError`` for what is nested too deep."""
    try:
        return "".join(_iter_parts(value))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _iter_parts(value: Any) -> Iterator[str]:
    if isinstance(value, NumberText):
        yield value.text
    elif isinstance(value, dict):
        yield "{"
        for index, (name, item) in enumerate(value.items()):
            yield f"{', ' if index else ''}{json.dumps(name, ensure_ascii=False)}: "
            yield from _iter_parts(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _iter_parts(item)
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)


def _is_endpoint(value: dict[str, Any]) -> bool:
    """Whether it is the address of a machine: host, port and user."""
    return "port" in value and any(classify_name(name) is ValueKind.HOST for name in value)


@frozen
class JsonRedaction:
    """Redacts parsed JSON. What names give away is learned from the whole document before any text is replaced."""

    text: TextRedaction

    def redact(self, value: Any) -> Any:
        """Return the document redacted; raises ``ValueError`` for what is nested too deep."""
        try:
            self._walk(value, None)
            return self._walk(value, None)
        except RecursionError:
            raise ValueError("nested too deep") from None

    def _walk(self, value: Any, kind: ValueKind | None) -> Any:
        if isinstance(value, dict):
            return self._walk_object(value, kind)
        if isinstance(value, list):
            if kind is None and self._is_named_pair(value):
                return [self._walk(value[0], None), self._walk(value[1], classify_name(value[0]))]
            return [self._walk(item, kind) for item in value]
        if isinstance(value, str):
            return self._redact_string(value, kind)
        return self._redact_number(value, kind) if isinstance(value, NumberText) else value

    def _walk_object(self, value: dict[str, Any], kind: ValueKind | None) -> dict[str, Any]:
        is_account = kind is ValueKind.ACCOUNT or describes_account(list(value))
        is_endpoint = _is_endpoint(value)
        kind = kind if kind in _WHOLE_OBJECTS else None
        named = next((value[name] for name in _NAME_FIELDS if isinstance(value.get(name), str)), "")
        found = {}
        for name, item in value.items():
            of_name = classify_name(name)
            if of_name is ValueKind.SECRET and name == "key" and named == item and "value" in value:
                of_name = None  # {"key": NAME, "value": …}
            if is_endpoint and of_name is ValueKind.ACCOUNT:
                of_name = None  # a machine's user
            if is_account and name.lower() in ("id", "_id", "name"):
                of_name = ValueKind.ACCOUNT
            if name.lower() in _VALUE_FIELDS and named:
                of_name = of_name or classify_name(named)
            found[self._redact_name(name)] = self._walk(item, kind or of_name)
        return found

    def _is_named_pair(self, value: list[Any]) -> bool:
        """Whether it is ``["PASSWORD", "…"]``, as environments are written."""
        return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)

    def _redact_name(self, name: str) -> str:
        return self.text.replace_known(name) if _PLAIN_NAME.fullmatch(name) else self.text.redact(name)

    def _redact_string(self, value: str, kind: ValueKind | None) -> str:
        if kind is not None:
            return self.text.replace_value(kind, value)
        if value[:1] in ("{", "["):
            try:
                return format_json(self._walk(parse_json(value), None))
            except ValueError:
                pass
        return self.text.redact(value)

    def _redact_number(self, value: NumberText, kind: ValueKind | None) -> NumberText:
        if not value.text.isdecimal():
            return value
        is_account = kind is ValueKind.ACCOUNT or (
            len(value.text) >= MIN_ACCOUNT_LENGTH and self.text.is_account(value.text)
        )
        if is_account and kind is not ValueKind.SECRET:
            return NumberText(self.text.replace_value(ValueKind.ACCOUNT, value.text))
        if kind is ValueKind.SECRET:
            return NumberText(str(self.text.placeholders.get_number(kind, int(value.text))))
        return value
