"""Leases without an API: adopted by SSH command, accounted for by declared terms, released by the user."""
