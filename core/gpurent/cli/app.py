"""What every command is given: the registry, the user's wishes about output, and a way into the workflow."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import define

if TYPE_CHECKING:
    from gpurent.cli.ui import TerminalUi
    from gpurent.infra.registry.registry import Registry
    from gpurent.workflow.runtime.state import Records
    from gpurent.workflow.trips.operations import Service

T = TypeVar("T")


@define
class App:
    """``as_json``: one document on stdout and nothing else there. ``yes``: the answer to every confirmation."""

    registry: Registry
    as_json: bool = False
    yes: bool = False
    no_input: bool = False
    verbose: int = 0

    def run(self, action: Callable[[Service], Awaitable[T]], ui: TerminalUi | None = None) -> T:
        """``action`` with a `Service`, in an event loop of its own; ``ui`` instead of this terminal's usual one."""
        import asyncio

        from gpurent.cli.ui import TerminalUi
        from gpurent.workflow.runtime.desk import opened
        from gpurent.workflow.trips.operations import Service

        shown = ui or TerminalUi(quiet=self.as_json, yes=self.yes, no_input=self.no_input)

        async def live() -> T:
            async with opened(self.registry, shown) as desk:
                self._log(desk.redactor)
                return await action(Service(desk))

        try:
            return asyncio.run(live())
        finally:
            shown.close()

    def read(self, look: Callable[[Records], T]) -> T:
        """What ``look`` finds in the records: nobody is asked, so there is no event loop to wait for."""
        from gpurent.workflow.runtime.state import reading

        with reading(self.registry) as records:
            return look(records)

    def _log(self, redactor: Any) -> None:
        import logging

        if not self.verbose:
            return
        handler = logging.StreamHandler(sys.stderr)
        handler.addFilter(redactor)
        logging.basicConfig(level=logging.DEBUG if self.verbose > 1 else logging.INFO, handlers=[handler])

    def show(self, data: object, text: str | Callable[[], str]) -> None:
        """``data`` as the one JSON document, or ``text`` for people; functions are called for the one that is shown."""
        if self.as_json:
            from gpurent.cli.data import document

            click.echo(document(data() if callable(data) else data))
        else:
            click.echo(text() if callable(text) else text)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json`` on a command; the same as before the command's name."""
    from gpurent.locale import _

    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_object(App).as_json = True  # type: ignore[union-attr]

    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=note, help=_("One JSON document.")
    )
    made: Callable[..., Any] = option(command)
    return made


def wants_json(arguments: list[str]) -> bool:
    """Whether an error should be a JSON document too; arguments behind ``--`` are the job's."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own
