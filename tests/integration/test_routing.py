"""From outcomes to a bundle to a routed answer: the main job, end to end."""

import json

import pytest

from harness import config, embedding, expert, frugalctl, scripts
from harness.routers import PER_DOMAIN, PRICES, held_out


def three(run):
    return {name: run.expert(scripts.answer(f"by {name}")) for name in PRICES}


def entries(upstreams):
    return {name: expert(upstream, price=PRICES[name]) for name, upstream in upstreams.items()}


def policies(**more):
    return {"auto": {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000},
            "best": {"value_usd": 1000, "default": "mathy", "max_output_tokens": 1000}, **more}


@pytest.mark.parametrize("bundle", ["builtin", "lexical"])
def test_each_kind_of_prompt_goes_to_the_expert_that_is_good_at_it(run, router, bundle):
    gateway = run.gateway(router.config(entries(three(run)), bundle, policies=policies()))
    chosen = {domain: [gateway.chat(prompt)["x-frugal-expert"] for prompt in held_out(domain, 25)]
              for domain in ("sums", "poems")}
    assert chosen["sums"].count("mathy") >= 24
    assert chosen["poems"].count("poet") >= 24


def test_a_routed_answer_says_why(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("poet", "routed")
    assert 0.7 < float(answer["x-frugal-predicted-quality"]) <= 1.0
    assert set(answer["x-frugal-queried"].replace(" ", "").split(",")) <= {"surface", "lexical"}
    assert float(answer["x-frugal-cost-estimate-usd"]) > 0
    line = gateway.log.wait(event="request")
    assert (line["expert"], line["reason"]) == ("poet", "routed")
    assert float(line["predicted_quality"]) == pytest.approx(float(answer["x-frugal-predicted-quality"]), abs=1e-3)


def test_what_a_right_answer_is_worth_decides_for_the_dear_expert(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    prompts = held_out("sums", 10) + held_out("poems", 10)
    assert [gateway.chat(prompt, model="best")["x-frugal-expert"] for prompt in prompts].count("sage") >= 15
    assert "sage" not in [gateway.chat(prompt)["x-frugal-expert"] for prompt in prompts]
    assert gateway.chat(prompts[0], model="best", headers={"x-frugal-value-usd": "0.02"})["x-frugal-expert"] == "mathy"


def test_a_stream_is_routed_like_a_whole_answer(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    with gateway.stream(held_out("poems", 1)[0]) as stream:
        assert stream["x-frugal-expert"] == "poet"
        assert stream.text() == "by poet"


def test_a_routed_expert_that_fails_is_followed_by_the_next_in_the_ranking(run, router):
    upstreams = {"mathy": run.expert(scripts.answer("by mathy")), "poet": run.expert(scripts.refuse(500)),
                 "sage": run.expert(scripts.answer("by sage"))}
    gateway = run.gateway(router.config(entries(upstreams), policies=policies()))
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("sage", "failover")


def test_a_ceiling_binds_a_routed_request(run, router):
    upstreams = three(run)
    gateway = run.gateway(router.config(entries(upstreams), policies=policies()))
    answer = gateway.chat(held_out("poems", 1)[0], model="best", max_tokens=100,
                          headers={"x-frugal-budget-usd": "0.001", "x-frugal-on-budget": "downgrade"})
    assert (answer.status, answer["x-frugal-expert"]) == (200, "poet")
    assert upstreams["sage"].asked == 0


def test_an_allow_list_binds_a_routed_request(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    answer = gateway.chat(held_out("poems", 1)[0], headers={"x-frugal-experts": "mathy"})
    assert answer["x-frugal-expert"] == "mathy"
    policy = {"narrow": {"value_usd": 0.02, "default": "mathy", "experts": ["mathy"], "max_output_tokens": 1000}}
    gateway = run.gateway(router.config(entries(three(run)), policies=policies(**policy)))
    assert gateway.chat(held_out("poems", 1)[0], model="narrow")["x-frugal-expert"] == "mathy"


def test_a_minimum_quality_buys_the_better_expert(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    answer = gateway.chat(held_out("sums", 1)[0], headers={"x-frugal-min-quality": "0.97"})
    assert answer["x-frugal-expert"] == "sage"


def test_route_gives_the_decision_without_the_generation(run, router):
    upstreams = three(run)
    gateway = run.gateway(router.config(entries(upstreams), policies=policies()))
    prompt = held_out("poems", 1)[0]
    answer = gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": prompt}]})
    assert answer.status == 200, answer
    assert "poet" in json.dumps(answer.json())
    assert answer["x-frugal-expert"] == "poet"
    assert [upstream.asked for upstream in upstreams.values()] == [0, 0, 0]


def test_the_tool_and_the_daemon_decide_alike(run, router, tmp_path):
    whole = router.config(entries(three(run)), policies=policies())
    gateway = run.gateway(whole)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(whole))
    for prompt in held_out("sums", 3, seed=5) + held_out("poems", 3, seed=5):
        said = json.loads(frugalctl("route", "--config", path, prompt, "--json").out)
        answer = gateway.chat(prompt)
        assert said["expert"] == answer["x-frugal-expert"]
        assert said["predicted_quality"] == pytest.approx(float(answer["x-frugal-predicted-quality"]), abs=1e-3)


def test_experts_in_only_one_of_bundle_and_configuration_are_said_and_counted(run, router):
    newcomer, mathy = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(router.config({"newcomer": expert(newcomer), "mathy": expert(mathy)}))
    metrics = gateway.metrics()
    assert metrics.value("frugal_experts_without_rows") == 1
    assert metrics.value("frugal_bundle_experts_ignored") == 2
    assert metrics.value("frugal_bundle_rows") == 2 * PER_DOMAIN
    assert "newcomer" in gateway.log.text() and "sage" in gateway.log.text()
    assert gateway.chat(held_out("poems", 1)[0])["x-frugal-expert"] == "mathy"
    assert gateway.chat(model="newcomer")["x-frugal-reason"] == "direct"


def remote(run, router, script=None, **more):
    embedder = run.expert(embeddings=script or router.embeddings)
    experts = entries(three(run))
    experts["embedder"] = expert(embedder, generator=False, embedding=embedding(
        dim=router.dim, price=more.pop("embedding_price", 0.0)), **more.pop("embedder_more", {}))
    gateway = run.gateway(router.config(experts, "remote", policies=policies(), **more))
    return gateway, embedder


def test_an_embedding_over_http_is_bought_and_used(run, router):
    gateway, embedder = remote(run, router)
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer["x-frugal-expert"], answer["x-frugal-queried"]) == ("poet", "embedder")
    asked = [call.json() for call in embedder.calls("/embeddings")]
    assert all(call["model"] == "embed-scripted" for call in asked)
    assert any(held_out("poems", 1)[0] in json.dumps(call["input"]) for call in asked)


def test_the_price_of_evidence_is_part_of_the_cost(run, router):
    gateway, _ = remote(run, router, embedding_price=1.0)
    answer = gateway.chat(held_out("poems", 1)[0])
    assert answer["x-frugal-queried"] == "embedder"
    assert float(answer["x-frugal-cost-usd"]) == pytest.approx(50e-6 + 5 * 1e-6)
    assert gateway.metrics().value("frugal_cost_usd_total", **{"for": "evidence"}) == pytest.approx(5e-6)


def test_evidence_that_costs_more_than_it_helps_is_not_bought(run, router):
    gateway, embedder = remote(run, router, embedding_price=100_000.0)
    gateway.wait_probed()
    before = len(embedder.calls("/embeddings"))
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer.status, answer["x-frugal-reason"]) == (200, "not_worth")
    assert len(embedder.calls("/embeddings")) == before


def test_the_text_that_is_embedded_is_the_last_user_turn(run, router):
    gateway, embedder = remote(run, router)
    sums, poem = held_out("sums", 1)[0], "Please compose a lullaby on the sea, in a tender voice. " * 3
    answer = gateway.chat([
        {"role": "system", "content": sums}, {"role": "user", "content": sums}, {"role": "assistant", "content": "4"},
        {"role": "user", "content": [{"type": "text", "text": poem}]}])
    assert answer["x-frugal-expert"] == "poet"
    assert sums not in json.dumps([call.json() for call in embedder.calls("/embeddings")][-1])


def test_many_routed_requests_at_once_are_decided_alike(run, router):
    gateway = run.gateway(router.config(entries(three(run)), policies=policies()))
    prompts = held_out("sums", 30) + held_out("poems", 30)
    alone = [gateway.chat(prompt)["x-frugal-expert"] for prompt in prompts]
    streams = [gateway.stream(prompt) for prompt in prompts]
    assert [stream["x-frugal-expert"] for stream in streams] == alone
    for stream in streams:
        list(stream)
        stream.close()


def test_without_a_bundle_the_configuration_with_embedders_still_serves(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small), "large": expert(small)}, embedders=["surface", "lexical"]))
    assert gateway.chat()["x-frugal-reason"] == "no_bundle"
    assert gateway.get("/readyz").status == 200
    assert gateway.metrics().value("frugal_bundle_loaded") == 0


@pytest.mark.parametrize("path, asked", [
    ("/v1/chat/completions", {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "{}"}]}),
    ("/v1/responses", {"instructions": "be brief", "input": "{}"}),
    ("/v1/messages", {"system": "be brief", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "{}"}]}]})])
def test_the_same_question_is_routed_by_the_same_text_in_every_api(run, router, tmp_path, path, asked):
    prompt = held_out("poems", 1)[0]
    gateway = run.gateway(router.config(entries(three(run)), policies=policies(), store=str(tmp_path / "frugal.db")))
    answer = gateway.post(path, json.dumps({"model": "auto", **asked}).replace("{}", prompt).encode())
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "poet", "routed")
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()
    assert record["text"] == {"version": "text@1", "bytes": len(prompt), "turns": 2}
