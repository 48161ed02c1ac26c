"""The parts of the Store for what was last seen of leases and accounts, and what was already reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.guard_memory import GuardMemory
    from gpurent.domain.money import Money
    from gpurent.domain.orphans import Orphan
    from gpurent.domain.time_left import SavedBalance, SavedTimer


class BalanceStore(Protocol):
    """The last known balance of each account."""

    async def put_last_balance(self, balance: SavedBalance) -> None: ...
    async def find_last_balance(self, billing: str, account: str) -> SavedBalance | None:
        """Return the last known balance; of an ``account`` that is not known (empty), the one that was seen last."""


class ThresholdStore(Protocol):
    """The thresholds of time left that were passed, for each lease."""

    async def swap_passed_thresholds(
        self, lease_id: str, passed: Collection[timedelta]
    ) -> frozenset[timedelta]:
        """Record the thresholds that are passed now, in one commit; return those that were not passed before.

        Thresholds are whole seconds. Of several processes, only the first that records a threshold gets it back.
        """


class TimerStore(Protocol):
    """The last known timer in the machine of each lease."""

    async def put_machine_timer(
        self, lease_id: str, until: datetime | None, *, by_policy: bool | None = None
    ) -> None:
        """Record the timer's deadline, or that there is no timer. ``by_policy`` None: whoever armed it before."""

    async def find_machine_timer(self, lease_id: str) -> SavedTimer | None: ...


class MeterStore(Protocol):
    """What leases have cost by the ledger, and when the provider's statement was last read for each."""

    async def put_meter_read_time(self, lease_id: str, at: datetime) -> None: ...
    async def find_meter_read_time(self, lease_id: str) -> datetime | None: ...
    async def sum_lease_spending(self, lease_ids: Collection[str]) -> Mapping[str, Sequence[Money]]:
        """Return what was spent on each of the leases, less refunds: one amount a currency, none without charges."""


class GuardStore(Protocol):
    """What the guard remembers about each lease."""

    async def put_guard_memory(self, lease_id: str, memory: GuardMemory) -> None:
        """Replace the memory and its warnings in one commit."""

    async def find_guard_memory(self, lease_id: str) -> GuardMemory | None: ...
    async def put_results_save_time(self, lease_id: str, at: datetime) -> None: ...
    async def find_results_save_time(self, lease_id: str) -> datetime | None: ...


class OrphanStore(Protocol):
    """When orphans were searched last, and which were reported."""

    async def find_orphan_search_time(self) -> datetime | None: ...
    async def swap_orphan_search_time(self, before: datetime | None, after: datetime) -> bool:
        """Write ``after`` only if the last search was at ``before`` (None: never); another process may be searching."""

    async def put_orphan_report(self, orphan: Orphan, account: str) -> bool:
        """Record that an orphan at an account is reported now; return False if it was before.

        An empty account is not known, and may be any.
        """


class AccountStore(Protocol):
    """The accounts beside the first one of each provider, by the names of their logins: ``vast@lab``."""

    async def put_account(self, login: str) -> None:
        """Record the account; no error if it is recorded already."""

    async def delete_account(self, login: str) -> None:
        """Remove the record; no error if there is none."""

    async def list_accounts(self) -> Sequence[str]:
        """Return the recorded accounts, sorted."""


class PluginStateStore(Protocol):
    """Small texts of plugins, by plugin and name."""

    async def put_plugin_text(self, plugin: str, name: str, text: str) -> None: ...
    async def find_plugin_text(self, plugin: str, name: str) -> str | None: ...
