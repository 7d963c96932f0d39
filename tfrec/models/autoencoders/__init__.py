"""Rows of the interaction matrix in, rows out."""
