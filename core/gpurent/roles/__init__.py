"""What plugins implement (ABCs), what they register (entries, hooks), and what they are given."""
