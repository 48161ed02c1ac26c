"""The live table through textual's pilot: 200 leases, the keys, and leases that never answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from attrs import evolve
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from gpurent.cli.top.app import TopApp
from gpurent.cli.top.columns import COLUMNS, DETAIL_HEIGHT, format_cells, format_detail
from gpurent.cli.top.dialogs import ConfirmDialog, InputDialog
from gpurent.cli.views.table import display_width
from gpurent.domain.money import CNY, Money
from gpurent.locale import set_language
from gpurent.remote.samples import parse_view_sample
from gpurent.workflow.reports.overview import MachineSample
from tests.cli.many_leases import many_leases

SCREEN_SIZE = (80, 24)


async def wait_until_true(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    end = monotonic() + 60
    while not condition():
        assert monotonic() < end, pilot.app.screen
        await pilot.pause(0.02)


def widget_text(app: TopApp, selector: str) -> str:
    return str(app.screen_stack[0].query_one(selector, Static).render())


def question_text(app: TopApp) -> str:
    return " ".join(str(part.render()) for part in app.screen.query(Static))


@pytest.mark.nightly
async def test_two_hundred_leases(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 200) as many:
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            assert app.table.row_count == 200
            assert "200 leases" in widget_text(app, "#summary")
            assert "300 CNY/h" in widget_text(app, "#summary"), "together"
            await wait_until_true(pilot, lambda: len(many.provider.refresh_counts) == 200)
            await wait_until_true(pilot, lambda: many.overview.list_rows()[0].spent)
            await wait_until_true(pilot, lambda: not app._refresh_tasks)
            assert not many.overview.list_rows()[199].spent, "books of what nobody sees are not asked for"
            app.update_screen()
            settled = app.cell_updates
            for _time in range(5):
                app.update_screen()
            assert app.cell_updates == settled, "what did not change is not written again"
            await pilot.press("down", "down", "pagedown", "up")
            assert app.selected_id != "acme-00000"
            seen = app.visible_ids()
            assert 0 < len(seen) < 24
            counts_before = dict(many.provider.refresh_counts)
            app._wake.set()
            await wait_until_true(
                pilot,
                lambda: sum(many.provider.refresh_counts.values()) >= sum(counts_before.values()) + len(seen),
            )
            asked = {
                name for name, count in many.provider.refresh_counts.items() if count > counts_before[name]
            }
            assert asked == set(seen), "only who is on the screen is asked again"


async def test_a_hanging_lease_is_stale_and_freezes_nothing(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 30, patience=0.5) as many:
        many.provider.hanging_leases = {f"acme-{number:05}" for number in range(20)}
        many.provider.failing_leases = {"acme-00020"}
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            for number in range(1, 6):
                await pilot.press("down")
                assert app.selected_id == f"acme-{number:05}", "keys work while 8 refreshes hang"
            await wait_until_true(pilot, lambda: many.overview.find_row("acme-00029").asked_at)  # type: ignore[union-attr]
            await wait_until_true(pilot, lambda: many.overview.find_row("acme-00005").stale_reason)  # type: ignore[union-attr]
            app.update_screen()
            assert "stale" in widget_text(app, "#summary")
            assert "no answer within 0.5 s" in widget_text(app, "#detail")
            await wait_until_true(pilot, lambda: not app._refresh_tasks)
            row = many.overview.find_row("acme-00020")
            assert row is not None
            assert "under maintenance" in row.stale_reason
            state = format_cells(row, many.application.clock.now())["state"].plain
            assert state == "no answer"
            many.provider.failing_leases.clear()
            many.provider.hanging_leases.clear()
            await pilot.press("u")
            await wait_until_true(
                pilot, lambda: not any(row.stale_reason for row in many.overview.list_rows())
            )
            many.provider.failing_leases = {"acme-00005"}
            await pilot.press("u")
            await wait_until_true(pilot, lambda: many.overview.find_row("acme-00005").stale_reason)  # type: ignore[union-attr]
            app.update_screen()
            assert "stale since 20" in widget_text(app, "#detail")


def is_on_top(app: TopApp, screen: type[Screen[Any]]) -> bool:
    """Return whether that screen is on top now."""
    return isinstance(app.screen, screen)


async def test_release_asks_first_and_n_cancels(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 3) as many:
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            await pilot.press("down")
            for key in ("n", "escape", "q"):
                await pilot.press("x")
                assert is_on_top(app, ConfirmDialog)
                assert "Release acme-00001 now?" in question_text(app)
                assert "will be refunded" in question_text(app)
                await pilot.press("enter", "a")
                assert is_on_top(app, ConfirmDialog), "neither is an answer"
                await pilot.press(key)
                assert not is_on_top(app, ConfirmDialog)
                assert many.provider.released_leases == []
                assert "was not released" in widget_text(app, "#status")
            await pilot.press("x", "y")
            await wait_until_true(pilot, lambda: app.table.row_count == 2)
            assert many.provider.released_leases == ["acme-00001"]
            assert "1.50 CNY" in widget_text(app, "#status")


async def test_the_chosen_lease_stays_chosen_when_rows_move(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 10) as many:
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            await wait_until_true(pilot, lambda: many.overview.find_row("acme-00009").time_left.left)  # type: ignore[union-attr]
            await pilot.press("down", "down")
            assert app.selected_id == "acme-00002"
            await pilot.press("s")
            assert app.visible_ids()[0] == "acme-00009", "the least time first"
            assert app.selected_id == "acme-00002"
            await pilot.press("x")
            assert "acme-00002" in question_text(app)
            await pilot.press("n", "s", "s", "s")
            assert app.visible_ids()[0] == "acme-00000"


async def test_keys_on_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with many_leases(tmp_path, 2) as many:
        app = many.make_screen()
        suspended: list[bool] = []

        @contextmanager
        def suspend() -> Iterator[None]:
            suspended.append(True)
            yield

        monkeypatch.setattr(app, "suspend", suspend)
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            await pilot.press("a")
            assert many.attached_leases == ["acme-00000"]
            assert suspended == [True]
            await pilot.press("r")
            assert "does not support renewal" in widget_text(app, "#status")
            await pilot.press("p")
            assert is_on_top(app, InputDialog)
            await pilot.press("escape")
            assert not is_on_top(app, InputDialog)
            await pilot.press("p", "o", "u", "t", "enter")
            await wait_until_true(pilot, lambda: "not running" in widget_text(app, "#status"))
            await pilot.press("q")
        assert app.return_code == 0


async def test_leaving_during_an_action_is_reported(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 2, patience=0.2) as many:
        many.provider.hanging_leases = {"acme-00000"}
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            await pilot.press("x", "y")
            await wait_until_true(pilot, lambda: many.provider.released_leases)
            await pilot.press("x")
            assert "busy" in widget_text(app, "#status")
            assert not is_on_top(app, ConfirmDialog)
            await pilot.press("q")
            assert "press q again" in widget_text(app, "#status")
            await pilot.press("q")
        (trip,) = await many.application.store.list_trips()
        assert (trip.kind, trip.outcome_text) == ("release", ""), "to be resumed"


async def test_the_newest_lines_are_the_ones_shown(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 1) as many:
        (row,) = many.overview.list_rows()
        sample = MachineSample(
            lines=tuple(f"line {number}" for number in range(20)), stale_reason="lost \x1b[31mred"
        )
        detail_lines = format_detail(evolve(row, sample=sample, spent=(Money(150, CNY),))).plain.split("\n")
        assert len(detail_lines) == DETAIL_HEIGHT
        assert detail_lines[-1] == "line 19"
        assert "1.50 CNY" in detail_lines[1]
        assert detail_lines[2].endswith("lost red")


async def test_no_lease_at_all(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 0) as many:
        app = many.make_screen()
        async with app.run_test(size=SCREEN_SIZE) as pilot:
            await pilot.press("x", "r", "p", "a", "s", "u")
            assert "No machine is costing money" in widget_text(app, "#detail")
            assert not is_on_top(app, ConfirmDialog)


async def test_columns_fit_and_line_up_in_chinese(tmp_path: Path) -> None:
    assert sum(columns + 2 for _key, _heading, columns in COLUMNS) <= 79
    set_language("zh")
    try:
        async with many_leases(tmp_path, 2) as many:
            app = many.make_screen()
            async with app.run_test(size=SCREEN_SIZE) as pilot:
                await pilot.pause()
                row = many.overview.list_rows()[0]
                made = format_cells(row, many.application.clock.now())
                assert made["state"].plain == "运行中"
                assert all(made[key].cell_len <= columns for key, _heading, columns in COLUMNS)
                lines = [
                    "".join(part.text for part in app.screen._compositor.render_strips()[y])
                    for y in range(1, 4)
                ]
                assert {display_width(line) for line in lines} == {80}
                ends = {display_width(line.partition("1.5 CNY")[0]) for line in lines[1:]}
                assert len(ends) == 1
    finally:
        set_language("en")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "hello from bashrc\ngpurent-glimpse\n40\n61\ngpurent-glimpse\na\n\x1b[31mb\x1b[0m\n",
            (50, ("a", "b")),
        ),
        ("gpurent-glimpse\ngpurent-glimpse\n 1%\r 50%\r100%\r\n", (None, ("100%",))),
        ("gpurent-glimpse\n[N/A]\ngpurent-glimpse\n", (None, ())),
        ("nothing", (None, ())),
    ],
)
def test_details_of_a_machine(output: str, expected: tuple[int | None, tuple[str, ...]]) -> None:
    assert parse_view_sample(output) == expected


async def test_slots_of_hanging_refreshes_are_released(tmp_path: Path) -> None:
    async with many_leases(tmp_path, 20, patience=0.2) as many:
        many.provider.hanging_leases = {f"acme-{number:05}" for number in range(20)}
        async with asyncio.timeout(60):
            await many.overview.refresh_rows()
        assert all(row.stale_reason for row in many.overview.list_rows())
        many.provider.hanging_leases.clear()
        await many.overview.refresh_rows()
        assert not any(row.stale_reason for row in many.overview.list_rows())
