"""A price that is not known is unknown, never 0: of a machine that is not offered any more, and of an offer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.money import CNY, HOUR, UnitPrice
from gpurent.domain.offer import Metered, Offer, Requirements
from gpurent.domain.time_left import sum_prices
from gpurent.domain.trip import TripSpec
from gpurent.domain.wishes import Wish
from gpurent.errors import MoneyError, SoldOut, Spent
from gpurent_plugin_mistgpu import wire
from gpurent_plugin_mistgpu.simulator import pages
from tests.reliability.test_orphans import rent_at_mistgpu
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox


async def test_the_price_of_an_adopted_machine_that_is_not_offered_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        for folder in ("state", "state-copies"):
            shutil.rmtree(sandbox.home / folder)
        await log_in_at_mistgpu(sandbox)
        sandbox.get_simulator_state("mistgpu").machines.pop(lease.offer.key)
        async with sandbox.open_application(user) as application:
            adopted = await application.orphan_commands.adopt_orphan(lease.ref)
        (listed,) = (await sandbox.run_command("ls", "--json")).data
        assert listed["id"] == adopted.id
        assert listed["offer"]["tariff"]["price"] is None
        shown = (await sandbox.run_command("show", adopted.id)).out
        assert "unknown" in next(line for line in shown.splitlines() if line.startswith("price"))
        assert (await sandbox.run_command("top", "--once", "--json")).data[0]["price"] is None
        # Without the statement, which would show what was spent, a budget cannot be watched, and that is said.
        monkeypatch.setattr(pages, "render_bills", lambda *_given: "<html>维护中</html>")
        (sandbox.home / "state" / "config.toml").write_text('[budget]\nmonth = "100CNY"\n')
        watched = await sandbox.run_command("watch", "--once")
        assert "its price is not known" in watched.err
        assert (
            "the monthly budget cannot be checked: the price of a running machine is not known" in watched.err
        )
        assert watched.code == 8


def test_a_sum_with_an_unknown_price_is_not_known() -> None:
    with pytest.raises(MoneyError):
        sum_prices([UnitPrice.make_unknown(CNY)])


async def test_an_offer_whose_price_is_not_known_is_counted_and_never_rented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse_offers = wire.parse_offers

    def parse_unpriced(page: str, url: str) -> list[Offer]:
        unknown = Metered(price=UnitPrice.make_unknown(CNY))
        return [evolve(offer, tariff=unknown, note="ask them") for offer in parse_offers(page, url)]

    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            whole = await application.market.compare_offers(Requirements(), ["mistgpu"], HOUR, "CNY")
            monkeypatch.setattr(wire, "parse_offers", parse_unpriced)
            found = await application.market.compare_offers(Requirements(), ["mistgpu"], HOUR, "CNY")
            assert whole.ranked
            assert not found.ranked
            assert found.unstated["mistgpu"] == {Wish.ANY_PRICE: len(whole.ranked)}
            with pytest.raises(SoldOut, match="no free machine") as refused:
                await application.trips.rent(TripSpec(provider="mistgpu"))
            assert "state: price" in refused.value.hint
            unknown = evolve(whole.ranked[0].offer, tariff=Metered(price=UnitPrice.make_unknown(CNY)))
            with pytest.raises(MoneyError, match="is not known") as unquoted:
                await application.market.quotes.quote_offer(unknown, HOUR)
            assert unquoted.value.spent is Spent.NO
        assert sandbox.get_simulator_state("mistgpu").servers == {}
