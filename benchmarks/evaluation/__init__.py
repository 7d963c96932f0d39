"""Evaluation beside other libraries: each side a process of its own, on the same scores."""
