"""The battery: odd OpenSSH machines by what a user does on one.

`make test-machines` runs all of it, `make test` a share; docs/machines.md is written from its data.
"""
