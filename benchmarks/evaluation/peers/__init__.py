"""What runs in the other libraries' environments: these libraries, NumPy and nothing of ours but the world."""
