"""Sides of benchmarks.index_speed."""
