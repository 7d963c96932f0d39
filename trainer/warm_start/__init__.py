"""A job that begins with the weights of an earlier one."""
