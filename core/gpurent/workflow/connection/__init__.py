"""Connections to machines and what uses them: commands, jobs, file transfers, port forwarding."""
