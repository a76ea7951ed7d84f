"""Errors on every API, in its own shape: the gateway's own told apart from the experts', whose words reach the client."""

import anthropic
import openai
import pytest

from harness import config, expert, scripts
from test_openapi import table

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
APIS = {"chat": ("/v1/chat/completions", CHAT), "completions": ("/v1/completions", {"model": "auto", "prompt": "hello"}),
        "embeddings": ("/v1/embeddings", {"model": "small", "input": "hello"}),
        "responses": ("/v1/responses", {"model": "auto", "input": "hello"}),
        "messages": ("/v1/messages", {**CHAT, "max_tokens": 10})}
every_api = pytest.mark.parametrize("api", APIS)
# What servers in use answer with: the body, and the words in it
BODIES = {
    "openai": ({"error": {"message": "no such thing", "type": "invalid_request_error", "param": "x", "code": "y", "more": 1}},
               "no such thing"),
    "llama.cpp": ({"error": {"code": 400, "message": "no such thing", "type": "invalid_request_error"}}, "no such thing"),
    "ollama": ({"error": "no such thing"}, "no such thing"),
    "old vllm": ({"object": "error", "message": "no such thing", "type": "BadRequestError", "code": 400}, "no such thing"),
    "fastapi": ({"detail": "no such thing"}, "no such thing"),
    "fastapi, validated": ({"detail": [{"type": "value_error", "loc": ["body"], "msg": "no such thing"}]}, "no such thing"),
    "anthropic": ({"type": "error", "error": {"type": "invalid_request_error", "message": "no such thing"}}, "no such thing"),
    "html": (b"<html><body>nginx</body></html>", "status 400"),
    "nothing": (b"", "status 400"),
    "a list": ([1, 2], "status 400"),
    "an error of null": ({"error": None}, "status 400"),
    "an error without words": ({"error": {"code": 7}}, "status 400"),
}


def ask(run, api, script, **more):
    path, body = APIS[api]
    upstream = run.expert(script, script, completions=script)
    gateway = run.gateway(config({"small": expert(upstream, embedding={"model": "e", "dim": 4, "price": 1.0})}, **more))
    return gateway, gateway.post(path, body)


def error_of(api, answer):
    """The error object, after a look at the shape that this API's clients parse blindly."""
    said = answer.json()
    assert answer["content-type"] == "application/json" and answer["x-request-id"]
    if api == "messages":
        assert said["type"] == "error" and isinstance(said["error"]["type"], str)
    assert isinstance(said["error"]["message"], str) and said["error"]["message"]
    return said["error"]


@every_api
@pytest.mark.parametrize("body", BODIES)
def test_an_experts_refusal_reaches_the_client_in_the_shape_of_its_api(run, api, body):
    said, words = BODIES[body]
    _, answer = ask(run, api, lambda call: call.answer(said, status=400))
    assert answer.status == 400 and answer["x-frugal-error-source"] == "expert"
    assert words in error_of(api, answer)["message"]
    own = {"openai", "llama.cpp", "anthropic"} if api != "messages" else {"anthropic"}
    if body in own:
        assert answer.json() == said  # it has the shape: nothing is added or lost
    elif api != "messages":
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.json()["error"]["code"] == "expert_error"


@every_api
@pytest.mark.parametrize("script, status, code", [
    (scripts.refuse(500), 502, "expert_error"), (scripts.refuse(503), 502, "expert_error"),
    (scripts.refuse(429), 503, "expert_busy"), (scripts.refuse(401), 502, "expert_error"),
    (scripts.cut, 502, "expert_broken"), (lambda call: call.answer(b"not json"), 502, "expert_broken")],
    ids=["500", "503", "429", "401", "cut", "not json"])
def test_an_experts_failure_is_told_as_one(run, api, script, status, code):
    _, answer = ask(run, api, script, limits={"attempts": 1})
    shown = 529 if api == "messages" and status == 503 else status
    assert answer.status == shown and answer["x-frugal-error-source"] == "expert"
    assert "small" in error_of(api, answer)["message"]
    if api != "messages":
        assert answer.error["code"] == code


