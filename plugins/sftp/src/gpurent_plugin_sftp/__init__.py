"""File transfer over SFTP for gpurent."""
