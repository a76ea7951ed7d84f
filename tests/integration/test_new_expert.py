"""A new expert: nowhere without rows, explored within bounds with a loan, used where it is better once it has rows."""

import json
import math
import random

import pytest

from harness import config, expert, frugalctl, scripts
from harness.routers import PRICES, held_out, prompt_of

POLICY = {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000}


def gateway_of(run, router, policy=(), newcomer=(), leave_out="", **more):
    answers = {name: run.expert(scripts.answer(f"by {name}")) for name in (*PRICES, "newcomer") if name != leave_out}
    experts = {name: expert(answer, price=PRICES.get(name, (1.0, 2.0))) for name, answer in answers.items()}
    experts["newcomer"].update(dict(newcomer))
    return run.gateway(router.config(experts, policies={"auto": {**POLICY, **dict(policy)}}, **more)), answers


def routed(gateway, prompt, request_id, headers=(), **more):
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}], **more}
    answer = gateway.post("/v1/route", body, headers={"x-request-id": request_id, **dict(headers)})
    assert answer.status == 200, answer
    return answer


def explored(gateway, n, prompts=None, **more):
    """Ids of n requests in which the newcomer stood first."""
    prompts = prompts or held_out("sums", n, seed=11)
    found = []
    for i in range(n):
        answer = routed(gateway, prompts[i % len(prompts)], f"explore-{i}", **more)
        assert (answer["x-frugal-reason"] == "explore") == (answer["x-frugal-expert"] == "newcomer")
        if answer["x-frugal-expert"] == "newcomer":
            found.append(i)
    return found


def test_without_rows_it_is_asked_by_its_name_and_by_no_policy(run, router):
    gateway, answers = gateway_of(run, router, {"explore_percent": 100})
    warned = gateway.log.wait(event="expert_without_rows")
    assert "newcomer" in json.dumps(warned)
    prompts = held_out("sums", 10) + held_out("poems", 10)
    assert "newcomer" not in [gateway.chat(prompt)["x-frugal-expert"] for prompt in prompts]
    assert answers["newcomer"].asked == 0
    answer = gateway.chat(prompts[0], model="newcomer")
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("newcomer", "direct")
    metrics = gateway.metrics()
    assert metrics.value("frugal_expert_rows", expert="mathy") == 500
    assert metrics.value("frugal_expert_rows", expert="newcomer") == 0
    table = frugalctl("experts", "--url", gateway.admin_url()).out
    assert {words[0]: words[1] for words in map(str.split, table.splitlines()) if words and words[0] in answers} == {
        "mathy": "500", "poet": "500", "sage": "500", "newcomer": "0"}


def test_without_rows_it_does_not_stand_in_for_those_that_failed(run, router):
    answers = {name: run.expert(scripts.refuse(500)) for name in PRICES}
    answers["newcomer"] = run.expert(scripts.answer("by newcomer"))
    experts = {name: expert(answer, price=PRICES.get(name, (1.0, 2.0))) for name, answer in answers.items()}
    gateway = run.gateway(router.config(experts, policies={"auto": POLICY}))
    assert gateway.chat(held_out("poems", 1)[0]).status >= 500
    assert answers["newcomer"].asked == 0


def test_a_loan_alone_chooses_nobody(run, router):
    gateway, _ = gateway_of(run, router, newcomer={"prior_like": "mathy"})
    assert explored(gateway, 40) == []
    said = routed(gateway, held_out("sums", 1)[0], "a").json()
    lent = {one["expert"]: one for one in said["unexplored"]}["newcomer"]
    old = {one["expert"]: one for one in said["ranking"]}["mathy"]
    assert (lent["lent"], lent["lent_by"], lent["known"]) == (1, "mathy", 0)
    assert lent["quality"] == pytest.approx(old["quality"]) and lent["quality_se"] > 2 * old["quality_se"]
    assert "newcomer" not in [one["expert"] for one in said["ranking"]]


def test_it_is_explored_in_no_more_than_its_share_of_requests_and_the_same_ones_again(run, router):
    n, share = 400, 0.2
    gateway, _ = gateway_of(run, router, {"explore_percent": 100 * share}, {"prior_like": "mathy"})
    found = explored(gateway, n)
    # three standard deviations of a binomial; the ids are fixed, and so is what becomes of them
    assert abs(len(found) - share * n) <= 3 * math.sqrt(n * share * (1 - share))
    assert explored(gateway, n) == found
    smaller, _ = gateway_of(run, router, {"explore_percent": 5}, {"prior_like": "mathy"})
    fewer = explored(smaller, n)
    assert 0 < len(fewer) < len(found) and set(fewer) <= set(found)
    none, _ = gateway_of(run, router, {"explore_percent": 0}, {"prior_like": "mathy"})
    assert explored(none, 50) == []


def test_only_where_the_loan_says_that_it_may_be_best(run, router):
    gateway, _ = gateway_of(run, router, {"explore_percent": 100}, {"prior_like": "mathy"})
    assert len(explored(gateway, 20, held_out("sums", 20))) == 20
    assert explored(gateway, 20, held_out("poems", 20)) == []  # mathy knows nothing of poems


