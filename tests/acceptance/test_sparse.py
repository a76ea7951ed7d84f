"""Half of the calibration's cells are missing at random, quality and price: how much do the estimates lose?"""

import csv
import json
import random
import shutil
import statistics

import pytest

from harness import frugalctl

pytestmark = pytest.mark.timeout(1800)

SEEDS = (1, 2, 3, 4)
SETS = ("llmrouter14_dev", "mmlu_pro_dev")


def without_half(folder, to, seed):
    """A copy of the outcomes in which half of the cells of the rows to fit are empty."""
    to.mkdir()
    for name in ("prompts.jsonl", "models.json"):
        shutil.copy(folder / name, to / name)
    with open(folder / "prompts.jsonl", encoding="utf-8") as file:
        calib = {prompt["id"] for prompt in map(json.loads, file) if prompt["split"] == "calib"}
    dice, hidden = random.Random(seed), {}
    for name in ("quality.csv", "cost.csv"):
        with open(folder / name, newline="") as file, open(to / name, "w", newline="") as out:
            rows = csv.reader(file)
            write = csv.writer(out).writerow
            write(next(rows))
            for row, *cells in rows:
                if row in calib:
                    hides = hidden.setdefault(row, [dice.random() < .5 for _ in cells])
                    cells = ["" if hide else cell for cell, hide in zip(cells, hides)]
                write([row, *cells])
    return to


def measured(folder, *more):
    return json.loads(frugalctl("eval", "routing", "--fit", f"{folder}:calib", "--measure", f"{folder}:dev", "--json",
                                *more, patience=1500).out)


@pytest.mark.parametrize("name", SETS)
def test_half_of_the_cells_do_nearly_as_well_as_all(data, tmp_path, capsys, name):
    if not (data / name).is_dir():
        pytest.skip(f"the real outcomes of {name} are not in DATA, and nothing else can stand for them")
    dense = measured(data / name, "--bootstrap", "200")
    error = {key: (dense["intervals"][key][1] - dense["intervals"][key][0]) / 3.92 for key in ("accuracy", "aiq_b")}
    lost = {"accuracy": [], "aiq_b": []}
    for seed in SEEDS:
        sparse = measured(without_half(data / name, tmp_path / f"{seed}", seed))
        assert sparse["ece"] <= 0.06
        for key, losses in lost.items():
            losses.append(dense[key] - sparse[key])
    with capsys.disabled():
        for key, losses in lost.items():
            print(f"\n{name} {key}: dense {dense[key]:.4f}, one standard error {error[key]:.4f}, lost by half of the cells "
                  f"{statistics.mean(losses):.4f} (seeds: {', '.join(f'{loss:+.4f}' for loss in losses)})", end="")
        print()
    for key, losses in lost.items():
        assert max(losses) <= error[key], f"{key}: no seed loses more than one standard error of the dense fit"
        assert statistics.mean(losses) <= 0.0072, f"{key}: less than without what a row's known cells say of the others"
    assert dense["accuracy"] - statistics.mean(lost["accuracy"]) > dense["best_single"], "routing still pays"
