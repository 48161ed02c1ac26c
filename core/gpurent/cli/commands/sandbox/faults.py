"""``gpurent sandbox fault`` and ``gpurent sandbox calls``: let calls of a service go wrong, and list them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gpurent.cli.commands.sandbox.group import get_sandbox, root_option, sandbox_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import NumberParam
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import _, join_list, ngettext
from gpurent.roles.simulator import Evidence

MAINTENANCE_PAGE = (
    "<!doctype html><html><head><title>Maintenance</title></head>"
    "<body><h1>The service is down for maintenance.</h1></body></html>"
)
_id_type = NumberParam(1, 999_999_999)


@sandbox_command.group("fault")
def fault_group() -> None:
    """Let calls of a service go wrong.

    A service is a simulator, or `mail`, the mailbox. `gpurent sandbox calls` lists the calls that a command makes.
    """


@fault_group.command("add")
@root_option
@click.argument("service")
@click.option("--method", default="*", metavar="METHOD", help=_("Only these calls: GET, POST."))
@click.option("--path", default="*", metavar="PATTERN", help=_('Only calls of these paths: "/create/*".'))
@click.option(
    "--contains", default="", metavar="TEXT", help=_("Only calls with TEXT in path, query, headers or body.")
)
@click.option(
    "--nth", type=NumberParam(1, 999_999), help=_("Only the nth matching call from now on, counted from 1.")
)
@click.option(
    "--times", type=NumberParam(1, 999_999), help=_("Only so many calls: the first ones, or from the nth on.")
)
@click.option(
    "--after", is_flag=True, help=_("The call takes effect first; otherwise it never reaches the service.")
)
@click.option("--status", type=NumberParam(200, 599), help=_("Answer with this status."))
@click.option("--body", metavar="TEXT", help=_("Answer with this body; of mail: refuse with this text."))
@click.option("--html", is_flag=True, help=_("Answer with a maintenance page."))
@click.option("--empty", is_flag=True, help=_("Answer with an empty body."))
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help=_("Set a header of the answer.")
)
@click.option(
    "--replace",
    "replacements",
    nargs=2,
    multiple=True,
    metavar="OLD NEW",
    help=_("Edit the body of the real answer; OLD is a regular expression."),
)
@click.option("--lose", is_flag=True, help=_("Reset the connection without an answer."))
@click.option("--duplicate", is_flag=True, help=_("Deliver the call twice; the second answer is sent."))
@click.option(
    "--slow", type=click.FloatRange(0.001, 3600), metavar="SECONDS", help=_("Delay the call, in real time.")
)
@click.option("--hold", is_flag=True, help=_("Let the call wait until the fault is cleared."))
@click.option("--refuse", is_flag=True, help=_("Refuse all connections to the service."))
@json_option
@click.pass_obj
def add_command(
    app: CliContext,
    /,
    root: Path | None,
    service: str,
    *,
    html: bool,
    empty: bool,
    body: str | None,
    nth: int | None,
    times: int | None,
    slow: float | None,
    headers: tuple[str, ...],
    **fields: Any,
) -> None:
    """Let calls of SERVICE go wrong until the fault is cleared.

    Of several faults that match a call, the oldest is applied. Options of one fault add up: `--slow 5 --status 503`
    waits and then fails. Edits and added headers always need the real answer, so the call takes effect.
    """
    if (body is not None) + html + empty > 1:
        raise UsageError(_("use only one of --body, --html and --empty"))
    from gpurent.testing.sandbox.service_faults import ServiceFault

    sandbox = get_sandbox(root)
    fault = ServiceFault(
        service=service,
        nth=nth or 1,
        times=times or (1 if nth else None),
        body=MAINTENANCE_PAGE if html else "" if empty else body,
        slow=slow or 0.0,
        headers=[_parse_header(text) for text in headers],
        **fields,
    )
    made = sandbox.add_fault(fault)
    app.show(made, lambda: _("Fault {id} is in force.").format(id=made["id"]))


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip().isascii() or not name.strip() or "\n" in text:
        raise UsageError(_("{text} is not in the form NAME:VALUE").format(text=text))
    return name.strip(), value.strip()


@fault_group.command("list")
@root_option
@json_option
@click.pass_obj
def list_command(app: CliContext, root: Path | None) -> None:
    """List the faults in force, and how many calls matched, were changed, and are held now."""
    found = get_sandbox(root).list_faults()
    app.show(found, lambda: _format_faults(found))


@fault_group.command("wait")
@root_option
@click.argument("number", type=_id_type, metavar="ID")
@click.option(
    "--timeout", type=NumberParam(1, 600), default=60, show_default=True, help=_("Real seconds to wait.")
)
@json_option
@click.pass_obj
def wait_command(app: CliContext, root: Path | None, number: int, timeout: int) -> None:
    """Wait until the fault ID was applied to a call.

    With `--hold` the client then waits inside that call, and can be killed there.
    """
    found = get_sandbox(root).wait_for_fault(number, timeout)
    if found is None:
        raise UnavailableError(_("no call met fault {id} in {seconds} s").format(id=number, seconds=timeout))
    app.show(found, lambda: _format_faults([found]))


@fault_group.command("clear")
@root_option
@click.argument("ids", nargs=-1, type=_id_type, metavar="[ID]...")
@json_option
@click.pass_obj
def clear_command(app: CliContext, root: Path | None, ids: tuple[int, ...]) -> None:
    """End the faults with these IDs, or all; calls that they hold go on."""
    ended = get_sandbox(root).clear_faults(ids)
    text = ngettext("{count} fault was cleared.", "{count} faults were cleared.", len(ended))
    app.show(ended, lambda: text.format(count=len(ended)))


@sandbox_command.command("calls")
@root_option
@click.option(
    "--last", type=NumberParam(1, 20_000), default=20, show_default=True, help=_("Show only the last calls.")
)
@json_option
@click.pass_obj
def calls_command(app: CliContext, root: Path | None, last: int) -> None:
    """List the calls that the services received, how the route of each is known, and which fault changed it.

    With `--json`, `count` is the number of all calls since the sandbox was started.
    """
    found = get_sandbox(root).list_calls()
    calls = found["calls"][-last:]
    app.show({"count": found["count"], "calls": calls}, lambda: _format_calls(calls))


def _format_calls(calls: list[dict[str, Any]]) -> str:
    from gpurent.cli.views.table import format_table

    if not calls:
        return _("No service received a call yet.")
    head = (_("call"), _("service"), _("method"), _("path"), _("status"), _("fault"), _("evidence"))
    rows = [
        (
            str(call["number"]),
            call["service"],
            call["method"],
            call["path"],
            str(call["status"] or "-"),
            str(call["fault"] or "-"),
            Evidence(call["evidence"]).title if call["evidence"] else "-",
        )
        for call in calls
    ]
    return format_table(head, rows, right=(0, 4, 5))


def _format_faults(faults: list[dict[str, Any]]) -> str:
    from gpurent.cli.views.table import format_table

    if not faults:
        return _("No fault is in force.")
    head = (_("id"), _("service"), _("calls"), _("effect"), _("matched"), _("applied"), _("held"))
    rows = [
        (
            str(f["id"]),
            f["service"],
            _format_calls_of(f),
            _format_effect(f),
            *(str(f[name]) for name in ("matched", "applied", "held")),
        )
        for f in faults
    ]
    return format_table(head, rows, right=(0, 4, 5, 6))


def _format_calls_of(fault: dict[str, Any]) -> str:
    """Return the calls of a fault as the options that name them."""
    words = [
        *([f"{fault['method']} {fault['path']}"] if (fault["method"], fault["path"]) != ("*", "*") else []),
        *([f"“{fault['contains']}”"] if fault["contains"] else []),
        *([f"--nth {fault['nth']}"] if fault["nth"] > 1 else []),
        *([f"--times {fault['times']}"] if fault["times"] else []),
    ]
    return " ".join(words) or _("all")


def _format_effect(fault: dict[str, Any]) -> str:
    body = fault["body"]
    words = [
        *([_("refuse connections")] if fault["refuse"] else []),
        *([_("delay of {seconds} s").format(seconds=fault["slow"])] if fault["slow"] else []),
        *([_("held")] if fault["hold"] else []),
        *([_("delivered twice")] if fault["duplicate"] else []),
        *([_("no answer")] if fault["lose"] else []),
        *([_("status {status}").format(status=fault["status"])] if fault["status"] else []),
        *([_("empty body") if not body else _("other body")] if body is not None else []),
        *([_("edited body")] if fault["replacements"] else []),
        *(f"{name}: {value}" for name, value in fault["headers"]),
        *([_("after the effect")] if fault["after"] else []),
    ]
    return join_list(words)
