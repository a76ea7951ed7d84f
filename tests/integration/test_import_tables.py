"""frugalctl import from tables and from the gateway's own database."""

import json
import sqlite3

import pytest

from harness import config, expert, frugalctl, scripts
from harness.promptlogs import write_litellm
from test_import import imported, prompts, rows


def table(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def csv(path, store, *arguments, check=True):
    return imported(path, store, *arguments, kind="csv", check=check)


def test_a_table_brings_prompts_labels_and_what_experts_are_worth(tmp_path):
    table(tmp_path / "t.csv", "id,prompt,domain,reference,grade,split,quality:small,answer:small,cost_usd:small,quality:large",
          'a,"What is 2, plus ""2""?\nIn words.",sums,four,exact,dev,0.5,Four,0.00012,',
          "b,Name a fish,,,,,,,,1", "", "c,Name a bird,,,,,,,,")
    said = csv(tmp_path / "t.csv", tmp_path / "calib.db")
    assert (said["records"], said["prompts"], said["bad"]) == (3, 3, 0)
    kept = prompts(tmp_path / "calib.db")
    assert kept["a"][1:] == ('What is 2, plus "2"?\nIn words.', "sums", "dev", "four")
    assert rows(tmp_path / "calib.db", "SELECT p.id, e.name, quality, cost_pico FROM cells JOIN prompts p USING (prompt)"
                                       " JOIN experts e USING (expert) ORDER BY 1"
                ) == [("a", "small", 0.5, 120_000_000), ("b", "large", 1, None)]
    assert rows(tmp_path / "calib.db", "SELECT text FROM answers") == [("Four",)]
    assert rows(tmp_path / "calib.db", "SELECT grade FROM prompts WHERE id = 'a'") == [("exact",)]


def test_a_column_of_messages_and_another_column_of_domains(tmp_path):
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]).replace('"', '""')
    table(tmp_path / "t.csv", "messages,team", f'"{chat}",sales', f'"{chat.replace("Hello", "Bye")}",law')
    said = csv(tmp_path / "t.csv", tmp_path / "calib.db", "--domain-by", "field:team")
    assert said["domains"] == {"law": 1, "sales": 1}
    assert {text for _, text, *_ in prompts(tmp_path / "calib.db").values()} == {"Hello", "Bye"}


