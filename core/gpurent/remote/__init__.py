"""What runs on a rented machine: scripts and the parsers of their output. No I/O."""
