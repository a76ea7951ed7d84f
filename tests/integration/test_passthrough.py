"""The body reaches the expert byte for byte but for what is ours, and the answer comes back the same way."""

import base64
import hashlib
import json
import random

import pytest

from harness import Response, config, eventually, expert, scripts
from harness.wire import request_bytes

ODD = (b' {\t"messages" :[ {"role":"user",\n"content":"caf\\u00e9 \\/ \xc3\xa9 \\ud83d\\ude00"} ] ,"model":\t%s ,'
       b'"x_unknown" : {"deep":[1e400, 0.10,-0,  {"a":"\\u0000"}]}, "temperature":0.70,"tools":[]  }\r\n')


@pytest.mark.parametrize("model", ["auto", "small"])
def test_a_body_reaches_the_expert_with_only_its_model_replaced(run, model):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.post("/v1/chat/completions", ODD % json.dumps(model).encode())
    assert answer.status == 200, answer
    assert small.call().body == ODD % b'"scripted"'


def test_a_key_written_with_escapes_is_the_same_key(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"mo\\u0064el":"small","messages":[{"role":"user","content":"x"}]}'
    assert gateway.post("/v1/chat/completions", body).status == 200
    assert small.call().body == body.replace(b'"small"', b'"scripted"')


def test_our_own_object_is_taken_out_and_nothing_else(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"a":1, "frugal" : {"value_usd": 0.5} ,"messages":[{"role":"user","content":"x"}],"model":"auto"}'
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status == 200, answer
    sent = json.loads(small.call().body)
    assert sent == {"a": 1, "messages": [{"role": "user", "content": "x"}], "model": "scripted"}


@pytest.mark.parametrize("body", [
    b'{"frugal":{"value_usd":1},"model":"auto","messages":[{"role":"user","content":"x"}]}',
    b'{"model":"auto","messages":[{"role":"user","content":"x"}],"frugal":{"value_usd":1}}',
    b'{"model":"auto","frugal":{},"messages":[{"role":"user","content":"x"}]}',
], ids=["first", "last", "between"])
def test_taking_our_object_out_leaves_good_json(run, body):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.post("/v1/chat/completions", body).status == 200
    assert set(json.loads(small.call().body)) == {"model", "messages"}


IMAGE = base64.b64encode(random.Random(1).randbytes(7_500_000))
# What no gateway may tidy up: unknown members, numbers that no double holds, escapes, blanks, nesting, a key that is empty.
CLUTTER = (b'"x_numbers":[1e400, -0.0,0.10, 123456789012345678901234567890 ,1E+2], "" :null,\t"x_text" : "\\u0041\\/\\b\\ud83d\\ude00 \xf0\x9f\x98\x80",'
           b'"x_deep":' + b"[" * 60 + b'{"a" : {}}' + b"]" * 60 + b'\n,\r\n"x_empty":[ ],"x_again":1,"x_again":2')
LARGE = {
    "/v1/chat/completions": b' {%s , "model" : "small","messages":[{"role":"user","content":[{"type":"image_url","image_url":'
                            b'{"url":"data:image/png;base64,%s", "detail":"high"}} , {"type":"text","text":"caf\\u00e9"}]}]}\n',
    "/v1/completions": b'{%s,"model":"small","prompt":"%s"}',
}


@pytest.mark.parametrize("path", LARGE)
def test_ten_megabytes_of_base64_amid_clutter_pass_byte_for_byte(run, path):
    up = run.expert(scripts.answer(), completions=scripts.complete())
    gateway = run.gateway(up)
    body = LARGE[path] % (CLUTTER, IMAGE)
    assert len(body) > 10_000_000
    assert gateway.post(path, body).status == 200
    (call,) = up.calls()
    assert hashlib.sha256(call.body).digest() == hashlib.sha256(body.replace(b'"small"', b'"scripted"', 1)).digest()


TRANSLATED = {
    "/v1/messages": b'{%s,"model":"small","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":'
                    b'{"type":"base64","media_type":"image/png","data":"%s"}}]}]}',
    "/v1/responses": b'{%s,"model":"small","input":[{"role":"user","content":[{"type":"input_image","image_url":'
                     b'"data:image/png;base64,%s"}]}]}',
}


