"""Leases without an API: adopted by their SSH line, accounted for by declared terms, ended by the user."""
