"""Pages in a browser: OPTIONS, and who may read what; paths and methods that are not there."""

import pytest

from harness import config, expert, scripts
from harness.gateway import run_frugald

PAGE = "https://app.example:8443"


def front(run, **more):
    return run.gateway(config({"small": expert(run.expert(scripts.answer()))}, **more))


def preflight(gateway, origin, path="/v1/chat/completions"):
    return gateway.request("OPTIONS", path, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-frugal-budget-usd"})


def test_a_page_of_an_allowed_origin_may_ask(run):
    gateway = front(run, cors=["https://other.example", PAGE])
    answer = preflight(gateway, PAGE)
    assert (answer.status, answer.body) == (204, b"")
    assert answer["access-control-allow-origin"] == PAGE and answer["vary"] == "origin"
    assert answer["access-control-allow-methods"] == "POST, OPTIONS"
    assert answer["access-control-allow-headers"] == "authorization,content-type,x-frugal-budget-usd"
    answer = gateway.chat(headers={"Origin": PAGE})
    assert answer.status == 200
    assert (answer["access-control-allow-origin"], answer["access-control-expose-headers"]) == (PAGE, "*")
    assert gateway.chat(model="nobody", headers={"Origin": PAGE})["access-control-allow-origin"] == PAGE
    with gateway.stream(headers={"Origin": PAGE}) as stream:
        assert stream["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("cors", [None, [], ["https://other.example"]])
def test_a_page_of_another_origin_may_not(run, cors):
    gateway = front(run, **({} if cors is None else {"cors": cors}))
    answer = preflight(gateway, PAGE)
    assert answer.status == 204 and answer["allow"] == "POST, OPTIONS"
    assert answer.get("access-control-allow-origin") is None
    assert gateway.chat(headers={"Origin": PAGE}).get("access-control-allow-origin") is None


def test_all_pages_may_where_it_is_said(run):
    gateway = front(run, cors=["*"])
    assert preflight(gateway, "null")["access-control-allow-origin"] == "null"
    assert gateway.get("/v1/models").get("access-control-allow-origin") is None


def test_an_origin_that_is_none_is_refused(run):
    for origin in ("app.example", "https://app.example/", "https://", 3):
        ran = run_frugald("--check-config", config=config({"small": expert("http://127.0.0.1:1/v1")}, cors=[origin]))
        assert ran.returncode != 0 and "/cors/0" in ran.err


@pytest.mark.parametrize("method, path, status, allow", [
    ("GET", "/v1/none", 404, None), ("OPTIONS", "/v1/none", 404, None), ("DELETE", "/v1/models", 405, "GET, HEAD, OPTIONS"),
    ("GET", "/v1/chat/completions", 405, "POST, OPTIONS"), ("PUT", "/v1/embeddings", 405, "POST, OPTIONS"),
    ("GET", "/v1/responses", 405, "POST, OPTIONS")])
def test_what_is_not_there_is_said_in_the_shape_of_errors(run, method, path, status, allow):
    answer = front(run).request(method, path)
    assert answer.status == status and answer.get("allow") == allow and answer["x-request-id"]
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_on_anthropics_path_in_anthropics_shape(run):
    gateway = front(run)
    answer = gateway.get("/v1/messages")
    assert (answer.status, answer["allow"]) == (405, "POST, OPTIONS")
    assert answer.json()["type"] == "error" and answer.json()["error"]["type"] == "invalid_request_error"
    assert gateway.get("/v1/messages/batches").json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small", "/healthz"])
def test_head_is_get_without_its_body(run, path):
    gateway = front(run)
    head, got = gateway.request("HEAD", path), gateway.get(path)
    assert head.status == got.status == 200 and head.body == b"" and head["content-length"] == got["content-length"]
