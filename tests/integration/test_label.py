"""frugalctl label: a person compares answers, keys come from standard input, and the judge's agreement is told."""

import json
import re
import sqlite3
import subprocess

import pytest

from harness import BUILD, scripts
from harness import frugalctl
from test_ctl import right, wrong
from test_judging import judging, prepared

QUESTIONS = [{"id": f"q{n}", "prompt": f"What is {n} plus {n}?", "domain": "even" if n % 2 == 0 else "odd"}
             for n in range(1, 31)]


def label(store, keys, *more):
    return subprocess.run([str(word) for word in [BUILD / "frugalctl", "label", "--store", store, *more]], input=keys,
                          capture_output=True, text=True, timeout=60)


def pairs_of(screen):
    """[(question, A, B)] as they were shown."""
    return re.findall(r"---- question ----\n(.*?)\n\n---- A ----\n(.*?)\n\n---- B ----\n(.*?)\n\nBetter", screen, re.S)


def key_of(question, one, other):
    n = int(question.split()[2])
    good = [str(2 * n) in answer.split()[-1] for answer in (one, other)]
    return "t" if good[0] == good[1] else "a" if good[0] else "b"


@pytest.fixture
def store(run, tmp_path):
    experts = {"good": run.expert(right), "bad": run.expert(wrong), "judge": run.expert(judging)}
    frugalctl(*prepared(tmp_path, experts, "judge:judge", QUESTIONS))
    return tmp_path / "calib.db"


def keys_for(store, *more):
    shown = pairs_of(label(store, "s" * 1000, *more).stdout)
    with sqlite3.connect(store) as db:
        db.execute("DELETE FROM labels")
    return [key_of(*pair) for pair in shown]


def report(ran):
    return json.loads(ran.stdout)["graders"][0]


def test_a_person_who_agrees_is_told_so(store):
    keys = keys_for(store)
    assert len(keys) == 30 and {"a", "b"} <= set(keys)
    said = report(label(store, "".join(keys), "--json"))
    assert (said["grader"], said["labels"], said["agreement"], said["kappa"]) == ("judge:judge", 30, 1, 1)
    assert said["low"] == pytest.approx(0.8865, abs=1e-3) and said["below"] is False


def test_a_person_who_disagrees_is_told_whom_not_to_trust(store):
    swapped = "".join({"a": "b", "b": "a", "t": "t"}[key] for key in keys_for(store))
    ran = label(store, swapped)
    assert "'judge:judge' agrees on" in ran.stdout and "do not trust its qualities" in ran.stdout
    assert report(label(store, "", "--pairs", "0", "--json"))["below"] is True


def test_it_goes_on_where_it_was_left_and_takes_back(store):
    keys = keys_for(store)
    first = label(store, "".join(keys[:3]) + "u" + keys[2] + "q")
    assert "3 pairs in this run, 3 in all" in first.stdout
    rest = label(store, "".join(keys[3:]))
    assert "27 pairs in this run, 30 in all" in rest.stdout
    assert report(label(store, "", "--json"))["agreement"] == 1
    shown = [pairs_of(ran.stdout) for ran in (first, rest)]
    assert not set(shown[0][:3]) & set(shown[1])


def test_pairs_come_from_every_domain_and_names_are_not_shown(store):
    screen = label(store, "ssssssssss", "--pairs", "10").stdout
    assert (screen.count("(even)"), screen.count("(odd)")) == (5, 5)
    assert "good" not in screen.split("pairs in this run")[0] and "bad" not in screen.split("pairs in this run")[0]


def test_only_experts_of_the_configuration_are_compared(store):
    config = json.loads((store.parent / "config.json").read_text())
    assert len(pairs_of(label(store, "s" * 100, "--config", store.parent / "config.json").stdout)) == 30
    del config["experts"]["bad"]
    (store.parent / "other.json").write_text(json.dumps(config))
    ran = label(store, "", "--config", store.parent / "other.json", "--pairs", "40")
    assert "0 pairs in this run, 30 in all" in ran.stdout


def test_no_answer_moves_the_cursor(run, tmp_path):
    evil = run.expert(lambda call: call.answer(scripts.completion("\x1b[2J\x07 gone \u009b1m")))
    experts = {"evil": evil, "good": run.expert(right), "judge": run.expert(judging)}
    frugalctl(*prepared(tmp_path, experts, "judge:judge", QUESTIONS[:2]))
    screen = label(tmp_path / "calib.db", "ab").stdout
    assert "?[2J? gone ?1m" in screen and "\x1b" not in screen and "\u009b" not in screen


def test_a_store_without_pairs_says_so(run, tmp_path):
    frugalctl(*prepared(tmp_path, {"good": run.expert(right), "judge": run.expert(judging)}, "judge:judge", QUESTIONS[:2]))
    ran = label(tmp_path / "calib.db", "")
    assert ran.returncode == 1 and "no two graded answers" in ran.stderr


def built(store, *more):
    return frugalctl("build", "--store", store, "--out", store.parent / "bundle.frugal", *more)


def test_a_judge_that_a_person_does_not_agree_with_is_named_in_the_bundle(store):
    unknown = built(store)
    assert "graded by judge:judge: 60 qualities; `frugalctl label` tells" in unknown.out and "agrees with" not in unknown.err
    label(store, "".join({"a": "b", "b": "a", "t": "t"}[key] for key in keys_for(store)))
    named = built(store)
    assert "'judge:judge' agrees with a person on" in named.err and "below --least-agreement 0.7" in named.err
    origin = (store.parent / "bundle.frugal").read_bytes()
    assert b'"grader":"judge:judge"' in origin and b'"below":true' in origin
    assert not built(store, "--least-agreement", "0").err


def test_the_same_store_gives_the_same_bundle_and_other_labels_another(store):
    ids = [json.loads(built(store, "--json").out)["id"] for _ in range(2)]
    label(store, "a")
    assert ids[0] == ids[1] != json.loads(built(store, "--json").out)["id"]
