"""Runs on the user's computer and talks to the source that was sent to the machine."""
