"""What both sides use; travels as source too: any Python from 3.7 on, the standard library."""
