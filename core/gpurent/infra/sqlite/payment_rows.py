"""The Store's payments, and the bindings of e-mail addresses, which are paid once for an account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gpurent.infra.sqlite.table_rows import TableRows, format_time, make_money_cells, parse_money, parse_time

if TYPE_CHECKING:
    from gpurent.domain.offer import Payment
    from gpurent.domain.payments import AuthorizedBill, RecordedPayment

_BILL_COLUMNS = (
    "key, trip, lease, provider, account, purpose, currency, exponent, amount, authorized_at, payee"
)
_PAID_COLUMNS = "paid, proof, paid_at, fee_currency, fee_exponent, fee, confirmed_at"
# What is paid stays as it was authorized.
_PUT_BILL = (
    f"INSERT INTO payments ({_BILL_COLUMNS}) VALUES ({', '.join('?' * 11)}) ON CONFLICT (key) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{column} = excluded.{column}" for column in _BILL_COLUMNS.split(", ")[1:])
    + " WHERE proof IS NULL"
)
# The open bindings of one address; an account that is not known may be any.
_SAME_ADDRESS = "provider = ? AND address = ? AND ended_at IS NULL AND (? IN (account, '') OR account = '')"


class PaymentRows(TableRows):
    """Implements `PaymentStore` and `MailBindingStore` of `gpurent.ports.payment_store`; a part of `SqliteStore`."""

    async def put_authorized_bill(self, bill: AuthorizedBill) -> None:
        self._execute(
            _PUT_BILL,
            bill.key,
            bill.trip,
            bill.lease,
            bill.provider,
            bill.account,
            bill.purpose.value,
            *make_money_cells(bill.amount),
            self._format_now(),
            bill.payee,
        )

    async def find_authorized_bill(self, key: str) -> AuthorizedBill | None:
        return next(iter(self._query_bills("key = ?", key)), None)

    async def list_authorized_bills(self, provider: str, account: str) -> Sequence[AuthorizedBill]:
        return self._query_bills("provider = ? AND account = ?", provider, account)

    async def put_payment(self, trip_id: str, payment: Payment) -> None:
        with self._database.write_transaction():
            rows = self._database.fetch_rows(
                "SELECT currency, exponent FROM payments WHERE key = ?", payment.key
            )
            if not rows:
                raise LookupError(f"the bill {payment.key} was not authorized")
            code, exponent, paid = make_money_cells(payment.amount)
            if (code, exponent) != tuple(rows[0]):
                raise ValueError(f"the bill {payment.key} was not paid in its currency")
            fee = make_money_cells(payment.fee) if payment.fee is not None else (None, None, None)
            self._database.execute(
                "UPDATE payments SET trip = ?, paid = ?, proof = ?, paid_at = ?,"
                " fee_currency = ?, fee_exponent = ?, fee = ? WHERE key = ? AND proof IS NULL",
                (trip_id, paid, payment.proof, format_time(payment.at), *fee, payment.key),
            )

    async def confirm_recorded_payment(self, key: str) -> None:
        self._execute(
            "UPDATE payments SET confirmed_at = ? WHERE key = ? AND confirmed_at IS NULL",
            self._format_now(),
            key,
        )

    async def find_recorded_payment(self, key: str) -> RecordedPayment | None:
        return next(iter(self._query_payments("key = ?", key)), None)

    async def list_trip_payments(self, trip_id: str) -> Sequence[RecordedPayment]:
        return self._query_payments("trip = ?", trip_id)

    async def list_lease_payments(self, lease_id: str) -> Sequence[RecordedPayment]:
        return self._query_payments(
            "(lease = ? OR trip IN (SELECT id FROM trip_records WHERE lease = ?))", lease_id, lease_id
        )

    def _query_bills(self, condition: str, *values: str) -> list[AuthorizedBill]:
        from gpurent.domain.payments import AuthorizedBill

        # ``condition`` is always one of the constants above; so it is below.
        rows = self._database.fetch_rows(
            f"SELECT {_BILL_COLUMNS} FROM payments WHERE {condition} ORDER BY authorized_at, rowid",  # noqa: S608
            *values,
        )
        return [AuthorizedBill(**_parse_bill(row)) for row in rows]

    def _query_payments(self, condition: str, *values: str) -> list[RecordedPayment]:
        from gpurent.domain.payments import RecordedPayment

        rows = self._database.fetch_rows(
            f"SELECT {_BILL_COLUMNS}, {_PAID_COLUMNS} FROM payments"  # noqa: S608
            f" WHERE {condition} AND proof IS NOT NULL ORDER BY authorized_at, rowid",
            *values,
        )
        return [
            RecordedPayment(**_parse_bill(row), payment=_parse_payment(row), confirmed_at=parse_time(row[17]))
            for row in rows
        ]

    # bindings of e-mail addresses

    async def claim_binding_key(self, provider: str, account: str, address: str, key: str) -> str:
        with self._database.write_transaction():
            rows = self._database.fetch_rows(
                f"SELECT key FROM mail_bindings WHERE {_SAME_ADDRESS} ORDER BY account = '', rowid",  # noqa: S608
                *(provider, address, account),
            )
            if rows:
                return str(rows[0][0])
            self._database.execute(
                "INSERT INTO mail_bindings (key, provider, account, address) VALUES (?, ?, ?, ?)",
                (key, provider, account, address),
            )
            return key

    async def end_mail_binding(self, provider: str, account: str, address: str) -> None:
        self._execute(
            f"UPDATE mail_bindings SET ended_at = ? WHERE {_SAME_ADDRESS}",  # noqa: S608
            *(self._format_now(), provider, address, account),
        )


def _parse_bill(row: Any) -> dict[str, Any]:
    """Return the fields of `AuthorizedBill`; ``row`` begins with `_BILL_COLUMNS`."""
    from gpurent.domain.offer import PaymentPurpose

    return {
        "key": row[0],
        "trip": row[1],
        "lease": row[2],
        "provider": row[3],
        "account": row[4],
        "purpose": PaymentPurpose(row[5]),
        "amount": parse_money(row[6], row[7], row[8]),
        "authorized_at": datetime.fromisoformat(row[9]),
        "payee": row[10],
    }


def _parse_payment(row: Any) -> Payment:
    """Return the payment; ``row`` is `_BILL_COLUMNS` and `_PAID_COLUMNS`."""
    from gpurent.domain.offer import Payment

    return Payment(
        key=row[0],
        proof=row[12],
        amount=parse_money(row[6], row[7], row[11]),
        at=datetime.fromisoformat(row[13]),
        fee=parse_money(row[14], row[15], row[16]) if row[16] is not None else None,
    )
