"""The tutorials' commands, run as they stand in docs/tutorial.

What is not of this machine is put in the place of what the page names, and nothing else is changed: free ports for those of
the gateway, experts of known skill for Ollama and OpenAI. Ollama's and OpenAI's models are those of `frugal-experts` under
their names; OpenAI's judge knows the right answers.
"""

import json
import re
import shutil
import socket
import urllib.request

import pytest

from harness import BUILD, PATIENCE, Experts, scripts
from harness.documents import ROOT, blocks, run_shell
from harness.programs import run_program
from harness.promptlogs import write_litellm
from test_judging import shown

# Cross-validation takes a while on a busy machine.
pytestmark = pytest.mark.timeout(20 * PATIENCE)
FOLDER = ROOT / "docs" / "tutorial"
PAGES = sorted(path.name for path in FOLDER.glob("*.md") if path.name != "README.md")
OLLAMA = "llama3.2:1b=arithmetic llama3.2:3b=arithmetic qwen2.5:3b=text llama3.1:8b=generalist phi4:14b=units"
PATIENCE_OF_A_PAGE = 8 * PATIENCE
PRICES = {"gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06},
          "gpt-4.1": {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06}}
# Until the gateway has nothing that is not committed.
WRITTEN = """written() {{
  until curl -fsS http://{admin}/metrics | grep -qx 'frugal_store_queue_rows 0'; do sleep 0.01; done
}}
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Page:
    """One page's commands in a folder; `out` has what all of them said."""

    def __init__(self, name, folder, ollama, openai=None, before=""):
        script = before + "\n".join(blocks((FOLDER / name).read_text()))
        self.swaps = {"http://127.0.0.1:11434/v1": ollama, "https://api.openai.com/v1": openai or "http://127.0.0.1:9/v1",
                      "127.0.0.1:8080": f"127.0.0.1:{free_port()}", "127.0.0.1:8081": f"127.0.0.1:{free_port()}"}
        left = folder / "frugal.json"
        text = left.read_text() if left.exists() else None
        for theirs, ours in self.swaps.items():
            script = script.replace(theirs, ours)
            text = text and text.replace(theirs, ours)
        if text:
            left.write_text(text)
        # frugalctl's own default, which no page has to name.
        admin = self.swaps["127.0.0.1:8081"]
        script = re.sub(r"^(frugalctl (?:reload|bundle .*--reload))$", rf"\1 --url http://{admin}", script, flags=re.M)
        # A person takes longer to the next command than the gateway to its next commit.
        script = re.sub(r"^(?=frugalctl (?:decisions|why|spend) )", "written\n", script, flags=re.M)
        script = WRITTEN.format(admin=admin) + "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n" + script
        ran = run_shell(script, folder, {"OPENAI_API_KEY": "sk-any"}, PATIENCE_OF_A_PAGE)
        self.out, self.err = ran.out, ran.err
        assert ran.returncode == 0, f"{ran.err}\n{ran.out}"


@pytest.fixture(scope="module")
def ollama():
    with Experts("--as", OLLAMA) as experts:
        yield experts.url


@pytest.fixture(scope="module")
def first(ollama, tmp_path_factory):
    """What the first tutorial leaves behind, on which others build."""
    folder = tmp_path_factory.mktemp("ollama")
    return folder, Page("ollama.md", folder, ollama)


def after_the_first(first, tmp_path):
    """A copy of its folder, for a page with ports of its own."""
    folder = tmp_path / "after"
    shutil.copytree(first[0], folder)
    path = folder / "frugal.json"
    text = path.read_text()
    for theirs in ("127.0.0.1:8080", "127.0.0.1:8081"):
        text = text.replace(first[1].swaps[theirs], theirs)
    path.write_text(text)
    return folder


def test_every_tutorial_is_listed_and_has_commands():
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == PAGES and len(PAGES) == 4
    assert all(len(blocks((FOLDER / page).read_text())) >= 3 for page in PAGES)


def test_three_models_of_an_ollama_are_routed(first):
    folder, page = first
    config = json.loads((folder / "frugal.json").read_text())
    assert list(config["experts"]) == ["llama3.2:1b", "qwen2.5:3b", "llama3.1:8b"]
    assert all("usd_per_hour" in expert["generator"]["price"] for expert in config["experts"].values())
    said = page.out
    assert "x-frugal-reason: routed" in said or "x-frugal-reason: not_worth" in said, said
    assert config["policies"]["auto"]["value_usd"] == 0.05 and "configuration" in said


def test_a_model_is_added_to_a_router_at_work(first, ollama, tmp_path):
    folder = after_the_first(first, tmp_path)
    old = (folder / "bundle.frugal").read_bytes()
    start = "frugald --config frugal.json &\ncurl -fsS --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:8081/readyz\n"
    page = Page("add-a-model.md", folder, ollama, before=start)
    assert list(json.loads((folder / "frugal.json").read_text())["experts"])[-1] == "phi4:14b"
    assert (folder / "bundle.frugal.1").read_bytes() == old != (folder / "bundle.frugal").read_bytes()
    assert re.search(r"phi4:14b +300", page.out), page.out
    assert "300 now" in page.out, page.out


def test_a_router_is_looked_at_before_and_in_service(first, ollama, tmp_path):
    folder = after_the_first(first, tmp_path)
    page = Page("is-it-good.md", folder, ollama)
    assert (folder / "new.frugal").exists() and "auto-cheap" in page.out
    assert "llama3.1:8b" in page.out and "dec_" in page.out


class Judge:
    """OpenAI's two models at one address: one is the demo's generalist, the other knows what is right."""

    def __init__(self, generalist, questions):
        self.generalist = generalist
        self.right = {question["prompt"]: question["reference"] for question in questions}

    def __call__(self, call):
        asked = call.json()
        if asked["model"] != "gpt-4.1":
            request = urllib.request.Request(self.generalist + "/chat/completions", call.body.replace(b'"gpt-4o"', b'"llama3.1:8b"'),
                                             {"content-type": "application/json"})
            call.answer(urllib.request.urlopen(request, timeout=30).read())
            return
        block = shown(call)
        right = self.right[block["QUESTION"]]
        call.answer(scripts.completion(f"SCORE: {10 if right.lower() in block['ANSWER'].lower() else 0}", prompt=300, output=5))


def test_a_log_of_litellm_becomes_a_router(run, ollama, tmp_path):
    asked = run_program(BUILD / "frugal-experts", "questions", "--n", 200, "--seed", 3).out
    questions = [json.loads(line) for line in asked.splitlines()]
    lines = [{"kind": q["domain"], "question": q["prompt"], "right": q["reference"],
              "messages": [{"role": "user", "content": q["prompt"]}]} for q in questions]
    write_litellm(tmp_path / "spend.jsonl", group="gpt-4o", answer=lambda line: line["right"], lines=lines)
    (tmp_path / "model_prices_and_context_window.json").write_text(json.dumps(PRICES))
    openai = run.expert(Judge(ollama, questions))
    page = Page("litellm-log.md", tmp_path, ollama, openai.url)
    config = json.loads((tmp_path / "frugal.json").read_text())
    assert config["experts"]["gpt-4o"]["generator"]["price"]["input"] == 2.5
    names = [call.json()["model"] for call in openai.calls("/chat/completions")]
    assert names.count("gpt-4.1") > 0, "the judge was asked"
    assert names.count("gpt-4o") < 50, "what the log has is not asked again"
    assert set(json.loads((tmp_path / "policies.json").read_text())) >= {"auto", "auto-cheap", "auto-best"}
    assert "x-frugal-expert: " in page.out and "auto-cheap" in page.out
