"""The bank's daily file in the sandbox."""
