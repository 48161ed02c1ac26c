"""The roles that plugins play (ABCs, one a file), and what they are given (Protocols, in `host`)."""
