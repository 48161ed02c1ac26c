"""The live table through textual's pilot: 200 leases, the keys, and those that never answer."""

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
from gpurent.cli.top.columns import COLUMNS, DETAIL, cells, detail
from gpurent.cli.top.dialogs import Ask, Confirm
from gpurent.cli.views.table import width
from gpurent.domain.money import CNY, Money
from gpurent.locale import choose
from gpurent.remote.samples import parse_sample
from gpurent.workflow.reports.overview import MachineSample
from tests.cli.crowd import crowd

SIZE = (80, 24)


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    end = monotonic() + 60
    while not true():
        assert monotonic() < end, pilot.app.screen
        await pilot.pause(0.02)


def text(app: TopApp, where: str) -> str:
    return str(app.screen_stack[0].query_one(where, Static).render())


def question(app: TopApp) -> str:
    return " ".join(str(part.render()) for part in app.screen.query(Static))


async def test_two_hundred_leases(tmp_path: Path) -> None:
    async with crowd(tmp_path, 200) as many:
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            assert app.table.row_count == 200
            assert "200 leases" in text(app, "#summary")
            assert "300 CNY/h" in text(app, "#summary"), "together"
            await until(pilot, lambda: len(many.shop.looks) == 200)
            await until(pilot, lambda: many.overview.rows()[0].spent)
            await until(pilot, lambda: not app._asking)
            assert not many.overview.rows()[199].spent, "books of what nobody sees are not asked for"
            app.paint()
            settled = app.updates
            for _time in range(5):
                app.paint()
            assert app.updates == settled, "what did not change is not written again"
            await pilot.press("down", "down", "pagedown", "up")
            assert app.chosen != "shop-00000"
            seen = app.on_screen()
            assert 0 < len(seen) < 24
            looks = dict(many.shop.looks)
            app._wake.set()
            await until(pilot, lambda: sum(many.shop.looks.values()) >= sum(looks.values()) + len(seen))
            asked = {name for name, count in many.shop.looks.items() if count > looks[name]}
            assert asked == set(seen), "only who is on the screen is asked again"


async def test_who_never_answers_is_stale_and_freezes_nothing(tmp_path: Path) -> None:
    async with crowd(tmp_path, 30, patience=0.5) as many:
        many.shop.hanging = {f"shop-{number:05}" for number in range(20)}
        many.shop.failing = {"shop-00020"}
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            for number in range(1, 6):
                await pilot.press("down")
                assert app.chosen == f"shop-{number:05}", "keys work while 8 looks hang"
            await until(pilot, lambda: many.overview.row("shop-00029").asked_at)  # type: ignore[union-attr]
            await until(pilot, lambda: many.overview.row("shop-00005").stale)  # type: ignore[union-attr]
            app.paint()
            assert "stale" in text(app, "#summary")
            assert "no answer within 0.5 s" in text(app, "#detail")
            await until(pilot, lambda: not app._asking)
            row = many.overview.row("shop-00020")
            assert row is not None
            assert "being mended" in row.stale
            state = cells(row, many.application.clock.now())["state"].plain
            assert state == "no answer"
            many.shop.failing.clear()
            many.shop.hanging.clear()
            await pilot.press("u")
            await until(pilot, lambda: not any(row.stale for row in many.overview.rows()))
            many.shop.failing = {"shop-00005"}
            await pilot.press("u")
            await until(pilot, lambda: many.overview.row("shop-00005").stale)  # type: ignore[union-attr]
            app.paint()
            assert "stale since 20" in text(app, "#detail")


def shows(app: TopApp, screen: type[Screen[Any]]) -> bool:
    """Whether that screen is on top now."""
    return isinstance(app.screen, screen)


async def test_release_asks_first_and_n_cancels(tmp_path: Path) -> None:
    async with crowd(tmp_path, 3) as many:
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("down")
            for key in ("n", "escape", "q"):
                await pilot.press("x")
                assert shows(app, Confirm)
                assert "Give shop-00001 back now?" in question(app)
                assert "come back" in question(app)
                await pilot.press("enter", "a")
                assert shows(app, Confirm), "neither is an answer"
                await pilot.press(key)
                assert not shows(app, Confirm)
                assert many.shop.released == []
                assert "stays" in text(app, "#status")
            await pilot.press("x", "y")
            await until(pilot, lambda: app.table.row_count == 2)
            assert many.shop.released == ["shop-00001"]
            assert "1.50 CNY" in text(app, "#status")


