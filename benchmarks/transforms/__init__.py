"""The parts of `python -m benchmarks.transforms_speed`: a log, the contenders, how they are measured and checked."""
