"""The part of the Store for volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.volume import Volume


class VolumeStore(Protocol):
    """Volumes as they were last reported. What was written is on disk when the call returns."""

    async def add_volume(self, volume: Volume) -> Volume | None:
        """Write a new volume.

        Return None if it is written, otherwise the volume that has its name at its provider and is not over.
        """

    async def swap_volume(self, before: Volume, after: Volume) -> bool:
        """Write ``after`` only if the stored volume equals ``before``; another process may have changed it."""

    async def list_volumes(self) -> Sequence[Volume]:
        """Return all volumes ever, oldest first."""
