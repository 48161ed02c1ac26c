"""One file a command group; each is imported when one of its commands is run."""
