"""For plugin authors and the sandbox; the product itself never imports it."""
