"""What is recorded of a Store that was restored from a backup."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from attrs import evolve, frozen


@frozen(kw_only=True)
class RestoreRecord:
    """The Store has nothing of what was done between ``backed_up_at`` and ``restored_at``.

    ``former``: the installation that was backed up. ``open_trips``: those that had not ended in the backup; what they
    ordered or paid later is not known here. ``searched``: the providers whose machines, and ``compared`` the accounts
    whose statements, the user has had looked at since.
    """

    restored_at: datetime
    backed_up_at: datetime
    former: str
    open_trips: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    searched_at: datetime | None = None
    compared: tuple[str, ...] = ()
    compared_at: datetime | None = None

    @property
    def is_examined(self) -> bool:
        """Whether both were shown to the user, whatever could not be asked then."""
        return self.searched_at is not None and self.compared_at is not None

    def add_searched(self, providers: Collection[str], at: datetime) -> RestoreRecord:
        return evolve(self, searched=tuple(sorted({*self.searched, *providers})), searched_at=at)

    def add_compared(self, accounts: Collection[str], at: datetime) -> RestoreRecord:
        return evolve(self, compared=tuple(sorted({*self.compared, *accounts})), compared_at=at)
