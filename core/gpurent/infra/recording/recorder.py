"""Records what plugins and services say to each other. Whatever fails here, the plugin's request goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from attrs import define, field, frozen

from gpurent.infra.recording.exchange import FinishWatch, ReceivedAnswer, SentRequest
from gpurent.infra.recording.recording_file import RecordingFile
from gpurent.infra.recording.redact_exchange import ExchangeRedaction, RecordedEntry
from gpurent.infra.recording.redact_text import TextRedaction
from gpurent.infra.redact import Redactor
from gpurent.locale.foreign_text import describe_error

MAX_LINE_BYTES = 8 << 20
MAX_FILE_BYTES = 256 << 20
LOGIN_KIND = "auth"


@frozen(kw_only=True)
class RecordingSummary:
    """What was written.

    ``by_entry``: how many exchanges, by kind and name of the entry. ``replaced``: how many values, by their kind.
    ``failure``: why it ended early, or empty.
    """

    path: Path
    exchanges: int
    by_entry: Mapping[tuple[str, str], int]
    bodies_left_out: int
    replaced: Mapping[str, int]
    failure: str


@frozen
class _HeldExchange:
    entry: RecordedEntry
    sent: SentRequest
    answer: ReceivedAnswer | None
    at: datetime
    seconds: float


@define(eq=False)
class ExchangeRecorder:
    """Writes one file. The requests of a login are held in memory until it is known whose it is.

    The file is created by the first exchange, or by `open`. ``now``: the time of this computer.
    """

    path: Path
    version: str
    now: Callable[[], datetime]
    _redactions: dict[int, ExchangeRedaction] = field(factory=dict)
    _text: TextRedaction | None = None
    _file: RecordingFile | None = None
    _held: list[tuple[Redactor, _HeldExchange]] = field(factory=list)
    _by_entry: Counter[tuple[str, str]] = field(factory=Counter)
    _bytes: int = 0
    _left_out: int = 0
    _failure: str = ""

    def open(self) -> RecordingFile:
        """Create the file; raises `UsageError` if that is not possible."""
        if self._file is None:
            self._file = RecordingFile.create(self.path)
        return self._file

    def watch_request(self, redactor: Redactor, entry: RecordedEntry, sent: SentRequest) -> FinishWatch:
        """Begin an exchange of an application whose secrets ``redactor`` knows."""
        at, started = self.now(), time.monotonic()

        def finish(answer: ReceivedAnswer | None) -> None:
            seconds = time.monotonic() - started
            self._held.append((redactor, _HeldExchange(entry, sent, answer, at, seconds)))
            if entry.kind != LOGIN_KIND:
                self.flush()

        return finish

    def flush(self) -> None:
        """Write what is held; what cannot be written ends the recording, and nothing else."""
        held, self._held = self._held, []
        for redactor, exchange in held:
            if self._failure:
                return
            try:
                self._write(redactor, exchange)
            except Exception as error:  # noqa: BLE001 - a recording must never be the reason that a request fails
                self._failure = describe_error(error) if isinstance(error, OSError) else type(error).__name__

    def _write(self, redactor: Redactor, held: _HeldExchange) -> None:
        file = self.open()
        found = self._get_redaction(redactor).make_line(
            held.entry, held.sent, held.answer, held.at, held.seconds
        )
        line = _format_line(found)
        if len(line) > MAX_LINE_BYTES:
            for part in ("request", "response"):
                if found[part]:
                    found[part] |= {"body": "", "left_out": "it is too large"}
            line = _format_line(found)
        if self._bytes + len(line) > MAX_FILE_BYTES:
            raise OSError(f"more than {MAX_FILE_BYTES >> 20} MiB")
        file.append(line)
        self._bytes += len(line)
        self._left_out += sum(
            bool(found[part] and found[part]["left_out"]) for part in ("request", "response")
        )
        self._by_entry[held.entry.kind, held.entry.name] += 1

    def _get_redaction(self, redactor: Redactor) -> ExchangeRedaction:
        """Return the redaction with these known secrets; the placeholders are those of the whole file."""
        found = self._redactions.get(id(redactor))
        if found is None:
            first, text = self._text, TextRedaction(redactor)
            if first is not None:
                text = TextRedaction(redactor, first.placeholders, first.found)
            self._text = first or text
            found = self._redactions[id(redactor)] = ExchangeRedaction(text, self.version)
        return found

    def close(self) -> RecordingSummary:
        """Write what is held, close the file, and say what was written."""
        self.flush()
        if self._file is not None:
            self._file.close()
        return RecordingSummary(
            path=self.path,
            exchanges=self._by_entry.total(),
            by_entry=dict(self._by_entry),
            bodies_left_out=self._left_out,
            replaced=self._text.placeholders.counts if self._text is not None else {},
            failure=self._failure,
        )


def _format_line(found: Mapping[str, object]) -> bytes:
    return json.dumps(found, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
