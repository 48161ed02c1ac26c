"""What every implementation of a role must do: one class a role. Subclass it in a plugin's tests."""