@pytest.mark.parametrize("path", TRANSLATED)
def test_ten_megabytes_are_translated_without_a_byte_of_a_value_changed(run, path):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.post(path, TRANSLATED[path] % (CLUTTER, IMAGE))
    assert answer.status == 200, answer
    sent = small.call().body
    assert b'"url":"data:image/png;base64,%s"' % IMAGE in sent
    for value in [b"[1e400, -0.0,0.10, 123456789012345678901234567890 ,1E+2]", b'"\\u0041\\/\\b\\ud83d\\ude00 \xf0\x9f\x98\x80"']:
        assert value in sent


@pytest.mark.parametrize("path", TRANSLATED)
def test_a_client_that_leaves_while_its_body_is_translated_is_let_go(run, path):
    """The pool reads the body still: it must not be freed under it. More of them than the pool has threads."""
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = TRANSLATED[path] % (CLUTTER, IMAGE)
    for _ in range(8):
        with gateway.connect() as wire:
            wire.send(request_bytes("POST", path, body=body))
    assert gateway.log.wait(count=8, event="request")
    assert gateway.post(path, TRANSLATED[path] % (CLUTTER, b"aGk=")).status == 200
    eventually(lambda: gateway.metrics().value("frugal_requests_in_flight") == 0, "nothing is in flight")


def test_a_body_in_single_bytes_is_the_same_body(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"model":"small","messages":[{"role":"user","content":"caf\xc3\xa9 \\u00e9"}]}'
    raw = request_bytes("POST", "/v1/chat/completions", body=body)
    with gateway.connect() as wire:
        for n in range(len(raw)):
            wire.send(raw[n:n + 1])
        assert Response(wire).status == 200
    assert small.call().body == body.replace(b'"small"', b'"scripted"')


def test_a_chunked_request_is_understood(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    pieces = [b'{"model":"sm', b'all","messages":[{"role":"user","con', b'tent":"x"}]}']
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {
            "Transfer-Encoding": "chunked", "Content-Type": "application/json"}))
        for piece in pieces:
            wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        assert Response(wire).status == 200
    assert small.call().body == b"".join(pieces).replace(b'"small"', b'"scripted"')


def test_a_client_that_waits_for_100_continue_gets_it(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"model":"small","messages":[{"role":"user","content":"x"}]}'
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {
            "Expect": "100-continue", "Content-Length": str(len(body))}))
        assert wire.read_head().start.startswith("HTTP/1.1 100")
        wire.send(body)
        assert Response(wire).status == 200


def test_one_connection_serves_many_requests(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    with gateway.connect() as wire:
        answers = [gateway.request("GET", "/v1/models", wire=wire) if n % 3 == 2 else
                   gateway.request("POST", "/v1/chat/completions", wire=wire,
                                   body={"model": "small", "messages": [{"role": "user", "content": f"{n}"}]})
                   for n in range(30)]
    assert [answer.status for answer in answers] == [200] * 30


def test_the_connection_to_an_expert_is_kept(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, workers=1))
    for n in range(10):
        assert gateway.chat(f"{n}").status == 200
    assert len({id(call.wire) for call in small.calls()}) == 1


def test_an_answer_comes_back_with_only_its_cost_added(run):
    odd = (b'{"id":"x" ,"odd":[ 1,2.50,1e3],"choices":[{"index":0,"message":{"role":"assistant","content":'
           b'"\\u00e9\\/","refusal":null},"finish_reason":"stop"}], "usage":{"prompt_tokens":10 ,'
           b'"completion_tokens":20,"total_tokens":30,"x":{"y":[]}},"tail":true}')
    small = run.expert(lambda call: call.answer(odd))
    gateway = run.gateway(small)
    answer = gateway.chat()
    got = answer.json()
    assert got["usage"].pop("cost") == pytest.approx(50e-6)
    assert got["usage"].pop("cost_details")["decision_id"] == answer["x-frugal-decision-id"]
    assert got == json.loads(odd)
    assert answer.body.startswith(odd[:odd.index(b'"prompt_tokens"')])
    assert answer.body.endswith(b',"tail":true}')


