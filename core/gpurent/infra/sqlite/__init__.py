"""Durable state in one SQLite file."""
