"""How a command ends that fails: as text or as one JSON document, always with what still costs money."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

from gpurent import __version__
from gpurent.cli.output import write_document, write_line, write_text
from gpurent.errors import GpurentError, InternalError, PluginError, Stopped, StorageError
from gpurent.locale import _
from gpurent.terminal_text import strip_to_line


def show_error(error: GpurentError, json_of: str | None) -> int:
    """Print the error as text, or as the JSON document of the command ``json_of``; return the exit code."""
    cause = error.__cause__
    is_foreign = isinstance(error, InternalError | PluginError) and cause is not None
    if is_foreign or isinstance(error, StorageError):
        _add_living_leases(error)
    if is_foreign and cause is not None:
        _add_report(error, cause)
    if json_of is not None:
        from gpurent.cli.json_output import error_json

        write_document(error_json(json_of, error))
        return error.exit_code
    # A terminal that is gone cannot be told anything.
    with suppress(OSError):
        _print_error(error)
    return error.exit_code


def show_exception(raised: Exception, json_of: str | None) -> int:
    """As `show_error`, for an exception that nobody foresaw."""
    from gpurent.workflow.runtime.unforeseen import to_gpurent_error

    return show_error(to_gpurent_error(raised), json_of)


def show_usage_error(error: click.ClickException) -> None:
    """Print an error of click's own, with the usage line."""
    from io import StringIO

    page = StringIO()
    error.show(file=page)
    write_text(page.getvalue(), err=True, nl=False)


class StopSignal(KeyboardInterrupt):
    """The signal ``number`` ended the command; SIGPIPE means that nobody reads its output any more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def get_exit_code(stop: BaseException) -> int:
    """Return the exit code of a command that ``stop`` ended, by the shell's convention. Click wraps what it catches."""
    found = stop if isinstance(stop, StopSignal) else stop.__cause__
    return 128 + (found.number if isinstance(found, StopSignal) else signal.SIGINT)


def show_stop(stop: BaseException, told: str, json_of: str | None) -> int:
    """Say that a signal stopped the command, unless the user was ``told`` what goes on; return the exit code."""
    code = get_exit_code(stop)
    with suppress(OSError):  # the terminal may be gone
        if json_of is not None:
            from gpurent.cli.json_output import error_json

            error = Stopped(_("Stopped."), hint=told, exit_code=code)
            _add_living_leases(error)
            write_document(error_json(json_of, error))
        elif not told:
            write_line(_("Stopped."), err=True)
    return code


def is_output_error(error: OSError) -> bool:
    """Return whether ``error`` came from writing to stdout or stderr."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "click.utils"


def _print_error(error: GpurentError) -> None:
    from gpurent.cli.views.render import format_spent

    write_line(_("Error: {message}").format(message=error.message), colour="red", err=True)
    if error.hint:
        write_text(error.hint, err=True)
    spent = format_spent(error)
    if spent:
        write_line(spent, err=True)
    for lease in error.burning:
        write_line(
            _("{lease} still costs money. Release it with: gpurent release {lease}").format(lease=lease),
            colour="yellow",
            err=True,
        )


def _add_living_leases(error: GpurentError) -> None:
    """Name the leases known to be alive: when this computer is the problem, nobody else will."""
    from gpurent.composition.system import list_living_leases, run_without_loop

    with suppress(Exception):  # the first error is what the user needs
        names = [name for name in run_without_loop(list_living_leases()) if name not in error.burning]
        error.burning = (*error.burning, *names)


def _add_report(error: GpurentError, cause: BaseException) -> None:
    """Write the traceback of ``cause`` to a file, without the values of any frame, and name it in the hint."""
    import traceback

    frames = "".join(traceback.format_tb(cause.__traceback__))
    text = f"gpurent {__version__}, Python {sys.version}\n{frames}{strip_to_line(type(cause).__name__)}\n"
    path = _write_report(text)
    if path is not None:
        from gpurent.workflow.runtime.unforeseen import add_hint

        add_hint(error, _("The report is in {path}").format(path=path))


def _write_report(text: str) -> Path | None:
    """Return the new file; None if none can be written anywhere."""
    import tempfile

    from gpurent.composition.system import data_folder

    for folder in (data_folder() / "logs", None):
        with suppress(OSError):
            if folder is not None:
                folder.mkdir(mode=0o700, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="gpurent-crash-", suffix=".txt", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            return Path(name)
    return None
