"""What the commands print: tables, text and HTML pages."""
