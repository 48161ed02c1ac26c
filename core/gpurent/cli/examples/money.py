"""Examples of the commands for accounts and money."""

from __future__ import annotations

from gpurent.locale import N_

MONEY_EXAMPLES = {
    "login": (
        (N_("Be asked for what is needed"), "login PROVIDER"),
        (N_("One more account there, called PROVIDER@lab from then on"), "login PROVIDER --account lab"),
    ),
    "logout": (("", "logout PROVIDER"),),
    "whoami": (
        (N_("The accounts that you are logged in to"), "whoami"),
        (N_("A wallet's private key, for your backup"), "whoami --show-key PROVIDER"),
    ),
    "email": (
        (N_("Which address is bound?"), "email PROVIDER"),
        (N_("Bind another one"), "email PROVIDER me@example.com"),
    ),
    "balance": (
        (N_("All accounts"), "balance"),
        (N_("One, for a script"), "balance PROVIDER --json"),
    ),
    "receipts": (
        (N_("What a lease has cost so far"), "receipts LEASE"),
        (N_("What a whole trip cost"), "receipts TRIP"),
    ),
    "costs": (
        (N_("By day"), "costs"),
        (N_("By provider, since a date, in one currency"), "costs --by provider --since 2026-11-01 --in CNY"),
        (N_("A page with charts, from the ledger alone"), "costs --html costs.html --offline"),
    ),
    "reconcile": (
        (N_("Does the ledger agree with every provider's statement?"), "reconcile"),
        (N_("Add to the ledger what it lacks"), "reconcile PROVIDER --enter"),
    ),
    "topup": (
        (N_("How much is advisable, and how to pay it"), "topup PROVIDER"),
        (N_("A certain amount, without waiting for its arrival"), "topup PROVIDER 50 --no-wait"),
    ),
    "invoice": (
        (N_("Is an invoice available?"), "invoice PROVIDER"),
        (N_("Request it"), "invoice PROVIDER --request --field title=ACME"),
    ),
    "withdraw": (
        (N_("How to take all of it out, and what it is worth"), "withdraw PROVIDER"),
        (N_("A part, in US dollars"), "withdraw PROVIDER 100 --in USD"),
    ),
}
