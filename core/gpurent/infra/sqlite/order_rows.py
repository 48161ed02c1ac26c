"""The Store's orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.domain.provider_names import get_base_name
from gpurent.infra.sqlite.table_rows import TableRows

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.domain.orders import OrderOutcome, OrderRecord


class OrderRows(TableRows):
    """Implements `gpurent.ports.store.OrderStore`; a part of `SqliteStore`."""

    async def open_order(self, order: OrderRecord) -> OrderRecord | None:
        with self._database.write_transaction():
            if self._query_orders("key = ?", order.key):
                return None
            # An offer is one machine of the provider, whichever of the user's accounts there asks for it.
            is_same = (
                "(provider = ? AND account = ?) OR (provider <> ? AND substr(provider || '@', 1, ?) = ?)"
            )
            base = f"{get_base_name(order.provider)}@"
            in_the_way = self._query_orders(
                f"outcome IS NULL AND (lease = ? OR (claim = ? AND claim <> '' AND ({is_same})))",
                order.lease,
                order.claim,
                order.provider,
                order.account,
                order.provider,
                len(base),
                base,
            )
            if in_the_way:
                return in_the_way[0]
            self._database.execute(
                "INSERT INTO orders (key, lease, trip, provider, account, kind, claim, opened_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    order.key,
                    order.lease,
                    order.trip,
                    order.provider,
                    order.account,
                    order.kind.value,
                    order.claim,
                    self._format_now(),
                ),
            )
            return None

    async def end_order(self, key: str, outcome: OrderOutcome) -> None:
        with self._database.write_transaction():
            self._end_order(key, outcome)

    def _end_order_of(self, lease: Lease) -> None:
        """Within the transaction that writes the lease, end its unfinished order if the lease says how it ended."""
        from gpurent.domain.orders import find_outcome

        for order in self._query_orders("outcome IS NULL AND lease = ?", lease.id):
            outcome = find_outcome(order, lease)
            if outcome is not None:
                self._end_order(order.key, outcome)

    def _end_order(self, key: str, outcome: OrderOutcome) -> None:
        self._database.execute(
            "UPDATE orders SET ended_at = ?, outcome = ? WHERE key = ? AND outcome IS NULL",
            (self._format_now(), outcome.value, key),
        )

    async def find_order(self, key: str) -> OrderRecord | None:
        return next(iter(self._query_orders("key = ?", key)), None)

    async def find_open_order(self, lease_id: str) -> OrderRecord | None:
        return next(iter(self._query_orders("outcome IS NULL AND lease = ?", lease_id)), None)

    async def list_trip_orders(self, trip_id: str) -> Sequence[OrderRecord]:
        return self._query_orders("trip = ?", trip_id)

    def _query_orders(self, condition: str, *values: str | int) -> list[OrderRecord]:
        from gpurent.domain.offer import OrderKind
        from gpurent.domain.orders import OrderOutcome, OrderRecord

        # ``condition`` is always one of the constants above.
        rows = self._database.fetch_rows(
            "SELECT key, lease, trip, provider, account, kind, claim, opened_at, ended_at, outcome FROM orders"  # noqa: S608
            f" WHERE {condition} ORDER BY opened_at, rowid",
            *values,
        )
        return [
            OrderRecord(
                key=row[0],
                lease=row[1],
                trip=row[2],
                provider=row[3],
                account=row[4],
                kind=OrderKind(row[5]),
                claim=row[6],
                opened_at=datetime.fromisoformat(row[7]),
                ended_at=datetime.fromisoformat(row[8]) if row[8] else None,
                outcome=OrderOutcome(row[9]) if row[9] else None,
            )
            for row in rows
        ]
