"""tmux as a session keeper for gpurent."""
