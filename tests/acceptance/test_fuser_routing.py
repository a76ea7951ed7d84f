"""The default fuser on recorded outcomes of real models: fitted on calib, measured on rows that it never saw.

The floors are what a prototype of the same method reached; more is better.
"""

import csv
import functools
import json

import pytest

from harness import frugalctl

pytestmark = pytest.mark.timeout(1800)

POOL = ("gpt-4o-2024-08-06,gpt-4o-mini-2024-07-18,claude-3-5-sonnet-20241022,claude-3-5-haiku-20241022,"
        "claude-3-haiku-20240307,gemini-1.5-pro,gemini-1.5-flash,deepseek-v2.5-0908,Mistral-Large-2,"
        "Llama-3.1-405B-Inst@sambanova,Meta-Llama-3.1-70B-Instruct,Meta-Llama-3.1-8B-Instruct,Qwen2-72B-Instruct,"
        "Qwen2-7B-Instruct,gemma-2-9b-it,gpt-3.5-turbo-0125")
MODELS = {"zeroeval_dev": ("--models", POOL)}
DEV = ["llmrouter14_dev", "mmlu_pro_dev", "zeroeval_dev", "routellm_mmlu_dev"]
AT_LEAST = [
    ("llmrouter14_dev", "accuracy", 0.652), ("llmrouter14_dev", "aiq_b", 0.628),
    ("mmlu_pro_dev", "accuracy", 0.721), ("mmlu_pro_dev", "aiq_b", 0.694),
    ("routellm_mmlu_dev", "apgr", 0.68),
]
AT_MOST = [("routellm_mmlu_dev", "cpt50", 28), ("routellm_mmlu_dev", "cpt80", 56)]
# single best, oracle, area of random mixing: of the data alone, so they check the measures
KNOWN = {
    "llmrouter14_dev": (.6185, .8053, .5816), "mmlu_pro_dev": (.7158, .9113, .6797),
    "zeroeval_dev": (.8531, .9666, .8195), "routellm_mmlu_dev": (.8169, .8653, .7519),
}


@pytest.fixture(scope="module")
def evaluate(data):
    @functools.cache
    def run(name, *how):
        folder = data / name
        if not folder.is_dir():
            pytest.skip(f"no {folder}")
        how = how or ("--fit", f"{folder}:calib", "--measure", f"{folder}:dev")
        how = [str(folder) if word == "DIR" else word for word in how]
        said = json.loads(frugalctl("eval", "routing", *how, *MODELS.get(name, ()), "--json", patience=1500).out)
        print(name, {key: value for key, value in said.items() if not isinstance(value, (list, dict))})
        return said
    return run


@pytest.mark.parametrize("name", KNOWN)
def test_what_the_data_alone_say_is_measured_as_by_other_programs(evaluate, name):
    said = evaluate(name)
    assert [f"{said[key]:.4f}" for key in ("best_single", "oracle", "zero_aiq_b")] == [f"{v:.4f}" for v in KNOWN[name]]


@pytest.mark.parametrize("name, measure, floor", AT_LEAST)
def test_the_default_fuser_reaches_its_floor(evaluate, name, measure, floor):
    assert evaluate(name)[measure] >= floor


@pytest.mark.parametrize("name, measure, ceiling", AT_MOST)
def test_the_default_fuser_needs_no_more_strong_calls(evaluate, name, measure, ceiling):
    assert evaluate(name)[measure] <= ceiling


def test_where_one_model_is_nearly_best_everywhere_little_is_lost(evaluate):
    said = evaluate("zeroeval_dev")
    assert said["accuracy"] >= said["best_single"] - 0.009


@pytest.mark.parametrize("name", DEV)
def test_routing_beats_random_mixing_of_the_models(evaluate, name):
    said = evaluate(name)
    # where one model is nearly best everywhere there is little to win
    assert said["aiq_b"] > said["zero_aiq_b"] + (0.005 if name == "zeroeval_dev" else 0.015)


@pytest.mark.parametrize("name", DEV)
def test_a_predicted_quality_comes_true(evaluate, name):
    assert evaluate(name)["ece"] <= 0.04


def test_two_models_in_five_parts(evaluate):
    assert evaluate("routellm_gsm8k", "--fit", "DIR", "--fold", "5")["apgr"] >= 0.615


def test_the_pool_of_sixteen_pays_at_every_price(evaluate):
    assert evaluate("zeroeval_dev")["aiq_b"] >= 0.825


@pytest.mark.parametrize("name", ["llmrouter14_dev", "mmlu_pro_dev"])
def test_a_domain_never_seen_costs_little(evaluate, name):
    said = evaluate(name, "--fit", "DIR", "--leave-domains-out")
    assert said["accuracy"] >= said["best_single"] - 0.007


def test_the_same_command_gives_the_same_figures_on_any_number_of_threads(evaluate):
    options = ("--fit", "DIR", "--fold", "5", "--threads")
    assert evaluate("routellm_gsm8k", *options, "1") == evaluate("routellm_gsm8k", *options, "3")


def test_each_prompts_choice_adds_up_to_the_accuracy(data, evaluate, tmp_path):
    folder = data / "routellm_gsm8k"
    said = evaluate("routellm_gsm8k", "--fit", "DIR", "--fold", "5")
    frugalctl("eval", "routing", "--fit", folder, "--fold", "5", "--items", tmp_path / "items.csv",
              "--plot", tmp_path / "curve.svg", patience=600)
    with open(tmp_path / "items.csv", newline="") as file:
        items = list(csv.DictReader(file))
    assert len(items) == said["n"] and len({item["id"] for item in items}) == said["n"]
    assert sum(float(item["quality"]) for item in items) / said["n"] == pytest.approx(said["accuracy"], abs=1e-6)
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