HEADERS = {
    "id,promt": "did you mean 'prompt' by 'promt'",
    "a,b": "no column 'prompt'",
    "prompt,prompt": "'prompt' is a duplicate",
    "prompt,qualty:small": "'qualty:small' is none of",
    "prompt,quality:": "'quality:' names no expert",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_wrong_header_stops_whatever_is_skipped(tmp_path, header):
    table(tmp_path / "t.csv", header, "x,y")
    ran = csv(tmp_path / "t.csv", tmp_path / "calib.db", "--on-bad", "skip", check=False)
    assert ran.returncode == 1
    assert f"{tmp_path / 't.csv'}:1: " in ran.err and HEADERS[header] in ran.err
    assert not (tmp_path / "calib.db").exists()


def test_a_domain_column_that_is_not_there_is_said(tmp_path):
    table(tmp_path / "t.csv", "prompt", "x")
    ran = csv(tmp_path / "t.csv", tmp_path / "calib.db", "--domain-by", "field:team", check=False)
    assert ran.returncode == 1 and "no column 'team'" in ran.err


WRONG = {
    "too few fields": ("b,question", "2 fields, the header has 3"),
    "no prompt": ("b,,0.5", "no prompt"),
    "a quality above one": ("b,question,1.5", "no quality within 0 and 1 of 'small'"),
    "a quality in words": ("b,question,good", "no quality within 0 and 1 of 'small'"),
    "an id twice": ("a,question,1", "duplicate of line 2"),
    "a quote inside": ('b,"question" x,1', "a quote is not closed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_row_is_counted_and_shown(tmp_path, case):
    line, said = WRONG[case]
    table(tmp_path / "t.csv", "id,prompt,quality:small", "a,one,1", line, "c,three,0")
    skipped = csv(tmp_path / "t.csv", tmp_path / "calib.db")
    assert (skipped["bad"], skipped["prompts"]) == (1, 2)
    assert skipped["first"][0].startswith(f"{tmp_path / 't.csv'}:3: ") and said in skipped["first"][0]
    stopped = csv(tmp_path / "t.csv", tmp_path / "stopped.db", "--on-bad", "stop", check=False)
    assert stopped.returncode == 1 and ":3: " in stopped.err
    assert not (tmp_path / "stopped.db").exists()


def test_a_quote_that_is_never_closed_is_said_with_the_row_where_it_began(tmp_path):
    table(tmp_path / "t.csv", "prompt", "one", '"two', "three", "four")
    said = csv(tmp_path / "t.csv", tmp_path / "calib.db")
    assert (said["bad"], said["prompts"]) == (1, 1)
    assert "t.csv:3: " in said["first"][0]


def gateway_that_keeps(run, tmp_path, **store):
    upstream = run.expert(scripts.answer("Well."))
    return run.gateway({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "experts": {"small": expert(upstream)},
        "store": {"path": str(tmp_path / "frugal.db"), **store},
        "policies": {"auto": {"value_usd": 0.02, "default": "small", "max_output_tokens": 1000}}})


def test_the_gateways_own_database_gives_back_what_was_asked(run, tmp_path):
    gateway = gateway_that_keeps(run, tmp_path, keep_prompts=True)
    turns = [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {n}"}] for n in range(5)]
    for messages in turns:
        gateway.post("/v1/chat/completions", {"model": "auto", "messages": messages},
                     headers={"x-frugal-tags": "team=search"})
    gateway.post("/v1/chat/completions", {"model": "auto", "messages": turns[0]})
    long = "long " * 20_000
    gateway.post("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": long}]})
    gateway.stop()
    said = imported(tmp_path / "frugal.db", tmp_path / "calib.db", "--domain-by", "field:team", kind="decisions")
    assert (said["records"], said["prompts"], said["merged"]) == (7, 6, 1)
    kept = prompts(tmp_path / "calib.db").values()
    assert sorted(messages for messages, *_ in kept if "long" not in messages) == sorted(
        json.dumps(messages, separators=(",", ":")) for messages in turns)
    assert said["domains"] == {"search": 5, "(none)": 1}


def test_a_database_without_prompts_says_which_setting_keeps_them(run, tmp_path):
    gateway = gateway_that_keeps(run, tmp_path)
    gateway.post("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]})
    gateway.stop()
    ran = imported(tmp_path / "frugal.db", tmp_path / "calib.db", kind="decisions", check=False)
    assert ran.returncode == 1 and "keep_prompts" in ran.err


def test_a_file_that_is_no_database_of_the_gateway_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE decisions (id TEXT)")
    ran = imported(tmp_path / "other.db", tmp_path / "calib.db", kind="decisions", check=False)
    assert ran.returncode == 1 and "not a database of the gateway" in ran.err


def test_answers_of_a_log_are_graded_and_not_paid_for_again(run, tmp_path):
    known, other = run.expert(scripts.answer("No.")), run.expert(scripts.answer("Yes."))
    entries = {"known": expert(known), "other": expert(other)}
    model = entries["known"]["generator"]["model"]
    write_litellm(tmp_path / "log.jsonl", n=12, group="known", model=model)
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--holdout", "0.2", kind="litellm")
    with sqlite3.connect(tmp_path / "calib.db") as db:
        db.execute("UPDATE prompts SET reference = 'No.', grade = 'exact'")
    (tmp_path / "config.json").write_text(json.dumps(config(entries)))
    frugalctl("calibrate", "--config", tmp_path / "config.json", "--store", tmp_path / "calib.db")
    assert (known.asked, other.asked) == (0, 12)
    assert set(rows(tmp_path / "calib.db", "SELECT e.name, quality FROM cells JOIN experts e USING (expert)")
               ) == {("known", 1.0), ("other", 0.0)}
