"""Random hostile inputs by seed: what makes them, and the rules that each must keep; run by `tests.security.fuzz`."""
