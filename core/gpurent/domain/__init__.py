"""Domain values: immutable, without I/O and without a clock."""
