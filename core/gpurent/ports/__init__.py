"""What core itself needs of the outside, as protocols. Implemented in `gpurent.infra`."""
