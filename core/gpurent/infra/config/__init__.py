"""The user's configuration files, read with line numbers and nearest keys."""
