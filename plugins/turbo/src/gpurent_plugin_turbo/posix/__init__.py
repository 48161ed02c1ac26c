"""For machines without Python: needs only sh, tar and coreutils there."""
