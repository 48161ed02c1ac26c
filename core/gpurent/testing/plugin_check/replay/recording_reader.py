"""Reads a recording as what it is: a file of a stranger."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import field, frozen

from gpurent.errors import UsageError
from gpurent.infra.recording.recorder import MAX_FILE_BYTES, MAX_LINE_BYTES
from gpurent.infra.recording.redact_exchange import FORMAT
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.terminal_text import ForeignText

MAX_LINES = 20_000
MAX_NAME = 200
MAX_PATH = 4000
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@frozen(kw_only=True)
class RecordedExchange:
    """One line. ``status`` 0: no answer was recorded; ``left_out``: why its body is missing, or empty."""

    line: int
    kind: str = field(converter=ForeignText)
    name: str = field(converter=ForeignText)
    setting: str = field(converter=ForeignText)
    distribution: str = field(converter=ForeignText)
    version: str = field(converter=ForeignText)
    gpurent: str = field(converter=ForeignText)
    service: str = field(converter=ForeignText)
    at: datetime
    method: str
    path: str
    route: str = field(converter=ForeignText)
    query: dict[str, str] = field(repr=False)
    request_body: str = field(repr=False)
    status: int
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: str = field(repr=False)
    left_out: str = field(converter=ForeignText)

    @property
    def can_be_served(self) -> bool:
        return self.status > 0 and not self.left_out


def read_recording(path: Path) -> list[RecordedExchange]:
    """Read a file; raises `UsageError` for one that is no recording. A last line that was cut short is ignored."""
    return parse_recording(_read_bytes(path), f"{path}")


def _read_bytes(path: Path) -> bytes:
    try:
        # O_NONBLOCK: a pipe in its place must not block us.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(_("{path} is not a regular file").format(path=path))
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=describe_error(error))
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(_("{path} is larger than {most} MiB").format(path=path, most=MAX_FILE_BYTES >> 20))
    return data


def parse_recording(data: bytes, name: str) -> list[RecordedExchange]:
    """Parse the lines of a recording; ``name`` is the file's, for errors."""
    lines = data.split(b"\n", MAX_LINES + 1)
    if len(lines) > MAX_LINES + 1:
        raise UsageError(_("{path} has more than {most} lines").format(path=name, most=MAX_LINES))
    *complete, _cut_short = lines
    found = []
    for number, line in enumerate(complete, 1):
        try:
            found.append(_parse_line(line, number))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UsageError(
                _("line {number} of {path} is no line of a recording").format(number=number, path=name)
            ) from None
    if not found:
        raise UsageError(_("{path} holds no exchange").format(path=name))
    return found


def _parse_line(line: bytes, number: int) -> RecordedExchange:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError
    row = json.loads(line)
    if row["format"] != FORMAT:
        raise ValueError
    entry, plugin, request, response = row["entry"], row["plugin"], row["request"], row["response"]
    at = datetime.fromisoformat(_text(row["at"]))
    method, path = _text(row["method"]), _text(row["path"], MAX_PATH)
    if (
        method not in _METHODS
        or at.tzinfo is None
        or (path and not path.startswith("/"))
        or not path.isprintable()
    ):
        raise ValueError
    answer: Any = {"status": 0, "headers": [], "body": "", "left_out": ""} if response is None else response
    status = answer["status"]
    if type(status) is not int or not (status == 0 or 100 <= status <= 599):
        raise ValueError
    return RecordedExchange(
        line=number,
        kind=_text(entry["kind"]),
        name=_text(entry["name"]),
        setting=_text(entry["setting"]),
        distribution=_text(plugin["distribution"]),
        version=_text(plugin["version"]),
        gpurent=_text(row["gpurent"]),
        service=_text(row["service"]),
        at=at.astimezone(UTC),
        method=method,
        path=path,
        route=_text(row["route"], MAX_PATH),
        query={_text(key): _text(value, MAX_LINE_BYTES) for key, value in row["query"].items()},
        request_body=_text(request["body"], MAX_LINE_BYTES),
        status=status,
        headers=[_parse_header(pair) for pair in answer["headers"]],
        body=_text(answer["body"], MAX_LINE_BYTES),
        left_out=_text(answer["left_out"]),
    )


def _text(value: Any, longest: int = MAX_NAME) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError
    return value


def _parse_header(pair: Any) -> tuple[str, str]:
    name, value = pair
    found = _text(name), _text(value, MAX_PATH)
    if not found[0].isascii() or not found[0].replace("-", "").isalnum() or not f"x{found[1]}".isprintable():
        raise ValueError
    return found
