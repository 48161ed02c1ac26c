"""The options of a whole trip, shared by ``run`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App
from gpurent.cli.complete import provider_names
from gpurent.cli.params import MONEY, SPAN, money_of
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.model.offer import Wish
from gpurent.model.trip import OnError, Want

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_TARGET = click.Path(path_type=Path, file_okay=False)
_PARTS = (
    click.option("--provider", "-p", default="", shell_complete=provider_names, help=_("Where to rent.")),
    click.option("--gpu", default="", help=_("A part of the GPU's name.")),
    click.option("--gpus", type=click.IntRange(1), default=1, show_default=True),
    click.option("--machine", default="", help=_("Just this machine.")),
    click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天.")),
    click.option("--budget", type=MONEY, help=_("The most that the trip may need: 200CNY, 200000DBC.")),
    click.option("--folder", type=_FOLDER, default=Path(), help=_("What goes up.")),
    click.option("--results", multiple=True, help=_("A name below the folder that comes home; repeat it.")),
    click.option("--home-dir", type=_TARGET, help=_("Where results go, if not to the folder.")),
    click.option("--session", default="", help=_("screen, tmux, …")),
    click.option("--transfer", default="", help=_("What carries the files.")),
    click.option("--launcher", default="", help=_("What turns the command into a process.")),
    click.option("--name", default="", help=_("The session's name.")),
    click.option("--disk", type=click.IntRange(0), default=0, help=_("Disk to buy, in GiB.")),
    click.option(
        "--staged/--no-staged",
        default=None,
        help=_("Upload on a cheaper machine first, where there is one."),
    ),
    click.option("--keep", is_flag=True, help=_("Keep the machine when the job has ended.")),
    click.option(
        "--on-error",
        type=click.Choice(["release", "keep"]),
        help=_("What happens to the machine then; keep with --lease, else release."),
    ),
    click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED),
)


def trip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options that say what trip is wanted, and the job's command."""
    for part in reversed(_PARTS):
        command = part(command)
    return command


def want_of(app: App, **given: Any) -> Want:
    """The trip that the options of `trip_options` describe. Odd ones are a `UsageError`."""
    for result in given["results"]:
        if Path(result).is_absolute() or ".." in Path(result).parts:
            raise UsageError(_("{name} does not lie below the folder").format(name=result))
    budget, home = given.pop("budget"), given.pop("home_dir")
    if budget is not None and not budget[1]:
        raise UsageError(_("a budget needs its currency"), hint=_("--budget 200CNY"))
    if given["provider"]:
        app.registry.get("lease", given["provider"])
    wish = Wish(gpu=given.pop("gpu"), gpus=given.pop("gpus"), key=given.pop("machine"))
    return Want(
        wish=wish,
        budget=money_of(budget) if budget else None,
        folder=str(given.pop("folder").resolve()),
        home=str(home.resolve()) if home else "",
        on_error=OnError(given.pop("on_error") or "release"),
        **given,
    )
