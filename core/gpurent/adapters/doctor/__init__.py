"""The doctor's side without a line: what to run on the machine, and what its answers mean."""
