"""frugalctl decisions, why and spend: beside a running gateway, from its file and over its admin listener."""

import csv
import io
import json
import re

import pytest

from harness import config, embedding, eventually, expert, frugalctl, scripts
from harness.keys import Key, key_file
from harness.routers import PRICES, held_out


def routing(run, router, database, bundle="builtin"):
    upstreams = {name: run.expert(scripts.answer(f"by {name}", prompt=30, output=100)) for name in PRICES}
    return run.gateway(router.config(
        {name: expert(upstream, price=PRICES[name]) for name, upstream in upstreams.items()}, bundle,
        store={"path": str(database), "keep_prompts": True}))


@pytest.fixture
def busy(run, router, tmp_path):
    """A gateway that has routed ten prompts and answered one by name; gives it, its database and the answers."""
    database = tmp_path / "frugal.db"
    gateway = routing(run, router, database)
    answers = [gateway.chat(prompt, headers={"x-frugal-tags": f"team={'ab'[i % 2]}"})
               for i, prompt in enumerate(held_out("sums", 5) + held_out("poems", 5))]
    answers.append(gateway.chat("hello", model="mathy"))
    eventually(lambda: len(gateway.get("/v1/decisions").json()["data"]) == 11, "all decisions are there")
    return gateway, database, answers


def ids(answers):
    return sorted((answer["x-frugal-decision-id"] for answer in answers), reverse=True)


def url_of(gateway):
    return f"http://127.0.0.1:{gateway.admin_port}"


def told(*arguments):
    return frugalctl(*arguments).stdout.decode()


def refused(*arguments):
    """Exit code and standard error; nothing was printed."""
    ran = frugalctl(*arguments, check=False)
    assert ran.returncode != 0 and ran.stdout == b"", ran
    return ran.returncode, ran.stderr.decode()


def said(*arguments):
    return json.loads(told(*arguments, "--json"))


# -- decisions

def test_decisions_are_the_same_from_the_file_and_over_http(busy):
    gateway, database, answers = busy
    from_file, over_http = said("decisions", "--store", database), said("decisions", "--url", url_of(gateway) + "/")
    assert from_file == over_http
    assert [summary["decision_id"] for summary in from_file["data"]] == ids(answers)
    assert from_file["has_more"] is False


def test_decisions_are_filtered_and_cut_into_pages(busy):
    gateway, database, answers = busy
    for where in (("--store", database), ("--url", url_of(gateway))):
        poets = said("decisions", *where, "--expert", "poet", "--since", "1h")["data"]
        assert len(poets) == 5 and {summary["expert"] for summary in poets} == {"poet"}
        assert len(said("decisions", *where, "--tag", "team=a", "--policy", "auto")["data"]) == 5
        first = said("decisions", *where, "--limit", "4")
        rest = said("decisions", *where, "--before", first["data"][-1]["decision_id"])
        assert [s["decision_id"] for s in first["data"] + rest["data"]] == ids(answers) and first["has_more"] is True
        newer = said("decisions", *where, "--after", ids(answers)[3])
        assert [s["decision_id"] for s in newer["data"]] == list(reversed(ids(answers)[:3]))
        found = said("decisions", *where, "--request-id", answers[3]["x-request-id"])["data"]
        assert [s["decision_id"] for s in found] == [answers[3]["x-frugal-decision-id"]]
        assert said("decisions", *where, "--key", "nobody")["data"] == []


def test_decisions_are_a_table_that_says_how_to_go_on(busy):
    _, database, answers = busy
    table = told("decisions", "--store", database, "--limit", "3")
    assert all(decision in table for decision in ids(answers)[:3]) and ids(answers)[3] not in table
    assert f"--before {ids(answers)[2]}" in table
    assert "no decision" in told("decisions", "--store", database, "--expert", "nobody")


def test_a_configuration_names_the_file_too(busy):
    gateway, _, answers = busy
    assert len(said("decisions", "--config", gateway.config_path)["data"]) == len(answers)


