"""The outside world as plugins and steps see it: SSH, HTTP, vault, clock, journal, post."""
