"""One file for each group of commands, imported when one of its commands is run."""
