"""Simulated users, whose true click probabilities are known, and policies that recommend to them in closed loop."""