@every_api
def test_the_gateways_own_errors_say_so(run, api):
    path, body = APIS[api]
    gateway, good = ask(run, api, scripts.answer())
    for wrong, status in ((b"{", 400), ({**body, "model": "nobody"}, 404), ({**body, "model": 7}, 400)):
        answer = gateway.request("POST", path, wrong)
        assert answer.status == status and answer["x-frugal-error-source"] == "gateway"
        error_of(api, answer)
    odd = gateway.post(path, body, {"x-frugal-budget": "1"})
    assert odd.status == 400 and odd["x-frugal-error-source"] == "gateway" and "x-frugal-budget" in error_of(api, odd)["message"]


def test_statuses_and_codes_stand_in_one_table():
    rows = table("gateway/domain/api_error.h", "API_ERRORS")
    words = [row[1] for row in rows]
    assert len(set(words)) == len(words)
    for _, word, status, kind, code, fault, *_ in rows[1:]:
        assert 400 <= int(status) <= 599, word
        assert kind, word
        assert (fault == "CALLER") <= (int(status) < 500), word
        assert (fault in ("EXPERT", "GATEWAY")) <= (int(status) >= 500), word


def sdk_of(gateway, **options):
    return openai.OpenAI(**{"base_url": f"http://127.0.0.1:{gateway.port}/v1", "api_key": "sk-any", "max_retries": 0,
                            "timeout": 60, **options})


def test_every_class_of_errors_of_openais_sdk(run):
    """Each raised by the gateway itself or by what it passes on, but for 409, which nothing here means."""
    from harness.keys import Key, key_file
    key = Key("team", requests_per_minute=6, feedback="off")
    small = run.expert([scripts.refuse(422), scripts.cut])
    gateway = run.gateway(config({"small": expert(small)}, keys={"file": "keys.json"}, limits={"attempts": 1},
                                 store={"path": "frugal.db"}), files={"keys.json": key_file(key)})
    sdk = sdk_of(gateway, api_key=key.secret)
    with pytest.raises(openai.AuthenticationError):
        sdk_of(gateway, api_key="sk-wrong").models.list()
    with pytest.raises(openai.PermissionDeniedError):
        sdk.post("/decisions/dec_x/feedback", body={"score": 1}, cast_to=object)
    with pytest.raises(openai.UnprocessableEntityError):
        sdk.chat.completions.create(**CHAT)
    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(**CHAT)
    with pytest.raises(openai.RateLimitError) as limited:
        for _ in range(7):
            sdk.models.list()
    assert int(limited.value.response.headers["retry-after"]) > 0
    with pytest.raises(openai.APIConnectionError):
        sdk_of(gateway, base_url="http://127.0.0.1:1/v1").models.list()


def test_what_the_sdk_says_of_an_answer_that_is_not_whole(run):
    """Parsed answers: cut off by the limit, and by a filter."""
    import pydantic

    class Place(pydantic.BaseModel):
        name: str

    for finish, error in (("length", openai.LengthFinishReasonError), ("content_filter", openai.ContentFilterFinishReasonError)):
        answer = scripts.completion("{")
        answer["choices"][0]["finish_reason"] = finish
        gateway = run.gateway(run.expert(lambda call, answer=answer: call.answer(answer)))
        with pytest.raises(error):
            sdk_of(gateway).chat.completions.parse(**CHAT, response_format=Place)


@pytest.mark.parametrize("status, error", [
    (400, anthropic.BadRequestError), (422, anthropic.UnprocessableEntityError), (500, anthropic.InternalServerError),
    (503, anthropic.InternalServerError)])
def test_classes_of_errors_of_anthropics_sdk(run, status, error):
    gateway = run.gateway(run.expert(scripts.refuse(status)))
    with pytest.raises(error) as raised:
        anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="k", max_retries=0).messages.create(
            **CHAT, max_tokens=5)
    assert raised.value.body["type"] == "error"
