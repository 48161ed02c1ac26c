"""The options of a whole trip, shared by ``run`` and ``plan``: the command line, over the project file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.app import App
from gpurent.cli.complete import provider_names
from gpurent.cli.params import DEADLINE, MONEY, SPAN, money_of
from gpurent.cli.project import checked, chosen, want_from
from gpurent.domain.trip import OnError, Rules, TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from gpurent.domain.money import Money

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_TARGET = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
PROVIDERS = click.option(
    "--provider",
    "-p",
    multiple=True,
    shell_complete=provider_names,
    help=_("Where to rent; repeated: the first that has something fitting."),
)
_PARTS = (
    PROVIDERS,
    click.option("--gpu", help=_("A part of the GPU's name.")),
    click.option("--gpus", type=click.IntRange(1), help=_("How many GPUs; 1 when not said.")),
    click.option("--machine", help=_("Just this machine.")),
    click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天.")),
    click.option("--budget", type=MONEY, help=_("The most that the trip may need: 200CNY, 200000DBC.")),
    click.option("--deadline", type=DEADLINE, help=_("The machine goes at the latest: 20h, 18:30.")),
    click.option("--folder", type=_FOLDER, help=_("What goes up, if not this folder.")),
    click.option("--results", multiple=True, help=_("A name below the folder that comes home; repeat it.")),
    click.option("--home-dir", type=_TARGET, help=_("Where results go, if not to the folder.")),
    click.option("--session", help=_("screen, tmux, …")),
    click.option("--transfer", help=_("What carries the files.")),
    click.option("--pull-every", type=SPAN, help=_("Bring results home so often while the job runs: 10m.")),
    click.option("--launcher", help=_("What turns the command into a process.")),
    click.option("--name", help=_("The session's name.")),
    click.option("--disk", type=click.IntRange(0), help=_("Disk to buy, in GiB.")),
    click.option(
        "--staged/--no-staged",
        default=None,
        help=_("Upload on a cheaper machine first, where there is one."),
    ),
    click.option("--keep/--no-keep", default=None, help=_("Keep the machine when the job has ended.")),
    click.option(
        "--on-error",
        type=click.Choice(["release", "keep"]),
        help=_("What becomes of the machine when the trip fails; else keep with --lease, or release."),
    ),
    click.option(
        "--doctor",
        type=click.Choice(["off", "warn", "require"]),
        help=_("Examine the machine before the job; require: give it back when it fails."),
    ),
    click.option(
        "--project", type=_FILE, help=_("A project file; else gpurent.toml of this folder or one above.")
    ),
    click.option("--no-project", is_flag=True, help=_("Use no project file.")),
    click.argument("command", nargs=-1, type=click.UNPROCESSED),
)
_SAME = (
    "term",
    "session",
    "transfer",
    "pull_every",
    "launcher",
    "name",
    "disk",
    "staged",
    "keep",
    "doctor",
    "command",
)


def trip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options that say what trip is wanted, and the job's command."""
    for part in reversed(_PARTS):
        command = part(command)
    return command


def want_of(app: App, *, lease: str = "", **given: Any) -> TripSpec:
    """The trip that the options of `trip_options` describe, over the project file. Odd ones are a `UsageError`.

    ``lease``: it is made on this machine, so a choice of providers in the file is none.
    """
    if lease and given["provider"]:
        raise UsageError(_("--provider and --lease exclude each other"))
    project = chosen(app, given["project"], given["no_project"])
    if lease and given["on_error"] is None and not (project and project.on_error):
        given["on_error"] = "keep"
    want = want_from(project) if project else TripSpec(folder=str(Path.cwd()))
    want = evolve(want, **_changes(want, given))
    if not want.command:
        raise UsageError(
            _("say what to run: COMMAND, or command in gpurent.toml"),
            hint=_(
                "For one: gpurent run -p PROVIDER -- python3 train.py; or write a file with: gpurent init"
            ),
        )
    if lease:
        return checked(app, evolve(want, providers=()))
    if not want.providers:
        raise UsageError(
            _("say where: --provider, --lease, or providers in gpurent.toml"),
            hint=_("See: gpurent providers, gpurent ls"),
        )
    return one_provider(checked(app, want))


def one_provider(want: TripSpec) -> TripSpec:
    """Several stay a choice for the walk; a single one is the provider."""
    return evolve(want, provider=want.providers[0], providers=()) if len(want.providers) == 1 else want


def _changes(want: TripSpec, given: dict[str, Any]) -> dict[str, Any]:
    """What the command line says; an option that was not given changes nothing."""
    found = {name: given[name] for name in _SAME if given[name] not in (None, ())}
    if given["budget"] is not None:
        found["budget"] = _budget(given["budget"])
    if given["folder"] is not None:
        found |= {"folder": str(given["folder"].resolve()), "inputs": ()}
    if given["home_dir"] is not None:
        found["home"] = str(given["home_dir"].resolve())
    if given["on_error"] is not None:
        found["on_error"] = OnError(given["on_error"])
    if given["results"]:
        found["results"] = tuple(_below(name) for name in given["results"])
    if given["provider"]:
        found["providers"] = tuple(dict.fromkeys(given["provider"]))
    if given["deadline"] is not None:
        found["rules"] = with_deadline(want.rules, given["deadline"])
    wishes = {"gpu": given["gpu"], "gpus": given["gpus"], "key": given["machine"]}
    found["wish"] = evolve(want.wish, **{name: value for name, value in wishes.items() if value is not None})
    return found


def _budget(given: tuple[Decimal, str]) -> Money:
    if not given[1]:
        raise UsageError(_("a budget needs its currency"), hint=_("--budget 200CNY"))
    return money_of(given)


def _below(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(_("{name} does not lie below the folder").format(name=name))
    return name


def with_deadline(rules: Rules, deadline: datetime | timedelta) -> Rules:
    return evolve(
        rules,
        deadline_in=deadline if isinstance(deadline, timedelta) else None,
        deadline_at=deadline if isinstance(deadline, datetime) else None,
    )
