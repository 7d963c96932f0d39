"""Retrieval on train and test files that papers share, so that their figures can stand beside ours."""
