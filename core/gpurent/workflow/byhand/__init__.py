"""Leases without an API: taken over by their SSH line, accounted for by declared terms, ended by the user's hand."""
