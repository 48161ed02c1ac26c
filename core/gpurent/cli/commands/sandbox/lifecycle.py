"""Start, query and stop the sandbox, let its time pass, and rent as a user does on a provider's pages."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import account_option, add_account, complete_plugins
from gpurent.cli.commands.sandbox.clock import format_clock_error
from gpurent.cli.commands.sandbox.group import (
    default_root,
    driver_option,
    get_sandbox,
    load_sandbox_class,
    print_driver,
    root_option,
    sandbox_command,
)
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_line, write_page, write_text
from gpurent.cli.params import NumberParam
from gpurent.cli.views.plugin_report import OBSERVED_ROUTE
from gpurent.composition.system import data_folder
from gpurent.domain.provider_names import get_account_label, get_base_name
from gpurent.errors import UsageError
from gpurent.locale import _, join_list, ngettext
from gpurent.roles.entries import LeaseEntry
from gpurent.roles.simulator import Evidence

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient


_ASSIGNMENTS: dict[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
    "powershell": lambda name, value: f"$env:{name} = '" + value.replace("'", "''") + "'",
    "cmd": lambda name, value: f'set "{name}={value}"',
}


@sandbox_command.command()
@root_option
@click.option(
    "--speed",
    type=NumberParam(1, 100_000),
    default=60,
    show_default=True,
    help=_("Clock speed, as a multiple of real time."),
)
@click.option(
    "--machines",
    type=NumberParam(1, 1000),
    default=4,
    show_default=True,
    help=_("Number of free machines per simulator."),
)
@driver_option
@click.option(
    "--set", "settings", multiple=True, metavar="SIMULATOR.KEY=VALUE", help=_("A setting of a simulator.")
)
def up_command(root: Path | None, speed: int, machines: int, driver: str, settings: tuple[str, ...]) -> None:
    """Start the sandbox in the background; it runs until `down`."""
    pairs: dict[str, str] = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark or "." not in key:
            raise UsageError(_("{text} is not in the form SIMULATOR.KEY=VALUE").format(text=text))
        pairs[key] = value
    options = {"speed": speed, "machines": machines, "driver": driver, "settings": pairs}
    state = load_sandbox_class().start(root or default_root(), options).status()
    write_line(_("The sandbox is running at {speed} times real time ({driver}).").format(**state))
    print_driver(state)
    write_text(_("To use it in this shell:") + f'\n  eval "{_format_env_command(root)}"')


@sandbox_command.command()
@root_option
@json_option
@click.pass_obj
def status_command(app: CliContext, root: Path | None) -> None:
    """Show the sandbox's time and machines.

    Also shows the simulators' statements, and how each route is known.
    """
    state = get_sandbox(root).status()
    app.show(state, lambda: _status_text(state))


def _status_text(state: dict[str, Any]) -> str:
    lines = [f"{state['now']}  x{state['speed']}  {state['driver']}"]
    if state["client_clock_error"]:
        lines.append(format_clock_error(state))
    if state["fault_count"]:
        text = ngettext("{count} fault is in force", "{count} faults are in force", state["fault_count"])
        lines.append(text.format(count=state["fault_count"]))
    for name, url in state["urls"].items():
        counts = Counter(route["evidence"] for route in state["routes"][name])
        evidence = join_list(
            _("{count} {evidence}").format(count=count, evidence=Evidence(kind).title)
            for kind, count in sorted(counts.items())
        )
        routes = counts.total()
        known = ngettext("{count} route: {evidence}", "{count} routes: {evidence}", routes)
        lines.append(f"  {name:10} {url}  ({known.format(count=routes, evidence=evidence)})")
        lines += [
            "    " + _(OBSERVED_ROUTE).format(method=route["method"], path=route["path"], **route["observed"])
            for route in state["routes"][name]
            if route["observed"]
        ]
    running = len(state["machines"])
    text = ngettext("{count} machine is running", "{count} machines are running", running)
    lines.append(text.format(count=running))
    for name, entries in state["ledgers"].items():
        lines += [
            f"  {name:10} {entry['at'][:19]} {entry['kind']:14} "
            f"{entry['amount']:>18} {entry['currency']}  {entry['ref']}"
            for entry in entries
        ]
    return "\n".join(lines)


@sandbox_command.command()
@root_option
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=None,
    help=_("Folder for gpurent's state in the sandbox."),
)
@click.option(
    "--shell",
    type=click.Choice(tuple(_ASSIGNMENTS)),
    default="sh",
    show_default=True,
    help=_("The shell that evaluates it."),
)
def env_command(root: Path | None, home: Path | None, shell: str) -> None:
    """Print what a shell has to evaluate to use the sandbox."""
    found = get_sandbox(root)
    folder = (home or found.root / "home").absolute()
    for name, value in sorted(found.environment(folder).items()):
        write_line(_ASSIGNMENTS[shell](name, value))


@sandbox_command.command("login")
@root_option
@click.argument("provider", shell_complete=complete_plugins("lease"))
@account_option
@json_option
@click.pass_obj
def login_command(app: CliContext, root: Path | None, provider: str, account: str) -> None:
    """Log in to PROVIDER of the sandbox that this shell uses.

    Each sandbox has a password of its own; a wallet gets its private key at the first login. With --account, the
    sandbox opens one more account, without money.
    """
    provider = add_account(provider, account)
    app.registry.get_entry(LeaseEntry, provider)
    sandbox = get_sandbox(root)
    _check_shell(sandbox, root)
    base, label = get_base_name(provider), get_account_label(provider)
    fields = sandbox.open_account(base, label) if label else dict(sandbox.handle.logins.get(base, {}))
    login = app.run(lambda application: application.account_commands.log_in(provider, fields))
    app.show(
        {"provider": provider, "account": login.account},
        _("Logged in to {provider} as {account}.").format(provider=provider, account=login.account),
    )


def _check_shell(sandbox: SandboxClient, root: Path | None) -> None:
    """Raise `UsageError` if this shell's variables lead elsewhere, or to this sandbox before its last start."""
    wanted = sandbox.environment(data_folder().absolute())
    names = [name for name in wanted if name.endswith(("_SANDBOX", "_URL"))]
    if any(os.environ.get(name) != wanted[name] for name in names):
        raise UsageError(_("this shell does not use the sandbox"), hint=f'eval "{_format_env_command(root)}"')


