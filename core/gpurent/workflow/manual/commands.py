"""By hand, as the CLI calls it."""

from __future__ import annotations

import secrets
from datetime import datetime
from decimal import Decimal

from gpurent.domain.lease import Lease
from gpurent.domain.receipt import Receipt
from gpurent.workflow.manual.adopt import Handed, take_over
from gpurent.workflow.manual.declare import confirm_end, declare
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.trips.operations import Service

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class ByHand:
    """Bound to one `Desk`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def adopt(self, handed: Handed) -> Lease:
        """A lease of its own id, taken over now."""
        self.desk.provider(handed.provider)
        mark = "".join(secrets.choice(_LETTERS) for _i in range(5))
        return await take_over(self.desk, f"{handed.provider}-{mark}", handed)

    async def declare(self, given: str, balance: tuple[Decimal, str] | None, until: datetime | None) -> Lease:
        return declare(self.desk, given, balance=balance, until=until)

    async def release_confirmed(self, service: Service, given: str) -> Receipt:
        """Give back a machine that the user has ended."""
        lease = await confirm_end(self.desk, given)
        return await service.release(lease.id)
