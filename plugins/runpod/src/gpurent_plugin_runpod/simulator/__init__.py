"""The simulator of RunPod: its REST API v2 and its GraphQL API over one state."""
