"""frugalctl import: logs of many shapes become prompts in the store, and nothing wrong in them is lost silently."""

import json
import sqlite3

import pytest

from harness import frugalctl
from harness.promptlogs import KINDS, completion_of, write_litellm, write_log


def imported(path, store, *arguments, kind="openai-jsonl", check=True):
    ran = frugalctl("import", "--from", kind, path, "--store", store, "--json", *arguments, check=check)
    return json.loads(ran.out) if check else ran


def rows(store, question, *values):
    with sqlite3.connect(store) as db:
        return db.execute(question, values).fetchall()


def prompts(store):
    return {row[0]: row[1:] for row in rows(store, "SELECT id, messages, text, domain, split, reference FROM prompts")}


def write(path, *records):
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    return path


def asked(text, **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def test_a_log_of_requests_becomes_prompts_with_their_whole_messages(tmp_path):
    lines = write_log(tmp_path / "log.jsonl")
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert (said["records"], said["prompts"], said["bad"]) == (300, 300, 0)
    kept = prompts(tmp_path / "calib.db").values()
    assert sorted(json.loads(messages)[-1]["content"] for messages, *_ in kept) == sorted(line["question"] for line in lines)
    assert all(json.loads(messages)[0]["role"] == "system" for messages, *_ in kept)
    assert {split for *_, split, _ in kept} == {"calib"}


def test_a_sample_is_the_same_again_and_every_domain_has_its_share(tmp_path):
    write_litellm(tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    (tmp_path / "turned.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    write(tmp_path / "log.csv")
    for name in ("log", "turned"):
        imported(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.db", "--sample", "60", kind="litellm")
    one, other = prompts(tmp_path / "log.db"), prompts(tmp_path / "turned.db")
    assert len(one) == 60 and one.keys() == other.keys()
    imported(tmp_path / "log.jsonl", tmp_path / "else.db", "--sample", "60", "--seed", "2", kind="litellm")
    assert prompts(tmp_path / "else.db").keys() != one.keys()


def test_a_domain_in_the_record_stratifies_the_sample(tmp_path):
    records = [asked(f"question {n} about things", domain="rare" if n % 20 == 0 else "often") for n in range(400)]
    write(tmp_path / "log.jsonl", *records)
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--sample", "40")
    assert said["domains"] == {"often": 38, "rare": 2}
    assert said["not_sampled"] == 360


def test_what_is_held_out_stays_so_when_the_log_grows(tmp_path):
    write_log(tmp_path / "log.jsonl", n=200)
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--holdout", "0.25")
    before = {name: row[3] for name, row in prompts(tmp_path / "calib.db").items()}
    held = list(before.values()).count("dev")
    assert 25 <= held <= 75  # within four standard errors of 50
    write_log(tmp_path / "log.jsonl", n=300)
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--holdout", "0.25")
    after = {name: row[3] for name, row in prompts(tmp_path / "calib.db").items()}
    assert len(after) == 300
    assert {name: after[name] for name in before} == before


def test_importing_again_without_a_holdout_moves_no_split(tmp_path):
    write_log(tmp_path / "log.jsonl", n=60)
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--holdout", "0.5")
    before = prompts(tmp_path / "calib.db")
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert prompts(tmp_path / "calib.db") == before


def test_a_batch_and_its_output_come_together_whichever_is_first(tmp_path):
    request = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
               "body": {"model": "small", **asked("What is 2 and 2?")}}
    output = {"id": "batch_req_1", "custom_id": "a", "error": None,
              "response": {"status_code": 200, "request_id": "r", "body": completion_of("4", "small-2026")}}
    write(tmp_path / "requests.jsonl", request)
    write(tmp_path / "output.jsonl", output)
    for order in (["requests.jsonl", "output.jsonl"], ["output.jsonl", "requests.jsonl"]):
        store = tmp_path / f"{order[0]}.db"
        frugalctl("import", "--from", "openai-jsonl", *(tmp_path / name for name in order), "--store", store)
        assert rows(store, "SELECT p.id, e.name, a.model, a.text, a.input_tokens FROM answers a"
                           " JOIN prompts p USING (prompt) JOIN experts e USING (expert)") == [("a", "small", "small", "4", 20)]


def test_answers_of_several_experts_to_one_question_are_of_one_prompt(tmp_path):
    write(tmp_path / "log.jsonl", *({"request": {"model": model, **asked("Name a fish.")},
                                     "response": completion_of(text, model)}
                                    for model, text in [("small", "Cod"), ("large", "A cod."), ("small", "Eel")]))
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert (said["prompts"], said["merged"], said["answers"]) == (1, 2, {"small": 2, "large": 1})
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert rows(tmp_path / "calib.db", "SELECT e.name, sample, text FROM answers JOIN experts e USING (expert) ORDER BY 1, 2"
                ) == [("large", 0, "A cod."), ("small", 0, "Cod"), ("small", 1, "Eel")]


def test_the_last_turn_of_an_example_for_fine_tuning_is_the_reference(tmp_path):
    write(tmp_path / "log.jsonl", {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"},
                                                {"role": "assistant", "content": "4"}]})
    imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    (messages, text, _, _, reference), = prompts(tmp_path / "calib.db").values()
    assert ([turn["role"] for turn in json.loads(messages)], text, reference) == (["system", "user"], "2+2?", "4")


def test_requests_of_other_apis_are_told_as_chats(tmp_path):
    write(tmp_path / "log.jsonl",
          {"custom_id": "c", "url": "/v1/completions", "body": {"model": "m", "prompt": "Once upon"}},
          {"custom_id": "r", "url": "/v1/responses", "body": {"model": "m", "instructions": "Be brief.", "input": "Tell me"}},
          {"custom_id": "e", "url": "/v1/embeddings", "body": {"model": "m", "input": "vector"}})
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert said["left_out"] == {"no chat request": 1}
    kept = prompts(tmp_path / "calib.db")
    assert kept["c"][1] == "Once upon"
    assert [turn["content"] for turn in json.loads(kept["r"][0])] == ["Be brief.", "Tell me"]


def test_a_spend_log_of_litellm_brings_answers_with_tokens_spend_and_time(tmp_path):
    write_litellm(tmp_path / "log.jsonl", n=30)
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", kind="litellm")
    assert (said["prompts"], said["answers"]) == (30, {"large": 30})
    assert set(rows(tmp_path / "calib.db", "SELECT e.name, model, text, finish_reason, input_tokens, output_tokens, cost_pico,"
                                           " latency_ms FROM answers JOIN experts e USING (expert)")
               ) == {("large", "gpt-4o", "No.", "stop", 20, 12, 123_000_000, 1250)}


def test_litellm_as_a_list_or_with_json_in_strings_is_read_too(tmp_path):
    write_litellm(tmp_path / "log.jsonl", n=6)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for record in records[:3]:
        record["messages"], record["response"] = json.dumps(record["messages"]), json.dumps(record["response"])
    records[5]["proxy_server_request"] = json.dumps({"messages": records[5]["messages"], "model": "large"})
    records[5]["messages"] = {}
    (tmp_path / "list.json").write_text(json.dumps({"data": records}, indent=2))
    said = imported(tmp_path / "list.json", tmp_path / "calib.db", kind="litellm")
    assert (said["prompts"], said["answers"]) == (6, {"large": 6})


def test_litellm_without_kept_prompts_says_which_setting_is_missing(tmp_path):
    write(tmp_path / "log.jsonl", {"request_id": "a", "model": "m", "messages": {}, "response": {}, "spend": 0.1})
    ran = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", kind="litellm", check=False)
    assert ran.returncode == 1
    assert "store_prompts_in_spend_logs" in ran.err
    assert not (tmp_path / "calib.db").exists()


WRONG = {
    "no JSON": ("{\"messages\": [", "not valid JSON"),
    "a list of nothing": (json.dumps({"messages": "hello"}), "'messages'"),
    "an unknown role": (json.dumps({"messages": [{"role": "wizard", "content": "hi"}]}), "unknown role \"wizard\""),
    "no role": (json.dumps({"messages": [{"content": "hi"}]}), "no role"),
    "no user": (json.dumps({"messages": [{"role": "system", "content": "hi"}]}), "no turn of a user"),
    "a content that is a number": (json.dumps({"messages": [{"role": "user", "content": 5}]}), "content of message 1"),
    "an id twice with another prompt": (json.dumps(asked("another", id="first")), "duplicate of line 1"),
    "bytes that are no text": ("\udcff\udcfe", "not UTF-8"),
    "a NUL": ("{\"a\":\0}", "not UTF-8"),
    "a word": ("hello", "not valid JSON"),
    "a number": ("17", "must be an object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_is_counted_and_shown_and_the_others_are_taken(tmp_path, case):
    line, said = WRONG[case]
    path = tmp_path / "log.jsonl"
    path.write_bytes("\n".join([json.dumps(asked("one", id="first")), line, json.dumps(asked("three"))]).encode(
        errors="surrogateescape"))
    skipped = imported(path, tmp_path / "calib.db")
    assert (skipped["bad"], skipped["prompts"]) == (1, 2)
    assert skipped["first"][0].startswith(f"{path}:2: ") and said in skipped["first"][0]
    stopped = imported(path, tmp_path / "stopped.db", "--on-bad", "stop", check=False)
    assert stopped.returncode == 1 and f"{path}:2: " in stopped.err and said in stopped.err
    assert not (tmp_path / "stopped.db").exists()


def test_a_line_without_end_is_not_read_into_memory(tmp_path):
    with (tmp_path / "log.jsonl").open("w") as out:
        out.write(json.dumps(asked("one")) + "\n")
        for _ in range(70):
            out.write("x" * (1 << 20))
        out.write("\n" + json.dumps(asked("three")) + "\n")
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert (said["bad"], said["prompts"]) == (1, 2)
    assert "log.jsonl:2: the line is longer than" in said["first"][0]


def test_many_wrong_lines_are_counted_and_the_first_of_them_shown(tmp_path):
    write(tmp_path / "log.jsonl", *["nothing"] * 100, asked("one"))
    ran = frugalctl("import", "--from", "openai-jsonl", tmp_path / "log.jsonl", "--store", tmp_path / "calib.db")
    assert ran.err.count("not valid JSON") == 20 and "80 more" in ran.err
    assert "100 could not be read" in ran.out


def test_nothing_is_written_where_the_store_has_another_prompt_by_an_id(tmp_path):
    write(tmp_path / "one.jsonl", asked("one", id="a"))
    imported(tmp_path / "one.jsonl", tmp_path / "calib.db")
    write(tmp_path / "two.jsonl", asked("first of all"), asked("two", id="a"))
    ran = imported(tmp_path / "two.jsonl", tmp_path / "calib.db", check=False)
    assert ran.returncode == 1 and "'a' is in the store already" in ran.err
    assert len(prompts(tmp_path / "calib.db")) == 1


def test_standard_input_is_a_file_too(tmp_path):
    write_log(tmp_path / "log.jsonl", n=10)
    import subprocess

    from harness import BUILD
    with (tmp_path / "log.jsonl").open() as log:
        subprocess.run([str(BUILD / "frugalctl"), "import", "--from", "openai-jsonl", "-", "--store",
                        str(tmp_path / "calib.db")], stdin=log, check=True, timeout=60, capture_output=True)
    assert len(prompts(tmp_path / "calib.db")) == 10


def test_the_generated_log_has_three_kinds_in_equal_parts(tmp_path):
    lines = write_log(tmp_path / "log.jsonl")
    assert {kind: sum(line["kind"] == kind for line in lines) for kind in KINDS} == dict.fromkeys(KINDS, 100)


def test_near_duplicates_are_dropped_and_told_with_what_stays_for_them(tmp_path):
    lines = write_log(tmp_path / "log.jsonl", n=100)
    same = [{"messages": [*line["messages"][:-1], {"role": "user", "content": line["question"].upper() + " !"}]}
            for line in lines[:7]]
    with (tmp_path / "log.jsonl").open("a") as out:
        out.writelines(json.dumps(record) + "\n" for record in same)
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--dedupe")
    assert (said["alike"], said["prompts"]) == (7, 100)
    assert [(one["line"], one["like_line"]) for one in said["alike_to"]] == [(101 + n, 1 + n) for n in range(7)]
    ran = frugalctl("import", "--from", "openai-jsonl", tmp_path / "log.jsonl", "--store", tmp_path / "b.db", "--dedupe")
    assert "7 say nearly what another one says" in ran.out and "line 101 is 1.00 like line 1" in ran.out
    assert imported(tmp_path / "log.jsonl", tmp_path / "all.db")["prompts"] == 107


def test_groups_of_like_words_become_domains_with_names_of_their_words(tmp_path):
    lines = write_log(tmp_path / "log.jsonl")
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--domain-by", "cluster:3")
    kinds = {line["question"]: line["kind"] for line in lines}
    groups = {}
    for messages, _, domain, *_ in prompts(tmp_path / "calib.db").values():
        groups.setdefault(domain, []).append(kinds[json.loads(messages)[-1]["content"]])
    assert len(groups) == 3
    for kind, word in (("poems", {"write", "poetry", "compose", "voice"}), ("dates", {"days", "weekday"})):
        name = max(groups, key=lambda group: groups[group].count(kind))
        assert groups[name].count(kind) >= 90 and word & set(name.split("-")), (name, kind)
    assert sum(said["domains"].values()) == 300
    again = imported(tmp_path / "log.jsonl", tmp_path / "again.db", "--domain-by", "cluster:3")
    assert again["domains"] == said["domains"]


def test_how_many_groups_is_found_and_a_few_prompts_are_one(tmp_path):
    write_log(tmp_path / "log.jsonl")
    assert 3 <= len(imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--domain-by", "cluster")["domains"]) <= 8
    write_log(tmp_path / "few.jsonl", n=5)
    assert len(imported(tmp_path / "few.jsonl", tmp_path / "few.db", "--domain-by", "cluster")["domains"]) == 1


def test_a_field_of_the_record_is_the_domain(tmp_path):
    write_litellm(tmp_path / "log.jsonl", n=30)
    for field in ("metadata.kind", "request_tags"):
        said = imported(tmp_path / "log.jsonl", tmp_path / f"{field}.db", "--domain-by", f"field:{field}", kind="litellm")
        assert said["domains"] == {"dates": 10, "poems": 10, "sums": 10}


@pytest.mark.parametrize("how", ["cluster:0", "cluster:x", "clusters", "field:", "cluster:65", ""])
def test_a_domain_by_that_means_nothing_is_refused(tmp_path, how):
    write_log(tmp_path / "log.jsonl", n=3)
    ran = imported(tmp_path / "log.jsonl", tmp_path / "calib.db", "--domain-by", how, check=False)
    assert ran.returncode == 2 and "--domain-by" in ran.err


@pytest.mark.parametrize("record", [asked(""), asked(" \n"), asked(None), asked([]), asked([{"type": "text", "text": ""}]),
                                    {"prompt": ""}])
def test_who_asks_nothing_is_a_bad_line(tmp_path, record):
    write(tmp_path / "log.jsonl", asked("What is 2 plus 2?"), record)
    said = imported(tmp_path / "log.jsonl", tmp_path / "calib.db")
    assert (said["records"], said["prompts"], said["bad"]) == (2, 1, 1)
    assert "log.jsonl:2: there is nothing to ask" in said["first"][0]


def test_a_picture_without_words_is_asked(tmp_path):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    write(tmp_path / "log.jsonl", asked([picture]), asked([{"type": "text", "text": ""}, picture]))
    assert imported(tmp_path / "log.jsonl", tmp_path / "calib.db")["prompts"] == 2
