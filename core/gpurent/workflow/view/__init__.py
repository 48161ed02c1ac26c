"""All leases at a glance."""
