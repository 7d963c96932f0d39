"""Baseline estimates of ratings by loops."""


def latest_of(row):
    """{item: latest rating} of (item, rating) pairs, oldest first."""
    return dict(row)


def estimates_by_hand(latest, num_items, config, turns=10):
    """μ, b_u of each user, b_i of each item; `latest`: {item: rating} of each user."""
    ratings = [rating for row in latest for rating in row.values()]
    mean = sum(ratings) / len(ratings)
    users, items = [0.0] * len(latest), [0.0] * num_items
    for _ in range(turns):
        if config.kind == "user_and_item":
            for item in range(num_items):
                rests = [row[item] - mean - users[user] for user, row in enumerate(latest) if item in row]
                items[item] = sum(rests) / (len(rests) + config.item_l2) if rests else 0.0
        for user, row in enumerate(latest):
            rests = [rating - mean - items[item] for item, rating in row.items()]
            users[user] = sum(rests) / (len(rests) + config.user_l2) if rests else 0.0
    return mean, users, items
