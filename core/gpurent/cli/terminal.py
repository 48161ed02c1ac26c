"""The user's terminal for the workflow: events go to stderr, the job's own output to stdout."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

from gpurent.cli.output import write_line, write_page, write_raw, write_states, write_text
from gpurent.cli.stream_stripper import StreamStripper
from gpurent.cli.views.step_titles import STEP_TITLES
from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.locale import _, join_phrases
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.terminal import Progress
from gpurent.terminal_text import strip_to_line

_YES_ANSWERS = ("y", "yes", "是", "好")
_NO_ANSWERS = ("", "n", "no", "否")
_TRANSFER_STEPS = ("upload-setup", "upload", "download")
_EVENT_COLOURS = {
    EventKind.WARNING: "yellow",
    EventKind.TIME_LOW: "yellow",
    EventKind.CONNECTION_LOST: "yellow",
    EventKind.MANUAL_TASK: "cyan",
}


class UserTerminal:
    """Implements `gpurent.ports.terminal.Terminal`. ``quiet``: stdout is reserved for a JSON document.

    ``yes``: the answer to every confirmation is yes. ``no_input``: never prompt. ``is_raw``: a job's output is written
    as it is. ``on_output_lost`` is called when nobody reads the output any more: a closed pipe, a closed terminal. What
    cannot be shown never raises an error.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        yes: bool = False,
        no_input: bool = False,
        is_raw: bool = False,
        on_output_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._quiet, self._is_raw = quiet, is_raw
        self._on_output_lost = on_output_lost
        self._lost_streams: set[int] = set()
        self._yes = yes
        self.is_interactive = not no_input and sys.stdin.isatty()
        self.can_confirm = yes or self.is_interactive
        is_terminal = sys.stderr.isatty() if quiet else sys.stdout.isatty()
        self._job_output = StreamStripper(in_place=is_terminal and os.environ.get("TERM") != "dumb")
        self._last_line = ""
        self._progress: Any = None

    def close(self) -> None:
        self._end_progress()
        self._write_output(self._job_output.finish())

    def _print_line(self, text: str, colour: str | None = None) -> None:
        if text != self._last_line:
            self._last_line = text
            self._write_output(self._job_output.break_line())
            self._write(text, colour=colour)

    def _write(self, text: str, *, colour: str | None = None, nl: bool = True) -> None:
        self._try_to_write(2, partial(write_text, text, colour=colour, nl=nl, err=True))

    def _write_output(self, parts: Sequence[str]) -> None:
        if not any(parts):
            return
        self._try_to_write(2 if self._quiet else 1, partial(write_states, parts, err=self._quiet))

    def _try_to_write(self, handle: int, write: Callable[[], None]) -> None:
        if handle in self._lost_streams:
            return
        try:
            with nullcontext() if self._progress is None else self._progress.pause():
                write()
        except OSError as error:
            self._lost_streams.add(handle)
            _discard_stream(handle)
            if error.errno in (errno.EPIPE, errno.EIO):
                self._on_output_lost()
            else:
                why = describe_error(error)
                self._write(_("The output cannot be written, and is left out: {why}").format(why=why))

    def show_event(self, event: Event) -> None:
        match event.kind:
            case EventKind.STEP_STARTED:
                # A setup may start during the upload, whose progress bar then continues below the message.
                if not event.step.endswith(".setup"):
                    self._end_progress()
                name = event.step if event.step in STEP_TITLES else event.step.rpartition(".")[2]
                title = join_phrases(_(STEP_TITLES.get(name, name)), _format_leg(event.step))
                self._print_line(f"· {title}", "blue")
            case EventKind.STEP_DONE if event.step.rpartition(".")[2] in _TRANSFER_STEPS:
                self._end_progress()
            case EventKind.PROGRESS:
                # A transfer has ended, or another one takes over.
                self._end_progress()
            case EventKind.STEP_DONE | EventKind.JOB_OUTPUT | EventKind.RELEASED | EventKind.FAILED:
                # The end of a lease is shown by LEASE_CHANGED, an error by the command's end.
                return
            case EventKind.LEASE_CHANGED:
                from gpurent.domain.lease import LeaseState

                state = event.data.get("title") or LeaseState(event.data["state"]).title
                if event.text not in ("", state):
                    state = _("{state} ({note})").format(state=state, note=event.text)
                text = _("{lease}: {state}").format(lease=event.lease, state=state)
                self._print_line(f"  {text}")
            case _:
                if event.text:
                    self._print_line(f"  {strip_to_line(event.text)}", _EVENT_COLOURS.get(event.kind))

    async def confirm(self, question: Question) -> bool:
        if not (self.is_interactive if question.needs_person else self.can_confirm):
            return False
        self._show_details(question)
        if self._yes and not question.needs_person:
            return True
        while True:
            answer = await self._read_line(_("{question} [y/N]: ").format(question=question.text))
            if answer is None or answer.strip().lower() in _NO_ANSWERS:
                return False
            if answer.strip().lower() in _YES_ANSWERS:
                return True

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        if not self.can_confirm:
            return None
        self._show_details(question)
        if self._yes:
            return next(iter(choices))
        for word, meaning in choices.items():
            write_line(f"{word}: {meaning}", indent=2, err=True)
        while True:
            answer = await self._read_line(
                _("{question} (one of these words; Enter: do nothing): ").format(question=question.text)
            )
            given = (answer or "").strip().lower()
            if given in _NO_ANSWERS:
                return None
            found = [word for word in choices if word.startswith(given)]
            if len(found) == 1:
                return found[0]

    def _show_details(self, question: Question) -> None:
        self._end_progress()
        for line in question.details:
            write_line(line, indent=2, err=True)

    async def ask_question(self, question: Question) -> str | None:
        if not self.is_interactive:
            return None
        prompt = _("{question}: ").format(question=question.text)
        return await self._read_line(prompt, secret=question.secret) or None

    async def _read_line(self, prompt: str, *, secret: bool = False) -> str | None:
        self._end_progress()
        self._write(prompt, nl=False)
        return await read_line(secret=secret)

    def show_output(self, data: bytes) -> None:
        if self._is_raw:
            self._try_to_write(1, partial(write_raw, data))
        else:
            self._write_output(self._job_output.feed(data))

    def start_progress(self, title: str) -> Progress:
        from gpurent.cli.progress import ConsoleProgress

        self._end_progress()
        self._progress = bars = ConsoleProgress(title)
        return bars

    def _end_progress(self) -> None:
        bars, self._progress = self._progress, None
        if bars is not None:
            with suppress(OSError):
                bars.close()