WRONG = {
    "nowhere": (["decisions"], 2, "--store"), "twice": (["decisions", "--store", "a", "--url", "http://x"], 2, "only one"),
    "no file": (["decisions", "--store", "/nonexistent.db"], 1, "/nonexistent.db"),
    "no URL": (["decisions", "--url", "localhost"], 2, "localhost"),
    "nobody there": (["why", "x", "--url", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
    "no id": (["why"], 2, "ID"), "by what": (["spend", "--store", "a", "--by", "colour"], 2, "colour"),
    "a tag and more": (["spend", "--store", "a", "--by", "day,tag:x"], 2, "tag:x"),
    "no day": (["spend", "--store", "a", "--since", "soon"], 2, "soon"),
    "both forms": (["spend", "--store", "a", "--csv", "--json"], 2, "--csv"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_told_by_name(case):
    arguments, code, named = WRONG[case]
    exit_code, error = refused(*arguments)
    assert exit_code == code and named in error


def test_an_impossible_filter_is_refused_the_same_way_everywhere(busy):
    gateway, database, _ = busy
    for where in (("--store", database), ("--url", url_of(gateway))):
        assert "'since' must be" in refused("decisions", *where, "--since", "yesterday")[1]
        assert "dec_nobody" in refused("why", "dec_nobody", *where)[1]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)
    code, error = refused("decisions", "--store", tmp_path / "other.db")
    assert code == 1 and "other.db" in error


# -- why

def test_why_tells_the_story_from_the_request_to_the_charge(busy):
    gateway, database, answers = busy
    poem = answers[5]
    story = told("why", poem["x-frugal-decision-id"], "--store", database)
    assert story == told("why", poem["x-frugal-decision-id"], "--url", url_of(gateway))
    for words in (poem["x-request-id"], "chatcmpl-scripted", "policy auto", "a right answer is worth 0.02 USD (lambda 50",
                  "tags      team=b", held_out("poems", 1)[0], "status 200", "evidence: good, domain poems", "lexical",
                  "the nearest calibration prompts", "poems-", "* ", "chosen    poet: routed", "runner-up sage",
                  "standard errors", "the attempts", "answered", "the charges", "reported",
                  "always the best expert on average, sage, would have cost", "bundle", "config"):
        assert words in story, words


def test_why_takes_the_id_of_the_request_and_of_the_answer(busy):
    _, database, answers = busy
    by_request = said("why", answers[2]["x-request-id"], "--store", database)
    assert by_request["decision_id"] == answers[2]["x-frugal-decision-id"]
    assert said("why", "chatcmpl-scripted", "--store", database)["decision_id"] == ids(answers)[0]
    assert "'nobody'" in refused("why", "nobody", "--store", database)[1]


def test_the_lambda_that_why_names_flips_the_choice(run, router, tmp_path):
    gateway = routing(run, router, tmp_path / "frugal.db", "lexical")  # one embedder: the evidence stays the same
    decision = gateway.chat(held_out("poems", 1)[0])["x-frugal-decision-id"]
    story = told("why", decision, "--url", url_of(gateway))
    flip = float(re.search(r"sage would lead at a lambda below ([0-9.e+-]+)", story).group(1))

    def lead(factor):
        """By how much poet's utility exceeds sage's."""
        body = {"model": "auto", "messages": [{"role": "user", "content": held_out("poems", 1)[0]}]}
        route = gateway.post("/v1/route", body, headers={"x-frugal-lambda": str(flip * factor)}).json()
        utility = {ranked["expert"]: ranked["utility"] for ranked in route["ranking"]}
        return utility["poet"] - utility["sage"]

    assert lead(0.999) < 0 < lead(1.001)


def test_why_a_named_expert_was_asked_needs_no_ranking(busy):
    _, database, answers = busy
    story = told("why", answers[-1]["x-frugal-decision-id"], "--store", database)
    assert "asked     an expert by name: mathy" in story and "chosen    mathy: direct" in story
    assert "runner-up" not in story and "evidence:" not in story


def test_why_of_what_a_crash_left_says_so(run, tmp_path):
    silent = run.expert(scripts.silent)
    whole = config({"small": expert(silent)}, store={"path": str(tmp_path / "frugal.db"), "durability": "full"})
    gateway = run.gateway(whole)
    wire = gateway.start()
    silent.call()
    gateway.kill()
    wire.close()
    again = run.gateway(whole)
    decision = again.get("/v1/decisions").json()["data"][0]["decision_id"]
    story = told("why", decision, "--store", tmp_path / "frugal.db")
    assert "crashed: the gateway ended before it was settled" in story and "small" in story


# -- spend

def test_spend_adds_up_to_what_the_answers_cost(busy):
    _, database, answers = busy
    cost = sum(float(answer["x-frugal-cost-usd"]) for answer in answers)
    for by in ("day", "key", "policy", "expert", "kind", "day,policy,expert,kind", "tag:team"):
        spend = said("spend", "--store", database, "--by", by)
        assert spend["total"]["spent_usd"] == pytest.approx(cost, abs=1e-12) and spend["total"]["requests"] == 11
        assert sum(line["spent_usd"] for line in spend["data"]) == pytest.approx(cost, abs=1e-12)
        assert sum(line["output_tokens"] for line in spend["data"]) == 1100


def test_spend_is_told_apart_by_what_is_asked_for(busy):
    _, database, _ = busy
    by_expert = {line["expert"]: line["requests"] for line in said("spend", "--store", database, "--by", "expert")["data"]}
    assert by_expert == {"mathy": 6, "poet": 5}
    by_tag = {line["tag"]: line["requests"] for line in said("spend", "--store", database, "--by", "tag:team")["data"]}
    assert by_tag == {"": 1, "a": 5, "b": 5}
    assert said("spend", "--store", database, "--policy", "auto")["total"]["requests"] == 10
    assert said("spend", "--store", database, "--since", "2000-01-01", "--until", "2000-01-02")["data"] == []


def test_savings_name_their_baseline_and_claim_nothing_for_requests_without_a_choice(busy):
    _, database, answers = busy
    spend = said("spend", "--store", database)
    assert spend["baselines"]["always_best"] == ["sage"] and spend["baselines"]["always_cheapest"]
    assert spend["total"]["always_best_usd"] > spend["total"]["spent_usd"] >= spend["total"]["always_cheapest_usd"] > 0
    direct = said("spend", "--store", database, "--by", "policy")["data"][0]
    assert direct["policy"] == "" and direct["always_best_usd"] == direct["spent_usd"] == direct["always_cheapest_usd"]
    table = told("spend", "--store", database)
    for words in ("of which the router's own cost (evidence) is 0.000000", "saved", "that is sage", "in all"):
        assert words in table


def test_spend_as_csv_is_exact_to_the_last_digit(busy):
    _, database, answers = busy
    rows = list(csv.DictReader(io.StringIO(told("spend", "--store", database, "--by", "day,expert", "--csv"))))
    assert [row["expert"] for row in rows] == ["mathy", "poet"]
    assert [row["spent_usd"] for row in rows] == ["0.00138", "0.00115"]
    assert "always_best_usd" not in rows[0]
    assert "always_best_usd" in told("spend", "--store", database, "--csv")


def test_a_key_reads_its_own_records_on_the_public_listener(run):
    ours, theirs = Key("ours"), Key("theirs")
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, store="frugal.db", keys={"file": "keys.json"}),
                          files={"keys.json": key_file(ours, theirs)})
    mine = gateway.chat(headers=ours.headers)["x-frugal-decision-id"]
    other = gateway.chat(headers=theirs.headers)["x-frugal-decision-id"]
    public = ["--url", f"http://127.0.0.1:{gateway.port}"]
    ran = frugalctl("decisions", *public, "--json", env={"FRUGAL_KEY": ours.secret})
    assert [summary["decision_id"] for summary in json.loads(ran.out)["data"]] == [mine]
    assert "no decision" in frugalctl("why", other, *public, env={"FRUGAL_KEY": ours.secret}, check=False).err
    assert "API key" in refused("decisions", *public)[1]


# -- build --with-feedback

def scored(gateway, prompts, score, headers=(), **fields):
    """Asks and scores; gives the experts that answered."""
    experts = []
    for prompt in prompts:
        answer = gateway.chat(prompt, headers=list(headers))
        said_to = gateway.post(f"/v1/decisions/{answer['x-frugal-decision-id']}/feedback", {"score": score, **fields}, headers=headers)
        assert said_to.status == 200, said_to
        experts.append(answer["x-frugal-expert"])
    return experts


def build(router, out, *arguments):
    return said("build", "--store", router.store, "--out", out, *arguments)


def predicted(gateway, expert_name, prompt):
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    return {r["expert"]: r["quality"] for r in gateway.post("/v1/route", body).json()["ranking"]}[expert_name]


def test_scores_teach_the_next_bundle(run, router, tmp_path):
    gateway = routing(run, router, tmp_path / "frugal.db")
    prompts = held_out("sums", 45)
    before = predicted(gateway, "mathy", prompts[-1])
    assert scored(gateway, prompts[:40], 0) == ["mathy"] * 40
    made = build(router, tmp_path / "taught.frugal", "--with-feedback", tmp_path / "frugal.db")
    assert made["feedback"] == {"given": 40, "taken": 40, "foreign": 0, "unknown": 0, "textless": 0, "crowded": 0}
    assert made["rows"] == 540
    config_of = json.loads(gateway.config_path.read_text())
    config_of["bundle"] = str(tmp_path / "taught.frugal")
    gateway.write_config(config_of)
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert predicted(gateway, "mathy", prompts[-1]) < before - 0.1
    assert predicted(gateway, "poet", held_out("poems", 1)[0]) > 0.9


def test_a_half_sure_score_lies_half_way_to_what_was_predicted(run, router, tmp_path):
    gateway = routing(run, router, tmp_path / "frugal.db")
    prompts = held_out("sums", 45)
    before = predicted(gateway, "mathy", prompts[-1])
    drops = []
    for weight in (1, 0.5):
        scored(gateway, prompts[:40] if weight == 1 else [], 0, weight=weight)
        if weight < 1:
            for summary in gateway.get("/v1/decisions?limit=500&expert=mathy").json()["data"]:
                gateway.post(f"/v1/decisions/{summary['decision_id']}/feedback", {"score": 0, "weight": weight})
        build(router, tmp_path / f"{weight}.frugal", "--with-feedback", tmp_path / "frugal.db")
        whole = json.loads(gateway.config_path.read_text())
        other = run.gateway({**whole, "bundle": str(tmp_path / f"{weight}.frugal"), "store": str(tmp_path / "other.db")})
        drops.append(before - predicted(other, "mathy", prompts[-1]))
        other.stop()
    assert drops[1] == pytest.approx(drops[0] / 2, rel=0.25) and drops[0] > 0.1


def test_one_key_gives_no_more_than_its_share_and_its_newest(run, router, tmp_path):
    gateway = routing(run, router, tmp_path / "frugal.db")
    scored(gateway, held_out("sums", 12), 1)
    made = build(router, tmp_path / "b.frugal", "--with-feedback", tmp_path / "frugal.db", "--feedback-share", "0.02")
    assert (made["feedback"]["taken"], made["feedback"]["crowded"]) == (10, 2)


def test_scores_without_text_teach_nothing_and_the_build_says_so(run, router, tmp_path):
    upstreams = {name: run.expert(scripts.answer()) for name in PRICES}
    gateway = run.gateway(router.config({name: expert(up, price=PRICES[name]) for name, up in upstreams.items()},
                                        store=str(tmp_path / "frugal.db")))
    scored(gateway, held_out("sums", 2), 1)
    made = build(router, tmp_path / "b.frugal", "--with-feedback", tmp_path / "frugal.db")
    assert (made["feedback"]["textless"], made["feedback"]["taken"]) == (2, 0)
    assert "2 lack the prompt's text and vectors" in told(
        "build", "--store", router.store, "--out", tmp_path / "b.frugal", "--with-feedback", tmp_path / "frugal.db")


def test_what_teaches_its_own_key_alone_is_left_to_a_build_for_that_key(run, router, tmp_path):
    ours, theirs = Key("ours", feedback="own"), Key("theirs", feedback="shared")
    upstreams = {name: run.expert(scripts.answer()) for name in PRICES}
    gateway = run.gateway(router.config(
        {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}, keys={"file": "keys.json"},
        store={"path": str(tmp_path / "frugal.db"), "keep_prompts": True}), files={"keys.json": key_file(ours, theirs)})
    scored(gateway, held_out("sums", 3), 1, headers=ours.headers)
    scored(gateway, held_out("sums", 2), 1, headers=theirs.headers)
    for key, taken, foreign in ((None, 2, 3), ("ours", 5, 0), ("theirs", 2, 3)):
        made = build(router, tmp_path / "b.frugal", "--with-feedback", tmp_path / "frugal.db",
                     *(["--feedback-key", key] if key else []))
        assert (made["feedback"]["taken"], made["feedback"]["foreign"]) == (taken, foreign)


def test_kept_vectors_teach_without_any_text(run, router, tmp_path):
    upstreams = {name: run.expert(scripts.answer()) for name in PRICES}
    embedder = run.expert(embeddings=router.embeddings)
    entries = {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}
    entries["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim))
    gateway = run.gateway(router.config(entries, "remote", store={"path": str(tmp_path / "frugal.db"), "keep_vectors": True}))
    gateway.wait_probed()
    scored(gateway, held_out("sums", 3), 1)
    made = build(router, tmp_path / "b.frugal", "--embedders", "embedder", "--config", gateway.config_path,
                 "--with-feedback", tmp_path / "frugal.db")
    assert (made["feedback"]["taken"], made["rows"]) == (3, 503)


def test_evidence_is_the_routers_own_cost_and_savings_are_net_of_it(run, router, tmp_path):
    upstreams = {name: run.expert(scripts.answer(prompt=30, output=100)) for name in PRICES}
    entries = {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}
    entries["embedder"] = expert(run.expert(embeddings=router.embeddings), generator=False,
                                 embedding=embedding(dim=router.dim, price=1.0))
    gateway = run.gateway(router.config(entries, "remote", store=str(tmp_path / "frugal.db")))
    gateway.wait_probed()
    answers = [gateway.chat(prompt) for prompt in held_out("poems", 4)]
    records = [gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}").json() for answer in answers]
    evidence = sum(record["cost"]["evidence_usd"] for record in records)
    total = said("spend", "--store", tmp_path / "frugal.db")["total"]
    assert evidence > 0 and total["evidence_usd"] == pytest.approx(evidence, abs=1e-12)
    assert total["spent_usd"] == pytest.approx(evidence + sum(r["cost"]["generation_usd"] for r in records), abs=1e-12)
    baseline = sum(record["baselines"]["always_best"]["usd"] for record in records)
    assert total["always_best_usd"] == pytest.approx(baseline, abs=1e-12)  # no evidence is bought for it
    assert f"evidence) is {evidence:.6f}" in told("spend", "--store", tmp_path / "frugal.db")
    kinds = {line["kind"]: line["calls"] for line in said("spend", "--store", tmp_path / "frugal.db", "--by", "kind")["data"]}
    assert kinds == {"embedding": 4, "generation": 4}
    assert "embedding   embedder" in told("why", answers[0]["x-frugal-decision-id"], "--store", tmp_path / "frugal.db")
