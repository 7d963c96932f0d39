"""Vectors of which only a distribution is known."""