def _discard_stream(handle: int) -> None:
    """Let what is still in the stream's buffer go nowhere: it would raise again when the interpreter exits."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


def _format_leg(step: str) -> str:
    """Return the leg's number from the second leg on, counted from one; empty for the first."""
    leg = step.partition(".")[0]
    if not leg.removeprefix("leg").isdecimal() or leg == "leg0":
        return ""
    return _("(leg {number})").format(number=int(leg.removeprefix("leg")) + 1)


class HiddenProgress:
    """Progress of a transfer that is not shown."""

    def set_total(self, files: int, size: int) -> None:
        pass

    def advance(self, size: int, name: str = "") -> None:
        pass

    def finish_file(self, name: str) -> None:
        pass


class QuietTerminal(UserTerminal):
    """A terminal that asks nothing: whatever needs a yes is only done with ``yes``."""

    def __init__(self, *, quiet: bool = False, yes: bool = False) -> None:
        super().__init__(quiet=quiet, yes=yes, no_input=True)

    def show_event(self, event: Event) -> None:
        """Show the event, and a payment page also as a QR code if stderr is a terminal."""
        super().show_event(event)
        code = str(event.data.get("qr", ""))
        if event.kind is EventKind.TOP_UP and code and sys.stderr.isatty():
            from gpurent.cli.output_encoding import is_utf8_output
            from gpurent.cli.views.qr import format_qr

            if is_utf8_output():
                write_page(format_qr(code), err=True)

    def show_output(self, data: bytes) -> None:
        pass

    def start_progress(self, title: str) -> Progress:
        return HiddenProgress()


class ManyTripsTerminal(QuietTerminal):
    """For several trips at once: shows only what needs attention, with the trip that it is about."""

    def show_event(self, event: Event) -> None:
        if event.kind in _EVENT_COLOURS and event.text:
            name = event.trip or event.lease
            text = strip_to_line(event.text)
            self._print_line(f"  {name}: {text}" if name else f"  {text}", _EVENT_COLOURS[event.kind])


MAX_LINE_SIZE = 64 * 1024


async def read_line(*, secret: bool = False) -> str | None:
    """Read a line without its newline; None at the end of the input. ``secret``: not echoed while it is typed."""
    from gpurent.composition.terminal import hide_input, read_input

    file, found = sys.stdin.fileno(), bytearray()
    try:
        with hide_input(file) if secret else nullcontext():
            while b"\n" not in found and len(found) <= MAX_LINE_SIZE:
                chunk = await read_input(file, MAX_LINE_SIZE)
                if not chunk:
                    break
                found += chunk
    finally:
        if secret:
            write_line(err=True)  # the user's newline was not echoed either
    if not found:
        return None
    return found.decode(sys.stdin.encoding or "utf-8", "replace").split("\n")[0].rstrip("\r")
