"""What every command is given: the registry, the output options, and access to the application."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import define, evolve

from gpurent.cli.output import Page, print_log, write_document, write_line, write_page, write_text
from gpurent.composition import system
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.composition.recording import ExchangeRecorder
    from gpurent.composition.state import StoredState
    from gpurent.ports.terminal import Terminal

T = TypeVar("T")
CLOSED_PIPE_SIGNAL = 13  # SIGPIPE, which not every system has


@define(eq=False)
class CliContext:
    """``as_json``: print one JSON document on stdout and nothing else. ``yes``: answer yes to every confirmation.

    ``command``: the command that was called, such as ``sandbox status``; empty until that is known. ``has_shown``: its
    result was shown. ``recorder`` records what plugins and services say to each other.
    """

    registry: system.EntryPointRegistry
    command: str = ""
    as_json: bool = False
    yes: bool = False
    no_input: bool = False
    verbose: int = 0
    detached_text: str = ""
    has_shown: bool = False
    recorder: ExchangeRecorder | None = None

    def run(
        self,
        action: Callable[[Application], Awaitable[T]],
        terminal: Terminal | None = None,
        *,
        is_recorded: bool = True,
        is_raw: bool = False,
    ) -> T:
        """Run ``action`` on the application in a new event loop; ``terminal`` replaces the default one.

        ``is_raw``: a job's output is written as it is.

        With ``is_recorded`` false, work on what can be read of the state, and record nothing. Raises
        `gpurent.cli.failures.StopSignal` after a signal; if a trip stays open then, the user has been told.
        """
        from contextlib import closing

        from gpurent.cli.interrupts import StopRequests
        from gpurent.cli.terminal import UserTerminal
        from gpurent.composition.application import Application
        from gpurent.composition.state import DEFAULT_DEPENDENCIES, make_unrecorded

        stops = StopRequests()
        trips: list[str] = []
        if self.recorder is not None:
            self.recorder.open()  # before anything is spent

        async def act(terminal: Terminal) -> T:
            outside = DEFAULT_DEPENDENCIES if is_recorded else make_unrecorded()
            command = f"gpurent {self.command}".rstrip()
            outside = evolve(outside, command=command, recorder=self.recorder)
            application = Application(self.registry, system.data_folder(), os.environ, terminal, outside)
            try:
                await application.start()
                self._tell_plugin_changes()
                self._set_up_logging(application)
                return await action(application)
            finally:
                trips.extend(application.locks.locked_trips)
                await application.aclose()

        if terminal is not None:
            return stops.run(act(terminal))
        try:
            with closing(
                UserTerminal(
                    quiet=self.as_json,
                    yes=self.yes,
                    no_input=self.no_input,
                    is_raw=is_raw,
                    on_output_lost=lambda: stops.request_stop(CLOSED_PIPE_SIGNAL),
                )
            ) as usual:
                return stops.run(act(usual))
        except KeyboardInterrupt:
            self._tell_detached(trips[:1])
            raise

    def run_alone(self, action: Callable[[Terminal], Coroutine[Any, Any, T]]) -> T:
        """Run ``action`` with the user's terminal alone: without an application, whose state may be unreadable."""
        from contextlib import closing

        from gpurent.cli.interrupts import StopRequests
        from gpurent.cli.terminal import UserTerminal

        with closing(UserTerminal(quiet=self.as_json, yes=self.yes, no_input=self.no_input)) as terminal:
            return StopRequests().run(action(terminal))

    def _tell_detached(self, trips: Sequence[str]) -> None:
        """Say what runs and costs money of the trip that this command worked on, and how to go on with it."""
        from contextlib import suppress

        from gpurent.cli.views.detached import describe_detached
        from gpurent.errors import GpurentError

        with suppress(OSError, GpurentError):  # a terminal that is gone, a Store that cannot be read
            for trip in trips:
                text = self.read_state(partial(describe_detached, trip_id=trip))
                if text:
                    self.detached_text = text
                    write_text(f"\n{text}", err=True)

    def read_state(self, action: Callable[[StoredState], Coroutine[Any, Any, T]]) -> T:
        """Run ``action`` on the state on disk: without prompts, so no event loop is needed."""
        from gpurent.composition.state import StoredState
        from gpurent.workflow.runtime.lost_leases import format_lost_leases

        async def read(state: StoredState) -> T:
            await state.accounts.load()
            if lost := format_lost_leases(await state.lease_copier.list_lost_leases()):
                write_text(lost, colour="yellow", err=True)
            return await action(state)

        state = StoredState(self.registry, system.data_folder(), os.environ)
        self._tell_plugin_changes()
        try:
            return system.run_without_loop(read(state))
        finally:
            state.store.close()

    def _tell_plugin_changes(self) -> None:
        """Say which plugins have changed since the last command, or are new: once, and never in the document."""
        for text in system.take_plugin_changes(self.registry):
            write_line(_("Plugin {change}").format(change=text), colour="yellow", err=True)

    def _set_up_logging(self, application: Application) -> None:
        import logging

        levels = (logging.WARNING, logging.INFO, logging.DEBUG)
        print_log(application.redactor, levels[min(self.verbose, 2)])

    def show(self, data: object, text: str | Page | Callable[[], str | Page]) -> None:
        """Print ``data`` as the JSON document, or else ``text``. Of two functions, only the one needed is called."""
        if self.as_json:
            from gpurent.cli.json_output import result_json

            write_document(result_json(self.command, data() if callable(data) else data))
        else:
            write_page(text() if callable(text) else text)
        self.has_shown = True


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` to a command; same as the option before the command's name."""

    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_object(CliContext).as_json = True  # type: ignore[union-attr]

    about = _("Print one JSON document.")
    return click.option("--json", is_flag=True, expose_value=False, callback=note, help=about)(command)


wide_option = click.option(
    "--wide",
    "-w",
    is_flag=True,
    help=_("Show every column, with exact amounts, however wide the terminal is."),
)
