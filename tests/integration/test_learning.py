"""store.learn_s: scores become calibration rows of the bundle that a running gateway decides by."""

from harness import expert, scripts
from harness.keys import Key, key_file
from harness.routers import PRICES, held_out


def learning(run, router, learn_s=1, files=(), **more):
    upstreams = {name: run.expert(scripts.answer(f"by {name}", prompt=30, output=100)) for name in PRICES}
    return run.gateway(router.config(
        {name: expert(upstream, price=PRICES[name]) for name, upstream in upstreams.items()},
        store={"path": "frugal.db", "keep_prompts": True, "learn_s": learn_s}, **more), files=files)


def score(gateway, prompts, score, headers=()):
    """Gives the experts that answered."""
    experts = []
    for prompt in prompts:
        answer = gateway.chat(prompt, headers=list(headers))
        said = gateway.post(f"/v1/decisions/{answer['x-frugal-decision-id']}/feedback", {"score": score}, headers=headers)
        assert said.status == 200, said
        experts.append(answer["x-frugal-expert"])
    return experts


def predicted(gateway, name, prompt):
    said = gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": prompt}]}).json()
    return {ranked["expert"]: ranked["quality"] for ranked in said["ranking"]}[name]


def test_scores_change_what_a_running_gateway_predicts(run, router):
    gateway = learning(run, router)
    prompts = held_out("sums", 41)
    before = predicted(gateway, "mathy", prompts[-1])
    built = gateway.log.wait(event="ready")
    assert set(score(gateway, prompts[:40], 0)) <= {"mathy", "sage"}  # it may learn before the last is scored
    learned = gateway.log.wait(event="learned", rows=540)
    assert learned["bundle"] != built["bundle"] and learned["config"] == built["config"]
    assert gateway.log.wait(event="scores_taken", taken=40)["given"] == "40"
    # less than by a build: what was fitted, a third of the estimate, stays
    assert predicted(gateway, "mathy", prompts[-1]) < before - 0.05
    assert predicted(gateway, "poet", held_out("poems", 1)[0]) > 0.9


def test_a_score_that_is_replaced_counts_once_and_a_reload_forgets_none(run, router):
    gateway = learning(run, router)
    prompt, probe = held_out("sums", 2)
    answer = gateway.chat(prompt)
    url = f"/v1/decisions/{answer['x-frugal-decision-id']}/feedback"
    assert gateway.post(url, {"score": 0}).status == 200
    first = gateway.log.wait(event="learned")
    low = predicted(gateway, answer["x-frugal-expert"], probe)
    assert gateway.post(url, {"score": 1}).status == 200
    second = gateway.log.wait(event="learned", count=2)
    assert (first["rows"], second["rows"]) == ("501", "501") and first["bundle"] != second["bundle"]
    assert predicted(gateway, answer["x-frugal-expert"], probe) > low
    gateway.reload()
    assert gateway.log.wait(event="reloaded")["bundle"] == second["bundle"]


def test_a_key_gives_no_more_than_its_share_and_teaches_only_whom_it_may(run, router):
    ours, theirs = Key("ours", feedback="own"), Key("theirs", feedback="shared")
    gateway = learning(run, router, keys={"file": "keys.json"}, files={"keys.json": key_file(ours, theirs)})
    score(gateway, held_out("sums", 3), 1, headers=ours.headers)
    score(gateway, held_out("poems", 52), 1, headers=theirs.headers)
    taken = gateway.log.wait(event="scores_taken", given=55)
    assert (taken["taken"], taken["foreign"], taken["crowded"]) == ("50", "3", "2")
    gateway.log.wait(event="learned", rows=550)


def test_without_the_setting_only_a_build_teaches(run, router):
    gateway = learning(run, router, learn_s=0)
    built = gateway.log.wait(event="ready")
    score(gateway, held_out("sums", 2), 0)
    gateway.reload()
    reloaded = gateway.log.wait(event="reloaded")
    assert (reloaded["rows"], reloaded["bundle"]) == ("500", built["bundle"])
