"""The Store's rows of what was last seen of leases and accounts, and of what was already reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpurent.domain.money import Currency, Money
from gpurent.infra.sqlite.table_rows import (
    TableRows,
    format_time,
    make_money_cells,
    parse_money,
    parse_time,
)

if TYPE_CHECKING:
    from gpurent.domain.guard_memory import GuardMemory
    from gpurent.domain.orphans import Orphan
    from gpurent.domain.time_left import SavedBalance, SavedTimer

_SECOND = timedelta(seconds=1)


class WatchRows(TableRows):
    """Implements `gpurent.ports.store.WatchStore`; a part of `SqliteStore`."""

    # balances

    async def put_last_balance(self, balance: SavedBalance) -> None:
        self._execute(
            "INSERT OR REPLACE INTO last_balances (billing, account, currency, exponent, amount, at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            balance.billing,
            balance.account,
            *make_money_cells(balance.money),
            format_time(balance.at),
        )

    async def find_last_balance(self, billing: str, account: str) -> SavedBalance | None:
        from gpurent.domain.time_left import SavedBalance

        rows = self._database.fetch_rows(
            "SELECT account, currency, exponent, amount, at FROM last_balances"
            " WHERE billing = ? AND ? IN (account, '') ORDER BY at DESC LIMIT 1",
            *(billing, account),
        )
        return next(
            (
                SavedBalance(
                    billing=billing,
                    account=row[0],
                    money=parse_money(*row[1:4]),
                    at=datetime.fromisoformat(row[4]),
                )
                for row in rows
            ),
            None,
        )

    # thresholds

    async def swap_passed_thresholds(
        self, lease_id: str, passed: Collection[timedelta]
    ) -> frozenset[timedelta]:
        now = {threshold // _SECOND for threshold in passed}
        if now == self._read_thresholds(lease_id):
            return frozenset()
        with self._database.write_transaction():
            before = self._read_thresholds(lease_id)
            self._database.execute("DELETE FROM passed_thresholds WHERE lease = ?", (lease_id,))
            self._database.execute_many(
                "INSERT INTO passed_thresholds (lease, seconds) VALUES (?, ?)",
                [(lease_id, seconds) for seconds in sorted(now)],
            )
        return frozenset(seconds * _SECOND for seconds in now - before)

    def _read_thresholds(self, lease_id: str) -> set[int]:
        rows = self._database.fetch_rows("SELECT seconds FROM passed_thresholds WHERE lease = ?", lease_id)
        return {seconds for (seconds,) in rows}

    # timers

    async def put_machine_timer(
        self, lease_id: str, until: datetime | None, *, by_policy: bool | None = None
    ) -> None:
        if until is None:
            self._execute("DELETE FROM machine_timers WHERE lease = ?", lease_id)
            return
        self._execute(
            "INSERT INTO machine_timers (lease, until, by_policy) VALUES (?, ?, coalesce(?, 0))"
            " ON CONFLICT (lease) DO UPDATE SET until = excluded.until, by_policy = coalesce(?, by_policy)",
            *(lease_id, format_time(until), by_policy, by_policy),
        )

    async def find_machine_timer(self, lease_id: str) -> SavedTimer | None:
        from gpurent.domain.time_left import SavedTimer

        rows = self._database.fetch_rows(
            "SELECT until, by_policy FROM machine_timers WHERE lease = ?", lease_id
        )
        return next(
            (
                SavedTimer(until=datetime.fromisoformat(until), by_policy=bool(policy))
                for until, policy in rows
            ),
            None,
        )

    # times of leases

    async def put_meter_read_time(self, lease_id: str, at: datetime) -> None:
        self._execute(
            "INSERT OR REPLACE INTO meter_readings (lease, read_at) VALUES (?, ?)", lease_id, format_time(at)
        )

    async def find_meter_read_time(self, lease_id: str) -> datetime | None:
        return self._read_time("SELECT read_at FROM meter_readings WHERE lease = ?", lease_id)

    async def sum_lease_spending(self, lease_ids: Collection[str]) -> Mapping[str, Sequence[Money]]:
        # Amounts are text, because sums may exceed 64 bits: they are added here.
        sums: dict[str, dict[Currency, int]] = {}
        for name in lease_ids:
            for code, exponent, amount in self._database.fetch_rows(
                "SELECT p.currency, p.exponent, p.amount FROM entries e JOIN postings p ON p.entry = e.id"
                " WHERE e.lease = ? AND p.account LIKE 'spent:%' ORDER BY e.id, p.line",
                name,
            ):
                found, currency = sums.setdefault(name, {}), Currency(code, exponent)
                found[currency] = found.get(currency, 0) + int(amount)
        return {
            name: [Money(amount, currency) for currency, amount in found.items()]
            for name, found in sums.items()
        }

    async def put_results_save_time(self, lease_id: str, at: datetime) -> None:
        self._execute(
            "INSERT OR REPLACE INTO result_saves (lease, began_at) VALUES (?, ?)", lease_id, format_time(at)
        )

    async def find_results_save_time(self, lease_id: str) -> datetime | None:
        return self._read_time("SELECT began_at FROM result_saves WHERE lease = ?", lease_id)

    def _read_time(self, sql: str, *values: str) -> datetime | None:
        rows = self._database.fetch_rows(sql, *values)
        return parse_time(rows[0][0]) if rows else None

    # the guard

    async def put_guard_memory(self, lease_id: str, memory: GuardMemory) -> None:
        times = [memory.observed_at, memory.output_at, memory.idle_since]
        busy, total = memory.ticks or (None, None)
        warnings = [(lease_id, name, format_time(at)) for name, at in memory.warned_at.items()]
        with self._database.write_transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO guard_memories"
                " (lease, observed_at, output_at, idle_since, ticks_busy, ticks_total, last_write)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    lease_id,
                    *(format_time(at) if at else None for at in times),
                    busy,
                    total,
                    memory.last_write,
                ),
            )
            self._database.execute("DELETE FROM lease_warnings WHERE lease = ?", (lease_id,))
            self._database.execute_many(
                "INSERT INTO lease_warnings (lease, reason, warned_at) VALUES (?, ?, ?)", warnings
            )

    async def find_guard_memory(self, lease_id: str) -> GuardMemory | None:
        from gpurent.domain.guard_memory import GuardMemory

        # One statement, so that a memory is never read with the warnings of another.
        rows = self._database.fetch_rows(
            "SELECT m.observed_at, m.output_at, m.idle_since, m.ticks_busy, m.ticks_total, m.last_write,"
            " w.reason, w.warned_at FROM guard_memories m LEFT JOIN lease_warnings w ON w.lease = m.lease"
            " WHERE m.lease = ? ORDER BY w.rowid",
            lease_id,
        )
        if not rows:
            return None
        observed, output, idle, busy, total, written = rows[0][:6]
        return GuardMemory(
            observed_at=parse_time(observed),
            output_at=parse_time(output),
            idle_since=parse_time(idle),
            ticks=(busy, total) if busy is not None else None,
            last_write=written,
            warned_at={row[6]: datetime.fromisoformat(row[7]) for row in rows if row[6] is not None},
        )

    # orphans

    async def find_orphan_search_time(self) -> datetime | None:
        return self._read_time("SELECT searched_at FROM orphan_search")

    async def swap_orphan_search_time(self, before: datetime | None, after: datetime) -> bool:
        with self._database.write_transaction():
            if self._read_time("SELECT searched_at FROM orphan_search") != before:
                return False
            self._database.execute(
                "INSERT OR REPLACE INTO orphan_search (id, searched_at) VALUES (1, ?)", (format_time(after),)
            )
            return True

    async def put_orphan_report(self, orphan: Orphan, account: str) -> bool:
        kind, name = orphan.kind.value, orphan.ref or orphan.lease
        with self._database.write_transaction():
            if self._database.fetch_rows(
                "SELECT 1 FROM reported_orphans WHERE provider = ? AND kind = ? AND name = ?"
                " AND (? IN (account, '') OR account = '')",
                *(orphan.provider, kind, name, account),
            ):
                return False
            self._database.execute(
                "INSERT INTO reported_orphans (provider, account, kind, name, reported_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (orphan.provider, account, kind, name, self._format_now()),
            )
            return True
