"""The nouns of renting: frozen values, no I/O, no clock."""
