"""What runs on a rented machine: shell scripts, and the parsers of their output. No I/O."""
