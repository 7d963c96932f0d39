"""A dataset that a run goes on from: its vocabularies, its statistics, its users and items."""
