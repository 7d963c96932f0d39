"""Training speed side by side with other libraries: data, our side, their sides, the table.

Modules of `peers/` run in environments without TensorFlow of our version or without it at all, so they and
`exchange.py` import NumPy and nothing of this project.
"""
