"""What the model server's benchmark measures: small models, a cheap caller, a server on a core of its own."""
