"""frugalctl explain-graph: the walk as Graphviz, beside the shortest path."""

import json
import re

import pytest

from harness import expert, frugalctl
from harness.configs import embedding
from harness.routers import PRICES, held_out

SUMMARY = re.compile(r"(greedy walk|shortest path) +(\{.*\}) -> answer: evidence ([\d.]+) "
                     r"\+ expected loss ([\d.]+) = ([\d.]+)")
POEM = held_out("poems", 1)[0]


def lengths(said):
    """What the two paths say of themselves: {"greedy walk": (evidence, loss, sum)}, and the gap."""
    paths = {name: tuple(map(float, numbers)) for name, _, *numbers in SUMMARY.findall(said)}
    return paths, float(re.search(r"gap +([\d.]+)", said)[1])


def edges(dot):
    return {(a, b): float(price) for a, b, price in re.findall(r'(\w+) -> (\w+) \[label="([\d.]+)"', dot)}


def check(dot):
    """The drawing holds what it says: the gap is not negative, and no path in it is shorter than the shortest."""
    paths, gap = lengths(dot)
    drawn = edges(dot)
    for evidence, loss, whole in paths.values():
        assert evidence + loss == pytest.approx(whole, abs=2e-4)
    assert gap == pytest.approx(paths["greedy walk"][2] - paths["shortest path"][2], abs=2e-4)
    assert gap >= 0
    reached = {"s0": 0.0}
    for _ in range(6):
        for (a, b), price in drawn.items():
            if a in reached and b != "answer":
                reached[b] = min(reached.get(b, float("inf")), reached[a] + price)
    shortest = min(reached[a] + loss for (a, b), loss in drawn.items() if b == "answer")
    assert shortest == pytest.approx(paths["shortest path"][2], abs=5e-4)
    return drawn


def test_a_bundle_by_itself_is_drawn(router):
    said = frugalctl("explain-graph", "--bundle", router.bundle(), POEM).out
    drawn = check(said)
    assert said.lstrip("/ ").startswith("greedy walk") and said.rstrip().endswith("}")
    assert "{lexical, surface}" in said
    assert len(drawn) == 4 + 4  # four edges between four subsets, each with its way to the answer


def test_prices_of_evidence_lengthen_its_edges(router, tmp_path):
    priced = frugalctl("explain-graph", "--bundle", router.bundle(), "--lambda", "2", "--embedder-usd", "surface=0.05",
                       "--out", tmp_path / "walk.dot", POEM)
    dot = (tmp_path / "walk.dot").read_text()
    drawn = check(dot)
    assert lengths(priced.out) == lengths(dot)
    assert sorted(price for (_, b), price in drawn.items() if b != "answer") == [0, 0, 0.1, 0.1]


def test_the_embedders_that_the_walk_leaves_are_asked_for_the_graph(run, router, tmp_path):
    embedder = run.expert(embeddings=router.embeddings)
    experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(embedder, generator=False,
                                 embedding=embedding(dim=router.dim, price=100_000.0))
    (tmp_path / "config.json").write_text(json.dumps(router.config(experts, "remote")))
    said = frugalctl("explain-graph", "--config", tmp_path / "config.json", POEM).out
    check(said)
    assert "{embedder}" in said
    assert "the walk stopped: not_worth" in said
    assert len(embedder.calls("/embeddings")) == 1


def test_an_embedder_that_is_down_is_left_out(router, tmp_path):
    experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert("http://127.0.0.1:9/v1", generator=False,
                                 embedding=embedding(dim=router.dim, price=100_000.0))
    (tmp_path / "config.json").write_text(json.dumps(router.config(experts, "remote")))
    ran = frugalctl("explain-graph", "--config", tmp_path / "config.json", POEM)
    assert "'embedder' is left out" in ran.err
    assert "{embedder}" not in ran.out


@pytest.mark.parametrize("arguments", [[], ["--config", "a", "--bundle", "b"],
                                       ["--bundle", "BUNDLE", "--budget-usd", "1"],
                                       ["--bundle", "BUNDLE", "--embedder-usd", "nobody=1"],
                                       ["--bundle", "BUNDLE", "--embedder-usd", "surface=much"]])
def test_a_wrong_use_is_told(router, arguments):
    ran = frugalctl("explain-graph", *[router.bundle() if one == "BUNDLE" else one for one in arguments], POEM,
                    check=False)
    assert ran.returncode == 2
    assert "frugalctl" in ran.err
