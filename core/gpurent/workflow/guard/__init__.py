"""The guard: looks after all leases of this home, as far as the user's written policy and budget allow."""
