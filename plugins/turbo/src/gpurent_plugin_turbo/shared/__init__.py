"""Code for both sides, also sent as source: Python 3.7 or later, only the standard library."""
