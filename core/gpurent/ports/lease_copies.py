"""The second copy of the living leases' references, and this installation's id; both lie outside the Store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.lease_copy import LeaseCopy


class LeaseCopies(Protocol):
    """Copies by the id of their lease. What was written is on disk when the call returns."""

    def get_installation(self) -> str:
        """Return the random id of this installation; it is made on first use."""

    def list_installations(self) -> Sequence[str]:
        """Return this installation's id, then those of former ones, whose state was restored from a backup here."""

    def list_copies(self) -> Sequence[LeaseCopy]: ...
    def find_copy(self, lease_id: str) -> LeaseCopy | None: ...

    def put_copy(self, copy: LeaseCopy) -> None:
        """Write a copy; raises `OSError` if it cannot be written anywhere."""

    def delete_copy(self, lease_id: str) -> None: ...
