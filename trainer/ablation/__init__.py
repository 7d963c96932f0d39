"""What a model owes to context, time and order: retrained without them."""
