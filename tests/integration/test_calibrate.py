"""frugalctl calibrate under kills: nobody is asked twice, and the rows are those of an undisturbed run.

What was asked is counted by the experts' own invoices: each names the question it is for, the same in every run.
"""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import pty
import random
import signal
import sqlite3
import subprocess
import termios
import urllib.request

import pytest

from harness import BUILD, PATIENCE, Experts, Gate, config, eventually, expert, frugalctl, scripts
from test_ctl import QUESTIONS as QUESTIONS_OF_SUMS
from test_ctl import prepared, right

KILLS = int(os.environ.get("FRUGAL_KILLS", "20"))
PROMPTS = 60
MODELS = {"quick": "script:delay_ms=2,chunks=3", "slow": "script:delay_ms=9,chunks=5", "wordy": "script:delay_ms=5,chunks=40"}
ANSWERS = {"quick": "w0 w1 w2", "slow": "w0 w1 w2 w3 w4"}
QUESTIONS = [{"id": f"p{n}", "prompt": f"Say {n} words of praise.", "reference": ANSWERS["quick" if n % 3 else "slow"],
              "grade": "exact"} for n in range(PROMPTS)]


JUDGED = ["--grade", "judge:judge", "--experts", "quick,slow,wordy"]


def serving():
    return Experts("--invoices", "1")


@pytest.fixture
def experts():
    with serving() as served:
        yield served


def get(experts, path):
    with urllib.request.urlopen(experts.url.removesuffix("/v1") + path) as answer:
        return json.load(answer)


def requests(experts):
    return sum(model["requests"] for model in get(experts, "/stats")["models"].values())


def bills(experts):
    """How often each question was invoiced, once nothing is under way."""
    eventually(lambda: all(model["in_flight"] == 0 for model in get(experts, "/stats")["models"].values()),
               "experts are still answering")
    return collections.Counter(invoice["id"] for invoice in get(experts, "/invoices?after=0")["invoices"])


def command(folder, experts, *more):
    entries = {name: expert(experts.url, model=model) for name, model in MODELS.items()}
    questions = QUESTIONS
    if JUDGED[0] in more:
        entries["judge"] = expert(experts.url, model="script:judge=1,judge_errors=10,judge_prose=20,delay_ms=4")
        questions = [{key: question[key] for key in ("id", "prompt", "reference")} for question in QUESTIONS]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(entries)))
    (folder / "prompts.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    return ["calibrate", "--config", folder / "config.json", "--prompts", folder / "prompts.jsonl", "--store",
            folder / "calib.db", "--concurrency", "4", "--max-output-tokens", "200", *more]


