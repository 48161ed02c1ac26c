"""``gpurent sandbox machine``: what can happen to a rented machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gpurent.cli.commands.sandbox.group import get_sandbox, root_option, sandbox_command
from gpurent.cli.context import CliContext, json_option
from gpurent.locale import _

_ref_argument = click.argument("ref")


def _off_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--off", is_flag=True, help=text)


@sandbox_command.group("machine")
def machine_group() -> None:
    """Let something happen to a machine of the sandbox.

    REF is the machine's id, host name, disk or SSH port, as `gpurent sandbox machine list` shows them. The provider is
    not told; it goes on billing.
    """


@machine_group.command("list")
@root_option
@json_option
@click.pass_obj
def list_command(app: CliContext, root: Path | None) -> None:
    """List the machines that are on, and what was done to them."""
    found = get_sandbox(root).list_machines()
    app.show(found, lambda: _format_machines(found))


def _format_machines(found: list[dict[str, Any]]) -> str:
    from gpurent.cli.views.table import format_table

    if not found:
        return _("No machine is on.")
    head = (_("id"), _("host name"), _("user"), _("port"), _("disk"), _("state"))
    rows = [(m["id"], m["hostname"], m["user"], str(m["port"]), m["disk"], _format_state(m)) for m in found]
    return format_table(head, rows, right=(3,))


def _format_state(machine: dict[str, Any]) -> str:
    words = [
        *([_("refuses connections")] if machine["refused"] else []),
        *([_("frozen")] if machine["frozen"] else []),
        *([_("disk full")] if machine["full"] else []),
        *(_("no {program}").format(program=name) for name in machine["hidden"]),
    ]
    return ", ".join(words) or "-"


@machine_group.command("refuse")
@root_option
@_ref_argument
@_off_option(_("Accept connections again."))
def refuse_command(root: Path | None, ref: str, off: bool) -> None:
    """Refuse new SSH connections.

    Open ones stay; `gpurent sandbox cut` drops them.
    """
    get_sandbox(root).pull_machine_lever("refuse", ref, off=off)


@machine_group.command("freeze")
@root_option
@_ref_argument
@_off_option(_("Let it go on."))
def freeze_command(root: Path | None, ref: str, off: bool) -> None:
    """Stop all processes of the machine, so that SSH hangs.

    Connections stay open and nothing is sent on them, as when a machine has run out of memory.
    """
    get_sandbox(root).pull_machine_lever("freeze", ref, off=off)


@machine_group.command("kill")
@root_option
@_ref_argument
def kill_command(root: Path | None, ref: str) -> None:
    """End the machine at once, as a power loss does; its disk is kept."""
    get_sandbox(root).pull_machine_lever("kill", ref)


@machine_group.command("fill")
@root_option
@_ref_argument
@_off_option(_("Free the space again."))
def fill_command(root: Path | None, ref: str, off: bool) -> None:
    """Fill the machine's disk.

    With the driver bwrap this needs a sandbox whose disks have a size: `gpurent sandbox up --set
    SIMULATOR.disk_bytes=50000000`. With the driver embedded, only uploads over SFTP find the disk full: its processes
    write to this computer's own disk.
    """
    get_sandbox(root).pull_machine_lever("fill", ref, off=off)


@machine_group.command("rekey")
@root_option
@_ref_argument
def rekey_command(root: Path | None, ref: str) -> None:
    """Give the machine a new host key, as after reinstalling it; its connections are cut."""
    get_sandbox(root).pull_machine_lever("rekey", ref)


@machine_group.command("hide")
@root_option
@_ref_argument
@click.argument("program")
@_off_option(_("Put it back."))
def hide_command(root: Path | None, ref: str, program: str, off: bool) -> None:
    """Take PROGRAM out of the PATH of the machine.

    Commands that start from now on do not find it: screen, tmux, python3, tar. `apt-get install` on the machine brings
    it back, and so does a restart of the machine.
    """
    get_sandbox(root).pull_machine_lever("hide", ref, program, off=off)
