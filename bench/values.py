"""The values of W4 and of the codec."""
import os
import pickle
import random


def make():
    rng = random.Random(1)
    words = ["word %d" % i for i in range(5000)]
    return {
        "tuple4": (1, 2.5, "text", True),
        "floats1000": [rng.random() for _ in range(1000)],
        "dicts200": [{
            "id": i, "name": "name %d" % i, "price": rng.random(),
            "stock": rng.randrange(100000), "active": i % 2 == 0,
            "parent": None, "tags": ["a", "b"], "note": "n" * 20,
        } for i in range(200)],
        "bytes1M": bytes(rng.randrange(256) for _ in range(1 << 20)),
        "strings10000": words + words,
    }


NAMES = ["tuple4", "floats1000", "dicts200", "bytes1M", "strings10000"]


def save(folder):
    """Each into a file, for all workers to have the same."""
    for name, value in make().items():
        with open(os.path.join(folder, name), "wb") as file:
            pickle.dump(value, file, 4)
