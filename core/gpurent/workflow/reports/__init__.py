"""What is shown of leases, offers and money. Changes nothing but the ledger, by new entries."""
