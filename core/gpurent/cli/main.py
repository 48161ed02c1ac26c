"""``gpurent``: global options, and errors that say what happened, what was spent, and what to do now."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent import __version__
from gpurent.cli.builtin import load_registry
from gpurent.cli.context import CliContext
from gpurent.cli.failures import is_output_error, show_error, show_exception, show_stop, show_usage_error
from gpurent.cli.help_texts import prepare_help, set_click_language, translate_error
from gpurent.cli.output import close_errors, write_line, write_text
from gpurent.composition import system
from gpurent.errors import ConfirmationRequired, GpurentError, PluginError, UsageError
from gpurent.locale import N_, _, join_phrases, set_default_language, set_language
from gpurent.roles.entries import CommandEntry
from gpurent.terminal_text import strip_to_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gpurent.composition.recording import ExchangeRecorder

BROKEN_PIPE_CODE = 141
_SYSTEM: str = sys.platform


class LazyGroup(click.Group):
    """The top-level group. ``--help`` shows the summaries of the entries without importing any command's module."""

    @cached_property
    def registry(self) -> system.EntryPointRegistry:
        return load_registry()

    @property
    def entries(self) -> Mapping[str, CommandEntry]:
        return self.registry.get_entries(CommandEntry)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in self.entries.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        try:
            return prepare_help(entry.build()) if entry is not None else None
        except Exception as error:
            raise PluginError(
                _("cannot load the command {name!r}: {kind}: {error}").format(
                    name=cmd_name, kind=type(error).__name__, error=error
                ),
                hint=_("See: gpurent plugin list"),
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in self.entries and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.entries, 1)
            hint = _("Did you mean {name}?").format(name=near[0]) if near else ""
            ctx.fail(join_phrases(_("No such command: {name}.").format(name=name), hint))
        found, command, rest = super().resolve_command(ctx, args)
        if ctx.obj is not None:  # None during shell completion
            ctx.obj.command = _join_command(name, command, rest)
        return found, command, rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what completes ``incomplete``, without what a terminal obeys: plugins name and describe it."""
        found = super().shell_complete(ctx, incomplete)
        for item in found:
            item.value, item.help = strip_to_line(str(item.value)), strip_to_line(item.help or "") or None
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            if not entry.hidden:
                groups.setdefault(entry.group, []).append((name, _(entry.summary)))
        for group, rows in groups.items():
            with formatter.section(_(group)):
                formatter.write_dl(rows)


def _join_command(name: str, command: click.Command | None, rest: list[str]) -> str:
    """Return the name of the command with those of its subcommands, as far as ``rest`` begins with them."""
    for word in rest:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        name, command = f"{name} {word}", command.commands[word]
    return name


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True
)
@click.option(
    "--json", "as_json", is_flag=True, help=N_("Print one JSON document on stdout and nothing else.")
)
@click.option("--lang", metavar="LANG", help=N_("Language: en or zh (default: from GPURENT_LANG or LANG)."))
@click.option(
    "--home",
    metavar="FOLDER",
    help=N_("Folder for gpurent's state (default: GPURENT_HOME, else your user data folder)."),
)
@click.option(
    "-y",
    "--yes",
    is_flag=True,
    help=N_("Answer yes to every yes/no question; passwords are still asked for."),
)
@click.option("--no-input", is_flag=True, help=N_("Never prompt; fail and say what is missing."))
@click.option(
    "--safe", is_flag=True, help=N_("Start without plugins that were not released with this gpurent.")
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=N_("Write what plugins and their services say to each other to FILE, without secrets."),
)
@click.option("-v", "--verbose", count=True, help=N_("Log to stderr; repeat for more detail."))
@click.version_option(__version__, prog_name="gpurent", help=N_("Show the version and exit."))
@click.pass_context
def cli(
    ctx: click.Context,
    as_json: bool,
    lang: str | None,
    home: str | None,
    yes: bool,
    no_input: bool,
    safe: bool,
    record: Path | None,
    verbose: int,
) -> None:
    """Rent GPU servers by the hour, run jobs that survive a dropped connection, and account for every cent."""
    if lang:
        set_language(lang)
    if home:
        os.environ["GPURENT_HOME"] = home
    app: CliContext = ctx.obj
    app.as_json, app.yes, app.no_input, app.verbose = as_json, yes, no_input, verbose
    if record is not None:
        from gpurent.composition.recording import make_recorder

        app.recorder = make_recorder(record)
    if ctx.invoked_subcommand is None:
        write_text(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and exit with its code."""
    _prepare_streams()
    if _SYSTEM == "win32":
        set_default_language(system.find_system_language())
    if os.environ.get("_GPURENT_COMPLETE", "").startswith("powershell"):
        import gpurent.cli.powershell_completion  # noqa: F401 - registers itself
    sys.exit(_run_command_line(sys.argv[1:] if arguments is None else arguments))


