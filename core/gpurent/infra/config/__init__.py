"""The user's configuration files; errors give the line number and the most similar key."""
