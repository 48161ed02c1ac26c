"""The command ``gpurent sandbox``, and what its subcommands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.output import write_line
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient


_SYSTEM: str = sys.platform


def default_root() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gpurent", appauthor=False) / "sandbox"


driver_option = click.option(
    "--driver",
    type=click.Choice(["embedded", "bwrap", "auto"]),
    default="auto",
    show_default=True,
    help=_(
        "What the machines are: bubblewrap containers, or (embedded) processes in a folder, which are not isolated."
        " auto: containers where they work, else embedded, but never for root."
    ),
)
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=None,
    help=_("Folder of the sandbox."),
    show_default=False,
)


def load_sandbox_class() -> type[SandboxClient]:
    """Import the sandbox's client; its dependencies are an optional extra of the distribution.

    Raises `UsageError` on other systems than Linux.
    """
    if _SYSTEM != "linux":
        raise UsageError(
            _("the sandbox needs Linux: the machines that it starts are Linux machines"),
            hint=_("On Windows, use it in WSL. Everything else of gpurent works here."),
        )
    try:
        from gpurent.testing.sandbox.client import SandboxClient
    except ImportError as error:
        raise PluginError(
            _("the sandbox needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[sandbox]'",
        ) from error
    return SandboxClient


def print_driver(state: dict[str, Any]) -> None:
    """Say that the machines are not isolated if that was not asked for; ``state``: the sandbox's status."""
    if reason := state["driver_reason"]:
        text = _(
            "The machines are not isolated: they are processes of yours, with all your rights ({reason})."
        ).format(reason=reason)
        write_line(text, colour="yellow", err=True)


def get_sandbox(root: Path | None) -> SandboxClient:
    found = load_sandbox_class().find_running((root or default_root()).absolute())
    if found is None:
        raise UsageError(_("no sandbox is running"), hint=_("Start one: gpurent sandbox up"))
    return found


@click.group("sandbox")
def sandbox_command() -> None:
    """Simulated providers on this computer, with a mailbox and real machines, to try everything for free."""
