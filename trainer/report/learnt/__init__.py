"""What a ranking model has learnt, to look at: which fields matter, which pairs and crosses, what is alike."""
