"""What the commands print: tables, sentences, pages."""
