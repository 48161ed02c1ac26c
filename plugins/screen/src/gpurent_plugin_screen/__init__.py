"""GNU screen as a session keeper for gpurent."""
