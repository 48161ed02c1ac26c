"""Contracts of a provider: its login, its account and its machines, each against the plugin's own simulator."""
