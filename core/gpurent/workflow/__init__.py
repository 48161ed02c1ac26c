"""The use cases: trips as sequences of journaled steps, and their single operations as commands."""
