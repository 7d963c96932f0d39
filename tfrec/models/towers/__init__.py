"""Parts of networks that read a request: history, age of the example, fields."""
