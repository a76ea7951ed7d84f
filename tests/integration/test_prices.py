"""Prices: of machines that are paid by the hour, brought from public lists, changed without a build, and how old."""

import datetime
import json

import pytest

from harness import config, expert, frugalctl, run_frugald, scripts


def hourly(upstream, **more):
    """0.36 USD an hour at 40 tokens a second, two at once: 1.25 USD per million tokens that it writes, 0.05 that it reads."""
    price = {"usd_per_hour": 0.36, "tokens_per_second": 40, "prompt_tokens_per_second": 1000, "concurrency": 2, **more}
    return expert(upstream, price=None, generator_more={"price": price})


def test_a_token_of_a_machine_costs_its_share_of_the_hour(run):
    gateway = run.gateway(config({"own": hourly(run.expert(scripts.answer(prompt=300, output=10)))}))
    assert gateway.chat().json()["usage"]["cost"] == pytest.approx(300 * 0.05e-6 + 10 * 1.25e-6)
    shown = gateway.get("/v1/models/own").json()["frugal"]
    assert (shown["usd_per_million_input"], shown["usd_per_million_output"], shown["notional"]) == (0.05, 1.25, True)


def test_a_record_says_whose_price_is_notional(run):
    gateway = run.gateway(config({"own": hourly(run.expert()), "other": expert(run.expert())}))
    said = gateway.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}).json()
    assert {row["expert"]: row.get("notional") for row in said["ranking"]} == {"own": True, "other": None}


def test_a_ceiling_binds_a_machine_that_is_paid_by_the_hour(run):
    upstream = run.expert(scripts.answer(prompt=20, output=10))
    gateway = run.gateway(config({"own": hourly(upstream)}))
    answer = gateway.chat("Hello.", headers={"x-frugal-budget-usd": "0.00005"})
    assert answer.status == 200 and answer.json()["usage"]["cost"] <= 0.00005
    limit = upstream.calls()[-1].json()["max_tokens"]
    assert 1 <= limit <= 0.00005 / 1.25e-6
    assert gateway.chat("Hello.", headers={"x-frugal-budget-usd": "0.000001"}).status == 402


def test_only_what_is_paid_by_the_hour_is_called_notional(run):
    gateway = run.gateway(config({"small": expert(run.expert())}))
    assert "notional" not in gateway.get("/v1/models/small").json()["frugal"]


# -- lists

