"""The canonical trip end to end over HTTP, all ledgers equal to the last unit; and with every response lost once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import ChargeKind, Endpoint, Known, LeaseState, OrderKind, PaymentPurpose, UnavailableError
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent_plugin_gpu1024.wire import ApiReply
from plugins.gpu1024.tests.gpu1024_harness import (
    DAY,
    UNITS,
    Driver,
    Gpu1024Harness,
    Gpu1024Renter,
    gpu1024_harness,
)

HOUR = timedelta(hours=1)


async def run_canonical_trip(renter: Gpu1024Renter, driver: Driver) -> None:
    """Rent a CPU container by deposit, switch to GPU, renew once, release after five hours."""
    clock = renter.harness.clock
    gpu = await driver.retry_lost_responses(lambda: renter.make_order(provider=driver.provider))
    await driver.rent_machine(driver.provider.make_staging_order(gpu))
    clock.advance(timedelta(minutes=40))
    await driver.rent_machine(await renter.make_order(OrderKind.SWITCH, offer=gpu.offer))
    await driver.renew_lease(2 * HOUR, f"{gpu.key}-more")
    clock.advance(5 * HOUR)
    await driver.release_lease()


def sum_spent(charges: Counter[ChargeKind]) -> int:
    return charges[ChargeKind.USAGE] + charges[ChargeKind.RENEWAL] - charges[ChargeKind.REFUND]


async def test_f4_f5_f6_f7_the_whole_flow_step_by_step(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    before = renter.balance_units
    driver = renter.make_driver()
    gpu = await renter.make_order()

    await driver.reserve_lease(driver.provider.make_staging_order(gpu))
    assert driver.current_lease.state is LeaseState.REQUESTED
    bill = await driver.wait_for_bill()
    assert bill.purpose is PaymentPurpose.DEPOSIT
    assert 60_000 * UNITS < bill.amount.amount < 60_001 * UNITS
    assert bill.due is not None
    assert bill.due - harness.clock.now() < timedelta(minutes=10)
    await driver.confirm_payment(await driver.pay_bill(bill))
    cpu = await driver.wait_until_ready()
    staged = harness.machines.only_machine
    assert cpu.endpoint == Endpoint("root", "127.0.0.1", staged.port)
    password = renter.vault.get("password")
    assert password is not None
    assert password.reveal() == staged.spec.password
    assert staged.spec.user == "root"
    assert staged.spec.hostname.startswith("iZ")
    assert staged.spec.python == "python2"

    switched = await driver.rent_machine(await renter.make_order(OrderKind.SWITCH, offer=gpu.offer))
    machine = harness.machines.only_machine
    assert machine.spec.data == staged.spec.data, "the files came along"
    assert machine.spec.password != staged.spec.password
    password = renter.vault.get("password")
    assert password is not None
    assert password.reveal() == machine.spec.password
    assert switched.endpoint == Endpoint("root", "127.0.0.1", machine.port)
    assert machine.port != staged.port
    assert switched.ref != cpu.ref
    assert (await driver.sum_charges())[ChargeKind.DEPOSIT_REFUND] == bill.amount.amount
    assert switched.expires_at is not None

    renewed = await driver.renew_lease(2 * HOUR, "more")
    assert renewed.expires_at == switched.expires_at + 2 * HOUR
    rented_at = harness.state.orders[renewed.ref].rented_at
    assert rented_at is not None
    harness.clock.advance_to(rented_at + timedelta(hours=5, seconds=1))
    over = await driver.release_lease()
    assert over.state is LeaseState.KEPT, "the wallet holds enough for the files to be kept"
    assert over.ended_at is not None
    assert over.kept_until is not None
    assert timedelta(0) <= over.kept_until - over.ended_at - 7 * DAY < timedelta(minutes=2)
    day = harness.state.orders[over.ref].terms[0][1]
    used = -(-day * 301 // 1440)
    assert sum_spent(await driver.sum_charges()) == before - renter.balance_units == used
    assert harness.machines.alive_machines == {}
    assert harness.machines.disks == {machine.spec.data}
    assert list(harness.simulator.list_billed_machines()) == []
    harness.check_ledgers_agree()


async def test_between_payment_and_mail_the_machine_is_being_prepared(renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await driver.reserve_lease(driver.provider.make_staging_order(await renter.make_order()))
    await driver.confirm_payment(await driver.pay_bill(await driver.wait_for_bill()))
    assert driver.current_lease.state is LeaseState.PROVISIONING


async def test_a_gpu_can_be_rented_without_staging(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(await renter.make_order(term=3 * HOUR))
    # 0.215 USD an hour at 0.0026 USD per DBC: 82.69230769... DBC an hour, rounded up once.
    assert renter.list_orders()[0].total == 24807692308
    await driver.release_lease()
    harness.check_ledgers_agree()


@pytest.mark.parametrize(
    ("fault", "first", "step"),
    [
        ("lose_response", 3, 17),
        ("lose_request", 7, 17),
        pytest.param("lose_response", 1, 1, marks=pytest.mark.nightly),
        pytest.param("lose_request", 1, 1, marks=pytest.mark.nightly),
    ],
)
async def test_any_answer_may_be_lost_and_it_is_one_order_and_one_payment(
    fault: str, first: int, step: int
) -> None:
    """Lose every eighth call; the nightly run loses each of them."""
    async with gpu1024_harness(machines=1) as harness:
        renter = await harness.make_renter()
        clean = renter.make_driver()
        await run_canonical_trip(renter, clean)
        calls, expected = clean.faults.calls, set(await clean.sum_charges())
        assert 40 < calls < 150
        for number in range(first, calls + 1, step):
            renter = await harness.make_renter()
            driver, before = renter.make_driver(**{fault: number}), renter.balance_units
            await run_canonical_trip(renter, driver)
            label = f"{fault} {number}: {clean.faults.sent[number - 1]}"
            assert driver.lost_response_count == 1, label
            orders = renter.list_orders()
            assert [order.kind for order in orders] == ["cpu", "gpu"], label
            renewals = [r for r in harness.state.renewals.values() if r.order.wallet == renter.address]
            assert [r.done for r in renewals if r.created_at] == [True], label
            charges = await driver.sum_charges()
            assert set(charges) == expected, label
            assert charges[ChargeKind.DEPOSIT] == charges[ChargeKind.DEPOSIT_REFUND], label
            stopped = orders[1].stopped_at
            assert stopped is not None, label
            assert before - renter.balance_units == sum_spent(charges) == orders[1].compute_cost(stopped), (
                label
            )
            assert driver.current_lease.state is LeaseState.KEPT, label
            assert harness.machines.alive_machines == {}, label
        harness.check_ledgers_agree()


async def test_f3_binding_costs_the_mailed_decimal_and_only_once(harness: Gpu1024Harness) -> None:
    renter = await harness.make_unfunded_renter()
    await renter.top_up("1")
    assert await renter.provider.get_bound_email() == ""
    first = await renter.provider.request_binding(renter.email, "bind")
    again = await renter.provider.request_binding(renter.email, "bind")
    assert first.bill is not None
    assert first.bill == again.bill, "asked again, the same code comes"
    assert 0 < first.bill.amount.amount < UNITS
    payment = await renter.user.billing("1024gpu").pay_bill(first.bill)
    assert not (await renter.provider.complete_binding(first, payment)).done
    harness.clock.advance(timedelta(seconds=45))
    assert (await renter.provider.complete_binding(first, payment)).done
    assert (await renter.provider.complete_binding(first, payment)).done
    assert await renter.provider.get_bound_email() == renter.email
    assert renter.balance_units == UNITS - first.bill.amount.amount
    harness.check_ledgers_agree()


async def test_a_code_of_another_wallet_with_the_same_address_is_not_paid(
    harness: Gpu1024Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The e-mail does not name its wallet, and here that of the user's other computer is the newer one."""
    renter, other = await harness.make_unfunded_renter(), await harness.make_unfunded_renter()
    await renter.top_up("1")
    provider = renter.provider
    call = provider._client.call_checked

    async def call_for_both(path: str, **params: str) -> ApiReply:
        found = await call(path, **params)
        if path.endswith("request_code"):
            await call(path, **{**params, "wallet_address": other.address})
        return found

    monkeypatch.setattr(provider._client, "call_checked", call_for_both)
    binding = await provider.request_binding(renter.email, "bind")
    codes = {wallet: code for wallet, (_email, code, _asked) in harness.state.bindings.items()}
    assert len(codes) == 2
    assert binding.bill is not None
    assert binding.bill.amount.amount == codes[renter.address]
    payment = await renter.user.billing("1024gpu").pay_bill(binding.bill)
    harness.clock.advance(timedelta(seconds=45))
    assert (await provider.complete_binding(binding, payment)).done


