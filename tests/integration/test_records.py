"""Records: what was decided and why, what was done, what it cost, found again by whoever may see it."""

import base64
import contextlib
import json
import pathlib
import re
import sqlite3
import struct

import jsonschema
import pytest
import yaml

from harness import config, embedding, eventually, expert, scripts
from harness.keys import Key, key_file
from harness.routers import PRICES, held_out
from harness.wire import request_bytes

BAD_QUERIES = {
    "unknown": ("expret=small", "expret"), "repeated": ("limit=1&limit=2", "limit"), "limit": ("limit=0", "limit"),
    "limit: too many": ("limit=501", "limit"), "limit: words": ("limit=all", "limit"), "since": ("since=yesterday", "since"),
    "until": ("until=2026-02-30", "until"), "tag": ("tag=team", "tag"), "both ways": ("before=a&after=b", "after"),
    "empty": ("expert=", "expert"), "bare": ("policy", "policy"),
    "key": ("key=somebody", "key"), "escaped": ("%65xpret=1", "expret"),
}


def kept(upstreams, **more):
    """A configuration that keeps records; `upstreams` is one scripted expert or a dict of them."""
    if not isinstance(upstreams, dict):
        upstreams = {"small": upstreams}
    more.setdefault("store", "frugal.db")
    return config({name: expert(upstream) for name, upstream in upstreams.items()}, **more)


def record_of(gateway, decision_id, **options):
    """The record, which is there when the request is over: a stream's client sees [DONE] a little earlier."""
    eventually(lambda: gateway.get(f"/v1/decisions/{decision_id}", **options).status == 200, "the record is there")
    return gateway.get(f"/v1/decisions/{decision_id}", **options).json()


def record_after(gateway, answer):
    return record_of(gateway, answer["x-frugal-decision-id"])


def routed(run, router, **more):
    upstreams = {name: run.expert(scripts.answer(f"by {name}")) for name in PRICES}
    more.setdefault("store", "frugal.db")
    return run.gateway(router.config({name: expert(upstream, price=PRICES[name]) for name, upstream in upstreams.items()}, **more))


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_a_query_that_cannot_be_understood_is_a_400_that_names_the_parameter(run, case):
    query, param = BAD_QUERIES[case]
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    answer = gateway.get("/v1/decisions?" + query)
    assert (answer.status, answer.error["type"], answer.error["param"]) == (400, "invalid_request_error", param)


