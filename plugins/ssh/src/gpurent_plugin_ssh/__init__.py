"""Any host of the user's as a lease."""
