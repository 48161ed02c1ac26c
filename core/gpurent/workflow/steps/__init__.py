"""The steps of a trip. They do not depend on each other."""
