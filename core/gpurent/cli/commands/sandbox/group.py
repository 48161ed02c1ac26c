"""The command ``gpurent sandbox``, and what its subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient


def default_root() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gpurent") / "sandbox"


driver_option = click.option(
    "--driver",
    type=click.Choice(["embedded", "bwrap", "auto"]),
    default="auto",
    show_default=True,
    help=_("What the machines are: processes in a folder, or bubblewrap containers."),
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
    """Import the sandbox's client; its dependencies are an optional extra of the distribution."""
    try:
        from gpurent.testing.sandbox.client import SandboxClient
    except ImportError as error:
        raise PluginError(
            _("the sandbox needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[sandbox]'",
        ) from error
    return SandboxClient


def get_sandbox(root: Path | None) -> SandboxClient:
    found = load_sandbox_class().find_running(root or default_root())
    if found is None:
        raise UsageError(_("no sandbox is running"), hint=_("Start one: gpurent sandbox up"))
    return found


@click.group("sandbox")
def sandbox_command() -> None:
    """Simulated providers on this computer, with a mailbox and real machines, to try everything for free."""
