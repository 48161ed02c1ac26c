"""How long leases last, and what ends them in time."""
