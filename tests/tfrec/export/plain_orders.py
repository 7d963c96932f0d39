"""Orders of lists as a loop would make them."""


def mmr_plainly(relevance, vectors, weight, steps):
    chosen = []
    for _ in range(steps):

        def value(item):
            closest = max((float(vectors[item] @ vectors[other]) for other in chosen), default=-1.0)
            return (1 - weight) * relevance[item] - weight * closest

        chosen.append(max((item for item in range(len(relevance)) if item not in chosen), key=value))
    return chosen
