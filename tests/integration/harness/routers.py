"""A router built by frugalctl, as an operator would, from synthetic outcomes whose truth is known.

Two kinds of prompts share no words: sums, which `mathy` gets right, and poems, which `poet` gets right. `sage` is
good at both and fifty times as dear. So a router that learned anything sends each to its own expert, and to
`sage` only where a right answer is worth a lot.
"""

import json
import random

from .upstream import Expert
from .programs import frugalctl
from . import scripts

PRICES = {"mathy": (1.0, 2.0), "poet": (1.0, 2.0), "sage": (50.0, 100.0)}
SKILL = {"mathy": {"sums": 0.95, "poems": 0.05}, "poet": {"sums": 0.05, "poems": 0.95},
         "sage": {"sums": 0.99, "poems": 0.99}}
TOKENS_IN, TOKENS_OUT = 20, 100
PER_DOMAIN = 250


def prompt_of(domain, draw):
    if domain == "sums":
        a, b, c = (draw.randint(2, 999) for _ in range(3))
        return draw.choice([
            f"Compute {a} plus {b} minus {c}.", f"How much is {a} * {b}?", f"Calculate the sum of {a}, {b} and {c}.",
            f"What is the remainder when {a} is divided by {c}?", f"Solve x + {a} = {b} for x."])
    thing = draw.choice(["autumn", "the sea", "an old friend", "moonlight", "a garden in rain", "my grandmother"])
    form = draw.choice(["sonnet", "haiku", "ballad", "free verse", "lullaby"])
    mood = draw.choice(["tender", "wistful", "joyful", "solemn", "playful"])
    return draw.choice([
        f"Write a {mood} {form} about {thing}.", f"Please compose a {form} on {thing}, in a {mood} voice.",
        f"Give me {mood} lines of poetry on {thing} as a {form}."])


def held_out(domain, n, seed=99):
    draw = random.Random(f"{domain}{seed}")
    return [prompt_of(domain, draw) for _ in range(n)]


def write_outcomes(folder):
    """The data form of `frugalctl import`: prompts.jsonl, quality.csv, cost.csv, models.json."""
    draw = random.Random(7)
    names = list(PRICES)
    cost = {name: TOKENS_IN * PRICES[name][0] + TOKENS_OUT * PRICES[name][1] for name in names}
    prompts, quality, costs = [], [",".join(["id", *names])], [",".join(["id", *names])]
    for n in range(2 * PER_DOMAIN):
        domain = ("sums", "poems")[n % 2]
        prompts.append(json.dumps({"id": f"{domain}-{n}", "prompt": prompt_of(domain, draw), "domain": domain,
                                   "split": "calib"}))
        right = [str(int(draw.random() < SKILL[name][domain])) for name in names]
        quality.append(",".join([f"{domain}-{n}", *right]))
        costs.append(",".join([f"{domain}-{n}", *(f"{cost[name]:.3f}" for name in names)]))
    (folder / "prompts.jsonl").write_text("\n".join(prompts) + "\n")
    (folder / "quality.csv").write_text("\n".join(quality) + "\n")
    (folder / "cost.csv").write_text("\n".join(costs) + "\n")
    (folder / "models.json").write_text(json.dumps({
        "source": "synthetic", "licence": "none",
        "models": {name: {"price_in": PRICES[name][0], "price_out": PRICES[name][1]} for name in names}}))


class Switch:
    """A script that a test changes while it is in use."""

    def __init__(self, script):
        self.script = script

    def __call__(self, call):
        self.script(call)


class Router:
    dim = 16
    embeddings = staticmethod(scripts.embed(lambda text: scripts.hashed_vector(text, Router.dim)))

    def __init__(self, folder):
        self.folder = folder
        self.store = folder / "calib.db"
        data = folder / "data"
        data.mkdir()
        write_outcomes(data)
        self.imported = frugalctl("import", data, "--store", self.store)
        self._bundles = {}

    def bundle(self, kind="builtin"):
        """Path of a bundle: `builtin` (surface, lexical), `lexical`, `remote` (an embedding over HTTP) or `both`."""
        if kind not in self._bundles:
            self._bundles[kind] = self._build(kind)
        return self._bundles[kind]

    def _build(self, kind):
        out = self.folder / f"{kind}.frugal"
        if kind not in ("remote", "both"):
            names = {"builtin": "surface,lexical"}.get(kind, kind)
            frugalctl("build", "--store", self.store, "--out", out, "--embedders", names)
            return out
        with Expert(embeddings=self.embeddings) as embedder:
            path = self.folder / "build.json"
            path.write_text(json.dumps({
                "listen": "127.0.0.1:0",
                "experts": {
                    "embedder": {"endpoints": [embedder.url],
                                 "embedding": {"model": "embed-scripted", "dim": self.dim, "price": 0.0}},
                    "mathy": {"endpoints": [embedder.url], "generator": {
                        "model": "scripted", "price": {"input": 1.0, "output": 2.0}}}},
                "embedders": ["embedder"],
                "policies": {"auto": {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000}}}))
            frugalctl("build", "--store", self.store, "--out", out, "--embedders",
                       "embedder" if kind == "remote" else "lexical,embedder", "--config", path)
        return out

    def config(self, experts, bundle="builtin", embedders=None, policies=None, **more):
        """A gateway's configuration on this bundle; `auto` has the last generator as its default."""
        generators = [name for name, entry in experts.items() if "generator" in entry]
        if embedders is None:
            embedders = {"builtin": ["surface", "lexical"], "remote": ["embedder"]}.get(bundle, [bundle])
        return {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2, "bundle": str(self.bundle(bundle)),
                "experts": experts, "embedders": embedders,
                "policies": policies or {"auto": {"value_usd": 0.02, "default": generators[-1],
                                                  "max_output_tokens": 1000}}, **more}


__all__ = ["PER_DOMAIN", "PRICES", "Router", "Switch", "held_out", "write_outcomes"]
