"""Contract tests for `SupportsVolumes`: one volume for a label, at the stated price, which outlives its machines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.domain.evidence import Absent, Known
from gpurent.domain.lease import Lease
from gpurent.domain.money import HOUR
from gpurent.domain.offer import Metered, Offer, Order
from gpurent.domain.receipt import Charge
from gpurent.domain.volume import Volume, VolumeOffer, VolumeState
from gpurent.domain.volume_evidence import apply_absence, apply_listing
from gpurent.errors import GpurentError, LeaseError, Spent
from gpurent.roles.simulator import SupportsHiding
from gpurent.roles.volumes import SupportsVolumeCharges, SupportsVolumes
from gpurent.testing.contracts.contract import require_capability, skip_without
from gpurent.testing.contracts.provider.bad_answers import (
    BAD_ANSWERS,
    LOST_AFTER,
    LOST_BEFORE,
    SPOILT_AFTER,
    BadAnswer,
    ask,
    check_query,
    faulty,
    show_known,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import RETRIED_ERRORS, OpenProvider, sign_charge
from gpurent.testing.contracts.provider.price import check_burn
from gpurent.testing.contracts.provider.setup import ProviderSetup

SIZE = 100
LABEL = "gpurent-0a1b2c3d-data-abcde"


class VolumeContract(ProviderContractBase):
    """Contract tests for volumes."""

    def require_volumes(self, opened: OpenProvider) -> SupportsVolumes:
        return require_capability(opened.provider, SupportsVolumes, opened.name)

    async def list_places(self, opened: OpenProvider) -> Sequence[VolumeOffer]:
        found = await self.require_volumes(opened).list_volume_offers()
        assert isinstance(found, Known), f"no places: {found}"
        return found.items

    async def make_volume(self, opened: OpenProvider, label: str = LABEL) -> tuple[Volume, Offer]:
        """Return a volume as core records it before its create, and an offer that can mount it."""
        offers = {str(offer.volume_place): offer for offer in reversed(await opened.list_offers())}
        for place in await self.list_places(opened):
            if place.place in offers:
                price = evolve(place.price, value=place.price.value * SIZE)
                made = Volume(
                    id="vol",
                    provider=opened.name,
                    label=label,
                    place=place.place,
                    size=SIZE,
                    state=VolumeState.REQUESTED,
                    price=price,
                    provider_data=place.provider_data,
                )
                return made, offers[place.place]
        raise AssertionError("no offer can mount a volume of any place")

    async def create(self, opened: OpenProvider, volume: Volume) -> Volume:
        """Create as core does: again, by a new process, after an answer that was lost."""
        for _attempt in range(20):
            given, volume = volume, evolve(volume, sent_at=volume.sent_at or opened.clock.now())
            try:
                volume = await self.require_volumes(opened).create_volume(
                    evolve(volume, sent_at=given.sent_at)
                )
                if volume.ref:
                    return volume
                volume = evolve(volume, sent_at=volume.sent_at or opened.clock.now())
            except RETRIED_ERRORS:
                pass
            await opened.advance(opened.setup.poll_interval)
        raise AssertionError("never created")

    async def delete(self, opened: OpenProvider, volume: Volume) -> Volume:
        """Delete as core does, which takes absence for an end if two answers half a minute apart lack it."""
        volume = evolve(volume, delete_requested_at=opened.clock.now())
        for _attempt in range(20):
            try:
                answer = await self.require_volumes(opened).delete_volume(volume)
                volume = apply_absence(volume, opened.clock.now()) if isinstance(answer, Absent) else answer
                if volume.is_over:
                    return volume
            except RETRIED_ERRORS:
                pass
            await opened.advance(opened.setup.poll_interval)
        raise AssertionError("never deleted")

    async def list_ours(self, opened: OpenProvider, label: str = LABEL) -> list[Volume]:
        found = await self.require_volumes(opened).list_volumes()
        assert isinstance(found, Known)
        return [volume for volume in found.items if volume.label == label]

    async def check_gone(self, opened: OpenProvider) -> None:
        assert await self.list_ours(opened) == []
        settled = opened.sum_ledger()
        await opened.advance(timedelta(hours=5))
        assert opened.sum_ledger() == settled, "it is billed on"
        assert await opened.list_discrepancies() == []

    async def list_charges(self, opened: OpenProvider, volume: Volume) -> Sequence[Charge]:
        billing = require_capability(opened.billing, SupportsVolumeCharges, opened.name)
        found = await billing.list_volume_charges(volume)
        assert isinstance(found, Known)
        return found.items

    async def test_a_volume_costs_what_was_said_until_it_is_deleted(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        wanted, _offer = await self.make_volume(opened)
        made = await self.create(opened, wanted)
        assert [(one.ref, one.size, one.place) for one in await self.list_ours(opened)] == [
            (made.ref, SIZE, wanted.place)
        ]
        await opened.advance(10 * HOUR)
        (listed,) = await self.list_ours(opened)
        assert listed.price is not None
        assert wanted.price is not None
        assert abs(listed.price.value - wanted.price.value) <= wanted.price.value / 1000
        deleted = await self.delete(opened, evolve(made, created_at=made.created_at))
        taken = before - opened.sum_ledger()
        expected = wanted.price.cost(10 * HOUR).amount
        slack = wanted.price.cost(HOUR).amount
        assert expected - slack <= taken <= expected + slack
        await self.check_gone(opened)
        await opened.settle()
        charges = await self.list_charges(opened, deleted)
        assert -sum(map(sign_charge, charges)) == before - opened.sum_ledger() == taken
        assert not any(charge.growing for charge in charges)

    async def test_a_machine_mounts_it_and_leaves_it(self, opened: OpenProvider) -> None:
        """Two machines, one after the other, have the same files; the price of an offer is what its machine costs."""
        wanted, offer = await self.make_volume(opened)
        volume = await self.create(opened, wanted)
        disks = []
        for number in (1, 2):
            order = await self.make_mounting_order(opened, volume, offer, f"mount-{number}")
            driver = await opened.rent(order)
            disks.append(opened.sandbox.machines.only_machine.spec.data)
            if number == 1:
                with pytest.raises(LeaseError):
                    await self.require_volumes(opened).delete_volume(volume)
                await self.check_price(opened, driver.current_lease, volume)
            await driver.release_lease()
            assert driver.current_lease.is_over
            assert opened.list_billed_machines() == []
            assert disks[0] not in opened.sandbox.machines.erased
            assert [one.ref for one in await self.list_ours(opened)] == [volume.ref]
        assert disks[0] == disks[1], "other files"
        await self.delete(opened, volume)
        assert disks[0] in opened.sandbox.machines.erased
        await self.check_gone(opened)

    async def check_price(self, opened: OpenProvider, lease: Lease, volume: Volume) -> None:
        """Check that both together cost what the offer and the volume say."""
        tariff = lease.offer.tariff
        assert volume.price is not None
        assert isinstance(tariff, Metered)
        both = evolve(tariff.price, value=tariff.price.value + volume.price.value)
        await check_burn(opened, both, tariff.billing_increment)

    async def make_mounting_order(
        self, opened: OpenProvider, volume: Volume, offer: Offer, key: str
    ) -> Order:
        found = await opened.provider.list_offers(evolve(opened.setup.requirements, mounted=volume))
        assert isinstance(found, Known)
        offers = [one for one in found.items if one.available and opened.setup.wants(one)]
        mounting = [one for one in offers if one.volume_place == volume.place]
        same = next((one for one in mounting if one.key == offer.key), mounting[0])
        return evolve(await opened.make_order(key, same), volume=volume)

    async def test_an_offer_says_which_volumes_it_can_mount(self, opened: OpenProvider) -> None:
        """Also while a volume is wanted: core leaves out those elsewhere, and says so."""
        wanted, _offer = await self.make_volume(opened)
        volume = await self.create(opened, wanted)
        before = {offer.key: offer.volume_place for offer in await opened.list_offers()}
        found = await opened.provider.list_offers(evolve(opened.setup.requirements, mounted=volume))
        assert isinstance(found, Known)
        places = {offer.key: offer.volume_place for offer in found.items}
        assert {key: places.get(key, place) for key, place in before.items()} == before
        assert volume.place in places.values()

    async def test_a_list_that_is_not_understood_is_unknown(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        await self.create(opened, wanted)
        await check_query(opened, lambda: self.require_volumes(opened).list_volumes(), show_known)

    @pytest.mark.nightly
    async def test_places_that_are_not_understood_are_unknown(self, opened: OpenProvider) -> None:
        self.require_volumes(opened)
        await check_query(opened, lambda: self.require_volumes(opened).list_volume_offers(), show_known)

    async def test_lost_answers_create_one(self, provider_setup: ProviderSetup) -> None:
        """Whatever becomes of the create's answer, which comes after one look at what there is."""
        for fault in SPOILT_AFTER:
            await self.check_create_fault(provider_setup, fault, 2)

    @pytest.mark.nightly
    async def test_every_lost_answer_creates_one(self, provider_setup: ProviderSetup) -> None:
        for fault in (*SPOILT_AFTER, LOST_BEFORE):
            for nth in (1, 2, 3, 4):
                await self.check_create_fault(provider_setup, fault, nth)

    async def check_create_fault(self, setup: ProviderSetup, fault: BadAnswer, nth: int) -> None:
        async with open_provider(setup) as opened:
            wanted, _offer = await self.make_volume(opened)
            async with faulty(opened, fault, nth, times=1):
                made = await self.create(opened, wanted)
            found = [one.ref for one in await self.list_ours(opened)]
            assert found == [made.ref], f"{fault.name}, call {nth}"
            again = await self.create(opened, evolve(wanted, sent_at=opened.clock.now()))
            assert again.ref == made.ref
            async with faulty(opened, fault, times=1):
                await self.delete(opened, made)
            await self.check_gone(opened)

    async def test_a_list_that_lags_creates_no_second_one(self, opened: OpenProvider) -> None:
        hiding: object = opened.simulator
        wanted, _offer = await self.make_volume(opened)
        if not isinstance(hiding, SupportsHiding):
            skip_without("SupportsHiding", opened.name)
        assert isinstance(hiding, SupportsHiding)
        hiding.hide_machines(opened.clock.now() + timedelta(seconds=40))
        sent = evolve(wanted, sent_at=opened.clock.now())
        async with faulty(opened, LOST_AFTER, times=2):
            await ask(lambda: self.require_volumes(opened).create_volume(wanted))
        made = await self.create(opened, sent)
        assert [one.ref for one in await self.list_ours(opened)] == [made.ref]

    async def test_another_volume_is_neither_charged_nor_deleted(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        other, _offer = await self.make_volume(opened, LABEL.replace("data", "more"))
        made, kept = await self.create(opened, wanted), await self.create(opened, other)
        await opened.advance(HOUR)
        charges = await self.list_charges(opened, made), await self.list_charges(opened, kept)
        refs = [{charge.ref for charge in found} for found in charges]
        assert all(refs), "an hour of each was charged"
        assert not refs[0] & refs[1]
        await self.delete(opened, made)
        assert [one.ref for one in await self.list_ours(opened, kept.label)] == [kept.ref]
        await self.delete(opened, kept)

    async def test_deleted_twice_it_is_gone(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        made = await self.create(opened, wanted)
        deleted = await self.delete(opened, made)
        again = await self.require_volumes(opened).delete_volume(evolve(deleted, state=VolumeState.READY))
        assert isinstance(again, Absent)

    async def test_what_was_never_created_is_only_forgotten(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        found = await self.require_volumes(opened).delete_volume(wanted)
        assert isinstance(found, Volume)
        assert found.is_over
        await self.check_gone(opened)

    async def test_a_bad_answer_to_a_delete_is_no_end(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        made = await self.create(opened, wanted)
        for answer in BAD_ANSWERS:
            async with faulty(opened, answer):
                found = await ask(lambda: self.require_volumes(opened).delete_volume(made))
            if not await self.list_ours(opened):
                return
            if isinstance(found, Volume):
                assert found.state is not VolumeState.DELETED, f"{answer.name}: it is reported as deleted"
            assert not isinstance(found, Absent), answer.name

    async def test_a_refused_create_leaves_nothing(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        with pytest.raises(GpurentError) as caught:
            await self.require_volumes(opened).create_volume(evolve(wanted, size=10**9))
        assert caught.value.spent is Spent.NO
        assert await self.list_ours(opened) == []

    async def test_it_is_seen_as_it_was_created(self, opened: OpenProvider) -> None:
        wanted, _offer = await self.make_volume(opened)
        made = await self.create(opened, wanted)
        await opened.advance(timedelta(minutes=5))
        found = await self.require_volumes(opened).list_volumes()
        assert isinstance(found, Known)
        seen = apply_listing(made, found.items, opened.clock.now())
        assert (seen.state, seen.ref, seen.size) == (VolumeState.READY, made.ref, SIZE)
        await self.delete(opened, seen)
