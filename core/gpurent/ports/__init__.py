"""The interfaces (protocols) through which core uses the outside; implemented in `gpurent.infra`."""
