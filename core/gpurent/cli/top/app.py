"""The screen: a table that is painted from the overview, never waiting for it, and keys that act on one lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Static
from textual.widgets.data_table import CellDoesNotExist

from gpurent.cli.top.actions import LeaseActions, LeaseWork
from gpurent.cli.top.columns import COLUMNS, DETAIL, ORDERS, cells, detail, summary
from gpurent.cli.top.dialogs import Ask, Confirm
from gpurent.domain.lease import Lease
from gpurent.errors import GpurentError
from gpurent.locale import N_, _
from gpurent.workflow.reports.overview import LeaseRow, Overview

PAINT = 1.0
FRESH = 5.0
ALL_EVERY = 12


class TopApp(App[None]):
    """``updates`` counts the cells that were written anew; a row that did not change is not touched."""

    ENABLE_COMMAND_PALETTE = False
    CSS = f"""
    #summary, #status {{ height: 1; }}
    #table {{ height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }}
    #detail {{ height: {DETAIL + 1}; border-top: solid $primary; overflow: hidden; text-wrap: nowrap; }}
    """
    KEYS: ClassVar = (
        ("a", "attach", N_("attach")),
        ("p", "pull", N_("pull")),
        ("r", "renew", N_("renew")),
        ("x", "release", N_("release")),
        ("u", "refresh", N_("refresh")),
        ("s", "sort", N_("sort")),
        ("q", "quit", N_("quit")),
    )

    def __init__(
        self, overview: Overview, work: LeaseWork, attach: Callable[[str], int], fresh: float = FRESH
    ) -> None:
        super().__init__()
        self.overview = overview
        self.actions = LeaseActions(self, overview, work, attach)
        self.updates = 0
        self.order = 0
        self._fresh = fresh
        self._rounds = 0
        self._warned = False
        self._shown: dict[str, dict[str, str]] = {}
        self._ranks: list[str] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        for key, action, label in self.KEYS:
            self.bind(key, action, description=_(label))

    @property
    def table(self) -> DataTable[Any]:
        return self.query_one("#table", DataTable)

    def compose(self) -> ComposeResult:
        yield Static(id="summary", markup=False)
        yield DataTable(id="table", cursor_type="row", zebra_stripes=False)
        yield Static(id="detail", markup=False)
        yield Static(id="status", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        for key, heading, width in COLUMNS:
            self.table.add_column(_(heading), key=key, width=width)
        self.paint()
        self.set_interval(PAINT, self.paint)
        self.run_worker(self._keep_fresh(), name="fresh")

    async def on_unmount(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    # painting

    def paint(self) -> None:
        """Bring the screen in line with the overview; writes only what changed."""
        rows = self.overview.rows()
        now = self.overview.clock.now()
        chosen = self.chosen
        ordered = sorted(rows, key=ORDERS[self.order][1])  # type: ignore[arg-type]
        for name in self._shown.keys() - {row.lease.id for row in rows}:
            del self._shown[name]
            self.table.remove_row(name)
        for row in ordered:
            self._paint(row, now)
        ranks = [row.lease.id for row in ordered]
        if ranks != self._ranks:
            self._arrange(ranks, chosen)
        self._write("#summary", summary(rows, now))
        self._paint_detail()

    def _paint(self, row: LeaseRow, now: Any) -> None:
        name = row.lease.id
        made = cells(row, now)
        known = self._shown.get(name)
        seen = {key: f"{text.plain}\0{text.style}" for key, text in made.items()}
        if known is None:
            self.table.add_row(*(made[key] for key, _heading, _width in COLUMNS), key=name)
        else:
            for key, text in made.items():
                if known[key] != seen[key]:
                    self.updates += 1
                    self.table.update_cell(name, key, text)
        self._shown[name] = seen

    def _arrange(self, ranks: list[str], chosen: str) -> None:
        """Sort the table; the chosen lease stays chosen, wherever it goes."""
        self._ranks = ranks
        places = {name: place for place, name in enumerate(ranks)}
        keys = iter([str(key.value) for key in self.table.rows])  # in the order in which `sort` takes them
        self.table.sort(key=lambda _row: places[next(keys)])
        if chosen in places:
            self.table.move_cursor(row=places[chosen], animate=False)

    def _paint_detail(self) -> None:
        row = self.overview.row(self.chosen)
        self._write("#detail", detail(row) if row else _("No machine costs you anything now."))

    def _write(self, where: str, text: Any) -> None:
        widget = self.query_one(where, Static)
        if str(text) != getattr(widget, "_gpurent_text", None):
            widget._gpurent_text = str(text)  # type: ignore[attr-defined]
            widget.update(text)

    def say(self, text: str) -> None:
        if self.is_running:
            self._write("#status", " ".join(text.split()))

    def on_data_table_row_highlighted(self) -> None:
        self._paint_detail()

    def show_changes(self) -> None:
        self.overview.reload()
        self.paint()

    # asking the user

    async def confirm(self, question: str) -> bool:
        """Only from a worker: it waits for the answer."""
        return await self.push_screen_wait(Confirm(question))

    async def ask(self, label: str, proposed: str) -> str:
        """Likewise; empty when it was left."""
        return await self.push_screen_wait(Ask(label, proposed))

    # looking

    @property
    def chosen(self) -> str:
        """The lease under the cursor, empty when there is none."""
        try:
            return str(self.table.coordinate_to_cell_key(self.table.cursor_coordinate).row_key.value or "")
        except CellDoesNotExist:
            return ""

    def on_screen(self) -> list[str]:
        top = int(self.table.scroll_offset.y)
        height = max(1, self.table.size.height - 1)
        return [str(row.key.value) for row in self.table.ordered_rows[top : top + height]]

    async def _keep_fresh(self) -> None:
        """Ask again and again, without waiting for whoever is slow: the overview asks nobody twice at once."""
        while True:
            self.overview.reload()
            seen = self.on_screen()
            everybody = self._rounds % ALL_EVERY == 0
            self._rounds += 1
            self._ask(self.overview.refresh(None if everybody else seen, statements=seen))
            self._ask(self.overview.refresh_machines(seen))
            self._wake.clear()
            try:
                async with asyncio.timeout(self._fresh):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _ask(self, asking: Awaitable[None]) -> None:
        async def go() -> None:
            try:
                await asking
            except GpurentError as error:
                self.say(error.message)
            self.paint()

        task = asyncio.create_task(go())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    # keys

    def ask_everybody(self) -> None:
        self._rounds = 0
        self._wake.set()

    def action_refresh(self) -> None:
        self.ask_everybody()
        self.say(_("asking everybody"))

    def action_sort(self) -> None:
        self.order = (self.order + 1) % len(ORDERS)
        self.paint()
        self.say(_("sorted by {what}").format(what=_(ORDERS[self.order][0])))

    async def action_quit(self) -> None:
        """Work that is under way is in the journal, but the user should know that it stops here."""
        if self.actions.busy and not self._warned:
            self._warned = True
            text = _("{leases}: not done yet; press q again to leave, then: gpurent resume")
            self.say(text.format(leases=", ".join(sorted(self.actions.busy))))
            return
        self.exit()

    def action_attach(self) -> None:
        lease = self.actions.find_lease(self.chosen)
        if lease is not None:
            self.actions.attach(lease)

    def action_pull(self) -> None:
        self._begin(self.actions.pull)

    def action_renew(self) -> None:
        self._begin(self.actions.renew)

    def action_release(self) -> None:
        self._begin(self.actions.release)

    def _begin(self, action: Callable[[Lease], Coroutine[Any, Any, None]]) -> None:
        lease = self.actions.find_lease(self.chosen)
        if lease is not None:
            self.run_worker(action(lease), name="action")
