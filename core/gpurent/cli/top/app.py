"""The screen: a table drawn from the overview without waiting for it, and keys that act on one lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Static
from textual.widgets.data_table import CellDoesNotExist

from gpurent.cli.top.actions import LeaseActions, LeaseOperations
from gpurent.cli.top.columns import (
    COLUMNS,
    DETAIL_HEIGHT,
    SORT_ORDERS,
    format_cells,
    format_detail,
    format_summary,
)
from gpurent.cli.top.dialogs import ConfirmDialog, InputDialog
from gpurent.domain.lease import Lease
from gpurent.errors import GpurentError
from gpurent.locale import N_, _, join_list
from gpurent.terminal_text import strip_terminal, strip_to_line
from gpurent.workflow.reports.overview import LeaseOverview, LeaseRow

PAINT_INTERVAL = 1.0
REFRESH_INTERVAL = 5.0
FULL_REFRESH_ROUNDS = 12


class TopApp(App[None]):
    """The screen of ``gpurent top``. ``cell_updates`` counts rewritten cells; unchanged rows are left alone."""

    ENABLE_COMMAND_PALETTE = False
    CSS = f"""
    #summary, #status {{ height: 1; }}
    #table {{ height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }}
    #detail {{ height: {DETAIL_HEIGHT + 1}; border-top: solid $primary; overflow: hidden; text-wrap: nowrap; }}
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
        self,
        overview: LeaseOverview,
        work: LeaseOperations,
        attach: Callable[[str], int],
        fresh: float = REFRESH_INTERVAL,
    ) -> None:
        super().__init__()
        self.overview = overview
        self.actions = LeaseActions(self, overview, work, attach)
        self.cell_updates = 0
        self.order_index = 0
        self._refresh_interval = fresh
        self._rounds = 0
        self._warned = False
        self._shown_cells: dict[str, dict[str, str]] = {}
        self._row_order: list[str] = []
        self._refresh_tasks: set[asyncio.Task[None]] = set()
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
        self.update_screen()
        self.set_interval(PAINT_INTERVAL, self.update_screen)
        self.run_worker(self._refresh_loop(), name="fresh")

    async def on_unmount(self) -> None:
        for task in self._refresh_tasks:
            task.cancel()
        await asyncio.gather(*self._refresh_tasks, return_exceptions=True)

    # drawing

    def update_screen(self) -> None:
        """Update the screen from the overview; writes only what changed."""
        rows = self.overview.list_rows()
        now = self.overview.clock.now()
        if not self.query("#table"):
            return  # a timer's last tick, while the app closes
        chosen = self.selected_id
        ordered = sorted(rows, key=SORT_ORDERS[self.order_index][1])  # type: ignore[arg-type]
        for name in self._shown_cells.keys() - {row.lease.id for row in rows}:
            del self._shown_cells[name]
            self.table.remove_row(name)
        for row in ordered:
            self._update_row(row, now)
        ranks = [row.lease.id for row in ordered]
        if ranks != self._row_order:
            self._sort_rows(ranks, chosen)
        self._set_text("#summary", format_summary(rows, now))
        self._update_detail()

    def _update_row(self, row: LeaseRow, now: Any) -> None:
        name = row.lease.id
        made = format_cells(row, now)
        known = self._shown_cells.get(name)
        seen = {key: f"{text.plain}\0{text.style}" for key, text in made.items()}
        if known is None:
            self.table.add_row(*(made[key] for key, _heading, _width in COLUMNS), key=name)
        else:
            for key, text in made.items():
                if known[key] != seen[key]:
                    self.cell_updates += 1
                    self.table.update_cell(name, key, text)
        self._shown_cells[name] = seen

    def _sort_rows(self, ranks: list[str], chosen: str) -> None:
        """Sort the table and keep the selection on the chosen lease."""
        self._row_order = ranks
        places = {name: place for place, name in enumerate(ranks)}
        keys = iter([str(key.value) for key in self.table.rows])  # in the order in which `sort` visits them
        self.table.sort(key=lambda _row: places[next(keys)])
        if chosen in places:
            self.table.move_cursor(row=places[chosen], animate=False)

    def _update_detail(self) -> None:
        row = self.overview.find_row(self.selected_id)
        self._set_text("#detail", format_detail(row) if row else _("No machine is costing money now."))

    def _set_text(self, where: str, text: Any) -> None:
        widget = self.query_one(where, Static)
        if str(text) != getattr(widget, "_gpurent_text", None):
            widget._gpurent_text = str(text)  # type: ignore[attr-defined]
            widget.update(text)

    def show_status(self, text: str) -> None:
        if self.is_running:
            self._set_text("#status", strip_to_line(" ".join(text.split())))

    def on_data_table_row_highlighted(self) -> None:
        self._update_detail()

    async def reload_leases(self) -> None:
        await self.overview.reload_leases()
        self.update_screen()

    # asking the user

    async def confirm(self, question: str) -> bool:
        """Wait for a yes or no; call it only from a worker."""
        return await self.push_screen_wait(ConfirmDialog(strip_terminal(question)))

    async def ask_text(self, label: str, proposed: str) -> str:
        """Wait for a line of text, empty if cancelled; call it only from a worker."""
        return await self.push_screen_wait(InputDialog(strip_to_line(label), strip_to_line(proposed)))

    # refreshing

    @property
    def selected_id(self) -> str:
        """The lease under the cursor, empty when there is none."""
        try:
            return str(self.table.coordinate_to_cell_key(self.table.cursor_coordinate).row_key.value or "")
        except CellDoesNotExist:
            return ""

    def visible_ids(self) -> list[str]:
        top = int(self.table.scroll_offset.y)
        height = max(1, self.table.size.height - 1)
        return [str(row.key.value) for row in self.table.ordered_rows[top : top + height]]

    async def _refresh_loop(self) -> None:
        """Refresh repeatedly without waiting for slow providers; the overview never queries one twice at once."""
        while True:
            await self.overview.reload_leases()
            seen = self.visible_ids()
            everybody = self._rounds % FULL_REFRESH_ROUNDS == 0
            self._rounds += 1
            self._start_refresh(self.overview.refresh_rows(None if everybody else seen, statements=seen))
            self._start_refresh(self.overview.refresh_machines(seen))
            self._wake.clear()
            try:
                async with asyncio.timeout(self._refresh_interval):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _start_refresh(self, asking: Awaitable[None]) -> None:
        async def go() -> None:
            try:
                await asking
            except GpurentError as error:
                self.show_status(error.message)
            self.update_screen()

        task = asyncio.create_task(go())
        self._refresh_tasks.add(task)
        task.add_done_callback(self._refresh_tasks.discard)

    # keys

    def refresh_all(self) -> None:
        self._rounds = 0
        self._wake.set()

    def action_refresh(self) -> None:
        self.refresh_all()
        self.show_status(_("asking all providers"))

    def action_sort(self) -> None:
        self.order_index = (self.order_index + 1) % len(SORT_ORDERS)
        self.update_screen()
        self.show_status(_("sorted by {what}").format(what=_(SORT_ORDERS[self.order_index][0])))

    async def action_quit(self) -> None:
        """Quit, but first warn once if operations are in progress: they are in the journal, but stop here."""
        if self.actions.busy_leases and not self._warned:
            self._warned = True
            text = _("{leases}: not finished yet; press q again to quit, then continue with: gpurent resume")
            self.show_status(text.format(leases=join_list(sorted(self.actions.busy_leases))))
            return
        self.exit()

    def action_attach(self) -> None:
        lease = self.actions.find_lease(self.selected_id)
        if lease is not None:
            self.actions.attach(lease)

    def action_pull(self) -> None:
        self._start_action(self.actions.pull)

    def action_renew(self) -> None:
        self._start_action(self.actions.renew)

    def action_release(self) -> None:
        self._start_action(self.actions.release)

    def _start_action(self, action: Callable[[Lease], Coroutine[Any, Any, None]]) -> None:
        lease = self.actions.find_lease(self.selected_id)
        if lease is not None:
            self.run_worker(action(lease), name="action")
