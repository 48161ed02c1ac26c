"""The encrypted file of secrets."""