async def test_a_binding_that_a_lost_journal_paid_is_not_paid_again(harness: Gpu1024Harness) -> None:
    renter = await harness.make_unfunded_renter()
    await renter.top_up("1")
    first = await renter.provider.request_binding(renter.email, "bind")
    assert first.bill is not None
    paid = await renter.user.billing("1024gpu").pay_bill(first.bill)
    renter.user._states.clear()
    again = await renter.provider.request_binding(renter.email, "bind-again")
    assert again.bill is not None
    assert again.bill.key != first.bill.key
    assert (await renter.user.billing("1024gpu").pay_bill(again.bill)).proof == paid.proof
    assert renter.balance_units == UNITS - first.bill.amount.amount
    harness.clock.advance(timedelta(seconds=45))
    assert (await renter.provider.complete_binding(again, paid)).done
    harness.check_ledgers_agree()


async def test_without_a_bound_address_nothing_can_be_ordered(harness: Gpu1024Harness) -> None:
    renter = await harness.make_unfunded_renter()
    await renter.top_up()
    with pytest.raises(Exception, match="绑定邮箱"):
        await renter.provider.reserve_lease(await renter.make_order())


async def test_reserve_again_is_the_same_order(renter: Gpu1024Renter) -> None:
    order = await renter.make_order()
    first = await renter.provider.reserve_lease(order)
    again = await renter.provider.reserve_lease(order)
    assert first.pending is not None
    assert again.pending is not None
    assert first.pending.ref == again.pending.ref
    assert len(renter.list_orders()) == 1