LITELLM = """{
  "sample_spec": {"input_cost_per_token": 0.0, "mode": "one of: chat"},
  "gpt-large": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_above_200k_tokens": 5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
    "cache_read_input_token_cost_above_200k_tokens": 2.5e-06, "input_cost_per_token_priority": 4e-06,
    "search_context_cost_per_query": {"search_context_size_low": 0.03}, "litellm_provider": "openai", "mode": "chat"},
  "vendor/tiny": {"input_cost_per_token": 4.2123e-08, "output_cost_per_token": 1.0000000000000001e-07,
    "output_cost_per_reasoning_token": 3e-07, "cache_creation_input_token_cost": 5e-08, "mode": "chat"},
  "azure/twice": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "mode": "chat"},
  "groq/twice": {"input_cost_per_token": 2e-06, "output_cost_per_token": 2e-06, "mode": "chat"},
  "embed-large": {"input_cost_per_token": 1.3e-07, "output_cost_per_token": 0.0, "mode": "embedding"},
  "drawer": {"output_cost_per_image": 0.04, "mode": "image_generation"},
  "ranges": {"tiered_pricing": [
    {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06},
    {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06}], "mode": "chat"}
}"""
OPENROUTER = json.dumps({"data": [
    {"id": "vendor/large", "pricing": {"prompt": "0.00000125", "completion": "0.00001", "request": "0", "image": "0",
     "internal_reasoning": "0", "input_cache_read": "0.00000031", "input_cache_write": "0.000001625",
     "overrides": [{"min_prompt_tokens": 200001, "prompt": "0.0000025", "completion": "0.000015"}]}},
    {"id": "vendor/nightly", "pricing": {"prompt": "0.000001", "completion": "0.000002", "overrides": [
        {"utc_start": 0, "utc_end": 1200, "prompt": "0.000003", "completion": "0.000001"}]}},
    {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
    {"id": "vendor/gift:free", "pricing": {"prompt": "0", "completion": "0"}}]})


def bare(model, price=None, **more):
    generator = {"model": model, **({"price": price} if price else {}), **more}
    return {"endpoints": ["http://127.0.0.1:9/v1"], "generator": generator}


def prices(tmp_path, experts, *arguments, listed=LITELLM, check=True):
    """`frugalctl prices import` of a list into a configuration with these experts."""
    path = tmp_path / "config.json"
    if experts is not None:
        path.write_text(json.dumps({"experts": experts}, indent=2))
    (tmp_path / "list.json").write_text(listed)
    return frugalctl("prices", "import", tmp_path / "list.json", "--config", path, *arguments, check=check)


def price_of(ran, name, part="generator"):
    price = json.loads(ran.out)["experts"][name][part]["price"]
    return {key: value for key, value in price.items() if key not in ("as_of", "source")} if isinstance(price, dict) else price


def test_a_price_of_litellm_becomes_one_of_the_configuration(tmp_path):
    ran = prices(tmp_path, {"large": bare("gpt-large"), "tiny": bare("tiny"), "ranges": bare("ranges")})
    assert price_of(ran, "large") == {"input": 2.5, "cached_input": 1.25, "output": 10, "above": {
        "tokens": 200000, "input": 5, "cached_input": 2.5, "output": 15}}
    assert price_of(ran, "tiny") == {"input": 0.042123, "cache_write": 0.05, "output": 0.1, "reasoning": 0.3}
    assert price_of(ran, "ranges")["above"] == {"tokens": 32000, "input": 2, "output": 8}
    assert json.loads(ran.out)["experts"]["tiny"]["generator"]["price"]["source"] == "LiteLLM: vendor/tiny"
    assert "search_context_cost_per_query" in ran.err


def test_a_price_of_openrouter_becomes_one_of_the_configuration(tmp_path):
    ran = prices(tmp_path, {"large": bare("vendor/large"), "gift": bare("gift:free"), "night": bare("nightly")},
                 listed=OPENROUTER)
    assert price_of(ran, "large") == {"input": 1.25, "cached_input": 0.31, "cache_write": 1.625, "output": 10, "above": {
        "tokens": 200000, "input": 2.5, "output": 15}}
    assert price_of(ran, "gift") == {"input": 0, "output": 0}
    assert price_of(ran, "night") == {"input": 3, "output": 2} and "hour" in ran.err


def test_an_embedding_has_its_own_entry(tmp_path):
    small = {"endpoints": ["http://127.0.0.1:9/v1"], "embedding": {"model": "embed-large"},
             "generator": {"model": "other", "price": {"input": 1, "output": 1}}}
    ran = prices(tmp_path, {"small": small})
    assert price_of(ran, "small", "embedding") == {"input": 0.13}
    ran = prices(tmp_path, {"small": small}, "--map", "small=gpt-large", "--map", "embedding:small=vendor/tiny")
    assert price_of(ran, "small", "embedding")["input"] == 0.042123
    assert price_of(ran, "small")[1]["output"] == 10


WRONG = {
    "several entries": ({"large": bare("twice")}, LITELLM, [], "azure/twice, groq/twice"),
    "no entry and no price": ({"large": bare("gpt-larg")}, LITELLM, [], "is it 'gpt-large'?"),
    "an entry without tokens": ({"large": bare("drawer")}, LITELLM, [], "output_cost_per_image"),
    "no fixed price": ({"large": bare("openrouter/auto")}, OPENROUTER, [], "no fixed price"),
    "a map of nobody": ({"large": bare("x")}, LITELLM, ["--map", "larg=gpt-large"], "no such expert"),
    "an unknown name in a map": ({"large": bare("x")}, LITELLM, ["--map", "large=gpt"], "'gpt' is not in the list"),
    "a free expert that is named": ({"large": bare("gpt-large", free=True)}, LITELLM, ["--experts", "large"], "free"),
    "another file": ({"large": bare("gpt-large")}, '{"a": 1}', [], "neither LiteLLM"),
    "no JSON": ({"large": bare("gpt-large")}, "{", [], "no JSON"),
    "a date that is none": ({"large": bare("gpt-large")}, LITELLM, ["--from", "2026-02-30"], "no date"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_one_price_is_an_error_that_says_what_to_do(tmp_path, case):
    experts, listed, arguments, words = WRONG[case]
    ran = prices(tmp_path, experts, *arguments, "--write", listed=listed, check=False)
    assert ran.returncode in (1, 2) and words in ran.err, ran.err
    assert json.loads((tmp_path / "config.json").read_text())["experts"] == experts, "nothing is written"


def test_experts_that_need_no_price_are_left_alone(tmp_path):
    own = {"usd_per_hour": 1, "tokens_per_second": 50}
    ran = prices(tmp_path, {"large": bare("gpt-large"), "gift": bare("gpt-large", free=True), "own": bare("gpt-large", own),
                            "other": bare("unheard-of", {"input": 1, "output": 1})})
    assert list(json.loads(ran.out)["experts"]) == ["large"]
    assert "by the hour" in ran.err and "unheard-of" in ran.err


# -- in the configuration

REMARKED = """{
    "listen": "127.0.0.1:0",   "workers": 1,
    "experts": { "large": {"endpoints": ["http://127.0.0.1:9/v1"],
        "generator": {"model": "gpt-large", "price": %s, "context":128000   } } }
}
"""


def written(tmp_path, price, *arguments):
    (tmp_path / "config.json").write_text(REMARKED % price)
    ran = prices(tmp_path, None, "--write", *arguments)
    text = (tmp_path / "config.json").read_text()
    before, behind = (REMARKED % "\0").split("\0")
    assert text.startswith(before) and text.endswith(behind), "every other byte is as it was"
    return json.loads(text)["experts"]["large"]["generator"]["price"], ran


def test_another_price_goes_behind_the_old_one_and_the_old_file_is_kept(tmp_path):
    old = '{"input": 9, "output": 1e1, "_why": "as agreed"}'
    price, ran = written(tmp_path, old, "--from", "2026-02-03")
    assert price[0] == json.loads(old) and (price[1]["from"], price[1]["input"]) == ("2026-02-03", 2.5)
    backups = list(tmp_path.glob("config.json.*.bak"))
    assert len(backups) == 1 and backups[0].name in ran.out
    assert backups[0].read_text() == REMARKED % old
    assert run_frugald("--check-config", config=(tmp_path / "config.json").read_text()).returncode == 0


def test_the_same_price_is_only_looked_at(tmp_path):
    old = '{"input": 2.50, "cached_input": 1.25, "output": 10, "_why": "as agreed",\n "above": {"tokens": 200000, "input": 5, ' \
          '"cached_input": 2.5, "output": 15} }'
    price, _ = written(tmp_path, old)
    assert price.pop("as_of") == datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert price.pop("source") == "LiteLLM: gpt-large" and price == json.loads(old)
    assert '"_why": "as agreed",\n "above"' in (tmp_path / "config.json").read_text()
    before = (tmp_path / "config.json").read_text()
    assert "already" in prices(tmp_path, None, "--write").out
    assert (tmp_path / "config.json").read_text() == before and len(list(tmp_path.glob("*.bak"))) == 1


def test_a_price_of_the_same_date_gives_way_and_a_later_one_is_an_error(tmp_path):
    old = '[ {"input": 9, "output": 9}, {"from": "2026-02-03", "input": 8, "output": 8} ]'
    price, _ = written(tmp_path, old, "--from", "2026-02-03")
    assert len(price) == 2 and price[1]["input"] == 2.5
    (tmp_path / "config.json").write_text(REMARKED % old)
    ran = prices(tmp_path, None, "--write", "--from", "2026-01-01", check=False)
    assert ran.returncode == 1 and "2026-02-03" in ran.err
    assert (tmp_path / "config.json").read_text() == REMARKED % old


def test_a_reload_alone_takes_a_new_price_over_and_routing_follows(run, tmp_path):
    """The cheaper of two experts of the same skill is asked; when its price rises the other one is, by the same bundle."""
    right = run.expert(lambda call: call.answer(scripts.completion("That makes 4.")))
    left = run.expert(lambda call: call.answer(scripts.completion("That makes 4.")))
    whole = config({"left": expert(left, model="gpt-large", price=(1, 1)), "right": expert(right, price=(2, 2))},
                   store=str(tmp_path / "ledger.db"))
    (tmp_path / "calibrate.json").write_text(json.dumps(whole))
    (tmp_path / "prompts.jsonl").write_text("".join(
        json.dumps({"id": f"q{n}", "prompt": f"What is {n} plus {4 - n}?", "reference": "4", "grade": "number"}) + "\n"
        for n in range(40)))
    frugalctl("calibrate", "--config", tmp_path / "calibrate.json", "--prompts", tmp_path / "prompts.jsonl",
              "--store", tmp_path / "calib.db")
    frugalctl("build", "--store", tmp_path / "calib.db", "--out", tmp_path / "b.frugal")
    gateway = run.gateway({**whole, "bundle": str(tmp_path / "b.frugal")})
    bundle = (tmp_path / "b.frugal").read_bytes()
    first = gateway.chat("What is 2 plus 2?")
    assert first["x-frugal-expert"] == "left"
    (tmp_path / "list.json").write_text(LITELLM)
    frugalctl("prices", "import", tmp_path / "list.json", "--config", gateway.config_path, "--experts", "left", "--write")
    assert gateway.chat("What is 2 plus 2?")["x-frugal-expert"] == "left", "nothing changes before the reload"
    gateway.reload()
    gateway.log.wait(event="reloaded")
    second = gateway.chat("What is 2 plus 2?")
    assert second["x-frugal-expert"] == "right"
    assert (tmp_path / "b.frugal").read_bytes() == bundle


# -- compared, and how old

def test_a_difference_is_told_with_per_cent_and_what_it_costs(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"experts": {
        "large": bare("gpt-large", {"input": 2, "cached_input": 1.25, "output": 10}),
        "tiny": bare("tiny", {"input": 0.042123, "cache_write": 0.05, "output": 0.1, "reasoning": 0.3})}}))
    (tmp_path / "list.json").write_text(LITELLM)
    command = ["prices", "diff", tmp_path / "list.json", "--config", tmp_path / "config.json"]
    large, tiny = json.loads(frugalctl(*command, "--json").out)
    assert tiny["changes"] == []
    changed = {(row["rate"], row["above"]): (row["old"], row["new"], row["percent"]) for row in large["changes"]}
    assert changed["input", 0] == (2, 2.5, pytest.approx(25))
    assert changed["output", 200000] == (10, 15, pytest.approx(50))
    assert changed["1000 requests", 0] == (5, 5.5, pytest.approx(10))
    assert ("output", 0) not in changed
    table = frugalctl(*command).out
    assert "+25.0 %" in table and "1 price changed, 1 the same" in table


def days_ago(n):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=n)).date().isoformat()


def test_an_old_price_fails_and_one_that_nobody_dated(tmp_path):
    path = tmp_path / "config.json"
    new = {"input": 1, "output": 1, "as_of": days_ago(10), "source": "their page"}
    dated = [{"input": 1, "output": 1}, {"from": days_ago(20), "input": 2, "output": 2}]
    path.write_text(json.dumps({"experts": {"a": bare("m", new), "b": bare("m", dated), "c": bare("m", free=True)}}))
    rows = json.loads(frugalctl("prices", "age", "--config", path, "--max-days", 30, "--json").out)
    assert [row["days"] for row in rows] == [10, 20, None] and rows[0]["source"] == "their page"
    ran = frugalctl("prices", "age", "--config", path, "--max-days", 15, check=False)
    assert ran.returncode == 1 and "1 price is older than 15 days" in ran.err and "per token, old" in ran.out
    path.write_text(json.dumps({"experts": {"a": bare("m", {"input": 1, "output": 1})}}))
    ran = frugalctl("prices", "age", "--config", path, "--max-days", 30000, check=False)
    assert ran.returncode == 1 and "unknown" in ran.out
