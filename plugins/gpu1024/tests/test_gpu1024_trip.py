"""The seed's flow, end to end over the wire, with every book equal to the last unit; and every lost answer."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import ChargeKind, Endpoint, Known, LeaseState, OrderKind, Purpose, UnavailableError
from gpurent.testing.fakes import HttpFaults
from plugins.gpu1024.tests.gpu1024_harness import UNITS, Driver, Gpu1024Harness, Renter, gpu1024_harness

HOUR = timedelta(hours=1)


async def canonical(renter: Renter, driver: Driver) -> None:
    """CPU by deposit, switch to GPU, renew once, give back after five hours."""
    clock = renter.harness.clock
    gpu = await driver.until_answered(lambda: renter.order(shop=driver.provider))
    await driver.rent(driver.provider.staging(gpu))
    clock.advance(timedelta(minutes=40))
    await driver.rent(await renter.order(OrderKind.SWITCH, offer=gpu.offer))
    await driver.extend(2 * HOUR, f"{gpu.key}-more")
    clock.advance(5 * HOUR)
    await driver.release()


def spent(charges: Counter[ChargeKind]) -> int:
    return charges[ChargeKind.USE] + charges[ChargeKind.RENEWAL] - charges[ChargeKind.REFUND]


async def test_f4_f5_f6_f7_the_whole_flow_step_by_step(harness: Gpu1024Harness, renter: Renter) -> None:
    before = renter.units
    driver = renter.driver()
    gpu = await renter.order()

    await driver.reserve(driver.provider.staging(gpu))
    assert driver.held.state is LeaseState.REQUESTED
    bill = await driver.bill()
    assert bill.purpose is Purpose.DEPOSIT
    assert 60_000 * UNITS < bill.amount.amount < 60_001 * UNITS
    assert bill.due is not None
    assert bill.due - harness.clock.now() < timedelta(minutes=10)
    await driver.confirm(await driver.pay(bill))
    cpu = await driver.ready()
    staged = harness.machines.only
    assert cpu.endpoint == Endpoint("root", "127.0.0.1", staged.port)
    password = renter.vault.get("password")
    assert password is not None
    assert password.reveal() == staged.spec.password
    assert staged.spec.user == "root"
    assert staged.spec.hostname.startswith("iZ")
    assert staged.spec.python == "python2"

    switched = await driver.rent(await renter.order(OrderKind.SWITCH, offer=gpu.offer))
    machine = harness.machines.only
    assert machine.spec.data == staged.spec.data, "the files came along"
    assert machine.spec.password != staged.spec.password
    password = renter.vault.get("password")
    assert password is not None
    assert password.reveal() == machine.spec.password
    assert switched.endpoint == Endpoint("root", "127.0.0.1", machine.port)
    assert machine.port != staged.port
    assert switched.ref != cpu.ref
    assert (await driver.charges())[ChargeKind.DEPOSIT_BACK] == bill.amount.amount
    assert switched.expires_at is not None

    renewed = await driver.extend(2 * HOUR, "more")
    assert renewed.expires_at == switched.expires_at + 2 * HOUR
    begun = harness.books.orders[renewed.ref].rented_at
    assert begun is not None
    harness.clock.advance_to(begun + timedelta(hours=5, seconds=1))
    over = await driver.release()
    assert over.state is LeaseState.RELEASED
    assert over.ended_at is not None
    day = harness.books.orders[over.ref].terms[0][1]
    used = -(-day * 301 // 1440)
    assert spent(await driver.charges()) == before - renter.units == used
    assert harness.machines.alive == {}
    assert harness.machines.disks == set()
    assert list(harness.simulator.burning()) == []
    harness.agree()


async def test_between_payment_and_mail_the_machine_is_being_prepared(renter: Renter) -> None:
    driver = renter.driver()
    await driver.reserve(driver.provider.staging(await renter.order()))
    await driver.confirm(await driver.pay(await driver.bill()))
    assert driver.held.state is LeaseState.PROVISIONING


async def test_a_gpu_can_be_rented_without_staging(harness: Gpu1024Harness, renter: Renter) -> None:
    driver = renter.driver()
    await driver.rent(await renter.order(term=3 * HOUR))
    # 0.215 USD an hour at 0.0026 USD: 82.69230769... DBC an hour, rounded up once.
    assert renter.orders()[0].total == 24807692308
    await driver.release()
    harness.agree()


@pytest.mark.parametrize(
    ("way", "first", "step"),
    [
        ("lose_answer", 3, 8),
        ("lose_request", 7, 8),
        pytest.param("lose_answer", 1, 1, marks=pytest.mark.nightly),
        pytest.param("lose_request", 1, 1, marks=pytest.mark.nightly),
    ],
)
async def test_any_answer_may_be_lost_and_it_is_one_order_and_one_payment(
    way: str, first: int, step: int
) -> None:
    """Every eighth call here, all of them by night."""
    async with gpu1024_harness(machines=1) as harness:
        renter = await harness.renter()
        clean = renter.driver()
        await canonical(renter, clean)
        calls, expected = clean.faults.calls, set(await clean.charges())
        assert 40 < calls < 150
        for number in range(first, calls + 1, step):
            renter = await harness.renter()
            driver, before = renter.driver(**{way: number}), renter.units
            await canonical(renter, driver)
            what = f"{way} {number}: {clean.faults.sent[number - 1]}"
            assert driver.restarts == 1, what
            orders = renter.orders()
            assert [order.kind for order in orders] == ["cpu", "gpu"], what
            renewals = [r for r in harness.books.renewals.values() if r.order.wallet == renter.address]
            assert [r.done for r in renewals if r.created_at] == [True], what
            charges = await driver.charges()
            assert set(charges) == expected, what
            assert charges[ChargeKind.DEPOSIT] == charges[ChargeKind.DEPOSIT_BACK], what
            stopped = orders[1].stopped_at
            assert stopped is not None, what
            assert before - renter.units == spent(charges) == orders[1].used(stopped), what
            assert driver.held.state is LeaseState.RELEASED, what
            assert harness.machines.alive == {}, what
        harness.agree()


async def test_f3_binding_costs_the_mailed_decimal_and_only_once(harness: Gpu1024Harness) -> None:
    renter = await harness.stranger()
    await renter.top_up("1")
    assert await renter.shop.bound() == ""
    first = await renter.shop.request_binding(renter.email, "bind")
    again = await renter.shop.request_binding(renter.email, "bind")
    assert first.bill is not None
    assert first.bill == again.bill, "asked again, the same code comes"
    assert 0 < first.bill.amount.amount < UNITS
    payment = await renter.user.billing("1024gpu").pay(first.bill)
    assert not (await renter.shop.bind(first, payment)).done
    harness.clock.advance(timedelta(seconds=45))
    assert (await renter.shop.bind(first, payment)).done
    assert (await renter.shop.bind(first, payment)).done
    assert await renter.shop.bound() == renter.email
    assert renter.units == UNITS - first.bill.amount.amount
    harness.agree()


async def test_without_a_bound_address_nothing_can_be_ordered(harness: Gpu1024Harness) -> None:
    renter = await harness.stranger()
    await renter.top_up()
    with pytest.raises(Exception, match="绑定邮箱"):
        await renter.shop.reserve(await renter.order())


async def test_reserve_again_is_the_same_order(renter: Renter) -> None:
    order = await renter.order()
    first = await renter.shop.reserve(order)
    again = await renter.shop.reserve(order)
    assert first.pending is not None
    assert again.pending is not None
    assert first.pending.ref == again.pending.ref
    assert len(renter.orders()) == 1


async def test_leases_lists_what_the_shop_has(renter: Renter) -> None:
    driver = renter.driver()
    await driver.rent(await renter.order())
    found = await renter.shop.leases()
    assert isinstance(found, Known)
    assert [(lease.ref, lease.id) for lease in found.items] == [(driver.held.ref, "")]


async def test_a_machine_without_cpu_container_says_so(renter: Renter) -> None:
    order = await renter.order()
    with pytest.raises(Exception, match="no CPU container"):
        renter.shop.staging(evolve(order, offer=evolve(order.offer, shop={"cpu": "no"})))


async def test_lost_line_is_unavailable_not_refused(renter: Renter) -> None:
    deaf = renter.user.provider("1024gpu", type(renter.shop), faults=HttpFaults(lose_request=1))
    with pytest.raises(UnavailableError):
        await deaf.bound()
