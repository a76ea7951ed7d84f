"""Keys and prompts are nobody's business: not the log's, not an error's, not another expert's."""

import json

from harness import config, expert, run_frugald, scripts

KEY = "sk-very-secret-0123456789"
PROMPT = "zebra umbrella quince"


def keyed(upstream, **more):
    return config({"small": expert(upstream, key={"env": "SMALL_KEY"}), **more.pop("experts", {})},
                  log_level="debug", **more)


def test_the_log_never_has_a_key_or_a_prompt_even_when_all_goes_wrong(run):
    small = run.expert([scripts.answer(), scripts.refuse(401, message=f"bad key {KEY}"), scripts.cut,
                        scripts.stream_then_cut("x"), scripts.refuse(400, message=f"bad prompt {PROMPT}"),
                        scripts.answer()])
    gateway = run.gateway(keyed(small), env={"SMALL_KEY": KEY})
    client_key = {"Authorization": "Bearer sk-client-secret"}
    gateway.chat(PROMPT, headers=client_key)
    gateway.chat(PROMPT, headers=client_key)
    gateway.chat(PROMPT, headers=client_key)
    with gateway.stream(PROMPT, headers=client_key) as stream:
        list(stream)
    gateway.chat(PROMPT)
    gateway.post("/v1/chat/completions", b'{"model":"auto","messages":[{"content":"' + PROMPT.encode() + b'"}')
    gateway.chat(PROMPT, model=f"nobody {KEY}"[:6])
    gateway.reload()
    gateway.log.wait(event="reloaded")
    text = gateway.log.text()
    assert gateway.log.lines(event="request")
    for secret in (KEY, "sk-client-secret", *PROMPT.split()):
        assert secret not in text


def test_a_key_is_sent_to_its_own_expert_only(run):
    small, large = run.expert(scripts.refuse(500)), run.expert(scripts.answer())
    gateway = run.gateway(keyed(small, experts={"large": expert(large)}), env={"SMALL_KEY": KEY})
    assert gateway.chat()["x-frugal-expert"] == "large"
    assert KEY.encode() in small.call().raw
    assert KEY.encode() not in large.call().raw


def test_a_key_from_a_file_is_taken_without_its_line_end(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small, key={"file": "small.key"})}),
                          files={"small.key": KEY + "\n"})
    gateway.chat()
    assert small.call().request["Authorization"] == f"Bearer {KEY}"


def test_the_check_of_a_configuration_shows_no_key():
    ran = run_frugald("--check-config", config=keyed("http://127.0.0.1:9/v1"), env={"SMALL_KEY": KEY})
    assert ran.returncode == 0, ran.err
    assert KEY not in ran.out + ran.err


def test_a_key_that_would_break_out_of_its_header_is_refused_without_being_shown():
    ran = run_frugald("--check-config", config=keyed("http://127.0.0.1:9/v1"),
                      env={"SMALL_KEY": f"{KEY}\r\nX-Evil: 1"})
    assert ran.returncode != 0
    assert "/experts/small/key" in ran.err
    assert KEY not in ran.err


def test_no_answer_and_no_metric_has_a_key(run):
    small = run.expert(scripts.refuse(500))
    gateway = run.gateway(keyed(small), env={"SMALL_KEY": KEY})
    answers = [gateway.chat(), gateway.get("/v1/models"), gateway.get("/readyz"), gateway.get("/healthz"),
               gateway.get("/metrics", admin=True)]
    for answer in answers:
        assert KEY.encode() not in answer.head.raw + answer.body


def test_a_line_of_the_log_cannot_be_forged(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    evil = 'x"\nts=now level=info event=request forged=yes'
    gateway.chat(model=evil)
    gateway.get("/%0aevent=request%20forged=yes")
    gateway.chat(headers={"x-frugal-conversation-id": 'a" forged=yes b="'})
    gateway.log.wait(event="request", count=3)
    assert not gateway.log.lines(forged="yes")


def test_every_line_of_the_log_is_logfmt(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    gateway.chat(model='od"d \\ mo\tdel')
    line = gateway.log.wait(event="request")
    assert json.dumps(line)
    assert all(field in line for field in ("ts", "level", "request_id"))
    for raw in gateway.log.text().splitlines():
        assert raw.startswith("ts=") and "event=" in raw, raw
