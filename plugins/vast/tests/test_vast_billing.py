"""The credit of vast.ai: what is charged for a machine, what came in, and what a prepayment gives back."""

from __future__ import annotations

import pytest

from gpurent.api import Charge, ChargeKind, Known, Lease, MoneyError, Unknown
from gpurent_plugin_vast import wire
from plugins.vast.tests.vast_harness import VastHarness, vast_harness
from plugins.vast.tests.vast_simulator_books import check_books


async def read_statement(user: VastHarness) -> list[Charge]:
    found = await user.billing.get_statement()
    assert isinstance(found, Known)
    return list(found.items)


async def read_charges(user: VastHarness, lease: Lease) -> list[Charge]:
    found = await user.billing.list_charges(lease)
    assert isinstance(found, Known)
    return list(found.items)


async def test_the_top_up_leads_to_the_page_with_account_and_amount() -> None:
    async with vast_harness("0") as user:
        shown = await user.billing.create_top_up(wire.USD.money("12.5"))
        assert shown.url.endswith(f"/{user.api.account.id}/12.5")
        with pytest.raises(MoneyError):
            await user.billing.create_top_up(wire.USD.zero)


async def test_charges_of_a_machine_are_those_of_the_statement_and_the_simulators_own() -> None:
    async with vast_harness("50") as user:
        lease = await user.rent_running()
        assert isinstance(await user.billing.list_charges(lease), Known)
        await user.api.advance(days=2)
        stopping = await user.provider.stop_lease(lease)
        assert isinstance(stopping, Lease)
        await user.api.advance(days=2)
        charges = await read_charges(user, lease)
        assert [charge.growing for charge in charges] == [False] * (len(charges) - 1) + [True]
        assert "disk" in charges[-1].note
        assert "gpu" not in charges[-1].note, "only its disk costs money"
        released = await user.release(await user.refresh(lease))
        charges = await read_charges(user, released)
        assert not any(charge.growing for charge in charges)
        total = sum(charge.money.amount for charge in charges)
        assert total == user.instance.compute_cost(user.api.state.at)
        statement = await read_statement(user)
        usage = {charge.ref: charge.money for charge in statement if charge.kind is ChargeKind.USAGE}
        assert usage == {charge.ref: charge.money for charge in charges}
        assert [charge.money for charge in statement if charge.kind is ChargeKind.TOP_UP] == [
            wire.USD.money(50)
        ]
        assert (await user.billing.get_balance()).available.amount == 50_000_000 - total
        await check_books(user.api)


async def test_a_machine_that_is_not_charged_yet_is_not_free() -> None:
    async with vast_harness() as user:
        lease = await user.rent()
        seen = await user.refresh(lease)
        assert await user.billing.list_charges(lease) == Known(()) or isinstance(
            await user.billing.list_charges(seen), Unknown
        )


async def test_the_refund_of_a_prepayment_is_in_the_statement() -> None:
    async with vast_harness("200") as user:
        lease = await user.rent_running()
        answer = await user.api.put(f"/api/v0/instances/prepay/{lease.ref}/", amount=100)
        assert answer.data["success"]
        assert (await user.billing.get_balance()).available.amount < 100_000_000, "it left the credit"
        await user.api.advance(days=1)
        deposit = (await user.api.get(f"/api/v0/instances/balance/{lease.ref}/")).data
        assert await user.provider.quote_refund(lease) == wire.USD.money(deposit["refundable_deposit"])
        await user.release(lease)
        (refund,) = [item for item in await read_statement(user) if item.kind is ChargeKind.REFUND]
        assert refund.money == wire.USD.money(deposit["refundable_deposit"])
        assert 0 < refund.money.amount < 100_000_000 * 95 // 100, "less what was used, the discount and 5 %"
        assert user.instance.refund is not None
        assert refund.money.amount == user.instance.refund[1]
