"""Connections to machines, and what goes over them: commands, jobs, files, ports."""
