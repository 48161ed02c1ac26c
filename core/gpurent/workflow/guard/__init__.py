"""The guard: manages all leases in this data folder, within the user's written policy and budgets."""
