"""`prompt_bound: tokenize`: where the bytes of a prompt do not fit, the expert's own tokenizer is asked, and believed within bounds."""

import json

import pytest

from harness import Gate, config, eventually, expert, scripts
from harness.keys import Key, key_file

WORDS = 1000
TEXT = "lengthy " * WORDS  # 8,000 bytes
BY_BYTES = 0.009  # USD, at 1 USD per million: more than its bytes can cost with ten tokens of answer
BY_TOKENS = 0.002  # enough for a token a word, not for its bytes


def budget(usd, on_budget=None):
    return {"x-frugal-budget-usd": str(usd), **({"x-frugal-on-budget": on_budget} if on_budget else {})}


def serve(run, tokenize, chat=None, patience_ms=1000, **more):
    small = run.expert(chat or scripts.answer(prompt=WORDS + 10, output=10), tokenize=tokenize)
    more = {"prompt_bound": "tokenize", "tokenizer_ms": patience_ms, **more}
    gateway = run.gateway(config({"small": expert(small, generator_more=more)}))
    gateway.small = small
    return gateway


def counted(gateway):
    return gateway.small.calls("/tokenize")


def test_a_prompt_that_fits_by_its_tokens_is_answered(run):
    gateway = serve(run, scripts.tokenize())
    answer = gateway.chat(TEXT, headers=budget(BY_TOKENS), max_tokens=10)
    assert answer.status == 200, answer
    call, = counted(gateway)
    assert call.target == "/tokenize" and call.json() == {"content": f"user\n{TEXT}\n"}
    assert gateway.small.call().json()["max_tokens"] == 10
    assert float(answer["x-frugal-cost-usd"]) <= BY_TOKENS


def test_what_fits_by_bytes_is_not_counted_and_neither_is_what_has_no_ceiling(run):
    gateway = serve(run, scripts.tokenize())
    assert gateway.chat(TEXT, headers=budget(BY_BYTES), max_tokens=10).status == 200
    assert gateway.chat(TEXT, max_tokens=10).status == 200
    assert counted(gateway) == []


def test_what_no_count_could_make_fit_is_refused_without_a_question(run):
    gateway = serve(run, scripts.tokenize())
    assert gateway.chat(TEXT, headers=budget(0.00001), max_tokens=10).status == 402
    assert counted(gateway) == []


def test_under_a_keys_budget_it_is_the_same(run):
    key = Key(day_usd=1.5 * BY_TOKENS)
    small = run.expert(scripts.answer(prompt=WORDS, output=10), tokenize=scripts.tokenize())
    gateway = run.gateway(config({"small": expert(small, generator_more={"prompt_bound": "tokenize"})}, keys={"file": "keys.json"}),
                          files={"keys.json": key_file(key)})
    headers = key.headers + [("x-frugal-on-budget", "reject")]
    assert gateway.chat(TEXT, headers=headers, max_tokens=10).status == 200
    assert len(small.calls("/tokenize")) == 1


def test_an_answer_is_not_trimmed_where_the_count_shows_that_it_fits(run):
    gateway = serve(run, scripts.tokenize())
    assert gateway.chat(TEXT, headers=budget(BY_BYTES, "trim"), max_tokens=900).status == 200
    assert gateway.small.call().json()["max_tokens"] == 900
    assert len(counted(gateway)) == 1


def test_a_tokenizer_that_takes_messages_and_tells_a_count(run):
    gateway = serve(run, lambda call: call.answer({"count": WORDS, "max_model_len": 4096, "tokens": [1, 2]}),
                    tokenizer_takes="messages", tokenizer="/tokenize?add_special_tokens=true")
    assert gateway.chat(TEXT, headers=budget(BY_TOKENS), max_tokens=10).status == 200
    call = gateway.small.calls()[0]
    assert call.target == "/tokenize?add_special_tokens=true"
    assert call.json() == {"model": "scripted", "messages": [{"role": "user", "content": TEXT}]}


def test_the_record_says_by_what_the_prompt_was_bounded(run):
    gateway = serve(run, scripts.tokenize())
    for usd, word in ((BY_TOKENS, "tokenize"), (BY_BYTES, "bytes")):
        answer = gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": TEXT}],
                                            "max_tokens": 10}, headers=budget(usd))
        assert answer.status == 200, answer
        ranked, = answer.json()["ranking"]
        assert ranked["prompt_bound"] == word and ranked["worst_usd"] <= usd


