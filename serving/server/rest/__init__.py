"""The REST side: paths, JSON to requests, answers to JSON, and the HTTP server."""
