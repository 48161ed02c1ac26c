"""The DBC token ledger simulator for the sandbox, loaded only by `plugin.py` when a sandbox starts."""
