"""What is done on a machine, over a line that may be cut."""
