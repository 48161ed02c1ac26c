"""Testing tools for plugin authors, and the sandbox; the product itself never imports this package."""