def start(words):
    return subprocess.Popen([str(BUILD / "frugalctl"), *map(str, words)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)


def child_of(process):
    """The process that asks; the one that was started only waits for it. None: both are over."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = []
    while process.poll() is None and not found:
        found = children.read_text().split()
    return int(found[0]) if found else None


def rows(folder):
    """All that does not depend on the clock."""
    with sqlite3.connect(folder / "calib.db") as db:
        answers = db.execute(
            "SELECT experts.name, prompts.id, model, sample, answers.text, finish_reason, input_tokens, output_tokens,"
            " cost_pico, estimated FROM answers JOIN experts USING (expert) JOIN prompts USING (prompt)"
            " ORDER BY 1, 2, 3, 4").fetchall()
        cells = db.execute(
            "SELECT experts.name, prompts.id, quality, input_tokens, output_tokens, cost_pico"
            " FROM cells JOIN experts USING (expert) JOIN prompts USING (prompt) ORDER BY 1, 2").fetchall()
        marks = db.execute("SELECT count(*) FROM asked").fetchone()[0]
    db.close()
    return {"answers": answers, "cells": cells, "marks": marks}


def undisturbed(folder, experts, *more):
    frugalctl(*command(folder, experts, *more))
    return rows(folder)


def kill_at_random(words, experts, how, dice, most):
    """Lets the experts get some more requests, then kills. False: it was done before."""
    wanted = requests(experts) + dice.randint(0, most)
    with start(words) as process:
        eventually(lambda: requests(experts) >= wanted or process.poll() is not None, "nobody asks")
        done = process.poll() is not None
        if not done:
            how(process)
        process.communicate(timeout=6 * PATIENCE)
    return not done


HOWS = [lambda process: process.kill(), lambda process: process.send_signal(signal.SIGINT),
        lambda process: process.send_signal(signal.SIGTERM), lambda process: process.send_signal(signal.SIGHUP),
        lambda process: os.killpg(process.pid, signal.SIGKILL)]


def killed_in_worlds(tmp_path, kills, hows, dice, *more):
    """Kills runs until there were so many kills; a new store and new experts whenever everything is answered. Yields
    each of these worlds when nothing is left that is asked without more ado: its experts, its command, its kills."""
    done = 0
    for n in range(4 * kills):
        folder = tmp_path / f"world{n}"
        with serving() as experts:
            words = command(folder, experts, *more, "--json")
            here = 0
            while done < kills and kill_at_random(words, experts, next(hows), dice, 15):
                here, done = here + 1, done + 1
            yield folder, experts, words, here
        if done == kills:
            return
    raise AssertionError(f"only {done} of {kills} kills came before the end")


@pytest.mark.parametrize("more", [[], ["--by-expert"], JUDGED], ids=["in turn", "by expert", "judged"])
def test_killed_at_random_moments_and_resumed(tmp_path, experts, more):
    whole = undisturbed(tmp_path / "whole", experts, *more)
    wanted = set(bills(experts))
    assert len(wanted) == 3 * PROMPTS if more != JUDGED else len(wanted) > 4 * PROMPTS
    dice, hows = random.Random(len(more)), itertools.cycle(HOWS)
    for folder, served, words, _ in killed_in_worlds(tmp_path, KILLS, hows, dice, *more):
        said = json.loads(frugalctl(*words).out)
        assert (said["missing"], said["in_doubt"]) == (0, 0)
        asked = bills(served)
        assert set(asked) == wanted and set(asked.values()) == {1}
        assert rows(folder) == whole


def kill_child(process):
    child = child_of(process)
    if child is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_killed_with_the_process_that_asks(tmp_path, experts):
    """As by a power cut. What was in flight is in doubt: never asked again in silence, and counted at its bound."""
    whole = undisturbed(tmp_path / "whole", experts)
    for folder, served, words, kills in killed_in_worlds(tmp_path, 5, itertools.repeat(kill_child), random.Random(7)):
        ran = frugalctl(*words, check=False)
        said = json.loads(ran.out)
        assert ran.returncode == (1 if said["in_doubt"] else 0)
        assert said["missing"] == said["in_doubt"] <= 12 * kills
        assert (said["in_doubt_bound_usd"] > 0) == (said["in_doubt"] > 0)
        assert set(bills(served).values()) == {1}
        again = json.loads(frugalctl(*words, "--ask-again").out)
        assert (again["answered"], again["missing"]) == (said["in_doubt"], 0)
        assert sum(count > 1 for count in bills(served).values()) <= said["in_doubt"]
        assert rows(folder) == whole


def test_a_terminal_shows_progress_and_its_interrupt_comes_once(run, tmp_path):
    """Also where the terminal stops who writes to it from the background."""
    gate = Gate()
    slow = run.expert(lambda call: (call.wait(gate), right(call)))
    words = [*prepared(tmp_path, {"slow": slow}, QUESTIONS_OF_SUMS), "--concurrency", "3"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(BUILD / "frugalctl", ["frugalctl", *map(str, words)])
    modes = termios.tcgetattr(terminal)
    modes[3] |= termios.TOSTOP
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    slow.call(3)
    os.write(terminal, b"\x03")
    seen = b""
    while b"stopping: waiting for 3" not in seen:
        seen += os.read(terminal, 4096)
    gate.open()
    with contextlib.suppress(OSError):  # the terminal is closed at the end
        while more := os.read(terminal, 4096):
            seen += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(terminal)
    assert b"asking [" in seen and b"/30  $" in seen and b"3 now for" in seen
    assert slow.asked == 3


def test_two_runs_for_one_store_wait_for_each_other(tmp_path, experts):
    words = command(tmp_path / "both", experts)
    with start(words) as one, start(words) as other:
        for process in (one, other):
            process.communicate(timeout=6 * PATIENCE)
            assert process.returncode == 0
    assert set(bills(experts).values()) == {1} and len(bills(experts)) == 3 * PROMPTS
    assert not list((tmp_path / "both").glob("*-asking"))


def refusing(how):
    """Every third prompt of test_ctl is refused, or answered by nothing; the others are right."""
    def script(call):
        n = int(call.json()["messages"][-1]["content"].split()[2])
        if n % 3 == 0:
            how(call)
        else:
            right(call)
    return script


def test_a_refused_prompt_stops_nobody_and_is_asked_last(run, tmp_path):
    picky = run.expert(refusing(scripts.refuse(400)))
    words = [*prepared(tmp_path, {"picky": picky}, QUESTIONS_OF_SUMS), "--json", "--concurrency", "1"]
    ran = frugalctl(*words, check=False)
    said = json.loads(ran.out)
    assert (said["answered"], said["missing"], said["experts"][0]["failed"]) == (20, 10, 10)
    assert ran.returncode == 1 and "status 400" in ran.err
    more = [{**question, "id": f"more-{question['id']}"} for question in QUESTIONS_OF_SUMS[:2]]
    prepared(tmp_path, {"picky": picky}, [*QUESTIONS_OF_SUMS, *more])
    asked = picky.asked
    assert json.loads(frugalctl(*words, check=False).out)["answered"] == 2
    first = [int(call.json()["messages"][-1]["content"].split()[2]) for call in picky.calls()[asked:]]
    assert first[:2] == [1, 2] and all(n % 3 == 0 for n in first[2:])


def test_an_expert_that_was_given_up_goes_on_with_other_prompts(run, tmp_path):
    broken = run.expert(scripts.refuse(400))
    words = [*prepared(tmp_path, {"broken": broken}, QUESTIONS_OF_SUMS), "--concurrency", "1"]
    for _ in range(2):
        frugalctl(*words, check=False)
    asked = [call.json()["messages"][-1]["content"] for call in broken.calls()]
    assert len(asked) == 10 and len(set(asked)) == 10


def test_an_empty_answer_is_paid_for_kept_and_wrong(run, tmp_path):
    mute = run.expert(refusing(lambda call: call.answer(scripts.completion(""))))
    words = [*prepared(tmp_path, {"mute": mute}, QUESTIONS_OF_SUMS), "--json"]
    said = json.loads(frugalctl(*words).out)
    line = said["experts"][0]
    assert (said["answered"], line["empty"], line["failed"]) == (30, 10, 0)
    assert line["accuracy"] == pytest.approx(2 / 3) and said["spent_usd"] == pytest.approx(30 * 50e-6)
    assert json.loads(frugalctl(*words).out)["answered"] == 0


def test_noisy_experts_are_asked_several_times(run, tmp_path):
    """Right on every second answer: with four of each the quality of a cell is one half."""
    seen = collections.Counter()

    def noisy(call):
        text = call.json()["messages"][-1]["content"]
        seen[text] += 1
        if seen[text] % 2:
            right(call)
        else:
            call.answer(scripts.completion("It is 7000."))

    coin = run.expert(noisy)
    words = [*prepared(tmp_path, {"coin": coin}, QUESTIONS_OF_SUMS), "--concurrency", "1", "--json"]
    assert json.loads(frugalctl(*words).out)["experts"][0]["accuracy"] == 1
    said = json.loads(frugalctl(*words, "--repeat", "4").out)
    assert (said["questions"], said["answered_before"], said["answered"], coin.asked) == (120, 30, 90, 120)
    assert (said["experts"][0]["accuracy"], said["experts"][0]["se"]) == (0.5, 0)
    with sqlite3.connect(tmp_path / "calib.db") as db:
        assert db.execute("SELECT DISTINCT quality, cost_pico FROM cells").fetchall() == [(0.5, 50_000_000)]
    db.close()


def test_by_expert_asks_one_after_the_other(run, tmp_path):
    order = []

    def noted(name):
        return lambda call: (order.append(name), right(call))

    frugalctl(*prepared(tmp_path, {name: run.expert(noted(name)) for name in "abc"}, QUESTIONS_OF_SUMS), "--by-expert")
    assert order == ["a"] * 30 + ["b"] * 30 + ["c"] * 30


def test_whole_conversations_are_asked_and_prompts_may_be_in_the_store(run, tmp_path):
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 1"},
             {"role": "assistant", "content": "A number."}, {"role": "user", "content": "What is 2 plus 2?"}]
    good = run.expert(right)
    words = prepared(tmp_path, {"good": good}, [{"id": "t", "messages": turns, "reference": "4", "grade": "number"}])
    frugalctl(*words)
    assert good.calls()[0].json()["messages"] == turns
    (tmp_path / "config.json").write_text(json.dumps(config({"other": expert(good, model="other")})))
    frugalctl("calibrate", "--config", tmp_path / "config.json", "--store", tmp_path / "calib.db")
    assert good.calls()[1].json()["messages"] == turns


def test_an_estimate_asks_nobody_and_holds(tmp_path, experts):
    words = command(tmp_path / "all", experts, "--json")
    blind = json.loads(frugalctl(*words, "--estimate").out)
    assert requests(experts) == 0
    assert (blind["calls"], blind["basis"]) == (3 * PROMPTS, "assumed")
    frugalctl(*words, "--limit", "10")
    assert requests(experts) == 30
    known = json.loads(frugalctl(*words, "--estimate").out)
    assert (known["calls"], known["basis"], requests(experts)) == (3 * (PROMPTS - 10), "measured", 30)
    spent = json.loads(frugalctl(*words).out)["spent_usd"]
    assert spent == pytest.approx(known["usd_expected"], rel=0.05)
    assert known["usd_low"] <= known["usd_expected"] <= known["usd_high"]
    assert spent <= known["usd_at_most"] and spent <= blind["usd_at_most"]
    assert json.loads(frugalctl(*words, "--estimate").out)["calls"] == 0
    assert requests(experts) == 3 * PROMPTS


def test_an_estimate_is_a_table_that_says_what_it_rests_on(tmp_path, experts):
    words = command(tmp_path / "all", experts)
    said = frugalctl(*words, "--estimate", "--max-usd", "0.0001").out
    assert "assumed" in said and "--limit 20" in said and "more than --max-usd" in said
    assert not (tmp_path / "all" / "calib.db-asking").exists()
    assert all(name in said for name in MODELS)


def test_what_others_said_is_the_estimate_for_an_expert_that_said_nothing(tmp_path, experts):
    words = command(tmp_path / "all", experts, "--json")
    frugalctl(*words, "--experts", "slow")
    parts = {part["expert"]: part for part in json.loads(frugalctl(*words, "--estimate").out)["parts"]}
    assert parts["quick"]["basis"] == "others" and "slow" not in parts
    with sqlite3.connect(tmp_path / "all" / "calib.db") as db:
        mean = db.execute("SELECT avg(output_tokens) FROM answers").fetchone()[0]
    db.close()
    assert parts["quick"]["output_tokens"] == pytest.approx(mean)


def test_a_new_expert_is_asked_first_where_the_others_disagree(run, tmp_path):
    """All are right but on every fifth prompt: most of the first rows of the new one are of those."""
    def half(call):
        n = int(call.json()["messages"][-1]["content"].split()[2])
        call.answer(scripts.completion("It is 7000.")) if n % 5 == 0 else right(call)

    old = {"good": run.expert(right), "half": run.expert(half)}
    frugalctl(*prepared(tmp_path, old, QUESTIONS_OF_SUMS))
    new = run.expert(right)
    words = [*prepared(tmp_path, {**old, "new": new}, QUESTIONS_OF_SUMS), "--expert", "new", "--json"]
    before = sum(one.asked for one in old.values())
    for limit, answered in (("5", 5), ("8", 3), ("8", 0)):
        said = json.loads(frugalctl(*words, "--limit", limit).out)
        assert (said["answered"], [line["name"] for line in said["experts"]]) == (answered, ["new"])
    asked = [int(call.json()["messages"][-1]["content"].split()[2]) for call in new.calls()]
    assert sum(n % 5 == 0 for n in asked) >= 4
    assert any(n % 5 for n in asked)
    assert sum(one.asked for one in old.values()) == before
    wrong = frugalctl(*words, "--experts", "good", check=False)
    assert wrong.returncode == 2 and "exclude each other" in wrong.err


def test_a_limit_of_nothing_asks_only_who_is_free(run, tmp_path):
    paid, free = run.expert(right), run.expert(right)
    words = prepared(tmp_path, {"paid": paid, "free": free}, QUESTIONS_OF_SUMS)
    (tmp_path / "config.json").write_text(json.dumps(config({"paid": expert(paid), "free": expert(free, price=(0, 0))})))
    assert "more than --max-usd" in frugalctl(*words, "--max-usd", "0", "--estimate").out
    ran = frugalctl(*words, "--max-usd", "0", "--json", check=False)
    assert ran.returncode == 1 and "--max-usd is reached" in ran.err
    said = json.loads(ran.out)
    assert (paid.asked, free.asked, said["spent_usd"], said["missing"]) == (0, 30, 0, 30)
    assert {line["name"]: line["failed"] for line in said["experts"]} == {"paid": 0, "free": 0}
    frugalctl(*words)
    assert paid.asked == 30


@pytest.mark.parametrize("trouble", ["status=500", "status=502", "cut_after=2", "cut_head=1", "malformed_at=0"])
def test_what_trouble_may_have_cost_stays_below_the_limit(tmp_path, experts, trouble):
    """The expert bills whatever it makes of a call; each attempt counts at its worst case."""
    (tmp_path / "config.json").write_text(json.dumps(config(
        {"bad": expert(experts.url, model=f"script:chunks=20,bill_all=1,{trouble}")})))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    ran = frugalctl("calibrate", "--config", tmp_path / "config.json", "--prompts", tmp_path / "prompts.jsonl", "--store",
                    tmp_path / "calib.db", "--max-usd", "0.0009", "--max-output-tokens", "30", "--attempts", "2", "--json",
                    check=False)
    assert ran.returncode == 1
    said = json.loads(ran.out)
    bills(experts)
    billed = sum(invoice["prompt_tokens"] * 1e-6 + invoice["completion_tokens"] * 2e-6
                 for invoice in get(experts, "/invoices?after=0")["invoices"])
    with sqlite3.connect(tmp_path / "calib.db") as db:
        noted = db.execute("SELECT sum(bound_pico) FROM spending").fetchone()[0] / 1e12
    db.close()
    assert 0 < billed <= said["spent_bound_usd"] + 1e-12 <= 0.0009 + 1e-12
    assert noted == pytest.approx(said["spent_bound_usd"])
