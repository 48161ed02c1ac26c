"""Code that runs on the user's computer and talks to the code sent to the machine."""
