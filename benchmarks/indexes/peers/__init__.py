"""Other libraries, in environments of their own."""
