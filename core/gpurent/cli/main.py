"""``gpurent``: global options, and errors that say what happened, what was spent, and what to do now."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING

import click

from gpurent import __version__
from gpurent.cli.app import App, wants_json
from gpurent.cli.lazy import LazyGroup
from gpurent.locale import N_, _, choose

if TYPE_CHECKING:
    from gpurent.errors import GpurentError

SPENT = {
    "no": N_("Nothing was charged."),
    "yes": N_("Money was spent; see: gpurent receipts"),
    "unknown": N_("Whether money was spent is not known; look at the account: gpurent balance"),
}


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
@click.option("--lang", metavar="LANG", help="en or zh; else GPURENT_LANG, LANG.")
@click.option("--home", metavar="FOLDER", help="Where gpurent keeps its state; else GPURENT_HOME.")
@click.option("-y", "--yes", is_flag=True, help="Say yes to every question but passwords.")
@click.option("--no-input", is_flag=True, help="Never ask; fail with what is missing.")
@click.option("-v", "--verbose", count=True, help="Log to stderr; twice for more.")
@click.version_option(__version__, prog_name="gpurent")
@click.pass_context
def cli(
    ctx: click.Context,
    as_json: bool,
    lang: str | None,
    home: str | None,
    yes: bool,
    no_input: bool,
    verbose: int,
) -> None:
    """Rent GPU servers by the hour, run jobs that nothing but the server's end can stop, account for every cent."""
    if lang:
        choose(lang)
    if home:
        os.environ["GPURENT_HOME"] = home
    group = ctx.command
    if not isinstance(group, LazyGroup):
        raise TypeError("the main group is lazy")
    ctx.obj = App(registry=group.registry, as_json=as_json, yes=yes, no_input=no_input, verbose=verbose)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """The entry point; exits with the error's code."""
    _spare_the_collector()
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(given))


def _spare_the_collector() -> None:
    """A start makes many objects and no rubbish, and an end frees them all anyway: a tenth of ``gpurent --help``."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def _run(given: list[str]) -> int:
    from gpurent.errors import GpurentError, UsageError

    _early_language(given)
    as_json = wants_json(given)
    try:
        code = cli.main(given, prog_name="gpurent", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GpurentError as error:
        return _tell(error, as_json)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if as_json:
            return _tell(UsageError(error.format_message()), as_json)
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(_("Stopped."), err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except Exception as error:  # noqa: BLE001 - the last net: the user gets a line, the report goes to a file
        return _crashed(error)


def _early_language(given: list[str]) -> None:
    """Help is printed before options are handled, so the language is looked for first."""
    for index, text in enumerate(given):
        if text == "--":
            return
        if text == "--lang" and index + 1 < len(given):
            choose(given[index + 1])
        elif text.startswith("--lang="):
            choose(text.partition("=")[2])


def _tell(error: GpurentError, as_json: bool) -> int:
    if as_json:
        from gpurent.cli.data import failure

        click.echo(failure(error))
        return error.exit_code
    click.secho(_("Error: {message}").format(message=error.message), fg="red", err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    click.echo(_(SPENT[error.spent.value]), err=True)
    for lease in error.burning:
        click.secho(
            _("{lease} still costs money. Give it back with: gpurent release {lease}").format(lease=lease),
            fg="yellow",
            err=True,
        )
    return error.exit_code


def _crashed(error: Exception) -> int:
    """An error that nobody foresaw: its report is kept without the values of any frame."""
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="gpurent-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        frames = traceback.format_tb(error.__traceback__)
        file.write(f"gpurent {__version__}, Python {sys.version}\n{''.join(frames)}{type(error).__name__}\n")
    click.secho(
        _("gpurent itself failed: {kind}. The report is in {path}").format(
            kind=type(error).__name__, path=path
        ),
        fg="red",
        err=True,
    )
    click.echo(_("What was begun is in the journal: gpurent trips, gpurent ls"), err=True)
    return 1


if __name__ == "__main__":
    main()
