"""Our volumes and those that nobody here knows, as their providers show them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.volume import Volume
from gpurent.errors import GpurentError
from gpurent.ports.store import LeaseStore
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.volumes import VolumeTracker


@frozen(kw_only=True)
class VolumeList:
    """``ours`` in the state in which they were last seen, ``others``: listed by a provider, and not known here.

    ``leases``: by the id of a volume, our leases that use it. ``unknown``: why a provider could not be asked.
    """

    ours: Sequence[Volume]
    others: Sequence[Volume] = ()
    leases: Mapping[str, Sequence[str]] = field(factory=dict)
    unknown: Mapping[str, str] = field(factory=dict)

    @property
    def every(self) -> Sequence[Volume]:
        return (*self.ours, *self.others)


@frozen
class VolumeLists:
    volumes: VolumeTracker
    leases: LeaseStore
    logins: Logins

    async def list_volumes(self, *, include_over: bool = False) -> VolumeList:
        """Ask every provider that the user is logged in to or has volumes of."""
        providers = await self._list_providers()
        answers = await asyncio.gather(*(self.volumes.refresh_volumes(name) for name in providers))
        listed = dict(zip(providers, answers, strict=True))
        every = await self.volumes.store.list_volumes()
        living = [volume for volume in every if not volume.is_over]
        users: dict[str, list[str]] = {}
        for lease in await self.leases.list_open_leases():
            if lease.volume:
                users.setdefault(lease.volume, []).append(lease.id)
        return VolumeList(
            ours=every if include_over else living,
            others=[
                volume
                for answer in listed.values()
                if not isinstance(answer, Unknown)
                for volume in answer.items
                if not any(one.provider == volume.provider and one.is_same(volume) for one in living)
            ],
            leases=users,
            unknown={name: x.reason for name, x in listed.items() if isinstance(x, Unknown)},
        )

    async def _list_providers(self) -> list[str]:
        names = {volume.provider for volume in await self.volumes.list_volumes()}
        for name, _account in self.logins.list_logins():
            try:
                if self.volumes.find_role(name) is not None:
                    names.add(name)
            except GpurentError:
                continue  # such a plugin is reported where it is needed
        return sorted(names)
