"""Contract tests for implementations of a role or port: a plugin's tests subclass these classes."""
