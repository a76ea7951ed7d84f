"""frugalctl as an operator uses it: import, calibrate, build, route."""

import json
import subprocess

import pytest

from harness import BUILD, Gate, config, expert, frugalctl, scripts
from harness.routers import held_out, write_outcomes

QUESTIONS = [{"id": f"q{n}", "prompt": f"What is {n} plus {n}?", "reference": str(2 * n), "grade": "number",
              "domain": "sums"} for n in range(1, 31)]


def right(call):
    n = int(call.json()["messages"][-1]["content"].split()[2])
    call.answer(scripts.completion(f"That makes {2 * n}."))


def wrong(call):
    call.answer(scripts.completion("I do not know 7."))


def prepared(tmp_path, experts, questions=QUESTIONS):
    (tmp_path / "config.json").write_text(json.dumps(config({name: expert(one) for name, one in experts.items()})))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    return ["calibrate", "--config", tmp_path / "config.json", "--prompts", tmp_path / "prompts.jsonl",
            "--store", tmp_path / "calib.db"]


def test_calibrate_asks_grades_and_counts_the_money(run, tmp_path):
    good, bad = run.expert(right), run.expert(wrong)
    said = json.loads(frugalctl(*prepared(tmp_path, {"good": good, "bad": bad}), "--json").out)
    assert (said["prompts"], said["answered"], said["missing"]) == (30, 60, 0)
    assert said["spent_usd"] == pytest.approx(60 * 50e-6)
    assert (good.asked, bad.asked) == (30, 30)
    assert "good" in json.dumps(said["experts"]) and "bad" in json.dumps(said["experts"])


def test_calibrate_asks_those_who_speak_chat(run, tmp_path):
    good, other = run.expert(right), run.expert()
    command = prepared(tmp_path, {"good": good})
    whole = config({"good": expert(good), "other": expert(other, generator_more={"api": ["messages"]})})
    (tmp_path / "config.json").write_text(json.dumps(whole))
    assert json.loads(frugalctl(*command, "--json").out)["missing"] == 0
    assert not other.calls()
    named = frugalctl(*command, "--experts", "other", check=False)
    assert named.returncode != 0 and "'other' has no \"chat\"" in named.err


def test_calibrate_asks_concurrently(run, tmp_path):
    gate = Gate()
    slow = run.expert(lambda call: (call.wait(gate), right(call)))
    command = [BUILD / "frugalctl", *prepared(tmp_path, {"slow": slow}), "--concurrency", "10"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        slow.call(10)
        gate.open()
        assert process.wait(60) == 0
    assert slow.asked == 30


def test_what_is_known_is_not_asked_again(run, tmp_path):
    good = run.expert(right)
    command = prepared(tmp_path, {"good": good})
    frugalctl(*command)
    said = json.loads(frugalctl(*command, "--json").out)
    assert (said["answered"], said["spent_usd"]) == (0, 0)
    assert good.asked == 30


def test_a_limit_on_spending_holds_and_the_rest_is_asked_later(run, tmp_path):
    good = run.expert(right)
    command = prepared(tmp_path, {"good": good})
    limited = frugalctl(*command, "--max-usd", "0.001", "--max-output-tokens", "20", "--concurrency", "4", "--json",
                        check=False)
    assert limited.returncode != 0
    assert 0 < good.asked < 30
    assert good.asked * 50e-6 <= 0.001
    frugalctl(*command)
    assert good.asked == 30


def test_a_failing_expert_is_asked_again_and_then_said(run, tmp_path):
    shaky = run.expert([scripts.refuse(500), right])
    frugalctl(*prepared(tmp_path, {"shaky": shaky}, QUESTIONS[:3]))
    assert shaky.asked == 4


def test_an_expert_that_is_down_is_an_error_that_names_it(run, tmp_path):
    down = run.expert(scripts.refuse(401))
    ran = frugalctl(*prepared(tmp_path, {"down": down}, QUESTIONS[:3]), "--attempts", "1", check=False)
    assert ran.returncode == 1
    assert "down" in ran.err


MISTAKES = {
    "a prompt that is not JSON": ("prompts.jsonl", 3, lambda line: line[:-5]),
    "a prompt without an id": ("prompts.jsonl", 3, lambda line: line.replace('"id"', '"di"')),
    "an id twice": ("prompts.jsonl", 3, lambda line: line.replace("sums-2", "poems-1")),
    "a quality above one": ("quality.csv", 4, lambda line: line.split(",")[0] + ",1.5,0,0"),
    "a quality in words": ("quality.csv", 4, lambda line: line.split(",")[0] + ",good,0,0"),
    "a row that is too short": ("quality.csv", 4, lambda line: line.split(",")[0] + ",1"),
    "a negative cost": ("cost.csv", 4, lambda line: line.split(",")[0] + ",-1,0,0"),
    "an id that nobody knows": ("quality.csv", 4, lambda line: "nobody" + line[line.index(","):]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_recorded_outcomes_is_said_with_file_and_line(tmp_path, case):
    name, number, change = MISTAKES[case]
    write_outcomes(tmp_path)
    lines = (tmp_path / name).read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    ran = frugalctl("import", tmp_path, "--store", tmp_path / "calib.db", check=False)
    assert ran.returncode == 1, ran
    assert f"{name}:{number}" in ran.err


def test_a_decision_is_explained_in_a_table(run, router, tmp_path):
    entries = {name: expert("http://127.0.0.1:9/v1") for name in ("mathy", "poet")}
    (tmp_path / "config.json").write_text(json.dumps(router.config(entries)))
    said = frugalctl("route", "--config", tmp_path / "config.json", held_out("poems", 1)[0]).out
    assert "mathy" in said and "poet" in said
    assert len(said.splitlines()) > 4


@pytest.mark.parametrize("arguments", [["bild"], ["build"], ["build", "--stroe", "x"], ["route"], []])
def test_a_wrong_use_is_told(arguments):
    ran = frugalctl(*arguments, check=False)
    assert ran.returncode == 2
    assert "frugalctl" in ran.err


def test_a_store_that_is_none_is_refused(tmp_path):
    (tmp_path / "calib.db").write_text("hello " * 1000)
    ran = frugalctl("build", "--store", tmp_path / "calib.db", "--out", tmp_path / "bundle.frugal", check=False)
    assert ran.returncode == 1
    assert "calib.db" in ran.err
    assert not (tmp_path / "bundle.frugal").exists()


@pytest.mark.parametrize("group, commands", [("keys", ["add", "list", "show", "limit", "rotate", "revoke", "hash"]),
                                             ("eval", ["routing", "compare", "classification"])])
@pytest.mark.parametrize("how", [("{}", "--help"), ("{}", "-h"), ("help", "{}"), ("--help", "{}")], ids=" ".join)
def test_help_for_a_group_lists_its_commands(group, commands, how):
    ran = frugalctl(*(word.format(group) for word in how))
    listed = [line.split()[:2] for line in ran.out.splitlines() if line.startswith("  ")]
    assert listed == [[group, command] for command in commands]


@pytest.mark.parametrize("words", [("keys",), ("keys", "ad"), ("kes", "--help"), ("help", "key"), ("why", "it", "is", "so")])
def test_what_names_no_command_stays_wrong_usage(words):
    ran = frugalctl(*words, check=False)
    assert ran.returncode == 2 and ran.out == "" and ran.err
