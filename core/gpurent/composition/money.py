"""Money: exchange rates, quotes, budgets, payments, and reports on them."""

from __future__ import annotations

from gpurent.composition.runtime import RuntimeParts
from gpurent.workflow.payments import (
    authorize_spending,
    budgets,
    meters,
    pay,
    payees,
    quotes,
    rates,
    topups,
    trip_spending,
    volume_books,
)
from gpurent.workflow.reports import costs, ledger_check, offers, receipts, reconcile, refund_quotes


class MoneyParts:
    """The parts for payments and their reports."""

    def __init__(self, base: RuntimeParts) -> None:
        store, plugins, books, clock = base.store, base.plugins, base.bookkeeping, base.clock
        self.rates = rates.ExchangeRates(plugins, base.settings, clock, base.service_clocks)
        self.quotes = quotes.Quotes(plugins, self.rates)
        read_meters = meters.Meters(store, plugins, books, base.service_clocks)
        self.volume_books = volume_books.VolumeBooks(books, base.volumes)
        self.budgets = budgets.Budgets(
            store, base.settings, clock, books, self.rates, read_meters, self.volume_books
        )
        self.spending = authorize_spending.SpendingAuthorizer(
            self.budgets, base.questions, base.restore_checks
        )
        self.payees = payees.Payees(store, base.questions)
        authorizer = pay.PaymentAuthorizer(self.budgets, self.rates, base.questions, base.locks, self.payees)
        self.trip_spending = trip_spending.TripSpending(store)
        self.payments = pay.Payments(
            store,
            plugins,
            authorizer,
            books,
            base.service_clocks,
            base.logins.find_account,
            base.restore_checks,
        )
        self.account_money = topups.AccountMoney(plugins, self.rates, base.poller)
        self.offer_listing = offers.OfferListing(plugins, base.settings, self.rates, base.volumes)
        self.receipts = receipts.Receipts(store, base.leases, books, self.volume_books, base.poller)
        self.refund_quotes = refund_quotes.RefundQuotes(base.leases, self.receipts, books)
        self.reconciliation = reconcile.Reconciliation(
            store, plugins, books, self.volume_books, base.account_commands
        )
        self.ledger_check = ledger_check.LedgerCheck(store, books.heads)
        self.cost_reports = costs.CostReports(store, books, self.volume_books, clock, self.ledger_check)
