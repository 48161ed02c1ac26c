"""The simulator of the Lambda Cloud API."""