FAILING = {
    "refuses": (scripts.refuse(500), "status"),
    "is not there": (None, "status"),
    "cuts the line": (scripts.cut, "cut"),
    "says nonsense": (lambda call: call.answer(b"tokens!"), "invalid"),
    "says something else": (lambda call: call.answer({"length": 7}), "invalid"),
    "counts below zero": (lambda call: call.answer({"count": -7}), "invalid"),
    "counts nothing": (scripts.tokenize(0), "absurd"),
    "counts more than bytes": (lambda call: call.answer({"count": 10**9}), "absurd"),
    "never ends": (lambda call: call.answer(b'{"tokens":[' + b"1," * 1_000_000 + b"1]}"), "too_large"),
    "is slow": (scripts.silent, "timeout_total"),
}


@pytest.mark.parametrize("how", FAILING)
def test_where_the_tokenizer_fails_the_bytes_bind(run, how):
    script, why = FAILING[how]
    gateway = serve(run, script, patience_ms=100 if how == "is slow" else 1000)
    answer = gateway.chat(TEXT, headers=budget(BY_TOKENS), max_tokens=10)
    assert answer.status == 402 and answer.error["code"] == "budget_exceeded"
    assert gateway.log.wait(event="tokenizer_failed")["why"] == why
    assert gateway.small.asked == 0
    assert gateway.chat("short", headers=budget(BY_TOKENS), max_tokens=10).status == 200


def test_who_lies_low_is_booked_as_it_reports_and_barred(run):
    gateway = serve(run, scripts.tokenize(5), chat=scripts.answer(prompt=WORDS, output=10))
    assert gateway.chat(TEXT, headers=budget(0.0005), max_tokens=10).status == 200
    gateway.log.wait(event="over_reservation")
    assert gateway.chat(TEXT, headers=budget(BY_BYTES), max_tokens=10).status == 402
    assert gateway.get("/readyz").json()["barred"] == ["small"]


UNSEEN = {
    "an image": [{"role": "user", "content": [{"type": "text", "text": TEXT},
                                              {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}],
    "a tool call": [{"role": "user", "content": TEXT},
                    {"role": "assistant", "content": "", "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "c", "content": "7"}],
}


@pytest.mark.parametrize("what", UNSEEN)
def test_a_conversation_that_the_tokenizer_would_not_see_whole_is_bound_by_its_bytes(run, what):
    gateway = serve(run, scripts.tokenize(5), image_tokens=10)
    answer = gateway.chat(UNSEEN[what], headers=budget(BY_TOKENS), max_tokens=10)
    assert answer.status == 402
    assert counted(gateway) == []


def test_tools_stay_bound_by_their_bytes(run):
    gateway = serve(run, scripts.tokenize())
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 1000}}]
    assert gateway.chat(TEXT, headers=budget(0.003), tools=tools, max_tokens=10).status == 402
    assert gateway.chat(TEXT, headers=budget(0.004), tools=tools, max_tokens=10).status == 200
    assert "tools" not in counted(gateway)[0].json() and len(counted(gateway)) == 2


def test_a_client_that_leaves_while_it_is_counted_ends_the_question(run):
    gateway = serve(run, scripts.silent)
    wire = gateway.start(TEXT, headers=budget(BY_TOKENS), max_tokens=10)
    call = gateway.small.call(path="/tokenize")
    wire.close()
    call.wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"
    assert gateway.small.asked == 0
    eventually(lambda: gateway.metrics().value("frugal_requests_in_flight") == 0, "nothing is in flight")


def test_others_are_served_while_one_is_counted(run):
    gate = Gate()

    def slow(call):
        call.wait(gate)
        call.answer({"count": WORDS})

    small = run.expert(scripts.answer(), tokenize=slow)
    gateway = run.gateway(config({"small": expert(small, generator_more={"prompt_bound": "tokenize", "tokenizer_ms": 1000})},
                                 workers=1))
    wire = gateway.start(TEXT, headers=budget(BY_TOKENS), max_tokens=10)
    small.call(path="/tokenize")
    assert gateway.chat("short").status == 200
    gate.open()
    assert wire.read_head() is not None
    assert json.loads(small.call(2).body)["messages"][0]["content"] == TEXT
