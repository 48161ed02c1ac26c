"""The steps of a trip. They do not know each other."""
