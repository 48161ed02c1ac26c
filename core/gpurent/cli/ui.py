"""The terminal as the workflow sees it: events to stderr, the job's own output to stdout."""

from __future__ import annotations

import signal
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gpurent.domain.events import Event, EventKind
from gpurent.locale import N_, _

if TYPE_CHECKING:
    from gpurent.roles.transfer import Progress

STEPS = {
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
_TRANSFERS = ("needs", "push", "pull")
_COLOURS = {
    EventKind.WARNING: "yellow",
    EventKind.TIME_LOW: "yellow",
    EventKind.LINE_LOST: "yellow",
    EventKind.BY_HAND: "cyan",
}


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the question at once; the event loop would only note it, and the terminal wait on."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except click.Abort as stop:
        # click makes one of the end of the input and of Ctrl-C; only the latter leaves.
        if isinstance(stop.__context__, EOFError):
            raise EOFError from None
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


class TerminalUi:
    """Implements `gpurent.workflow.runtime.ui.Ui`. ``quiet``: stdout belongs to a JSON document."""

    def __init__(self, *, quiet: bool = False, yes: bool = False, no_input: bool = False) -> None:
        self._quiet = quiet
        self._yes = yes
        self.interactive = not no_input and sys.stdin.isatty()
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._last = ""
        self._progress: Any = None

    def close(self) -> None:
        self._end_progress()

    def _say(self, text: str, colour: str | None = None) -> None:
        if text != self._last:
            self._last = text
            click.secho(text, fg=colour, err=True)

    def notify(self, event: Event) -> None:
        match event.kind:
            case EventKind.STEP_BEGUN:
                # A setup may begin beside the upload: its bar goes on below whatever is said.
                if not event.step.endswith(".setup"):
                    self._end_progress()
                name = event.step if event.step in STEPS else event.step.rpartition(".")[2]
                self._say(f"· {_(STEPS.get(name, name))}{_leg(event.step)}", "blue")
            case EventKind.STEP_DONE if event.step.rpartition(".")[2] in _TRANSFERS:
                self._end_progress()
            case EventKind.PROGRESS:
                # A transfer came to its end, or another one takes over.
                self._end_progress()
            case EventKind.STEP_DONE | EventKind.JOB_OUTPUT:
                return
            case EventKind.RELEASED | EventKind.FAILED:
                # That a lease ended is told by its change, the error at the end.
                return
            case EventKind.LEASE_CHANGED:
                from gpurent.cli.views.render import STATES

                state = _(STATES[str(event.data["state"])])
                note = f" - {event.text}" if event.text not in ("", state) else ""
                self._say(f"  {event.lease}: {state}{note}")
            case _:
                from gpurent.domain.terminal_text import strip_terminal

                if event.text:
                    self._say(f"  {strip_terminal(event.text)}", _COLOURS.get(event.kind))

    def confirm(self, question: str) -> bool:
        if self._yes:
            return True
        if not self.interactive:
            return False
        try:
            with _interruptible():
                return click.confirm(question, err=True)
        except EOFError:
            return False

    def ask(self, label: str, secret: bool = False) -> str | None:
        if not self.interactive:
            return None
        try:
            with _interruptible():
                answer: str = click.prompt(label, hide_input=secret, err=True, default="", show_default=False)
        except EOFError:
            return None
        return answer or None

    def output(self, data: bytes) -> None:
        from gpurent.domain.terminal_text import strip_terminal

        click.echo(strip_terminal(self._decoder.decode(data)), nl=False, err=self._quiet)

    def progress(self, title: str) -> Progress:
        from gpurent.cli.progress import Bars

        self._end_progress()
        self._progress = Bars(title)
        made: Progress = self._progress
        return made

    def _end_progress(self) -> None:
        bars, self._progress = self._progress, None
        if bars is not None:
            bars.close()


def _leg(step: str) -> str:
    """On which machine of the trip, from the second on; people count from one."""
    leg = step.partition(".")[0]
    if not leg.removeprefix("leg").isdecimal() or leg == "leg0":
        return ""
    return " " + _("(leg {number})").format(number=int(leg.removeprefix("leg")) + 1)
