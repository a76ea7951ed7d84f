"""Somebody who has a log and no labels, and takes the commands one after the other to a router that serves.

    newcomer = Newcomer(folder, experts, seed=1)    the log, the configuration; `experts` is `frugal-experts serve`
    newcomer.ctl("import", ...)                     frugalctl, with what it says as JSON
    newcomer.paid_usd()                             by the experts' own invoices
    newcomer.truth(prompt, answer)                  what nothing but the test knows: is the answer right?

The questions are those of frugal-experts, of four domains, with references that never leave this module. Three experts
answer them: `arithmetic` and `text` are cheap, good in their own field and lost elsewhere; `generalist` is dear and
knows something of everything. `judge` marks answers, and errs in JUDGE_ERRORS of a hundred.
"""

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import urllib.request

from .configs import config, expert
from .gateway import BUILD
from .programs import frugalctl
from .waiting import eventually

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tools" / "demo"))
from asking import grade  # noqa: E402

LINES = 300
LATER = 400
JUDGE_ERRORS = 4
PRICES = {"arithmetic": (0.10, 0.40), "text": (0.15, 0.50), "generalist": (2.50, 10.0), "judge": (0.40, 1.60)}
MODELS = {**{name: name for name in PRICES}, "judge": f"script:judge=1,judge_errors={JUDGE_ERRORS}"}
EXPERTS = [name for name in PRICES if name != "judge"]
SYSTEM = "You are a helpful assistant. Answer briefly."


def questions(seed, n, skip=0):
    said = subprocess.run([BUILD / "frugal-experts", "questions", "--n", str(n), "--seed", str(seed), "--skip", str(skip)],
                          capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def messages(question):
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question["prompt"]}]


class Newcomer:
    def __init__(self, folder, experts, seed=1):
        self.folder, self.experts, self.seed = folder, experts, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.store, self.log, self.config = (folder / name for name in ("calib.db", "log.jsonl", "frugal.json"))
        drawn = questions(seed, LINES + LATER + 100)
        self._known = {question["prompt"]: question for question in drawn}
        distinct = list(self._known.values())
        self.logged, self.later = distinct[:LINES], distinct[LINES:LINES + LATER]
        with self.log.open("w") as out:
            for question in self.logged:
                out.write(json.dumps({"model": "generalist", "messages": messages(question), "max_tokens": 96}) + "\n")
        self.write_config()
        self._invoices = 0
        self._paid = 0.0

    def write_config(self, **more):
        entries = {name: expert(self.experts.url, model=MODELS[name], price=PRICES[name]) for name in PRICES}
        policies = {"auto": {"default": "generalist", "max_output_tokens": 96}}
        self.config.write_text(json.dumps(config(entries, policies=policies, embedders=["surface", "lexical"], **more), indent=1))

    # -- commands

    def run(self, *words, check=True, **options):
        return frugalctl(*words, check=check, cwd=self.folder, **options)

    def ctl(self, *words, **options):
        return json.loads(self.run(*words, "--json", **options).out)

    def calibration(self):
        return ["--config", self.config, "--store", self.store, "--experts", ",".join(EXPERTS), "--grade", "judge:judge",
                "--max-output-tokens", "96"]

    def calibrate(self, *more):
        return self.ctl("calibrate", *self.calibration(), *more)

    # -- what is true

    def truth(self, prompt, answer):
        return grade(self._known[prompt], answer)

    def _get(self, path):
        with urllib.request.urlopen(self.experts.url.removesuffix("/v1") + path) as answer:
            return json.load(answer)

    def paid_usd(self):
        """Since the beginning, once nothing is under way."""
        eventually(lambda: all(model["in_flight"] == 0 for model in self._get("/stats")["models"].values()),
                   "experts are still answering")
        names = {model: name for name, model in MODELS.items()}
        while True:
            page = self._get(f"/invoices?after={self._invoices}")
            assert page["lost"] == 0
            if not page["invoices"]:
                return self._paid
            self._invoices = page["next"]
            for invoice in page["invoices"]:
                price = PRICES[names[invoice["model"]]]
                self._paid += (invoice["prompt_tokens"] * price[0] + invoice["completion_tokens"] * price[1]) / 1e6

    # -- who was asked afterwards

    def ask_later(self, gateway, model, at_once=4):
        """Every question that the log does not have, through a gateway: (right, USD, expert) of each."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda question: self._ask(gateway, model, question), self.later))

    def _ask(self, gateway, model, question):
        answer = gateway.chat(messages(question), model, max_tokens=96)
        assert answer.status == 200, answer
        said = answer.json()
        text = said["choices"][0]["message"]["content"] or ""
        return self.truth(question["prompt"], text), said["usage"]["cost"], answer.get("x-frugal-expert")


__all__ = ["EXPERTS", "LATER", "LINES", "MODELS", "Newcomer", "PRICES"]