def _format_env_command(root: Path | None) -> str:
    where = f" --root {shlex.quote(str(root))}" if root else ""
    return f"$(gpurent sandbox env{where})"


@sandbox_command.command()
@root_option
@click.argument("seconds", type=NumberParam(1, 366 * 86400))
def advance_command(root: Path | None, seconds: int) -> None:
    """Advance the sandbox's clock by SECONDS."""
    get_sandbox(root).advance(seconds)


@sandbox_command.command()
@root_option
def cut_command(root: Path | None) -> None:
    """Drop every SSH connection, as a bad network would."""
    write_line(str(get_sandbox(root).cut_connections()))


@sandbox_command.command()
@root_option
@click.argument("simulator")
def rent_command(root: Path | None, simulator: str) -> None:
    """Rent a machine as a user does on the pages of SIMULATOR.

    Prints the SSH command and the password that the pages show.
    """
    found = get_sandbox(root).rent_manually(simulator)
    write_page([found["ssh_command"], found["password"], found["ref"]])


@sandbox_command.command()
@root_option
@click.argument("simulator")
@click.argument("ref")
def end_command(root: Path | None, simulator: str, ref: str) -> None:
    """End the machine REF as a user does on the pages of SIMULATOR."""
    get_sandbox(root).stop_manually(simulator, ref)


@sandbox_command.command()
@root_option
def down_command(root: Path | None) -> None:
    """Stop the sandbox and everything that runs in it."""
    get_sandbox(root).stop()
    write_line(_("The sandbox has stopped."))
