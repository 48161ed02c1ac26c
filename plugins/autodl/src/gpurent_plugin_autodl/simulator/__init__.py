"""A simulator of AutoDL's developer API."""
