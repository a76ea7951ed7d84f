"""`make demo` shows the main job, and its report holds what the table says."""

import json
import os
import pathlib
import subprocess

from harness import BUILD

DEMO = pathlib.Path(__file__).resolve().parents[2] / "tools" / "demo" / "demo"
ROW = {"accuracy", "usd_per_request"}


def test_the_demo_ends_in_a_report_in_which_the_router_beats_the_best_single_expert(tmp_path):
    done = subprocess.run([DEMO, BUILD, tmp_path / "demo"], env={**os.environ, "DEMO_EXIT": "1"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert set(report) == {"n", "experts", "router", "random", "oracle"}
    assert report["n"] >= 200 and len(report["router"]) == 3
    assert all(set(row) == ROW | {"name"} for row in report["experts"])
    assert all(set(row) == ROW | {"budget_usd", "lambda"} for row in report["router"])
    assert set(report["random"]) == set(report["oracle"]) == ROW

    best = max(report["experts"], key=lambda row: row["accuracy"])
    generous = max(report["router"], key=lambda row: row["budget_usd"])
    assert best["name"] == "generalist" and best["accuracy"] >= 0.75
    assert best["accuracy"] < generous["accuracy"] < report["oracle"]["accuracy"]
    assert generous["usd_per_request"] <= best["usd_per_request"] / 2
    assert report["random"]["accuracy"] < best["accuracy"]
    spent = [row["usd_per_request"] for row in sorted(report["router"], key=lambda row: row["budget_usd"])]
    assert spent == sorted(spent)
    for row in report["router"]:
        assert row["usd_per_request"] <= row["budget_usd"]