def test_an_unknown_id_is_a_404_in_the_shape_of_errors(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    for admin in (False, True):
        answer = gateway.get("/v1/decisions/dec_nobody", admin=admin)
        assert (answer.status, answer.error["code"], answer.error["type"]) == (404, "decision_not_found", "invalid_request_error")
        assert "dec_nobody" in answer.error["message"]
    scored = gateway.post("/v1/decisions/dec_nobody/feedback", {"score": 1})
    assert (scored.status, scored.error["code"]) == (404, "decision_not_found")


def test_without_decisions_the_list_is_empty(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    for query in ("", "?since=24h&expert=small&policy=auto&tag=a=b&limit=5", "?request_id=r", "?response_id=r", "?after=dec_0"):
        assert gateway.get("/v1/decisions" + query).json() == {
            "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}


def test_without_a_store_there_are_no_records_and_the_answer_says_so(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    for answer in (gateway.get("/v1/decisions"), gateway.get("/v1/decisions/x"),
                   gateway.post("/v1/decisions/x/feedback", {"score": 1})):
        assert (answer.status, answer.error["code"]) == (404, "no_store")


def test_another_method_is_told_which_there_are(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    assert gateway.request("DELETE", "/v1/decisions/x")["Allow"] == "GET, HEAD, OPTIONS"
    assert gateway.get("/v1/decisions/x/feedback")["Allow"] == "POST, OPTIONS"
    assert gateway.request("HEAD", "/v1/decisions").body == b""


# -- what a record says

def test_a_routed_request_has_its_whole_story(run, router):
    gateway = routed(run, router)
    answer = gateway.chat(held_out("poems", 1)[0], headers={"x-frugal-tags": "team=search", "x-request-id": "mine"})
    record = record_after(gateway, answer)
    assert (record["object"], record["state"], record["status"]) == ("decision", "settled", 200)
    assert (record["request_id"], record["tags"], record["key"]) == ("mine", {"team": "search"}, None)
    assert (record["model"], record["policy"], record["expert"], record["reason"]) == ("auto", "auto", "poet", "routed")
    assert (record["lambda"], record["lambda_from"], record["propensity"]) == (50, "policy", 1)
    assert {ranked["expert"] for ranked in record["ranking"]} == set(PRICES)
    assert record["ranking"][0]["expert"] == "poet" and record["ranking"][0]["quality_se"] > 0
    assert record["steps"][-1]["bought"] is None and record["steps"][0]["bought"] in ("surface", "lexical")
    assert record["stop"] and record["evidence"] == "good" and record["domain"] == "poems"
    assert len(record["neighbours"]) == 8 and all(set(n) == {"id", "domain", "distance", "weight"} for n in record["neighbours"])
    assert record["answer"] == {"id": "chatcmpl-scripted", "model": "scripted", "system_fingerprint": None}
    assert record["tokens"] == {"input": 10, "cached_input": 0, "output": 20}
    assert len(record["bundle"]) == 16 and len(record["config"]) == 16
    assert "prompt" not in record and "vectors" not in record


def test_a_record_says_what_was_paid_for_what(run, router):
    gateway = routed(run, router)
    answer = gateway.chat(held_out("poems", 1)[0])
    record = record_after(gateway, answer)
    cost = float(answer["x-frugal-cost-usd"])
    assert record["cost"]["spent_usd"] == record["cost"]["bound_usd"] == record["cost"]["generation_usd"] == pytest.approx(cost)
    assert record["cost"]["evidence_usd"] == 0 and record["cost"]["estimated"] is False
    charge, = record["charges"]
    assert (charge["kind"], charge["expert"], charge["fate"], charge["reported"]) == ("generation", "poet", "reported", True)
    assert charge["spent_usd"] == pytest.approx(cost) and (charge["input_tokens"], charge["output_tokens"]) == (10, 20)
    attempt, = record["attempts"]
    assert (attempt["expert"], attempt["end"], attempt["status"], attempt["error"]) == ("poet", "answered", 200, None)
    assert 0 <= attempt["began_ms"] and 0 < attempt["first_byte_ms"] <= attempt["total_ms"] <= record["total_ms"]


def test_the_id_is_in_the_usage_since_frameworks_hide_headers(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    answer = gateway.chat()
    assert answer.json()["usage"]["cost_details"]["decision_id"] == answer["x-frugal-decision-id"]
    with gateway.stream(stream_options={"include_usage": True}) as stream:
        usage = [chunk["usage"] for chunk in stream.chunks() if chunk.get("usage")][-1]
    assert usage["cost_details"]["decision_id"] == stream["x-frugal-decision-id"]
    assert record_of(gateway, usage["cost_details"]["decision_id"])["stream"] is True


def test_what_the_expert_says_of_itself_is_kept_from_streams_too(run):
    def script(call):
        call.head(stream=True)
        call.event({"id": "chatcmpl-9", "model": "gpt-x-2024", "system_fingerprint": "fp_1",
                    "choices": [{"index": 0, "delta": {"content": "a"}}]})
        call.chunk(finish="stop")
        call.usage(1, 2)
        call.done()

    gateway = run.gateway(kept(run.expert(script)))
    with gateway.stream() as stream:
        assert stream.text() == "a"
    record = record_of(gateway, stream["x-frugal-decision-id"])
    assert record["answer"] == {"id": "chatcmpl-9", "model": "gpt-x-2024", "system_fingerprint": "fp_1"}
    found = gateway.get("/v1/decisions?response_id=chatcmpl-9").json()["data"]
    assert [summary["decision_id"] for summary in found] == [record["decision_id"]]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("target, body", [
    ("/v1/responses", {"input": "hello"}),
    ("/v1/messages", {"max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})])
def test_an_answer_in_another_api_is_found_by_the_id_that_its_client_saw(run, target, body, stream):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    answer = gateway.post(target, {"model": "auto", "stream": stream, **body})
    record = record_after(gateway, answer)
    shown = re.search(rb'"id": ?"((?:resp|msg)_[^"]+)"', answer.body).group(1).decode()
    assert (record["route"], record["answer"]["id"], record["state"]) == (target[4:], "chatcmpl-scripted", "settled")
    assert ids(gateway.get(f"/v1/decisions?response_id={shown}").json()) == [record["decision_id"]]
    assert gateway.post(f"/v1/decisions/{record['decision_id']}/feedback", {"score": 1}).status == 200


def test_completions_and_embeddings_have_records_and_embeddings_no_score(run):
    vectors = run.expert(completions=scripts.complete("well"), embeddings=scripts.embed(lambda text: scripts.hashed_vector(text, 16)))
    entries = {"small": expert(vectors), "embedder": expert(vectors, generator=False, embedding=embedding(price=1.0))}
    gateway = run.gateway(config(entries, store="frugal.db"))
    completed = gateway.post("/v1/completions", {"model": "auto", "prompt": "hello", "max_tokens": 10})
    embedded = gateway.post("/v1/embeddings", {"model": "embedder", "input": "hello"})
    for answer, route, score in ((completed, "completions", 200), (embedded, "embeddings", 400)):
        record = record_after(gateway, answer)
        assert (answer.status, record["route"], record["status"], record["error"]) == (200, route, 200, None)
        assert [charge["kind"] for charge in record["charges"]] == ["generation"]  # not the router's own evidence
        assert gateway.post(f"/v1/decisions/{record['decision_id']}/feedback", {"score": 1}).status == score


def test_a_failover_is_told_attempt_by_attempt(run):
    broken, well = run.expert(scripts.refuse(500)), run.expert(scripts.answer())
    gateway = run.gateway(kept({"small": broken, "large": well}))
    record = record_after(gateway, gateway.chat())
    assert (record["expert"], record["reason"]) == ("large", "failover")
    assert [(a["expert"], a["end"], a["status"], bool(a["error"])) for a in record["attempts"]] == [
        ("small", "failed", 500, True), ("large", "answered", 200, False)]
    assert [charge["expert"] for charge in record["charges"]] == ["small", "large"]


def test_a_cut_stream_has_a_record_that_says_so(run):
    gateway = run.gateway(kept(run.expert(scripts.stream_then_cut("a", "b"))))
    with gateway.stream(headers={"x-frugal-budget-usd": "0.01"}) as stream:
        list(stream)
    record = record_of(gateway, stream["x-frugal-decision-id"])
    assert (record["status"], record["error"]["result"], record["attempts"][0]["end"]) == (200, "expert_broken", "cut")
    assert record["cost"]["estimated"] is True and record["charges"][0]["fate"] == "unknown"
    assert record["cost"]["bound_usd"] > record["cost"]["spent_usd"] > 0 and record["tokens"] is None


def test_a_failed_request_has_a_record(run):
    gateway = run.gateway(kept(run.expert(scripts.refuse(503))))
    answer = gateway.chat()
    assert answer.status >= 500
    record = record_after(gateway, answer)
    assert record["status"] == answer.status and record["error"]["result"].startswith("expert_")
    assert record["answer"]["id"] is None and record["cost"]["spent_usd"] == 0


def test_a_client_that_left_has_a_record(run):
    gateway = run.gateway(kept(run.expert(scripts.stream_then_silent("a"))))
    stream = gateway.stream()
    assert next(stream)
    stream.close()
    record = record_of(gateway, stream["x-frugal-decision-id"])
    assert (record["status"], record["client_left"]) == (499, True)


def test_a_request_for_an_expert_by_name_has_a_record_without_a_policy(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    record = record_after(gateway, gateway.chat(model="small"))
    assert (record["policy"], record["reason"], record["lambda_from"], record["expert"]) == (None, "direct", None, "small")


def test_a_decision_alone_has_a_record_too(run, router):
    gateway = routed(run, router)
    decision = gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": held_out("sums", 1)[0]}]}).json()
    record = record_of(gateway, decision["decision_id"])
    assert (record["route"], record["charges"], record["attempts"]) == ("route", [], [])
    assert all(record[name] == value for name, value in decision.items() if name not in ("cost", "neighbours"))
    assert record["neighbours"] == decision["neighbours"][:8]


def test_baselines_are_named_and_priced(run, router):
    gateway = routed(run, router)
    record = record_after(gateway, gateway.chat(held_out("poems", 1)[0]))
    best, cheapest = record["baselines"]["always_best"], record["baselines"]["always_cheapest"]
    assert best["expert"] == "sage" and cheapest["expert"] in ("mathy", "poet")
    assert best["usd"] > record["cost"]["spent_usd"] >= cheapest["usd"] > 0


# -- what is kept of a prompt

def test_the_prompt_is_in_no_file_unless_the_setting_allows_it(run, router, tmp_path):
    gateway = routed(run, router, store=str(tmp_path / "frugal.db"))
    record = record_after(gateway, gateway.chat("zanzibar " + held_out("poems", 1)[0]))
    assert "prompt" not in record
    gateway.stop()
    assert all(b"zanzibar" not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("model", ["auto", "mathy"])
def test_the_prompt_is_kept_where_the_setting_says_so(run, router, model):
    gateway = routed(run, router, store={"path": "frugal.db", "keep_prompts": True, "keep_neighbours": 2})
    record = record_after(gateway, gateway.chat("zanzibar is an island", model=model))
    assert "zanzibar is an island" in record["prompt"]
    assert len(record["neighbours"]) == (2 if model == "auto" else 0)


def test_bought_vectors_are_kept_without_the_prompt(run, router):
    upstreams = {name: run.expert(scripts.answer()) for name in PRICES}
    embedder = run.expert(embeddings=router.embeddings)
    entries = {name: expert(upstream, price=PRICES[name]) for name, upstream in upstreams.items()}
    entries["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim))
    gateway = run.gateway(router.config(entries, "remote", store={"path": "frugal.db", "keep_vectors": True}))
    gateway.wait_probed()
    record = record_after(gateway, gateway.chat(held_out("poems", 1)[0]))
    vector = struct.unpack(f"<{router.dim}f", base64.b64decode(record["vectors"]["embedder"]["f32"]))
    assert any(vector) and "prompt" not in record
    assert record["steps"][0]["bought"] == "embedder" and record["steps"][0]["waited_ms"] > 0


# -- lists

def ids(page):
    return [summary["decision_id"] for summary in page["data"]]


def test_pages_are_stable_while_rows_arrive(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    made = [gateway.chat()["x-frugal-decision-id"] for _ in range(7)]
    page = gateway.get("/v1/decisions?limit=3").json()
    seen = ids(page)
    while page["has_more"]:
        gateway.chat()
        page = gateway.get(f"/v1/decisions?limit=3&before={page['last_id']}").json()
        seen += ids(page)
    assert seen == sorted(made, reverse=True)


def test_newer_ones_are_followed_from_an_id_on(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    made = sorted(gateway.chat()["x-frugal-decision-id"] for _ in range(4))
    page = gateway.get(f"/v1/decisions?after={made[0]}&limit=2").json()
    assert (ids(page), page["has_more"], page["last_id"]) == (made[1:3], True, made[2])
    page = gateway.get(f"/v1/decisions?after={made[2]}").json()
    assert (ids(page), page["has_more"]) == (made[3:], False)


def test_a_list_is_filtered_by_all_that_can_be_asked_for(run):
    small, large = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(kept({"small": small, "large": large}))
    gateway.chat(model="small", headers={"x-frugal-tags": "team=a", "x-request-id": "first"})
    gateway.chat(model="large", headers={"x-frugal-tags": "team=b"})
    gateway.chat()
    found = lambda query: sorted(s["expert"] for s in gateway.get("/v1/decisions?" + query).json()["data"])
    assert found("") == ["large", "small", "small"]
    assert found("expert=large") == ["large"] and found("policy=auto") == ["small"]
    assert found("tag=team=a") == ["small"] and found("tag=team%3Db") == ["large"] and found("tag=team=c") == []
    assert found("since=1h") == ["large", "small", "small"] and found("until=1h") == []
    assert found("request_id=first") == ["small"] and found("request_id=nobody") == []


def test_a_summary_carries_the_sums_and_nothing_long(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    answer = gateway.chat()
    summary, = gateway.get("/v1/decisions").json()["data"]
    assert summary["object"] == "decision.summary" and summary["decision_id"] == answer["x-frugal-decision-id"]
    assert summary["cost"]["spent_usd"] == pytest.approx(float(answer["x-frugal-cost-usd"]))
    assert summary["tokens"] == {"input": 10, "output": 20} and summary["response_id"] == "chatcmpl-scripted"
    assert "ranking" not in summary


def test_the_operator_sees_them_on_the_admin_listener(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    made = gateway.chat()["x-frugal-decision-id"]
    assert ids(gateway.get("/v1/decisions?key=", admin=True).json()) == [made]
    assert ids(gateway.get("/v1/decisions?key=somebody", admin=True).json()) == []
    assert gateway.get(f"/v1/decisions/{made}", admin=True).json()["decision_id"] == made


def test_records_are_there_after_a_restart(run, tmp_path):
    upstream = run.expert(scripts.answer())
    gateway = run.gateway(kept(upstream, store=str(tmp_path / "frugal.db")))
    before = record_after(gateway, gateway.chat())
    gateway.stop()
    again = run.gateway(kept(upstream, store=str(tmp_path / "frugal.db")))
    assert again.get(f"/v1/decisions/{before['decision_id']}").json() == before
    assert ids(again.get("/v1/decisions").json()) == [before["decision_id"]]


def test_what_a_crash_left_open_has_a_record_of_what_is_known(run, tmp_path):
    store = {"path": str(tmp_path / "frugal.db"), "durability": "full"}
    silent = run.expert(scripts.silent)
    gateway = run.gateway(kept(silent, store=store))
    wire = gateway.start()
    silent.call()
    gateway.kill()
    wire.close()
    again = run.gateway(kept(silent, store=store))
    summary, = again.get("/v1/decisions").json()["data"]
    record = again.get("/v1/decisions/" + summary["decision_id"]).json()
    assert (record["object"], record["state"], record["status"]) == ("decision", "crashed", None)
    assert record["charges"][0]["fate"] == "crashed" and record["charges"][0]["bound_usd"] > 0


# -- scores

def test_a_score_is_kept_with_the_record_and_replaced_by_the_next(run, router):
    gateway = routed(run, router, store={"path": "frugal.db", "keep_prompts": True})
    made = gateway.chat(held_out("sums", 1)[0])["x-frugal-decision-id"]
    said = gateway.post(f"/v1/decisions/{made}/feedback", {"score": 0.25, "weight": 0.5})
    assert (said.status, said.json()["object"], said.json()["expert"], said.json()["calibrates"]) == (200, "feedback", "mathy", True)
    assert gateway.post(f"/v1/decisions/{made}/feedback", {"score": 1}).status == 200
    score, = record_of(gateway, made)["feedback"]
    assert (score["expert"], score["score"], score["weight"], score["calibrates"]) == ("mathy", 1, 1, True)


def test_a_score_of_what_was_not_kept_says_that_it_teaches_nothing(run):
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    said = gateway.post(f"/v1/decisions/{gateway.chat()['x-frugal-decision-id']}/feedback", {"score": 1}).json()
    assert said["calibrates"] is False and "kept" in said["note"]


BAD_SCORES = {
    "nothing": (b"", None), "no score": ({}, "score"), "too good": ({"score": 1.5}, "score"), "a text": ({"score": "1"}, "score"),
    "weight": ({"score": 1, "weight": 0}, "weight"), "unknown": ({"score": 1, "wieght": 1}, "wieght"),
    "no json": (b'{"score":1', None), "twice": (b'{"score":1,"score":0}', "score"), "a list": ([1], None),
}


@pytest.mark.parametrize("case", BAD_SCORES)
def test_a_score_that_cannot_be_understood_is_a_400_that_names_it(run, case):
    body, param = BAD_SCORES[case]
    gateway = run.gateway(kept(run.expert(scripts.answer())))
    said = gateway.post(f"/v1/decisions/{gateway.chat()['x-frugal-decision-id']}/feedback", body)
    assert (said.status, said.error["param"]) == (400, param)


def test_what_brought_no_answer_cannot_be_scored(run, router):
    gateway = run.gateway(kept(run.expert([scripts.refuse(400), scripts.stream_then_cut("a")])))
    failed = gateway.chat()
    with gateway.stream() as cut:
        list(cut)
    record_of(gateway, cut["x-frugal-decision-id"])
    for answer in (failed, cut):
        said = gateway.post(f"/v1/decisions/{answer['x-frugal-decision-id']}/feedback", {"score": 0})
        assert said.status == 400 and "no answer" in said.error["message"]


def test_scores_are_bounded_by_the_day(run):
    gateway = run.gateway(kept(run.expert(scripts.answer()), store={"path": "frugal.db", "feedback_per_day": 2}))
    made = [gateway.chat()["x-frugal-decision-id"] for _ in range(3)]
    said = [gateway.post(f"/v1/decisions/{decision}/feedback", {"score": 1}) for decision in made]
    assert [answer.status for answer in said] == [200, 200, 429]
    assert 0 < int(said[2]["retry-after"]) <= 86400


def test_scores_can_be_refused(run):
    gateway = run.gateway(kept(run.expert(scripts.answer()), store={"path": "frugal.db", "feedback": "off"}))
    said = gateway.post(f"/v1/decisions/{gateway.chat()['x-frugal-decision-id']}/feedback", {"score": 1})
    assert (said.status, said.error["code"]) == (403, "feedback_off")


# -- keys

def two_keys(run, **more):
    """A gateway for two teams, and their keys."""
    ours, theirs = Key("ours", tags="team=us,env=prod", feedback="own"), Key("theirs")
    whole = kept(run.expert(scripts.answer()), keys={"file": "keys.json"}, **more)
    return run.gateway(whole, files={"keys.json": key_file(ours, theirs)}), ours, theirs


def test_a_key_sees_its_own_records_alone_and_the_operator_all(run):
    gateway, ours, theirs = two_keys(run)
    mine = gateway.chat(headers=[*ours.headers, ("x-request-id", "mine")])["x-frugal-decision-id"]
    other = gateway.chat(headers=[*theirs.headers, ("x-request-id", "other")])["x-frugal-decision-id"]
    assert gateway.get(f"/v1/decisions/{mine}", headers=ours.headers).json()["key"] == "ours"
    for query, found in (("", [mine]), ("?request_id=other", []), ("?request_id=mine", [mine]),
                         ("?response_id=chatcmpl-scripted", [mine]), (f"?after={min(mine, other)[:14]}", [mine])):
        listed = gateway.get("/v1/decisions" + query, headers=ours.headers).json()
        assert "theirs" not in str(listed) and other not in str(listed)
        assert ids(listed) == found
    assert sorted(ids(gateway.get("/v1/decisions", admin=True).json())) == sorted([mine, other])
    assert ids(gateway.get("/v1/decisions?key=theirs", admin=True).json()) == [other]


def test_another_keys_record_is_answered_like_one_that_is_not_there(run):
    gateway, ours, theirs = two_keys(run)
    other = gateway.chat(headers=theirs.headers)["x-frugal-decision-id"]
    body = lambda answer, decision: (answer.status, answer.body.replace(decision.encode(), b"ID"))
    foreign, absent = other, other[:-1] + ("0" if other[-1] != "0" else "1")
    for ask in (lambda decision: gateway.get(f"/v1/decisions/{decision}", headers=ours.headers),
                lambda decision: gateway.post(f"/v1/decisions/{decision}/feedback", {"score": 1}, headers=ours.headers)):
        assert body(ask(foreign), foreign) == body(ask(absent), absent)
        assert ask(foreign).status == 404
    assert gateway.get(f"/v1/decisions/{other}", admin=True).json()["feedback"] == []


def test_records_ask_for_a_key_where_there_are_keys(run):
    gateway, _, _ = two_keys(run)
    for answer in (gateway.get("/v1/decisions"), gateway.get("/v1/decisions/x"),
                   gateway.post("/v1/decisions/x/feedback", {"score": 1})):
        assert answer.status == 401


def test_tags_of_a_key_stand_in_the_place_of_the_requests_own(run):
    gateway, ours, _ = two_keys(run)
    answer = gateway.chat(headers=[*ours.headers, ("x-frugal-tags", "team=somebody,job=nightly")])
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", headers=ours.headers).json()
    assert record["tags"] == {"env": "prod", "job": "nightly", "team": "us"}


def test_a_key_says_whether_its_scores_are_taken(run):
    gateway, ours, theirs = two_keys(run)
    for key, status in ((ours, 200), (theirs, 403)):
        made = gateway.chat(headers=key.headers)["x-frugal-decision-id"]
        assert gateway.post(f"/v1/decisions/{made}/feedback", {"score": 1}, headers=key.headers).status == status


def test_each_key_has_its_own_number_of_scores(run):
    gateway, ours, _ = two_keys(run, store={"path": "frugal.db", "feedback_per_day": 1})
    made = [gateway.chat(headers=ours.headers)["x-frugal-decision-id"] for _ in range(2)]
    assert [gateway.post(f"/v1/decisions/{decision}/feedback", {"score": 1}, headers=ours.headers).status
            for decision in made] == [200, 429]


# -- a store that is slow

def test_a_client_that_leaves_while_the_reader_has_its_question_takes_nothing_along(run, tmp_path):
    database = tmp_path / "frugal.db"
    gateway = run.gateway(kept(run.expert(scripts.answer()), store=str(database)))
    first = gateway.chat()["x-frugal-decision-id"]
    record_of(gateway, first)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # what is put from now on cannot be committed, and questions wait for it
        gateway.chat()
        for method, target, body in (("GET", "/v1/decisions", None), ("GET", f"/v1/decisions/{first}", None),
                                     ("POST", f"/v1/decisions/{first}/feedback", {"score": 1})):
            wire = gateway.connect()
            wire.send(request_bytes(method, target, (), json.dumps(body).encode() if body else None))
            wire.close()
            gateway.log.wait(event="request", path=target, method=method, result="client_gone")
        other.execute("ROLLBACK")
    eventually(lambda: len(gateway.get("/v1/decisions").json()["data"]) == 2, "both decisions are there")


def test_a_question_waits_for_what_was_put_before_it(run, tmp_path):
    database = tmp_path / "frugal.db"
    gateway = run.gateway(kept(run.expert(scripts.answer()), store={"path": str(database), "commit_ms": 60000}))
    made = [gateway.chat()["x-frugal-decision-id"] for _ in range(3)]
    assert ids(gateway.get("/v1/decisions").json()) == sorted(made, reverse=True)


# -- as described

@pytest.fixture(scope="module")
def described():
    """Asserts that a document is what openapi.yaml calls by that name, and that no member of it is left undescribed."""
    spec = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "openapi.yaml").read_text())

    def follow(node):
        while "$ref" in node:
            found = spec
            for key in node["$ref"][2:].split("/"):
                found = found[key]
            node = found
        return node

    def members(node):
        """The described members of an object, those of its allOf put together: name to list of schemas."""
        node = follow(node)
        found = {name: [schema] for name, schema in node.get("properties", {}).items()}
        for part in node.get("allOf", []):
            for name, schemas in members(part).items():
                found.setdefault(name, []).extend(schemas)
        return found

    def undescribed(value, nodes, at=""):
        nodes = [follow(node) for node in nodes]
        if isinstance(value, list):
            items = [node["items"] for node in nodes if "items" in node]
            return [name for element in value for name in undescribed(element, items, at + "[]")]
        if not isinstance(value, dict) or any("additionalProperties" in node for node in nodes):
            return []
        known = {}
        for node in nodes:
            for name, schemas in members(node).items():
                known.setdefault(name, []).extend(schemas)
        return [f"{at}.{name}" for name in value if name not in known] + [
            name for key, inner in value.items() if key in known for name in undescribed(inner, known[key], f"{at}.{key}")]

    def check(document, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
        jsonschema.Draft202012Validator(schema).validate(document)
        assert undescribed(document, [{"$ref": f"#/components/schemas/{name}"}]) == []

    return check


def test_records_are_as_openapi_describes_them(run, router, described):
    gateway = routed(run, router, store={"path": "frugal.db", "keep_prompts": True})
    answers = [gateway.chat(held_out("poems", 1)[0], headers={"x-frugal-tags": "a=b", "x-frugal-budget-usd": "0.01"}),
               gateway.chat(model="mathy")]
    scored = gateway.post(f"/v1/decisions/{answers[0]['x-frugal-decision-id']}/feedback", {"score": 1}).json()
    for answer in answers:
        described(record_after(gateway, answer), "Record")
    described(scored, "Feedback")
    described(gateway.get("/v1/decisions").json(), "DecisionList")
    described(gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": "a sum"}]}).json(), "Decision")


def test_records_of_what_went_wrong_are_as_openapi_describes_them_too(run, described, tmp_path):
    upstream = run.expert([scripts.refuse(500), scripts.stream_then_cut("a"), scripts.stream_then_silent("a"), scripts.silent])
    store = {"path": str(tmp_path / "frugal.db"), "durability": "full"}
    gateway = run.gateway(kept(upstream, store=store))
    failed = gateway.chat()
    with gateway.stream() as cut:
        list(cut)
    left = gateway.stream()
    next(left)
    left.close()
    for answer in (failed, cut, left):
        described(record_after(gateway, answer), "Record")
    wire = gateway.start()
    upstream.call(4)
    gateway.kill()
    wire.close()
    again = run.gateway(kept(upstream, store=store))
    crashed, = [s for s in again.get("/v1/decisions").json()["data"] if s["state"] == "crashed"]
    described(again.get("/v1/decisions").json(), "DecisionList")
    record = again.get(f"/v1/decisions/{crashed['decision_id']}").json()
    assert record["state"] == "crashed" and record["charges"]
