"""Reports on leases, offers and money. Read-only, except for new ledger entries."""