def test_exploration_is_counted_and_recorded_with_its_own_word(run, router):
    gateway, answers = gateway_of(run, router, {"explore_percent": 100}, {"prior_like": "mathy"},
                                  store={"path": "frugal.db"})
    answer = gateway.chat(held_out("sums", 1)[0], headers={"x-frugal-explain": "true"})
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("newcomer", "explore")
    assert answers["newcomer"].asked == 1
    assert gateway.metrics().value("frugal_decisions_total", expert="newcomer", reason="explore") == 1
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}").json()
    first = record["ranking"][0]
    assert (record["reason"], first["expert"], first["lent"], first["lent_by"]) == ("explore", "newcomer", 1, "mathy")
    assert "100 % lent by mathy" in frugalctl("why", answer["x-frugal-decision-id"], "--url", f"http://127.0.0.1:{gateway.port}").out


def test_exploration_stays_below_the_ceiling_and_within_what_is_allowed(run, router):
    gateway, answers = gateway_of(run, router, {"explore_percent": 100, "budget_usd": 0.001},
                                  {"prior_like": "mathy", "generator": {
                                      "model": "scripted", "price": {"input": 900.0, "output": 9000.0}}})
    assert explored(gateway, 10) == []  # it may cost more than a request may
    gateway, answers = gateway_of(run, router, {"explore_percent": 100}, {"prior_like": "mathy"})
    for headers in ({"x-frugal-experts": "mathy,poet"}, {"x-frugal-experts": "poet,sage"}):
        assert explored(gateway, 10, headers=headers) == []
    narrow, _ = gateway_of(run, router, {"explore_percent": 100, "experts": ["mathy", "poet"]},
                           {"prior_like": "mathy"})
    assert explored(narrow, 10) == []
    ruled, _ = gateway_of(run, router, {"explore_percent": 100}, {"prior_like": "mathy"},
                          rules=[{"name": "no", "when": {"regex": "."}, "deny": ["newcomer"]}])
    assert explored(ruled, 10) == []


def test_a_lender_may_have_left_the_configuration_and_one_without_rows_is_said(run, router):
    gateway, _ = gateway_of(run, router, {"explore_percent": 100, "default": "poet"}, {"prior_like": "mathy"},
                            leave_out="mathy")
    assert len(explored(gateway, 10)) == 10
    gateway, _ = gateway_of(run, router, {"explore_percent": 100}, {"prior_like": "nobody"})
    assert "nobody" in json.dumps(gateway.log.wait(event="prior_like_without_rows"))
    assert explored(gateway, 10) == []


# -- rows ----------------------------------------------------------------------------------------------------------

N, ASKED = 300, 100
SPECIALIST = {"sums": 0.05, "poems": 0.95}
OLD = {"mathy": {"sums": 0.95, "poems": 0.35}, "poet": {"sums": 0.35, "poems": 0.5}, "sage": {"sums": 0.6, "poems": 0.55}}


def skilled(skill):
    """Right or wrong by its skill in the prompt's domain, always the same on the same prompt."""
    def script(call):
        prompt = call.json()["messages"][-1]["content"]
        domain = "sums" if any(c.isdigit() for c in prompt) else "poems"
        right = random.Random(f"{prompt}{sorted(skill.items())}").random() < skill[domain]
        call.answer(scripts.completion("right" if right else "wrong"))
    return script


def test_a_fourth_expert_with_a_hundred_rows_is_used_where_it_is_better(run, tmp_path):
    draw = random.Random(4)
    prompts = [{"id": f"p{i}", "prompt": prompt_of(("sums", "poems")[i % 2], draw),
                "domain": ("sums", "poems")[i % 2], "reference": "right", "grade": "exact"} for i in range(N)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    servers = {name: run.expert(skilled(skill)) for name, skill in OLD.items()}

    def written(more=()):
        whole = config({name: expert(server, price=(1.0, 2.0)) for name, server in {**servers, **dict(more)}.items()},
                       policies={"auto": {"value_usd": 1, "default": "sage", "max_output_tokens": 1000}},
                       embedders=["surface", "lexical"], bundle=str(tmp_path / "bundle.frugal"))
        (tmp_path / "config.json").write_text(json.dumps(whole))
        return whole

    ask = ("calibrate", "--config", tmp_path / "config.json", "--store", tmp_path / "calib.db", "--prompts",
           tmp_path / "prompts.jsonl", "--max-output-tokens", "100", "--concurrency", "8", "--json")
    written()
    frugalctl(*ask, patience=300)
    before = {name: server.asked for name, server in servers.items()}
    specialist = run.expert(skilled(SPECIALIST))
    whole = written({"specialist": specialist})
    said = json.loads(frugalctl(*ask, "--expert", "specialist", "--limit", str(ASKED), patience=300).out)
    assert said["answered"] == ASKED == specialist.asked
    assert {name: server.asked for name, server in servers.items()} == before
    built = json.loads(frugalctl("build", "--store", tmp_path / "calib.db", "--out", tmp_path / "bundle.frugal",
                                 "--json", patience=300).out)
    assert {one["name"]: one["known_rows"] for one in built["experts"]} == {**dict.fromkeys(OLD, N), "specialist": ASKED}

    gateway = run.gateway(whole)
    decided = {domain: [gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
                                     ).json() for prompt in held_out(domain, 40, seed=3)] for domain in SPECIALIST}
    chosen = {domain: [one["expert"] for one in said] for domain, said in decided.items()}
    assert chosen["poems"].count("specialist") >= 36
    assert chosen["sums"].count("specialist") == 0
    errors = {}
    for one in decided["poems"] + decided["sums"]:
        for ranked in one["ranking"]:
            errors.setdefault(ranked["expert"], []).append(ranked["quality_se"])
    mean = {name: sum(values) / len(values) for name, values in errors.items()}
    assert all(mean["specialist"] > mean[name] for name in OLD), mean
    assert gateway.metrics().value("frugal_expert_rows", expert="specialist") == ASKED
