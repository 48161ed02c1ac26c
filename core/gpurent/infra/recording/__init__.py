"""Recordings of what plugins and their services said to each other, without what is the user's own."""
