"""The battery: odd OpenSSH machines by what a user does on one; `make test-machines` runs it, docs/machines.md shows it."""
