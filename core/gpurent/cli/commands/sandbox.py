"""``gpurent sandbox``: a rental world of one's own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from gpurent.errors import PluginError, UsageError
from gpurent.locale import _


def _root() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gpurent") / "sandbox"


_ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=None,
    help=_("Where the sandbox lives."),
    show_default=False,
)


def handle() -> Any:
    """The sandbox's own module; what it needs is an extra of the distribution."""
    try:
        from gpurent.testing.sandbox.handle import Sandbox
    except ImportError as error:
        raise PluginError(
            _("the sandbox needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[sandbox]'",
        ) from error
    return Sandbox


def _found(root: Path | None) -> Any:
    found = handle().find(root or _root())
    if found is None:
        raise UsageError(_("no sandbox is up"), hint="gpurent sandbox up")
    return found


@click.group("sandbox")
def sandbox_command() -> None:
    """A rental world on this computer: portals, mailbox, ledger and machines to try everything on, for nothing."""


@sandbox_command.command()
@_ROOT
@click.option(
    "--speed",
    type=click.IntRange(1, 100_000),
    default=60,
    show_default=True,
    help=_("How fast its clock runs."),
)
@click.option(
    "--machines", type=click.IntRange(1, 1000), default=4, show_default=True, help=_("Machines a portal has.")
)
@click.option("--driver", type=click.Choice(["embedded", "bwrap", "auto"]), default="auto", show_default=True)
@click.option(
    "--set", "settings", multiple=True, metavar="PORTAL.KEY=VALUE", help=_("A setting of a portal.")
)
def up(root: Path | None, speed: int, machines: int, driver: str, settings: tuple[str, ...]) -> None:
    """Raise it in the background; it lives until ``down``."""
    pairs: dict[str, str] = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark or "." not in key:
            raise UsageError(_("{text} is not PORTAL.KEY=VALUE").format(text=text))
        pairs[key] = value
    options = {"speed": speed, "machines": machines, "driver": driver, "settings": pairs}
    made = handle().up(root or _root(), options)
    state = made.status()
    click.echo(_("The sandbox is up at {speed} times the real speed ({driver}).").format(**state))
    if state["driver_why"]:
        click.echo(state["driver_why"])
    where = f" --root {shlex.quote(str(root))}" if root else ""
    click.echo(_("To live in it, in this shell:") + f'\n  eval "$(gpurent sandbox env{where})"')


@sandbox_command.command()
@_ROOT
@click.option("--json", "as_json", is_flag=True, help=_("One JSON document."))
def status(root: Path | None, as_json: bool) -> None:
    """Its time, its machines, its portals' ledgers, and how each route is known."""
    state = _found(root).status()
    if as_json:
        click.echo(json.dumps({"ok": True, "data": state}))
        return
    click.echo(f"{state['now']}  x{state['speed']}  {state['driver']}")
    for name, url in state["urls"].items():
        tally: dict[str, int] = {}
        for route in state["routes"][name]:
            tally[route["evidence"]] = tally.get(route["evidence"], 0) + 1
        evidence = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items()))
        click.echo(f"  {name:10} {url}  ({evidence})")
    click.echo(_("{count} machines are on").format(count=len(state["machines"])))
    for name, lines in state["ledgers"].items():
        for line in lines:
            click.echo(
                f"  {name:10} {line['at'][:19]} {line['kind']:14} "
                f"{line['amount']:>18} {line['currency']}  {line['ref']}"
            )


@sandbox_command.command()
@_ROOT
@click.option(
    "--home", type=click.Path(path_type=Path), default=None, help=_("Where gpurent keeps its state in it.")
)
def env(root: Path | None, home: Path | None) -> None:
    """Print the variables that make gpurent live in it, for a shell to read."""
    found = _found(root)
    for name, value in sorted(found.environment(home or found.root / "home").items()):
        click.echo(f"export {name}={shlex.quote(value)}")


@sandbox_command.command()
@_ROOT
@click.argument("seconds", type=click.IntRange(1))
def advance(root: Path | None, seconds: int) -> None:
    """Let its clock jump ahead by SECONDS."""
    _found(root).advance(seconds)


@sandbox_command.command()
@_ROOT
def cut(root: Path | None) -> None:
    """Cut every SSH line, as a bad network would."""
    click.echo(_found(root).cut())


@sandbox_command.command()
@_ROOT
@click.argument("portal")
def rent(root: Path | None, portal: str) -> None:
    """Rent at PORTAL as a person does on its pages: prints the SSH line and the password that they show."""
    found = _found(root).rent_by_hand(portal)
    click.echo(f"{found['line']}\n{found['password']}\n{found['ref']}")


@sandbox_command.command()
@_ROOT
@click.argument("portal")
@click.argument("ref")
def end(root: Path | None, portal: str, ref: str) -> None:
    """End the machine REF at PORTAL as a person does on its pages."""
    _found(root).end_by_hand(portal, ref)


@sandbox_command.command()
@_ROOT
def down(root: Path | None) -> None:
    """End it, with everything that runs in it."""
    _found(root).down()
    click.echo(_("The sandbox is down."))
