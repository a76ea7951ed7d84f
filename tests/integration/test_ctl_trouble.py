"""frugalctl when something goes wrong half way: nothing that was paid for is lost or asked twice."""

import json
import re
import signal
import subprocess

import pytest

from harness import BUILD, Gate, config, embedding, expert, frugalctl, scripts
from test_ctl import QUESTIONS, prepared, right


def calibrating(command):
    return subprocess.Popen([str(word) for word in [BUILD / "frugalctl", *command]], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def asked_prompts(upstream):
    return [call.json()["messages"][-1]["content"] for call in upstream.calls("/chat/completions")]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_waits_for_what_is_paid_for_and_the_rest_is_asked_later(run, tmp_path, how):
    gate = Gate()
    slow = run.expert(lambda call: (call.wait(gate), right(call)))
    command = [*prepared(tmp_path, {"slow": slow}), "--concurrency", "4", "--json"]
    with calibrating(command) as process:
        slow.call(4)
        process.send_signal(how)
        assert "stopping" in process.stderr.readline() + process.stderr.readline()
        gate.open()
        said, why = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "run again to go on" in why
    assert (json.loads(said)["answered"], json.loads(said)["missing"]) == (4, 26)
    assert json.loads(frugalctl(*command).out)["answered_before"] == 4
    assert sorted(asked_prompts(slow)) == sorted(question["prompt"] for question in QUESTIONS)


def test_a_second_stop_drops_what_is_in_flight(run, tmp_path):
    silent = run.expert(scripts.silent)
    with calibrating([*prepared(tmp_path, {"silent": silent}), "--concurrency", "2"]) as process:
        silent.call(2)
        process.send_signal(signal.SIGINT)
        process.stderr.readline()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
    assert silent.asked == 2


def test_a_killed_command_still_keeps_what_is_in_flight(run, tmp_path):
    gate = Gate()

    def ten_then_wait(call):
        if call.expert.asked > 10:
            call.wait(gate)
        right(call)

    slow = run.expert(ten_then_wait)
    command = [*prepared(tmp_path, {"slow": slow}), "--concurrency", "1", "--json"]
    with calibrating(command) as process:
        slow.call(11)
        process.kill()
        process.wait(60)
        with calibrating(command) as again:
            assert "waiting for another run" in again.stderr.readline()
            gate.open()
            said, _ = again.communicate(timeout=60)
    assert (json.loads(said)["answered_before"], json.loads(said)["answered"], json.loads(said)["missing"]) == (11, 19, 0)
    assert sorted(asked_prompts(slow)) == sorted(question["prompt"] for question in QUESTIONS)


def test_another_model_behind_an_expert_is_asked_anew(run, tmp_path):
    good = run.expert(right)
    command = prepared(tmp_path, {"good": good}, QUESTIONS[:3])
    frugalctl(*command)
    (tmp_path / "config.json").write_text(json.dumps(config({"good": expert(good, model="newer")})))
    frugalctl(*command)
    assert good.asked == 6


def test_a_changed_reference_grades_the_old_answers_again(run, tmp_path):
    good = run.expert(right)
    command = [*prepared(tmp_path, {"good": good}, QUESTIONS[:3]), "--json"]
    assert json.loads(frugalctl(*command).out)["experts"][0]["accuracy"] == 1
    wrong = [dict(question, reference="-1") for question in QUESTIONS[:3]]
    prepared(tmp_path, {"good": good}, wrong)
    assert json.loads(frugalctl(*command).out)["experts"][0]["accuracy"] == 0
    assert good.asked == 3


def test_an_expert_that_only_fails_is_given_up(run, tmp_path):
    down = run.expert(scripts.refuse(400))
    ran = frugalctl(*prepared(tmp_path, {"down": down}), "--concurrency", "1", check=False)
    assert ran.returncode == 1
    assert "'down' was given up" in ran.err
    assert down.asked == 5


MISTAKES = {
    "no reference": ({"reference": None}, "'reference' is missing"),
    "no grader": ({"grade": None}, "no --grade is given"),
    "a number that is none": ({"reference": "many"}, "holds no number"),
    "an unknown grader": ({"grade": "guess"}, "'guess'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_prompts_is_said_before_anybody_is_asked(run, tmp_path, case):
    change, says = MISTAKES[case]
    good = run.expert(right)
    questions = [*QUESTIONS[:2], dict(QUESTIONS[2], **change)]
    ran = frugalctl(*prepared(tmp_path, {"good": good}, questions), check=False)
    assert ran.returncode == 1
    assert "prompts.jsonl:3" in ran.err and says in ran.err
    assert good.asked == 0


def test_vectors_of_a_remote_embedder_are_fetched_once(run, tmp_path):
    embedder = run.expert(right, embeddings=scripts.embed(scripts.hashed_vector))
    command = prepared(tmp_path, {"good": embedder})
    (tmp_path / "config.json").write_text(json.dumps(
        config({"good": expert(embedder, embedding=embedding(price=1.0))})))
    frugalctl(*command)
    build = ["build", "--store", tmp_path / "calib.db", "--config", tmp_path / "config.json", "--out",
             tmp_path / "bundle.frugal", "--embedders", "surface,good", "--json"]
    first, second = (json.loads(frugalctl(*build).out) for _ in range(2))
    assert (first["fetched_vectors"], second["fetched_vectors"]) == (30, 0)
    assert first["id"] == second["id"]
    assert {one["name"]: one["dim"] for one in first["embedders"]}["good"] == 16


def test_an_embedder_that_is_down_leaves_the_old_bundle(run, tmp_path):
    broken = run.expert(right, embeddings=scripts.refuse(400))
    command = prepared(tmp_path, {"good": broken})
    (tmp_path / "config.json").write_text(json.dumps(config({"good": expert(broken, embedding=embedding())})))
    frugalctl(*command)
    (tmp_path / "bundle.frugal").write_text("the old one")
    ran = frugalctl("build", "--store", tmp_path / "calib.db", "--config", tmp_path / "config.json", "--out",
                    tmp_path / "bundle.frugal", "--embedders", "good", check=False)
    assert ran.returncode == 1
    assert "embedder 'good' failed" in ran.err
    assert (tmp_path / "bundle.frugal").read_text() == "the old one"


def test_the_manual_pages_follow_the_programs():
    root = BUILD.parent.parent
    ran = subprocess.run([root / "docs/man/update", "--check", BUILD], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_command_explains_itself():
    commands = re.findall(r"^  (\w+) {2,}", frugalctl("--help").out, re.MULTILINE)
    assert {"import", "calibrate", "build", "route"} <= set(commands)
    for command in commands:
        text = frugalctl(command, "--help").out
        assert text == frugalctl("help", command).out
        assert "usage: frugalctl " + command in text and "--json" in text
