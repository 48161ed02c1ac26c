"""Backups: one encrypted file with what gpurent must not lose."""
