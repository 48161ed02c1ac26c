"""The use cases that rent, renew and release: whole trips and single orders."""
