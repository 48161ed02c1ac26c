"""The provider over the simulator's real socket: lost responses, taken machines, expired sessions, kept files."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import (
    CNY,
    AuthError,
    GpurentError,
    Known,
    Lease,
    LeaseState,
    Metered,
    Order,
    OrderKind,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
)
from gpurent.testing.sandbox.service_faults import ServiceFault
from plugins.mistgpu.tests.mistgpu_harness import NAME, USER, MistgpuHarness, mistgpu_harness


async def test_a_lease_from_rent_to_bill(harness: MistgpuHarness) -> None:
    lease = await harness.rent_lease()
    assert lease.state is LeaseState.READY
    assert lease.endpoint is not None
    assert lease.endpoint.user == "mist"
    await harness.advance(minutes=9, seconds=30)
    over = await harness.release_lease(lease)
    assert over.state is LeaseState.KEPT
    assert over.kept_until == harness.clock.now() + timedelta(days=15)
    assert await harness.release_lease(over) == over
    charges = await harness.billing.list_charges(over)
    assert isinstance(charges, Known)
    (charge,) = charges.items
    assert isinstance(lease.offer.tariff, Metered)
    assert charge.money == lease.offer.tariff.price.cost(timedelta(minutes=10), round_up=False)
    assert (await harness.billing.get_balance()).available == CNY.money("10.00") - charge.money


async def test_a_lost_answer_to_create_makes_one_server_only(harness: MistgpuHarness) -> None:
    lease = await harness.reserve_lease()
    faults = harness.sandbox.simulators.faults
    await faults.add(
        ServiceFault(service=NAME, method="POST", path="/create/*", lose=True, after=True, times=1)
    )
    with pytest.raises(UnavailableError) as caught:
        await harness.provider.confirm_lease(lease, harness.make_zero_payment())
    assert caught.value.spent is Spent.UNKNOWN
    assert len(harness.machines.booted) == 1
    again = await harness.confirm_after_lost_response(lease)
    assert again.needs_proof, "it was recognised by elimination"
    assert again.state is LeaseState.READY
    assert len(harness.machines.booted) == 1
    assert await harness.provider.confirm_lease(again, harness.make_zero_payment()) == again


async def test_release_finds_the_server_of_a_lost_create(harness: MistgpuHarness) -> None:
    lease = await harness.reserve_lease()
    await harness.provider.confirm_lease(lease, harness.make_zero_payment())
    assert lease.pending is not None
    sent = evolve(lease, pending=evolve(lease.pending, sent_at=harness.clock.now()))
    found = await harness.release_lease(sent)
    assert found.needs_proof, "core proves that it is ours before it is shut down"
    over = await harness.release_lease(found)
    assert over.state is LeaseState.KEPT
    assert harness.machines.alive_machines == {}


async def test_a_create_that_is_not_listed_yet_is_not_taken_for_never_created(
    harness: MistgpuHarness,
) -> None:
    lease = await harness.reserve_lease()
    assert lease.pending is not None
    sent = evolve(lease, pending=evolve(lease.pending, sent_at=harness.clock.now()))
    asked = await harness.release_lease(sent)
    assert asked.pending is not None
    assert not asked.is_over
    waiting = await harness.provider.confirm_lease(sent, harness.make_zero_payment())
    assert waiting.pending is not None
    assert harness.machines.booted == [], "the form is not sent twice while the first may have had an effect"
    await harness.advance(minutes=4)
    over = await harness.release_lease(asked)
    assert over.state is LeaseState.CANCELLED


async def test_a_server_that_the_list_lacked_before_the_order_is_not_taken_for_its_own(
    harness: MistgpuHarness,
) -> None:
    earlier = await harness.rent_lease()
    await harness.release_lease(earlier)
    await harness.advance(minutes=2)
    harness.simulator.hide_machines(harness.clock.now() + timedelta(seconds=40))
    lease = await harness.reserve_lease("k2", earlier.offer)
    created = await harness.provider.confirm_lease(lease, harness.make_zero_payment("k2"))
    assert created.ref == ""
    await harness.advance(seconds=60)
    assert created.pending is not None
    sent = evolve(created, pending=evolve(created.pending, sent_at=harness.clock.now()))
    found = await harness.refresh_lease(sent)
    assert found.state is LeaseState.READY
    assert found.ref not in ("", earlier.ref)


async def test_a_server_that_the_list_lacked_before_its_restart_is_not_taken_for_restarted(
    harness: MistgpuHarness,
) -> None:
    kept = await harness.release_lease(await harness.rent_lease())
    await harness.advance(minutes=2)
    harness.simulator.hide_machines(harness.clock.now() + timedelta(seconds=40))
    harness.user.vault(NAME).put("again", Secret("Good-password-2"))
    order = evolve(harness.provider.make_restart_order(kept, "again"), password_ref="again")
    lease = await harness.provider.reserve_lease(order)
    await harness.advance(seconds=60)
    assert lease.pending is not None
    sent = evolve(lease, pending=evolve(lease.pending, sent_at=harness.clock.now()))
    assert (await harness.refresh_lease(sent)).ref == "", "nothing was restarted yet"


async def test_absent_once_is_missing_and_seen_again_is_running(harness: MistgpuHarness) -> None:
    lease = await harness.rent_lease()
    server = harness.state.servers.pop(lease.ref)
    missing = await harness.refresh_lease(lease)
    assert missing.state is LeaseState.MISSING
    assert missing.endpoint == lease.endpoint
    await harness.advance(hours=1)
    missing = await harness.refresh_lease(missing)
    assert missing.state is LeaseState.MISSING, "nothing shows that it ended"
    harness.state.servers[lease.ref] = server
    assert (await harness.refresh_lease(missing)).state is LeaseState.READY


async def test_release_of_what_was_never_created(harness: MistgpuHarness) -> None:
    lease = await harness.release_lease(await harness.reserve_lease())
    assert lease.state is LeaseState.CANCELLED
    assert harness.machines.booted == []


async def require_sold_out(harness: MistgpuHarness, lease: Lease, key: str = "k") -> None:
    """The refusal may be the answer to a second arrival, as long as the list may lack what the first has created."""
    first = await harness.provider.confirm_lease(lease, harness.make_zero_payment(key))
    assert first.pending is not None
    sent = evolve(first, pending=evolve(first.pending, sent_at=harness.clock.now()))
    await harness.advance(minutes=4)
    with pytest.raises(SoldOut):
        await harness.provider.confirm_lease(sent, harness.make_zero_payment(key))


async def test_a_create_that_arrived_twice_is_found_once_the_list_shows_it(harness: MistgpuHarness) -> None:
    lease = await harness.reserve_lease()
    harness.simulator.hide_machines(harness.clock.now() + timedelta(minutes=2))
    payment = harness.make_zero_payment()
    await harness.provider.confirm_lease(lease, payment)
    answered = await harness.provider.confirm_lease(lease, payment)
    assert answered.pending is not None, "that the machine is taken may mean: by the first arrival"
    sent = evolve(answered, pending=evolve(answered.pending, sent_at=harness.clock.now()))
    assert (await harness.provider.confirm_lease(sent, payment)).pending is not None
    await harness.advance(minutes=2, seconds=1)
    found = await harness.provider.confirm_lease(sent, payment)
    assert (found.pending, [found.ref]) == (None, list(harness.state.servers))


async def test_taken_before_and_taken_meanwhile(harness: MistgpuHarness) -> None:
    lease = await harness.reserve_lease()
    harness.state.machines[lease.offer.key].user = "somebody"
    await require_sold_out(harness, lease)
    with pytest.raises(SoldOut):
        await harness.reserve_lease("x", lease.offer)
    assert harness.machines.booted == []


async def test_wrong_password_shows_the_providers_message() -> None:
    async with mistgpu_harness() as harness:
        harness.user.credentials[NAME]["password"] = Secret("wrong")
        with pytest.raises(AuthError, match="用户名或密码错误"):
            await harness.user.login(NAME)


async def test_a_session_that_expires_is_renewed_once() -> None:
    async with mistgpu_harness(session_minutes="30") as harness:
        await harness.top_up("10.00")
        lease = await harness.rent_lease()
        first = harness.user.logins[NAME]
        await harness.advance(minutes=31)
        assert (await harness.refresh_lease(lease)).state is LeaseState.READY
        assert harness.user.logins[NAME] != first


async def test_files_are_kept_fifteen_days_and_restored_on_restart(harness: MistgpuHarness) -> None:
    lease = await harness.release_lease(await harness.rent_lease())
    await harness.advance(days=14)
    order = evolve(harness.provider.make_restart_order(lease, "again"), password_ref="k")
    again = await harness.provider.confirm_lease(
        await harness.provider.reserve_lease(order), harness.make_zero_payment("again")
    )
    assert again.state is LeaseState.READY
    assert again.ref == lease.ref
    assert (await harness.refresh_lease(lease)).state is LeaseState.RELEASED
    over = await harness.release_lease(again)
    await harness.advance(days=15, seconds=1)
    assert harness.machines.erased == [f"mist-{lease.ref}"]
    absent = await harness.refresh_lease(over)
    assert absent.state is LeaseState.KEPT
    await harness.advance(seconds=30)
    assert (await harness.refresh_lease(absent)).state is LeaseState.GONE


async def test_restart_is_refused_while_somebody_has_the_machine(harness: MistgpuHarness) -> None:
    lease = await harness.release_lease(await harness.rent_lease())
    harness.state.machines[lease.offer.key].user = "somebody"
    order = evolve(harness.provider.make_restart_order(lease, "again"), password_ref="k")
    await require_sold_out(harness, await harness.provider.reserve_lease(order), "again")


async def test_the_stop_script_ends_the_billing(harness: MistgpuHarness) -> None:
    lease = await harness.rent_lease()
    await harness.machines.only_machine.stop()
    assert (await harness.refresh_lease(lease)).state is LeaseState.KEPT
    balance = (await harness.billing.get_balance()).available
    await harness.advance(hours=3)
    assert (await harness.billing.get_balance()).available == balance


async def test_assumed_forms_are_not_submitted_to_the_real_service(harness: MistgpuHarness) -> None:
    lease = await harness.rent_lease()
    harness.user.config[NAME]["allow_assumed"] = "no"
    with pytest.raises(UnavailableError, match="has not been verified") as caught:
        await harness.release_lease(lease)
    assert "Do it manually" in caught.value.hint
    with pytest.raises(UnavailableError):
        await harness.provider.reserve_lease(Order(key="x", kind=OrderKind.NEW, offer=lease.offer))
    with pytest.raises(GpurentError):
        await harness.billing.create_top_up(CNY.money(5))
    assert len(harness.machines.alive_machines) == 1
    found = await harness.provider.list_offers(Requirements())
    assert isinstance(found, Known)
    assert found.items


async def test_invoice_from_two_hundred_spent(harness: MistgpuHarness) -> None:
    harness.state.accounts[USER].spent = 19_999
    found = await harness.billing.get_invoice_info()
    assert (found.ready, found.minimum_spending) == (False, CNY.money(200))
    harness.state.accounts[USER].spent = 20_000
    found = await harness.billing.get_invoice_info()
    assert (found.ready, found.uninvoiced) == (True, CNY.money(200))
