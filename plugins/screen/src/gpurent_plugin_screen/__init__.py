"""GNU screen as a session backend for gpurent."""
