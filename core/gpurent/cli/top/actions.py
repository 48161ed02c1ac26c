"""What the keys do to one lease. The lease is the one that was chosen when the key was pressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpurent.cli.main import SPENT
from gpurent.cli.top.columns import release_question
from gpurent.cli.top.dialogs import Ask, Confirm
from gpurent.cli.views.render import moment
from gpurent.domain.lease import Lease
from gpurent.domain.transfer import Pull
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.locale.spans import parse_span, span_text
from gpurent.roles.lease import SupportsRenewal

if TYPE_CHECKING:
    from gpurent.cli.top.app import TopApp


class Acts:
    """Bound to the screen. ``attach`` gets into a lease's session with the terminal to itself; gives the exit code."""

    def __init__(self, app: TopApp, attach: Callable[[str], int]) -> None:
        self._app = app
        self._attach = attach
        self.busy: set[str] = set()

    def _lease(self, name: str) -> Lease | None:
        row = self._app.overview.row(name)
        if row is None:
            self._app.say(_("no lease is chosen"))
            return None
        if name in self.busy:
            self._app.say(_("{lease} is being worked on").format(lease=name))
            return None
        return row.lease

    def attach(self, name: str) -> None:
        if self._lease(name) is None:
            return
        with self._app.suspend():
            code = self._attach(name)
        self._app.ask_everybody()
        self._app.say(_("{lease}: left with {code}").format(lease=name, code=code))

    def release(self, name: str) -> None:
        lease = self._lease(name)
        if lease is None:
            return
        service = self._app.service

        async def go() -> str:
            receipt = await service.release(name)
            spent = ", ".join(str(total.spent) for total in receipt.totals()) or "0"
            return _("{lease} is given back; it cost {spent}").format(lease=name, spent=spent)

        def answered(yes: bool | None) -> None:
            if yes:
                self._do(name, _("giving {lease} back").format(lease=name), go)
            else:
                self._app.say(_("{lease} stays").format(lease=name))

        self._app.push_screen(Confirm(release_question(lease, service.desk.clock.now())), answered)

    def renew(self, name: str) -> None:
        lease = self._lease(name)
        if lease is None:
            return
        if not isinstance(self._app.service.desk.shop_of(lease), SupportsRenewal):
            text = _("{provider} has no renewal; top up: gpurent topup {provider} AMOUNT")
            self._app.say(text.format(provider=lease.provider))
            return

        def asked(given: str | None) -> None:
            if given:
                self._price(lease, given)

        self._app.push_screen(Ask(_("How much more time for {lease}?").format(lease=name), "1h"), asked)

    def _price(self, lease: Lease, given: str) -> None:
        try:
            term = parse_span(given)
        except ValueError as error:
            self._app.say(str(error))
            return

        async def go() -> str:
            after = await self._app.service.renew(lease.id, term)
            return _("{lease} runs until {until}.").format(lease=lease.id, until=moment(after.expires_at))

        def answered(yes: bool | None) -> None:
            if yes:
                self._do(lease.id, _("renewing {lease}").format(lease=lease.id), go)

        price = lease.offer.tariff.price
        question = _("Buy {span} more for {lease}, by its price ({price}) about {cost}?").format(
            span=span_text(term), lease=lease.id, price=price, cost=price.cost(term)
        )
        self._app.push_screen(Confirm(question), answered)

    def pull(self, name: str) -> None:
        if self._lease(name) is None:
            return
        sources, target = self._results(name)

        def asked(given: str | None) -> None:
            names = tuple((given or "").split())
            if not names:
                return

            async def go() -> str:
                report = await self._app.service.pull(name, Pull(sources=names, target=target))
                return _("{count} files are in {folder}").format(count=report.files, folder=target)

            self._do(name, _("pulling from {lease}").format(lease=name), go)

        label = _("What to bring from {lease} to {folder}? (below its home, or absolute)")
        self._app.push_screen(Ask(label.format(lease=name, folder=target), " ".join(sources)), asked)

    def _results(self, name: str) -> tuple[list[str], Path]:
        """What the lease's trip wanted home, and where."""
        from gpurent.workflow.steps.transfer_files import work_folder

        for row in self._app.service.trips():
            if row.lease == name and row.want.results:
                folder = work_folder(row.id)
                home = row.want.home or row.want.folder
                return [f"{folder}/{item}" for item in row.want.results], Path(home)
        return [], Path.cwd()

    def _do(self, name: str, saying: str, action: Callable[[], Awaitable[str]]) -> None:
        """Run ``action`` beside the screen; its end, good or bad, goes to the status line."""

        async def go() -> None:
            try:
                said = await action()
            except GpurentError as error:
                said = " ".join(
                    part
                    for part in (f"{name}: {error.message}", _(SPENT[error.spent.value]), error.hint)
                    if part
                )
            except Exception as error:  # noqa: BLE001 - a broken plugin must not take the screen down
                said = f"{name}: {type(error).__name__}"
            finally:
                self.busy.discard(name)
            self._app.overview.reload()
            self._app.paint()
            self._app.say(said)

        self.busy.add(name)
        self._app.say(f"{saying}…")
        self._app.run_worker(go(), name=f"act-{name}")
