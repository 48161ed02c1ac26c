"""Messages over Apprise for gpurent."""
