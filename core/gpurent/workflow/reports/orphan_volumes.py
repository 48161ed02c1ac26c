"""Compares a provider's volumes with ours."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.domain.volume import Volume, VolumeLabel
from gpurent.locale import _
from gpurent.ports.lease_copies import LeaseCopies
from gpurent.workflow.runtime.volumes import VolumeTracker


@frozen
class OrphanVolumes:
    volumes: VolumeTracker
    copies: LeaseCopies

    async def find_volumes(self, provider: str) -> list[Orphan]:
        """Return the volumes that nothing here knows; what the list says of ours is saved."""
        listed = await self.volumes.refresh_volumes(provider)
        if isinstance(listed, Unknown):
            reason = _("volumes: {reason}").format(reason=listed.reason)
            return [Orphan(kind=OrphanKind.UNKNOWN, provider=provider, reason=reason)]
        ours = [one for one in await self.volumes.store.list_volumes() if one.provider == provider]
        living = [one for one in ours if not one.is_over]
        return [
            self._make_orphan(volume, any(one.is_same(volume) for one in ours))
            for volume in listed.items
            if not any(one.is_same(volume) for one in living)
        ]

    def _make_orphan(self, volume: Volume, was_deleted: bool) -> Orphan:
        label = VolumeLabel.parse(volume.label)
        is_ours = was_deleted or (
            label is not None and any(map(label.is_of, self.copies.list_installations()))
        )
        return Orphan(
            kind=OrphanKind.LOST_VOLUME if is_ours else OrphanKind.UNKNOWN_VOLUME,
            provider=volume.provider,
            ref=volume.ref,
            machine=volume.label,
            price=volume.price,
            since=volume.created_at,
            is_ours=is_ours,
            is_listed=True,
            reason=_("it was taken for deleted") if was_deleted else "",
        )