async def test_list_leases_returns_the_providers_leases(renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(await renter.make_order())
    found = await renter.provider.list_leases()
    assert isinstance(found, Known)
    assert [(lease.ref, lease.id) for lease in found.items] == [(driver.current_lease.ref, "")]


async def test_staging_without_cpu_container_is_refused(renter: Gpu1024Renter) -> None:
    order = await renter.make_order()
    with pytest.raises(Exception, match="no CPU container"):
        renter.provider.make_staging_order(
            evolve(order, offer=evolve(order.offer, provider_data={"cpu_container": "no"}))
        )


async def test_a_lost_connection_is_unavailable_not_refused(renter: Gpu1024Renter) -> None:
    lossy = renter.user.provider("1024gpu", type(renter.provider), faults=HttpFaults(lose_request=1))
    with pytest.raises(UnavailableError):
        await lossy.get_bound_email()


async def test_a_page_in_place_of_the_chain_is_no_verdict_on_a_payment(renter: Gpu1024Renter) -> None:
    """The service itself asks the chain: what it cannot read there, it does not call a wrong payment."""
    driver = renter.make_driver()
    await driver.reserve_lease(await renter.make_order())
    payment = await driver.pay_bill(await driver.wait_for_bill())
    page = ServiceFault(service="dbc", path="/tx/*", body="<html>down for maintenance</html>", times=1)
    await renter.harness.sandbox.simulators.faults.add(page)
    await driver.confirm_payment(payment)
    await driver.wait_until_ready()
