"""What is found out before the first step: values, memory, whose job directory it is."""
