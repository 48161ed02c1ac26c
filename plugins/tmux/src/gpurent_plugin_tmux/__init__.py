"""tmux as a session backend for gpurent."""
