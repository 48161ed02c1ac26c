"""Use cases that rent, renew, release: whole trips and single orders."""
