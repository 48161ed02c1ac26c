"""gpurent from Python: the same use cases as the command line, with typed results.

::

    from gpurent.client import Client

    with Client() as client:
        end = client.run(["python3", "train.py"], provider="vast", budget="5USD", results=["out"])
        print(end.exit_code, end.receipt)

`AsyncClient` is the same for asyncio. Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpurent.client.async_client import AsyncClient as AsyncClient
    from gpurent.client.sync_client import Client as Client
    from gpurent.client.user import Answer as Answer
    from gpurent.domain.events import Event as Event, EventKind as EventKind
    from gpurent.domain.job import JobStatus as JobStatus
    from gpurent.domain.lease import Lease as Lease, LeaseState as LeaseState
    from gpurent.domain.money import Money as Money, UnitPrice as UnitPrice
    from gpurent.domain.question import Question as Question, QuestionKind as QuestionKind
    from gpurent.domain.receipt import Receipt as Receipt
    from gpurent.domain.trip import TripRecord as TripRecord
    from gpurent.errors import GpurentError as GpurentError, Spent as Spent
    from gpurent.roles.account import Balance as Balance
    from gpurent.workflow.reports.costs import CostReport as CostReport
    from gpurent.workflow.reports.ledger_findings import LedgerFinding as LedgerFinding
    from gpurent.workflow.reports.offers import MarketOffers as MarketOffers
    from gpurent.workflow.reports.trip_report import TripReport as TripReport
    from gpurent.workflow.trips.cancel import CancelledTrip as CancelledTrip
    from gpurent.workflow.trips.machine_work import TripResult as TripResult
    from gpurent.workflow.trips.previews import TripPreview as TripPreview

_NAMES_BY_MODULE = {
    "gpurent.client.async_client": "AsyncClient",
    "gpurent.client.sync_client": "Client",
    "gpurent.client.user": "Answer",
    "gpurent.domain.events": "Event EventKind",
    "gpurent.domain.job": "JobStatus",
    "gpurent.domain.lease": "Lease LeaseState",
    "gpurent.domain.money": "Money UnitPrice",
    "gpurent.domain.question": "Question QuestionKind",
    "gpurent.domain.receipt": "Receipt",
    "gpurent.domain.trip": "TripRecord",
    "gpurent.errors": "GpurentError Spent",
    "gpurent.roles.account": "Balance",
    "gpurent.workflow.reports.costs": "CostReport",
    "gpurent.workflow.reports.ledger_findings": "LedgerFinding",
    "gpurent.workflow.reports.offers": "MarketOffers",
    "gpurent.workflow.reports.trip_report": "TripReport",
    "gpurent.workflow.trips.cancel": "CancelledTrip",
    "gpurent.workflow.trips.machine_work": "TripResult",
    "gpurent.workflow.trips.previews": "TripPreview",
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}
__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
