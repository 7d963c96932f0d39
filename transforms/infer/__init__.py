"""A sample of a log → a first dataset.yaml in which every guess says why it was made."""
