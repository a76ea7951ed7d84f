"""An expert with several endpoints: they take turns, and one that is down is made good by another."""

from harness import config, expert, scripts

NOWHERE = "http://127.0.0.1:9/v1"


def several(*endpoints):
    entry = expert(NOWHERE)
    entry["endpoints"] = list(endpoints)
    return entry


def test_endpoints_take_turns(run):
    one, two = run.expert(scripts.answer("one")), run.expert(scripts.answer("two"))
    gateway = run.gateway(config({"small": several(one.url, two.url)}))
    for _ in range(4):
        assert gateway.chat().status == 200
    assert (one.asked, two.asked) == (2, 2)


def test_another_endpoint_is_asked_before_another_expert(run):
    up, large = run.expert(scripts.answer("up")), run.expert(scripts.answer("large"))
    gateway = run.gateway(config({"small": several(NOWHERE, up.url), "large": expert(large)}))
    answers = [gateway.chat() for _ in range(4)]
    assert {(answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) for answer in answers} == \
        {(200, "small", "no_bundle")}
    assert large.asked == 0
    assert gateway.metrics().value("frugal_failovers_total") == 0


def test_an_expert_asked_by_name_has_its_other_endpoints_too(run):
    up = run.expert(scripts.answer("up"))
    gateway = run.gateway(config({"small": several(NOWHERE, up.url)}))
    assert [gateway.chat(model="small").status for _ in range(4)] == [200] * 4


def test_when_every_endpoint_is_down_the_next_expert_is_asked(run):
    large = run.expert(scripts.answer("large"))
    gateway = run.gateway(config({"small": several(NOWHERE, NOWHERE), "large": expert(large)}))
    answer = gateway.chat()
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "large", "failover")


def test_endpoints_are_tried_within_the_limit_of_attempts(run):
    gateway = run.gateway(config({"small": several(*[NOWHERE] * 8)}, limits={"attempts": 2}))
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (502, "expert_unreachable")
    assert gateway.log.wait(event="request")["attempts"] == "2"
