"""A SavedModel in memory, and how its signatures run: alone or several requests in one batch."""
