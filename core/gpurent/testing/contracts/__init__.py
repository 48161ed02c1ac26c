"""What every implementation of a role or port must keep: classes to be subclassed by its tests."""
