"""What the demo is made of: experts and their prices, budgets, numbers of questions."""

# USD per million tokens. The generalist costs some twenty times what a specialist does.
EXPERTS = {
    "arithmetic": {"input": 0.10, "output": 0.40},
    "calendar": {"input": 0.12, "output": 0.45},
    "units": {"input": 0.10, "output": 0.40},
    "text": {"input": 0.15, "output": 0.50},
    "generalist": {"input": 2.50, "output": 10.0},
}
EMBEDDERS = ["surface", "lexical", "embedder"]  # two are built in and free, one is bought
EMBEDDER = {"model": "embed-small", "dim": 64, "price": 0.01}

# A ceiling for one request, and what one right answer is worth to whoever asks (lambda = 1/value).
BUDGETS = [
    {"name": "tight", "usd": 0.0003, "value_usd": 0.0001},
    {"name": "medium", "usd": 0.001, "value_usd": 0.0005},
    {"name": "generous", "usd": 0.01, "value_usd": 0.0015},
]

CALIBRATION = {"n": 2000, "seed": 1}
HELD_OUT = {"n": 400, "seed": 2}  # never a prompt that calibration has seen
CHUNK = 500  # held-out questions are drawn so many at a time
OUTPUT_TOKENS = 96


def configuration(upstream):
    experts = {
        name: {
            "endpoints": [f"http://{upstream}/v1"],
            "generator": {"model": name, "price": price, "context": 8192, "prompt_bound": "bytes"},
        }
        for name, price in EXPERTS.items()
    }
    experts["embedder"] = {"endpoints": [f"http://{upstream}/v1"], "embedding": EMBEDDER}
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "workers": 2,
        "bundle": "bundle.frugal",
        "experts": experts,
        "embedders": EMBEDDERS,
        "policies": {
            "auto": {"value_usd": BUDGETS[-1]["value_usd"], "default": "generalist", "max_output_tokens": OUTPUT_TOKENS}
        },
    }
