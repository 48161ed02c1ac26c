"""The simulator of the Prime Intellect API."""
