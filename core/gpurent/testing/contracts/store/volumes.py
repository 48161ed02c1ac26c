"""Contract tests for volumes."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from gpurent.domain.money import USD, UnitPrice
from gpurent.domain.volume import Volume, VolumeState
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import START, StoreContract

VOLUME = Volume(
    id="vol-1",
    provider="acme",
    name="data",
    label="gpurent-0a1b2c3d-data-abcde",
    place="SE-1",
    size=50,
    state=VolumeState.REQUESTED,
    price=UnitPrice(Decimal("0.005"), USD),
    users=("m1", "m2"),
    note="一行",
    sent_at=START,
    provider_data={"kind": "fast"},
)


class VolumeStoreContract(StoreContract):
    """`gpurent.ports.volume_store.VolumeStore`."""

    async def test_a_volume_comes_back_as_it_was_written(self, store: Store, other: Store) -> None:
        assert await store.list_volumes() == []
        assert await store.add_volume(VOLUME) is None
        assert await other.list_volumes() == [VOLUME]
        ready = evolve(VOLUME, state=VolumeState.READY, ref="v-7", created_at=START)
        assert await other.swap_volume(VOLUME, ready)
        assert await store.list_volumes() == [ready]

    async def test_one_volume_of_a_name_at_a_provider_until_it_is_deleted(
        self, store: Store, other: Store
    ) -> None:
        await store.add_volume(VOLUME)
        second = evolve(VOLUME, id="vol-2")
        assert await other.add_volume(second) == VOLUME
        assert await other.add_volume(VOLUME) == VOLUME
        elsewhere = evolve(VOLUME, id="vol-3", provider="acme@lab")
        assert await other.add_volume(elsewhere) is None
        deleted = evolve(VOLUME, state=VolumeState.DELETED)
        assert await store.swap_volume(VOLUME, deleted)
        assert await other.add_volume(second) is None
        assert await store.list_volumes() == [deleted, elsewhere, second]

    async def test_of_two_changes_of_one_volume_one_wins(self, store: Store, other: Store) -> None:
        await store.add_volume(VOLUME)
        assert await store.swap_volume(VOLUME, evolve(VOLUME, note="a"))
        assert not await other.swap_volume(VOLUME, evolve(VOLUME, note="b"))
        assert not await other.swap_volume(evolve(VOLUME, id="vol-9"), VOLUME)
        assert [volume.note for volume in await store.list_volumes()] == ["a"]
