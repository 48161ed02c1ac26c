"""The DBC wallet for gpurent: private keys, balance, payments."""