def _prepare_streams() -> None:
    """Let a character that the output's encoding lacks be replaced: it must not abort a command that spends money."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        if _SYSTEM == "win32" and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="replace")  # who reads us expects no code page
        elif stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _run_command_line(given: list[str]) -> int:
    own = given[: given.index("--")] if "--" in given else given  # what follows is the job's command
    _apply_language_option(own)
    if (
        "--safe" in own
    ):  # plugins are loaded before the options are read; child processes start without them too
        os.environ[system.SAFE_VARIABLE] = "1"
    set_click_language()
    prepare_help(cli)
    as_json = "--json" in own
    app: CliContext | None = None
    try:
        app = CliContext(registry=cli.registry)
        code = cli.main(given, prog_name="gpurent", standalone_mode=False, obj=app)
        return code if isinstance(code, int) else 0
    except BaseException as raised:  # noqa: BLE001 - the last net: the user gets a line, the report goes to a file
        if isinstance(raised, ConfirmationRequired):
            _add_exact_command(raised, given)
        # A second document would make the first one unreadable; what happens after the result goes to stderr.
        has_document = app is not None and app.has_shown
        return _end_after(raised, app, _command_of(app) if as_json and not has_document else None)
    finally:
        if app is not None and app.recorder is not None:
            _end_recording(app.recorder)


def _end_recording(recorder: ExchangeRecorder) -> None:
    from gpurent.cli.views.recording import format_recording

    with suppress(OSError):  # the terminal may be gone
        write_text(format_recording(recorder.close()), err=True)


def _end_after(raised: BaseException, app: CliContext | None, json_of: str | None) -> int:
    """Tell the user how the command ended; return its exit code."""
    match raised:
        case GpurentError():
            return show_error(raised, json_of)
        case click.exceptions.Exit():
            return raised.exit_code
        case click.ClickException():
            return _show_click_error(raised, json_of)
        case KeyboardInterrupt() | click.Abort():
            return show_stop(raised, app.detached_text if app is not None else "", json_of)
        case SystemExit() if type(sys.stdout).__module__.startswith("click."):
            return BROKEN_PIPE_CODE  # after a closed pipe, click wraps the stream and exits with 1
        case BrokenPipeError():
            close_errors()
            return BROKEN_PIPE_CODE
        case OSError() if is_output_error(raised):
            return _show_output_error(raised)
        case Exception():
            return show_exception(raised, json_of)
        case _:
            raise raised


def _show_click_error(error: click.ClickException, json_of: str | None) -> int:
    found = translate_error(error)
    if json_of is not None:
        return show_error(UsageError(found.format_message()), json_of)
    show_usage_error(found)
    return found.exit_code


def _show_output_error(error: OSError) -> int:
    from gpurent.locale.foreign_text import describe_error

    with suppress(OSError):
        write_line(
            _("cannot write the output: {why}").format(why=describe_error(error)), colour="red", err=True
        )
    # Otherwise what is left in the buffer would raise again when the interpreter exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


def _add_exact_command(error: ConfirmationRequired, given: list[str]) -> None:
    """Add the command that says yes, as it can be typed, to the hint."""
    import shlex

    text = _("To agree without being asked: {command}").format(command=shlex.join(["gpurent", "-y", *given]))
    error.hint = f"{error.hint}\n{text}".strip()


def _command_of(app: CliContext | None) -> str:
    return app.command if app is not None else ""


def _apply_language_option(given: list[str]) -> None:
    """Find ``--lang`` first, because help is printed before options are processed."""
    for index, text in enumerate(given):
        if text == "--lang" and index + 1 < len(given):
            set_language(given[index + 1])
        elif text.startswith("--lang="):
            set_language(text.partition("=")[2])


if __name__ == "__main__":
    main()
