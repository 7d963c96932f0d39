"""A page to look at a recommender: users, histories, recommendations with reasons, stages, versions side by side."""
