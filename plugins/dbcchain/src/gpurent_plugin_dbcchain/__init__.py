"""GPU servers rented on the DeepBrain Chain itself."""
