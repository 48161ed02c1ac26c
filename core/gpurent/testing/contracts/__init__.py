"""What every implementation of a role must keep: one class a role, to be subclassed by its tests."""
