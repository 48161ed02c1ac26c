"""What a user may choose when a machine is started again with its kept files."""

from __future__ import annotations

from attrs import evolve

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Metered, Order
from gpurent.domain.trip import AS_BEFORE, RestartOptions
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.roles.lease import LeaseProvider, SupportsStaging
from gpurent.workflow.payments.quotes import order_term


def change_restart(provider: LeaseProvider, lease: Lease, order: Order, options: RestartOptions) -> Order:
    """Return the restart ``order`` as the user wants it. Raises `UsageError` if the provider cannot do that."""
    if options.is_staged and order.offer.hardware.gpus:
        if not isinstance(provider, SupportsStaging):
            raise UsageError(
                _("{provider} cannot start {lease} without its GPU").format(
                    provider=lease.provider, lease=lease.id
                )
            )
        order = provider.make_staging_order(order)
    if options.term is None:
        return order
    if isinstance(order.offer.tariff, Metered):
        raise _make_not_prepaid_error(lease)
    return evolve(order, term=order_term(order.offer, options.term))


def require_as_before(lease: Lease, options: RestartOptions) -> None:
    """Raise `UsageError` if a machine that is still rented is to be started as another one."""
    if options.term is not None:
        raise _make_not_prepaid_error(lease)
    if options != AS_BEFORE:
        raise UsageError(
            _("{provider} cannot start {lease} without its GPU").format(
                provider=lease.provider, lease=lease.id
            )
        )


def _make_not_prepaid_error(lease: Lease) -> UsageError:
    return UsageError(
        _("{lease} is billed as time passes, so --for does not apply").format(lease=lease.id),
        hint=_("To end it in time: gpurent timer {lease} --for 2h").format(lease=lease.id),
    )
