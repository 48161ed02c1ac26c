"""The lease owner of leases that were rented outside of their provider's plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.ports.system import Clock

if TYPE_CHECKING:
    from gpurent.roles.account import BillingProvider
    from gpurent.roles.lease import LeaseProvider


@frozen(eq=False)
class ManualLeases:
    """Implements `gpurent.workflow.runtime.plugins.LeaseOwner` for leases with declared terms.

    ``get_provider`` is called only to act on such a lease; listings only ask for the owner.
    """

    clock: Clock
    get_provider: Callable[[], LeaseProvider]

    def owns(self, lease: Lease) -> bool:
        return lease.declared is not None

    def provider_of(self, lease: Lease) -> LeaseProvider:
        return self.get_provider()

    def billing_of(self, lease: Lease) -> BillingProvider:
        """Return the account computed from the lease's declared terms; raises `LookupError` if it has none."""
        from gpurent.workflow.manual.billing import DeclaredAccount

        if lease.declared is None:
            raise LookupError(f"{lease.id} has no declared terms")
        return DeclaredAccount(self.clock, lease, lease.declared)
