"""Finding plugins, and checking them."""
