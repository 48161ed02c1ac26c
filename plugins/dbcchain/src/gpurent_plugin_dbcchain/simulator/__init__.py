"""The DeepBrain Chain for the sandbox: a fake service that only `plugin.py` loads, when a sandbox starts."""
