"""Who or what is near: item-to-item weights, neighbourhoods of users, and the sparse matrices below them."""
