"""From a log without a single label to a router that serves, by the commands that a newcomer runs; and what tune
promised is held against what nobody on the way could see: whether the answers to later questions are right.

`make from-nothing SEEDS=5` runs many logs and prints the figures of docs/RESULTS.md.
"""

import json
import math
import os
import re
import subprocess

import pytest

from harness import BUILD, Experts, Gateway
from harness.newcomer import EXPERTS, LATER, Newcomer
from harness.waiting import PATIENCE

SEEDS = range(1, 1 + int(os.environ.get("SEEDS", "1")))
POLICIES = ("auto-cheap", "auto", "auto-best")
PAIRS = 50


def answer_pairs(newcomer):
    """A person at `frugalctl label`: reads each pair as it is shown, and knows what is right."""
    with subprocess.Popen([BUILD / "frugalctl", "label", "--store", newcomer.store, "--config", newcomer.config,
                           "--pairs", str(PAIRS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as label:
        shown = ""
        while True:
            byte = label.stdout.read(1)
            if not byte:
                break
            shown += byte
            if not shown.endswith("q(uit)? "):
                continue
            question, one, other = re.search(r"---- question ----\n(.*?)\n\n---- A ----\n(.*?)\n\n---- B ----\n(.*?)\n\nBetter",
                                             shown, re.S).groups()
            prompt = question.rsplit("[user]\n", 1)[-1].strip()
            first, second = newcomer.truth(prompt, one), newcomer.truth(prompt, other)
            label.stdin.write("t" if first == second else "a" if first else "b")
            label.stdin.flush()
            shown = ""
        assert label.wait(PATIENCE) == 0
    return newcomer.ctl("label", "--store", newcomer.store, "--pairs", "0")["graders"][0]


def spend_to_the_limit(newcomer, limit):
    """What a run with too little money does: stops below its limit, says so, and keeps what it paid for."""
    before = newcomer.paid_usd()
    ran = newcomer.run("calibrate", *newcomer.calibration(), "--max-usd", f"{limit:.6f}", check=False)
    paid = newcomer.paid_usd() - before
    assert ran.returncode == 1 and "--max-usd" in ran.err
    assert 0 < paid <= limit
    return paid


def learn(newcomer):
    """Everything up to the bundle; gives the figures."""
    imported = newcomer.ctl("import", "--from", "openai-jsonl", newcomer.log, "--store", newcomer.store, "--sample", "500",
                            "--dedupe", "--holdout", "0.2")
    newcomer.calibrate("--limit", "20")
    before = newcomer.paid_usd()
    estimate = newcomer.calibrate("--estimate")
    assert newcomer.paid_usd() == before, "an estimate asks nobody"
    limit = estimate["usd_expected"] / 3
    at_most = spend_to_the_limit(newcomer, limit)
    said = newcomer.calibrate("--max-usd", "2")
    rest = newcomer.paid_usd() - before
    assert said["missing"] == 0
    assert newcomer.calibrate()["spent_usd"] == 0 and newcomer.paid_usd() == pytest.approx(before + rest, abs=1e-9), "nobody is paid twice"
    judge = answer_pairs(newcomer)
    newcomer.run("build", "--store", newcomer.store, "--out", "old.frugal")
    newcomer.run("tune", "--store", newcomer.store, "--config", newcomer.config, "--target", "quality=0.98x:best",
                 "--out", "new.frugal", "--policies", "policies.json", patience=20 * PATIENCE)
    compared = newcomer.run("eval", "compare", "old.frugal", "new.frugal", "--store", newcomer.store, "--config",
                            newcomer.config, "--value-usd", "0.0003", "--json", check=False)
    assert compared.returncode in (0, 4), compared.err
    return {"prompts": imported["prompts"], "estimate": estimate["usd_expected"], "paid": rest, "limit": limit,
            "paid_below": at_most, "agreement": (judge["low"], judge["agreement"], judge["high"]),
            "compared": json.loads(compared.out)["verdict"]}


def realise(newcomer, gateway, policy, promised):
    """What the policy gives on later questions, beside what was promised."""
    answers = newcomer.ask_later(gateway, policy)
    n = len(answers)
    quality, usd = (sum(answer[at] for answer in answers) / n for at in (0, 1))
    quality_se = math.sqrt(quality * (1 - quality) / n)
    usd_se = math.sqrt(sum((answer[1] - usd) ** 2 for answer in answers) / n / (n - 1))
    off = quality - promised["quality"]
    off_usd = 1000 * usd - promised["usd_per_1k"]
    return {"policy": policy, "promised": promised["quality"], "promised_se": promised["quality_se"], "quality": quality,
            "quality_se": quality_se, "z": off / math.hypot(quality_se, promised["quality_se"]),
            "promised_usd": promised["usd_per_1k"], "promised_usd_se": promised["usd_per_1k_se"], "usd": 1000 * usd,
            "usd_se": 1000 * usd_se, "usd_z": off_usd / math.hypot(1000 * usd_se, promised["usd_per_1k_se"]),
            "experts": {name: sum(answer[2] == name for answer in answers) for name in EXPERTS}}


def serve(newcomer):
    """The bundle in use, and a gateway that has never seen the questions."""
    promised = json.loads((newcomer.folder / "policies.json").read_text())
    newcomer.write_config(bundle="new.frugal", policies_file="policies.json")
    whole = json.loads(newcomer.config.read_text())
    whole.update({name: str(newcomer.folder / whole[name]) for name in ("bundle", "policies_file")})
    with Gateway(whole) as gateway:
        before = newcomer.paid_usd()
        realised = [realise(newcomer, gateway, policy, promised[policy]["expected"]) for policy in POLICIES]
        said = sum(row["usd"] for row in realised) * LATER / 1000
        assert newcomer.paid_usd() - before == pytest.approx(said, rel=1e-6), "the ledger is what the invoices say"
    return realised


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_tune_promised_is_what_later_questions_get(tmp_path, seed):
    with Experts("--invoices", "1") as experts:
        newcomer = Newcomer(tmp_path / "newcomer", experts, seed)
        figures = learn(newcomer)
        realised = serve(newcomer)
    print(json.dumps({"seed": seed, **figures, "policies": realised}))
    assert figures["paid"] == pytest.approx(figures["estimate"], rel=0.2)
    for row in realised:
        assert abs(row["z"]) <= 2, row
        assert abs(row["usd_z"]) <= 2, row
