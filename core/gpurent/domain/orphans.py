"""What a provider's account shows and our Store does not, or the other way round."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease
from gpurent.domain.lease_copy import LeaseCopy
from gpurent.domain.money import Money, UnitPrice
from gpurent.terminal_text import NO_TEXT, ForeignText


class OrphanKind(Enum):
    """LOST_LEASE: only the second copy knows it. UNKNOWN_MACHINE: the provider lists it, and nothing here knows it.

    FORMER_LEASE: rented by the installation whose backup was restored, so that nothing is done with it until it is
    named. REVIVED_LEASE: it was taken for ended, and the provider shows it alive. UNCOUNTED_PAYMENT: our payment that
    the provider did not count. UNEXPLAINED_CHARGE: a charge in the statement that belongs to no lease of ours. UNKNOWN:
    the provider did not answer, so nothing may be concluded. LOST_VOLUME: it bears the id of this installation, or of a
    former one, and nothing here knows it. UNKNOWN_VOLUME: any other one that the provider lists.
    """

    LOST_LEASE = "lost-lease"
    FORMER_LEASE = "former-lease"
    UNKNOWN_MACHINE = "unknown-machine"
    REVIVED_LEASE = "revived-lease"
    UNCOUNTED_PAYMENT = "uncounted-payment"
    UNEXPLAINED_CHARGE = "unexplained-charge"
    UNKNOWN = "unknown"
    LOST_VOLUME = "lost-volume"
    UNKNOWN_VOLUME = "unknown-volume"


_MACHINE_KINDS = (
    OrphanKind.LOST_LEASE,
    OrphanKind.FORMER_LEASE,
    OrphanKind.UNKNOWN_MACHINE,
    OrphanKind.REVIVED_LEASE,
)
_VOLUME_KINDS = (OrphanKind.LOST_VOLUME, OrphanKind.UNKNOWN_VOLUME)


@frozen(kw_only=True)
class Orphan:
    """One finding. ``ref``: what the provider calls the machine, volume, payment or charge; ``lease``: our lease's id.

    ``machine``: the key of its offer; of a volume, the name that its provider shows.

    ``is_ours``: it bears the id of this installation; otherwise it may belong to another computer on this account.
    ``is_listed``: whether the provider's complete list has the machine; None if that is not known. ``reason``: why
    nothing is known, or what else there is to say.
    """

    kind: OrphanKind
    provider: str
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    lease: str = ""
    machine: str = field(default=NO_TEXT, converter=ForeignText)
    endpoint: Endpoint | None = None
    price: UnitPrice | None = None
    money: Money | None = None
    since: datetime | None = None
    is_ours: bool = False
    is_listed: bool | None = None
    reason: ForeignText = field(default=NO_TEXT, converter=ForeignText)

    @property
    def is_machine(self) -> bool:
        return self.kind in _MACHINE_KINDS

    @property
    def is_volume(self) -> bool:
        return self.kind in _VOLUME_KINDS

    @property
    def key(self) -> str:
        """What the finding is about; the same each time it is found."""
        return f"{self.provider}/{self.kind.value}/{self.ref or self.lease}"

    @property
    def exit_code(self) -> int:
        """6: ours, and may cost money. 5: a payment that was not counted. 8: unknown. 0: only to be known."""
        if self.kind is OrphanKind.UNKNOWN:
            return 8
        if self.kind is OrphanKind.UNCOUNTED_PAYMENT:
            return 5
        return 6 if (self.is_machine or self.is_volume) and self.is_ours else 0


@frozen(kw_only=True)
class OrphanMachine:
    """A machine of a search: ``listed`` as its provider shows it, ``copy`` as the second copy has it."""

    orphan: Orphan
    listed: Lease | None = None
    copy: LeaseCopy | None = None


@frozen(kw_only=True)
class OrphanReport:
    """``asked`` are the providers that were asked, ``installation`` is this installation's id."""

    installation: str
    asked: tuple[str, ...]
    machines: tuple[OrphanMachine, ...] = ()
    others: tuple[Orphan, ...] = ()

    @property
    def orphans(self) -> tuple[Orphan, ...]:
        return (*(found.orphan for found in self.machines), *self.others)

    @property
    def exit_code(self) -> int:
        """That of the worst finding."""
        codes = {orphan.exit_code for orphan in self.orphans}
        return next((code for code in (6, 5, 8) if code in codes), 0)
