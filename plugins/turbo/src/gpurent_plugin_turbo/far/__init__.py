"""Code that runs on the rented machine: sent as source; needs Python 3.7 or later and only the standard library."""
