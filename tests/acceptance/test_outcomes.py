"""Real outcomes of real models: imported, built, routed over HTTP on prompts that were held out."""

import csv
import json

import pytest

from harness import Gateway, expert, frugalctl

# Accuracy of plain 80-neighbour routing on the dev split, and the share of the best single model's cost at which
# its accuracy is to be had.
SETS = {"llmrouter14_dev": (0.6468, 0.60), "mmlu_pro_dev": (0.7210, 0.92), "routellm_mmlu_dev": (0.8208, 0.92)}
VALUES = {"any": None, "10": 10, "0.1": 0.1, "0.03": 0.03, "0.02": 0.02, "0.01": 0.01, "0.005": 0.005, "0.003": 0.003,
          "0.001": 0.001}
pytestmark = pytest.mark.timeout(900)


def table(path):
    with open(path, newline="") as file:
        return {row.pop("id"): {name: float(cell) if cell else None for name, cell in row.items()}
                for row in csv.DictReader(file)}


class Outcomes:
    def __init__(self, folder, work):
        self.prompts = [json.loads(line) for line in open(folder / "prompts.jsonl", encoding="utf-8")]
        self.dev = [prompt for prompt in self.prompts if prompt["split"] == "dev"]
        self.quality, self.cost = table(folder / "quality.csv"), table(folder / "cost.csv")
        self.models = json.load(open(folder / "models.json"))["models"]
        frugalctl("import", folder, "--store", work / "calib.db", "--split", "calib")
        frugalctl("build", "--store", work / "calib.db", "--out", work / "bundle.frugal",
                  "--embedders", "surface,lexical", patience=600)
        self.bundle = work / "bundle.frugal"

    def mean(self, table, chosen):
        cells = [table[prompt["id"]][chosen(prompt)] for prompt in self.dev]
        return sum(cells) / len(cells)

    def best_single(self):
        return max(((self.mean(self.quality, lambda _: name), self.mean(self.cost, lambda _: name))
                    for name in self.models), key=lambda pair: (pair[0], -pair[1]))

    def config(self, **more):
        experts = {name: expert("http://127.0.0.1:9/v1", price=(model["price_in"], model["price_out"]))
                   for name, model in self.models.items()}
        first = next(iter(experts))
        policies = {name: {"default": first, **({} if value is None else {"value_usd": value})}
                    for name, value in VALUES.items()}
        return {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2, "experts": experts,
                "embedders": ["surface", "lexical"], "bundle": str(self.bundle), "policies": policies, **more}


@pytest.fixture(scope="session", params=SETS)
def outcomes(request, data, tmp_path_factory):
    folder = data / request.param
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = Outcomes(folder, tmp_path_factory.mktemp(request.param))
    found.name = request.param
    return found


@pytest.fixture(scope="session")
def curve(outcomes):
    """Per value of a right answer: accuracy and micro-USD per answer of the routed held-out prompts."""
    points = {}
    with Gateway(outcomes.config(log_requests=False)) as gateway, gateway.connect() as wire:
        for policy in VALUES:
            chosen = {}
            for prompt in outcomes.dev:
                answer = gateway.request("POST", "/v1/route", wire=wire, body={
                    "model": policy, "messages": [{"role": "user", "content": prompt["prompt"]}]})
                assert answer.status == 200, answer
                chosen[prompt["id"]] = answer["x-frugal-expert"]
            points[policy] = (outcomes.mean(outcomes.quality, lambda prompt: chosen[prompt["id"]]),
                              outcomes.mean(outcomes.cost, lambda prompt: chosen[prompt["id"]]))
    return points


def test_routing_pays_on_real_outcomes(outcomes, curve, capsys):
    best, dear = outcomes.best_single()
    with capsys.disabled():
        print(f"\n{outcomes.name}: {len(outcomes.dev)} held-out prompts; best single {best:.4f} at {dear:.0f} uUSD")
        for policy, (accuracy, cost) in curve.items():
            print(f"  a right answer is worth {policy:>6} USD: accuracy {accuracy:.4f} at {cost:.0f} uUSD")
    neighbours, share = SETS[outcomes.name]
    assert curve["any"][0] >= neighbours - 0.012, "with cost no matter, about as good as plain kNN routing"
    matching = [cost for accuracy, cost in curve.values() if accuracy >= best - 0.005]
    assert matching and min(matching) <= share * dear, "the best single model's accuracy for less money"


def test_what_a_right_answer_is_worth_buys_accuracy(outcomes, curve):
    costs = [cost for _, cost in curve.values()]
    assert all(later <= earlier * 1.01 for earlier, later in zip(costs, costs[1:])), "less value, less money"
    assert curve["any"][0] > curve["0.001"][0]
