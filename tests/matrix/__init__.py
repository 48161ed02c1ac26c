"""Every provider goes through the same scenarios, judged from outside: ``make test-matrix`` prints the table."""
