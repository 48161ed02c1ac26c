"""What differs between operating systems, behind the `Platform` port."""
