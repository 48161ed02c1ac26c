"""SSH to leased machines, with a pinned host key and a key pair for each lease."""
