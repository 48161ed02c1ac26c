"""Access to the outside: files, SQLite, SSH, HTTP, the vault, configuration. Wired up only in the composition root."""
