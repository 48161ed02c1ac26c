"""The outside: files, SQLite, SSH, HTTP, the vault, configuration. Wired in at the composition root alone."""