def test_an_answer_without_usage_comes_back_as_it_is_and_its_cost_is_estimated(run):
    body = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"abc"},"finish_reason":"stop"}]}'
    small = run.expert(lambda call: call.answer(body))
    gateway = run.gateway(small)
    answer = gateway.chat()
    assert answer.status == 200 and answer.body == body
    assert gateway.log.wait(event="request")["estimated"] == "true"


def test_the_experts_own_refusal_of_a_request_reaches_the_client(run):
    refusal = (b'{"error":{"message":"too long for me","type":"invalid_request_error","param":"messages",'
               b'"code":"context_length_exceeded"}}')
    small = run.expert(lambda call: call.answer(refusal, status=400))
    gateway = run.gateway(small)
    answer = gateway.chat()
    assert answer.status == 400
    assert answer.error["code"] == "context_length_exceeded"
    assert answer["x-frugal-error-source"] == "expert"


def test_the_clients_key_and_cookies_stay_here_and_the_experts_own_key_is_sent(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small, key={"env": "SMALL_KEY"})}),
                          env={"SMALL_KEY": "sk-for-the-expert"})
    headers = {"Authorization": "Bearer sk-of-the-client", "Cookie": "session=of-the-client",
               "X-Forwarded-For": "1.2.3.4", "OpenAI-Organization": "org-of-the-client"}
    assert gateway.chat(headers=headers).status == 200
    call = small.call()
    assert call.request["Authorization"] == "Bearer sk-for-the-expert"
    assert b"of-the-client" not in call.raw


def test_without_a_key_no_authorization_is_sent(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers={"Authorization": "Bearer sk-of-the-client"}).status == 200
    assert "Authorization" not in small.call().request


def test_a_request_to_an_expert_has_one_host_one_length_and_no_expect(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    gateway.chat("x" * 2_000_000)
    request = small.call().request
    assert request["Host"] == f"127.0.0.1:{small.port}"
    assert request["Content-Length"] == str(len(small.call().body))
    assert request["Content-Type"] == "application/json"
    assert "Expect" not in request and "Transfer-Encoding" not in request


def test_headers_say_who_answered_and_what_it_cost(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.chat()
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("small", "no_bundle")
    assert answer["x-request-id"] and answer["x-frugal-decision-id"]
    assert float(answer["x-frugal-cost-usd"]) == pytest.approx(50e-6)
    assert float(answer["x-frugal-cost-estimate-usd"]) > 0
    assert answer["Content-Type"] == "application/json"


def test_a_model_that_names_an_expert_goes_straight_to_it(run):
    small, large = run.expert(scripts.answer("small")), run.expert(scripts.answer("large"))
    gateway = run.gateway(config({"small": expert(small), "large": expert(large)}))
    answer = gateway.chat(model="large")
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("large", "direct")
    assert (small.asked, large.asked) == (0, 1)


def test_without_a_bundle_a_policy_serves_its_default(run):
    small, large = run.expert(scripts.answer("small")), run.expert(scripts.answer("large"))
    gateway = run.gateway(config(
        {"small": expert(small), "large": expert(large)},
        policies={"auto": {"value_usd": 0.02, "default": "large", "max_output_tokens": 1000}}))
    answer = gateway.chat()
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("large", "no_bundle")


def test_an_unknown_model_is_a_404_that_names_it(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.chat(model="gpt-17")
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found"
    assert answer.error["param"] == "model"
    assert "gpt-17" in answer.error["message"]
    assert answer["x-frugal-error-source"] == "gateway"
    assert answer["x-request-id"]


def test_every_answer_has_its_own_request_id(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    answers = [gateway.chat() for _ in range(20)] + [gateway.get("/nowhere"), gateway.get("/v1/models"),
                                                     gateway.post("/v1/chat/completions", b"{")]
    assert len({answer["x-request-id"] for answer in answers}) == len(answers)
