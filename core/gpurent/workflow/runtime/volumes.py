"""The volume tracker: finds, refreshes and saves our volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.evidence import Known, Unknown, make_unknown
from gpurent.domain.provider_names import get_base_name
from gpurent.domain.volume import Volume
from gpurent.domain.volume_evidence import apply_listing
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _, join_list
from gpurent.ports.system import ProviderClocks
from gpurent.ports.volume_store import VolumeStore
from gpurent.workflow.runtime.plugins import Plugins

if TYPE_CHECKING:
    from gpurent.domain.offer import Requirements
    from gpurent.roles.volumes import SupportsVolumes


@frozen
class VolumeTracker:
    """The only writer of volumes."""

    store: VolumeStore
    plugins: Plugins
    clocks: ProviderClocks

    def find_role(self, provider: str) -> SupportsVolumes | None:
        """Return the provider as one that has volumes; None if it has none."""
        from gpurent.roles.volumes import SupportsVolumes  # lazy: a listing builds no plugin

        found: object = self.plugins.provider(provider)
        return found if isinstance(found, SupportsVolumes) else None

    def get_role(self, provider: str) -> SupportsVolumes:
        """As `find_role`; raises `UsageError` if the provider has no volumes."""
        found = self.find_role(provider)
        if found is None:
            raise UsageError(_("{provider} has no volumes").format(provider=provider))
        return found

    def get_time(self, volume: Volume) -> datetime:
        return self.clocks.clock_of(volume.provider).now()

    def is_of_other_account(self, volume: Volume) -> bool:
        """Whether it belongs to another account than the one that is logged in now."""
        return bool(volume.account) and self.plugins.find_account(volume.provider) not in ("", volume.account)

    async def list_volumes(self, provider: str = "") -> list[Volume]:
        """Return our volumes in their last known state that are not over, oldest first; of one provider, or of all."""
        every = await self.store.list_volumes()
        return [volume for volume in every if not volume.is_over and provider in ("", volume.provider)]

    async def find_volume(self, name: str, provider: str = "") -> Volume | None:
        """Return our volume that is not over with this name, id or provider's reference; None if there is none.

        ``provider`` may be that of several accounts. Raises `UsageError` if there are several.
        """
        found = [
            volume
            for volume in await self.list_volumes()
            if name in (volume.name, volume.id, volume.ref)
            and provider in ("", volume.provider, get_base_name(volume.provider))
        ]
        exact = [volume for volume in found if volume.provider == provider] or found
        if len(exact) > 1:
            many = join_list(sorted(volume.provider for volume in exact))
            raise UsageError(
                _("{name} is ambiguous: {many}").format(name=name, many=many), hint=_("Add --provider.")
            )
        return exact[0] if exact else None

    async def find_wanted(self, provider: str, requirements: Requirements) -> Volume | None:
        """Return the volume that a machine at the provider has to mount; None if none is wanted.

        Raises `UsageError` if there is no such volume there.
        """
        if not requirements.volume:
            return None
        ours = await self.list_volumes(provider)
        found = next((volume for volume in ours if volume.name == requirements.volume), None)
        if found is None or not found.ref or found.delete_requested_at is not None:
            raise UsageError(
                _("you have no volume {name} at {provider}").format(
                    name=requirements.volume, provider=provider
                ),
                hint=_("See: gpurent volume list"),
            )
        return found

    async def update_volume(self, volume: Volume, change: Callable[[Volume], Volume]) -> Volume:
        """Apply ``change`` to the volume and save it; retry if another process changed it meanwhile."""
        before = volume
        while True:
            after = change(before)
            if after == before or await self.store.swap_volume(before, after):
                return after
            before = next(
                (other for other in await self.store.list_volumes() if other.id == volume.id), before
            )

    async def list_at_provider(self, provider: str) -> Known[Volume] | Unknown:
        """Return what the provider lists; `Unknown` for any failure, and nothing if it has no volumes."""
        try:
            role = self.find_role(provider)
            return await role.list_volumes() if role is not None else Known(())
        except GpurentError as error:
            return make_unknown(error)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide the others' volumes
            return Unknown(f"{type(error).__name__}: {error}")

    async def refresh_volumes(self, provider: str) -> Known[Volume] | Unknown:
        """Ask the provider, and save what its list says of our volumes; return the list."""
        listed = await self.list_at_provider(provider)
        if not isinstance(listed, Unknown):
            # Read after the list: what was just created is saved by now.
            for volume in await self.list_volumes(provider):
                if not self.is_of_other_account(volume):
                    await self.apply_listing(volume, listed.items)
        return listed

    async def apply_listing(self, volume: Volume, listed: Sequence[Volume]) -> Volume:
        """Save what a complete list of the volume's account says of it; return the volume."""
        now = self.get_time(volume)
        return await self.update_volume(volume, lambda known: apply_listing(known, listed, now))