async def test_the_chosen_lease_stays_chosen_when_rows_move(tmp_path: Path) -> None:
    async with crowd(tmp_path, 10) as many:
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: many.overview.row("shop-00009").left.left)  # type: ignore[union-attr]
            await pilot.press("down", "down")
            assert app.chosen == "shop-00002"
            await pilot.press("s")
            assert app.on_screen()[0] == "shop-00009", "the least time first"
            assert app.chosen == "shop-00002"
            await pilot.press("x")
            assert "shop-00002" in question(app)
            await pilot.press("n", "s", "s", "s")
            assert app.on_screen()[0] == "shop-00000"


async def test_keys_on_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd(tmp_path, 2) as many:
        app = many.screen()
        suspended: list[bool] = []

        @contextmanager
        def suspend() -> Iterator[None]:
            suspended.append(True)
            yield

        monkeypatch.setattr(app, "suspend", suspend)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("a")
            assert many.attached == ["shop-00000"]
            assert suspended == [True]
            await pilot.press("r")
            assert "no renewal" in text(app, "#status")
            await pilot.press("p")
            assert shows(app, Ask)
            await pilot.press("escape")
            assert not shows(app, Ask)
            await pilot.press("p", "o", "u", "t", "enter")
            await until(pilot, lambda: "not running" in text(app, "#status"))
            await pilot.press("q")
        assert app.return_code == 0


async def test_leaving_while_something_is_under_way_says_so(tmp_path: Path) -> None:
    async with crowd(tmp_path, 2, patience=0.2) as many:
        many.shop.hanging = {"shop-00000"}
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("x", "y")
            await until(pilot, lambda: many.shop.released)
            await pilot.press("x")
            assert "being worked on" in text(app, "#status")
            assert not shows(app, Confirm)
            await pilot.press("q")
            assert "press q again" in text(app, "#status")
            await pilot.press("q")
        (trip,) = many.application.store.trips()
        assert (trip.kind, trip.outcome) == ("release", ""), "to be resumed"


async def test_the_newest_lines_are_the_ones_shown(tmp_path: Path) -> None:
    async with crowd(tmp_path, 1) as many:
        (row,) = many.overview.rows()
        sample = MachineSample(
            lines=tuple(f"line {number}" for number in range(20)), stale="lost \x1b[31mred"
        )
        shown = detail(evolve(row, sample=sample, spent=(Money(150, CNY),))).plain.split("\n")
        assert len(shown) == DETAIL
        assert shown[-1] == "line 19"
        assert "1.50 CNY" in shown[1]
        assert shown[2].endswith("lost red")


async def test_no_lease_at_all(tmp_path: Path) -> None:
    async with crowd(tmp_path, 0) as many:
        app = many.screen()
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("x", "r", "p", "a", "s", "u")
            assert "No machine costs you anything" in text(app, "#detail")
            assert not shows(app, Confirm)


async def test_columns_fit_and_line_up_in_chinese(tmp_path: Path) -> None:
    assert sum(columns + 2 for _key, _heading, columns in COLUMNS) <= 79
    choose("zh")
    try:
        async with crowd(tmp_path, 2) as many:
            app = many.screen()
            async with app.run_test(size=SIZE) as pilot:
                await pilot.pause()
                row = many.overview.rows()[0]
                made = cells(row, many.application.clock.now())
                assert made["state"].plain == "运行中"
                assert all(made[key].cell_len <= columns for key, _heading, columns in COLUMNS)
                lines = [
                    "".join(part.text for part in app.screen._compositor.render_strips()[y])
                    for y in range(1, 4)
                ]
                assert {width(line) for line in lines} == {80}
                ends = {width(line.partition("1.5 CNY")[0]) for line in lines[1:]}
                assert len(ends) == 1
    finally:
        choose("en")


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
def test_what_a_machine_says(output: str, expected: tuple[int | None, tuple[str, ...]]) -> None:
    assert parse_sample(output) == expected


async def test_slots_of_hanging_looks_are_given_back(tmp_path: Path) -> None:
    async with crowd(tmp_path, 20, patience=0.2) as many:
        many.shop.hanging = {f"shop-{number:05}" for number in range(20)}
        async with asyncio.timeout(60):
            await many.overview.refresh()
        assert all(row.stale for row in many.overview.rows())
        many.shop.hanging.clear()
        await many.overview.refresh()
        assert not any(row.stale for row in many.overview.rows())
