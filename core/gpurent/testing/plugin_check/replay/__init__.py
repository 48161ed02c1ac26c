"""Replays a recording: the plugin's own code reads each recorded answer again, and no network is touched."""
