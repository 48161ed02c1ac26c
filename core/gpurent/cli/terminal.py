"""The terminal as the workflow sees it: events to stderr, the job's own output to stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click

from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.domain.terminal_text import strip_terminal
from gpurent.locale import N_, _
from gpurent.ports.terminal import Progress

STEP_TITLES = {
    "login": N_("logging in"),
    "bind.request": N_("binding your e-mail address"),
    "bind": N_("confirming your e-mail address"),
    "choose": N_("picking a provider"),
    "select": N_("picking a machine"),
    "by-hand": N_("taking over a machine"),
    "plan": N_("planning"),
    "fund": N_("checking the money"),
    "reserve": N_("ordering"),
    "confirm": N_("confirming"),
    "ready": N_("waiting for the machine"),
    "connect": N_("connecting"),
    "doctor": N_("examining the machine"),
    "needs": N_("uploading what the setup needs"),
    "push": N_("uploading"),
    "setup": N_("making the machine ready"),
    "launch": N_("starting the job"),
    "monitor": N_("the job runs"),
    "pull": N_("bringing the results home"),
    "release": N_("giving the machine back"),
    "receipt": N_("settling the account"),
}
_YES_ANSWERS = ("y", "yes", "是", "好")
_NO_ANSWERS = ("", "n", "no", "否")
_TRANSFER_STEPS = ("needs", "push", "pull")
_EVENT_COLOURS = {
    EventKind.WARNING: "yellow",
    EventKind.TIME_LOW: "yellow",
    EventKind.CONNECTION_LOST: "yellow",
    EventKind.MANUAL_TASK: "cyan",
}


class UserTerminal:
    """Implements `gpurent.ports.terminal.Terminal`. ``quiet``: stdout belongs to a JSON document.

    ``yes``: the answer to every confirmation. ``no_input``: nobody is asked.
    """

    def __init__(self, *, quiet: bool = False, yes: bool = False, no_input: bool = False) -> None:
        self._quiet = quiet
        self._yes = yes
        self.is_interactive = not no_input and sys.stdin.isatty()
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._last_line = ""
        self._progress: Any = None

    def close(self) -> None:
        self._end_progress()

    def _print_line(self, text: str, colour: str | None = None) -> None:
        if text != self._last_line:
            self._last_line = text
            click.secho(text, fg=colour, err=True)

    def show_event(self, event: Event) -> None:
        match event.kind:
            case EventKind.STEP_BEGUN:
                # A setup may begin beside the upload: its bar goes on below whatever is said.
                if not event.step.endswith(".setup"):
                    self._end_progress()
                name = event.step if event.step in STEP_TITLES else event.step.rpartition(".")[2]
                self._print_line(f"· {_(STEP_TITLES.get(name, name))}{_format_leg(event.step)}", "blue")
            case EventKind.STEP_DONE if event.step.rpartition(".")[2] in _TRANSFER_STEPS:
                self._end_progress()
            case EventKind.PROGRESS:
                # A transfer came to its end, or another one takes over.
                self._end_progress()
            case EventKind.STEP_DONE | EventKind.JOB_OUTPUT | EventKind.RELEASED | EventKind.FAILED:
                # That a lease ended is told by its change, the error at the end.
                return
            case EventKind.LEASE_CHANGED:
                from gpurent.cli.views.render import STATE_TITLES

                state = _(STATE_TITLES[str(event.data["state"])])
                note = f" - {event.text}" if event.text not in ("", state) else ""
                self._print_line(f"  {event.lease}: {state}{note}")
            case _:
                if event.text:
                    self._print_line(f"  {strip_terminal(event.text)}", _EVENT_COLOURS.get(event.kind))

    async def confirm(self, question: Question) -> bool:
        if self._yes:
            return True
        if not self.is_interactive:
            return False
        while True:
            answer = await self._read_line(f"{question.text} [y/N]: ")
            if answer is None or answer.strip().lower() in _NO_ANSWERS:
                return False
            if answer.strip().lower() in _YES_ANSWERS:
                return True

    async def ask_question(self, question: Question) -> str | None:
        if not self.is_interactive:
            return None
        return await self._read_line(f"{question.text}: ", secret=question.secret) or None

    async def _read_line(self, prompt: str, *, secret: bool = False) -> str | None:
        self._end_progress()
        click.echo(prompt, nl=False, err=True)
        return await read_line(secret=secret)

    def show_output(self, data: bytes) -> None:
        click.echo(strip_terminal(self._decoder.decode(data)), nl=False, err=self._quiet)

    def start_progress(self, title: str) -> Progress:
        from gpurent.cli.progress import ConsoleProgress

        self._end_progress()
        self._progress = bars = ConsoleProgress(title)
        return bars

    def _end_progress(self) -> None:
        bars, self._progress = self._progress, None
        if bars is not None:
            bars.close()


def _format_leg(step: str) -> str:
    """On which machine of the trip, from the second on; people count from one."""
    leg = step.partition(".")[0]
    if not leg.removeprefix("leg").isdecimal() or leg == "leg0":
        return ""
    return " " + _("(leg {number})").format(number=int(leg.removeprefix("leg")) + 1)


class HiddenProgress:
    """A transfer that nobody watches."""

    def set_total(self, files: int, size: int) -> None:
        pass

    def advance(self, size: int, name: str = "") -> None:
        pass

    def finish_file(self, name: str) -> None:
        pass


class QuietTerminal(UserTerminal):
    """Confirms nothing: what would need a yes is not done."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, no_input=True)

    def show_event(self, event: Event) -> None:
        """A payment page also as a code to scan, where a person may see it."""
        super().show_event(event)
        code = str(event.data.get("qr", ""))
        if event.kind is EventKind.TOP_UP and code and sys.stderr.isatty():
            from gpurent.cli.output_encoding import is_utf8_output
            from gpurent.cli.views.qr import format_qr

            if is_utf8_output():
                click.echo(format_qr(code), err=True)

    def show_output(self, data: bytes) -> None:
        pass

    def start_progress(self, title: str) -> Progress:
        return HiddenProgress()


MAX_LINE_SIZE = 64 * 1024


async def read_line(*, secret: bool = False) -> str | None:
    """One line without its end; None at the end of the input. ``secret``: not shown while it is typed."""
    handle = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bytes] = loop.create_future()
    buffer = bytearray()

    def read() -> None:
        chunk = os.read(handle, MAX_LINE_SIZE)
        buffer.extend(chunk)
        if not found.done() and (not chunk or b"\n" in chunk or len(buffer) > MAX_LINE_SIZE):
            found.set_result(bytes(buffer))

    with _disable_echo(handle) if secret else nullcontext():
        loop.add_reader(handle, read)
        try:
            data = await found
        finally:
            loop.remove_reader(handle)
    if not data:
        return None
    return data.decode(sys.stdin.encoding or "utf-8", "replace").split("\n")[0].rstrip("\r")


@contextmanager
def _disable_echo(handle: int) -> Iterator[None]:
    """Without echo; the line's end is printed afterwards, since it was not echoed either."""
    import termios

    before = termios.tcgetattr(handle)
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(handle, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")
        sys.stderr.flush()
