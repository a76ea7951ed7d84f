"""Real sentence embeddings: all-MiniLM-L6-v2 served over HTTP, beside the built-in embedders."""

import functools
import json
import pathlib
import subprocess
import threading

import pytest

from harness import config, embedding, expert, frugalctl

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINILM = ROOT / "tests" / "minilm"
PREPARE_SECONDS = 900
pytestmark = pytest.mark.timeout(3600)
NAME = "llmrouter14_dev"
# USD a vector: nothing; as an API charges; more than the dearest answer
PRICES = {"free": 0, "cheap": 3e-6, "dear": 1e-3}


@pytest.fixture(scope="module")
def minilm(data):
    """URL of the server."""
    installed = subprocess.run([MINILM / "install"], capture_output=True, text=True, timeout=PREPARE_SECONDS)
    if installed.returncode != 0:
        pytest.skip(f"all-MiniLM-L6-v2 cannot be installed here: {installed.stderr[-300:]}")
    server = subprocess.Popen([ROOT / installed.stdout.strip(), MINILM / "serve"], stdout=subprocess.PIPE)
    watch = threading.Timer(120, server.kill)
    watch.start()
    said = server.stdout.readline().decode()
    watch.cancel()
    assert said.startswith("listening on "), said
    yield f"http://{said.split()[-1]}/v1"
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def vectors(data, minilm, tmp_path_factory):
    if not (data / NAME).is_dir():
        pytest.skip(f"no {data / NAME}")
    path = tmp_path_factory.mktemp("minilm") / "minilm.csv"
    with open(path, "w") as file:
        subprocess.run([MINILM / "embed", "--url", minilm, data / NAME / "prompts.jsonl"], stdout=file, check=True,
                       timeout=3000)
    return path


@pytest.fixture(scope="module")
def evaluate(data):
    @functools.cache
    def run(*how):
        return json.loads(frugalctl("eval", "routing", "--fit", f"{data / NAME}:calib", "--measure",
                                    f"{data / NAME}:dev", *how, "--json", patience=1500).out)
    return run


def bought(evaluate, vectors, price):
    """Shares of prompts for which MiniLM is bought, from the dearest quality to the cheapest."""
    said = evaluate("--embedder", f"surface,lexical,{vectors}", "--embedder-usd", f"0,0,{price:g}")
    return said, [share for _, share in said["bought"]["minilm.csv"]]


def test_sentence_embeddings_are_about_as_good_as_the_lexical_ones(evaluate, vectors):
    """Within a standard error of a mean over a thousand prompts."""
    said, lexical = evaluate("--embedder", vectors), evaluate()
    print({key: value for key, value in said.items() if not isinstance(value, (list, dict))})
    assert said["accuracy"] >= lexical["accuracy"] - 0.015
    assert said["aiq_b"] >= lexical["aiq_b"] - 0.015


@pytest.mark.parametrize("price", PRICES)
def test_the_choice_of_three_embedders_is_no_worse_than_plain_routing(evaluate, vectors, price):
    said, _ = bought(evaluate, vectors, PRICES[price])
    assert said["accuracy"] >= said["best_single"] + 0.02
    assert said["aiq_b"] >= said["zero_aiq_b"] + 0.03


def test_evidence_is_bought_less_the_more_it_costs(evaluate, vectors):
    free, cheap, dear = (bought(evaluate, vectors, price)[1] for price in PRICES.values())
    assert max(free) > 0.5
    assert sum(free) > sum(cheap) > sum(dear)
    assert dear[-1] == 0, "where money is dear, nothing dear is bought"


def test_the_server_is_an_embedding_expert_of_a_configuration(data, minilm, tmp_path):
    """Sixty recorded prompts: their vectors are fetched by build, a new prompt's by route."""
    folder = tmp_path / "data"
    folder.mkdir()
    for file in ("models.json", "quality.csv", "cost.csv", "prompts.jsonl"):
        lines = (data / NAME / file).read_text(encoding="utf-8").splitlines(keepends=True)
        keep = len(lines) if file == "models.json" else 60 if file == "prompts.jsonl" else 61
        (folder / file).write_text("".join(lines[:keep]), encoding="utf-8")
    ids = {json.loads(line)["id"] for line in open(folder / "prompts.jsonl", encoding="utf-8")}
    for file in ("quality.csv", "cost.csv"):
        lines = (data / NAME / file).read_text().splitlines(keepends=True)
        (folder / file).write_text("".join([lines[0]] + [line for line in lines[1:] if line.split(",")[0] in ids]))
    models = json.loads((folder / "models.json").read_text())["models"]
    experts = {name: expert("http://127.0.0.1:9/v1", price=(model["price_in"], model["price_out"]))
               for name, model in models.items()}
    experts["minilm"] = expert(minilm, generator=False, embedding=embedding("all-MiniLM-L6-v2", 384, 0.02),
                               max_in_flight=1, timeouts_ms={"first_byte": 120000, "total": 120000})
    (tmp_path / "config.json").write_text(json.dumps(config(
        experts, embedders=["minilm"], bundle=str(tmp_path / "bundle.frugal"))))
    store = ("--store", tmp_path / "calib.db")
    frugalctl("import", folder, *store)
    frugalctl("build", *store, "--out", tmp_path / "bundle.frugal", "--embedders", "minilm",
              "--config", tmp_path / "config.json", patience=300)
    said = json.loads(frugalctl("route", "--config", tmp_path / "config.json", "--json", "--value-usd", "10",
                                "What is the derivative of x squared?").out)
    assert "minilm" in json.dumps(said)
