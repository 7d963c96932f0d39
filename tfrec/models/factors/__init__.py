"""Vectors whose inner products are scores: their tables, what they are learnt by, how they answer."""
