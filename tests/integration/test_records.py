"""Records: what was decided and why, what was done, what it cost, found again by whoever may see it."""

import pytest

from harness import config, expert, scripts

BAD_QUERIES = {
    "unknown": ("expret=small", "expret"), "repeated": ("limit=1&limit=2", "limit"), "limit": ("limit=0", "limit"),
    "limit: too many": ("limit=501", "limit"), "limit: words": ("limit=all", "limit"), "since": ("since=yesterday", "since"),
    "until": ("until=2026-02-30", "until"), "tag": ("tag=team", "tag"), "both ways": ("before=a&after=b", "after"),
    "two ids": ("request_id=a&response_id=b", "response_id"), "empty": ("expert=", "expert"), "bare": ("policy", "policy"),
    "key": ("key=somebody", "key"), "escaped": ("%65xpret=1", "expret"),
}


def kept(upstreams, **more):
    """A configuration that keeps records; `upstreams` is one scripted expert or a dict of them."""
    if not isinstance(upstreams, dict):
        upstreams = {"small": upstreams}
    more.setdefault("store", "frugal.db")
    return config({name: expert(upstream) for name, upstream in upstreams.items()}, **more)


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
    assert gateway.request("DELETE", "/v1/decisions/x")["Allow"] == "GET, HEAD"
    assert gateway.get("/v1/decisions/x/feedback").status == 404  # an id may be anything
    assert gateway.request("HEAD", "/v1/decisions").body == b""
