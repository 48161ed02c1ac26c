"""SSH to leased machines: a pinned host key and a key pair for each lease."""
