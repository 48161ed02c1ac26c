"""Volumes of a provider: a capability, and the base of one whose volumes bear a label of ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from attrs import evolve

from gpurent.domain.evidence import Absent, Known, Unknown
from gpurent.domain.receipt import Charge
from gpurent.domain.volume import Volume, VolumeOffer, VolumeState
from gpurent.domain.volume_evidence import apply_listed_volume
from gpurent.errors import GpurentError, LeaseError, Spent
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_reason
from gpurent.roles.labelled_provider import LabelledProvider


def make_volume_error(service: str, why: str, spent: Spent = Spent.NO) -> LeaseError:
    """Return the error for a volume that the service did not create."""
    text = _("{service} did not create the volume: {why}")
    return LeaseError(text.format(service=service, why=quote_reason(why)), spent=spent)


def make_volume_in_use_error(service: str, why: str) -> LeaseError:
    """Return the error for a volume that the service did not delete, which costs money as before."""
    return LeaseError(
        _("{service} did not delete the volume: {why}").format(service=service, why=quote_reason(why)),
        hint=_("Release the machines that use it first. It still costs money."),
        spent=Spent.YES,
    )


class SupportsVolumes(ABC):
    """Capability of a lease provider: storage that outlives machines, and is mounted by those that are created with it.

    A volume is mounted by an order with `Order.volume`. `LeaseProvider.list_offers` gets it as `Requirements.mounted`:
    the price of an offer is then that of a machine with this volume, which costs its own price on top. An offer states
    as `Offer.volume_place` which volumes its machine can mount. The release of a machine leaves its volume as it is.
    """

    @abstractmethod
    async def list_volume_offers(self) -> Known[VolumeOffer] | Unknown:
        """Return the places in which a volume can be created, each once."""

    @abstractmethod
    async def list_volumes(self) -> Known[Volume] | Unknown:
        """Return all volumes of the account that may cost money, whoever created them; ``id`` and ``name`` are empty.

        A list that may be incomplete is `Unknown`.
        """

    @abstractmethod
    async def create_volume(self, volume: Volume) -> Volume:
        """Create the volume, which costs money from now on; idempotent on ``volume.label``, also if answers are lost.

        ``volume.sent_at`` is None in the first call; later, an earlier request may have taken effect. Returns it with
        its ``ref``; REQUESTED and without one as long as it is not known whether an earlier request created it: core
        calls again. Raises what the service refuses by name, once nothing is left of it.
        """

    @abstractmethod
    async def delete_volume(self, volume: Volume) -> Volume | Absent:
        """Delete the volume with all its files; idempotent. Without a ``ref``, it is found by its label.

        Returns it DELETED, or DELETING until the service has done it; as it is while it is not known whether it was
        created. `Absent` if the service's answer lacks it. Raises `LeaseError` if it is in use.
        """


class SupportsVolumeCharges(ABC):
    """Capability of a billing provider: what each volume has cost."""

    @abstractmethod
    async def list_volume_charges(self, volume: Volume) -> Known[Charge] | Unknown:
        """Return what the account was charged for a volume, which has a ``ref``; as `BillingProvider.list_charges`."""


class VolumeRegister(ABC):
    """The account's volumes. Each method is one query or one request; `VolumeProvider` decides when."""

    @abstractmethod
    async def list_offers(self) -> Known[VolumeOffer] | Unknown:
        """As `SupportsVolumes.list_volume_offers`."""

    @abstractmethod
    async def fetch_volumes(self) -> Sequence[Volume]:
        """Return what `SupportsVolumes.list_volumes` returns; raises for a list that may be incomplete."""

    @abstractmethod
    async def send_volume(self, volume: Volume) -> str:
        """Ask the service, once, to create the volume with the name `Volume.label`; return its reference.

        Raises what the service refuses; ``spent`` is NO only if nothing was created.
        """

    @abstractmethod
    async def remove_volume(self, ref: str) -> VolumeState | None:
        """Ask the service to delete a volume; DELETED, DELETING, or None if the service says that it has no such one.

        Raises `LeaseError` if it is in use.
        """


class VolumeProvider(LabelledProvider, SupportsVolumes):
    """A `LabelledProvider` with volumes: creates one for a label, also where answers are lost.

    A subclass sets ``volume_register``.
    """

    volume_register: VolumeRegister

    async def list_volume_offers(self) -> Known[VolumeOffer] | Unknown:
        return await self.volume_register.list_offers()

    async def list_volumes(self) -> Known[Volume] | Unknown:
        return Known(tuple(await self.volume_register.fetch_volumes()))

    async def create_volume(self, volume: Volume) -> Volume:
        found = await self._find_labelled(volume.label)
        if found:
            return apply_listed_volume(volume, await self._drop_twins(found, found[0].ref))
        if await self._attempts.was_sent_lately(volume.label, volume.sent_at):
            return volume
        ref = await self._send_volume(volume)
        made = evolve(volume, ref=ref, state=VolumeState.CREATING, created_at=self.context.clock.now())
        # Something on the way may have sent the request twice.
        found = await self._find_labelled(volume.label)
        return apply_listed_volume(made, await self._drop_twins(found, ref)) if found else made

    async def _send_volume(self, volume: Volume) -> str:
        before = await self._attempts.note_sent(volume.label)
        try:
            return await self.volume_register.send_volume(volume)
        except GpurentError as error:
            if error.spent is Spent.NO:
                await self._attempts.take_back(volume.label, before)
            raise

    async def _find_labelled(self, label: str) -> list[Volume]:
        found = [volume for volume in await self.volume_register.fetch_volumes() if volume.label == label]
        return sorted(found, key=lambda volume: (not volume.users, volume.ref))

    async def _drop_twins(self, found: Sequence[Volume], ref: str) -> Volume:
        """Return the volume ``ref``, or the first one; delete the others, which are new and which nobody mounts."""
        kept = next((volume for volume in found if volume.ref == ref), found[0])
        for twin in found:
            if twin is not kept and not twin.users:
                await self.volume_register.remove_volume(twin.ref)
        return kept

    async def delete_volume(self, volume: Volume) -> Volume | Absent:
        if not volume.ref:
            found = await self._find_labelled(volume.label)
            if not found and await self._attempts.was_sent_lately(volume.label, volume.sent_at):
                return volume
            if not found:
                return evolve(volume, state=VolumeState.DELETED, deleted_at=self.context.clock.now())
            volume = apply_listed_volume(volume, await self._drop_twins(found, found[0].ref))
        state = await self.volume_register.remove_volume(volume.ref)
        if state is None:
            return Absent()
        return evolve(
            volume, state=state, deleted_at=self.context.clock.now() if state is VolumeState.DELETED else None
        )
