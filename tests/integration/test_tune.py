"""frugalctl tune: settings by cross-validation, and a gateway that takes them where it is silent."""

import json

import pytest

from harness import Gateway, expert, frugalctl
from harness.routers import PRICES, held_out, write_outcomes

SMALL = ["--fold", "3", "--k", "40,1", "--prior", "30", "--switch-z", "1,8"]


@pytest.fixture(scope="module")
def tuned(router, tmp_path_factory):
    """What tune says of the router's store, and the bundle it builds."""
    out = tmp_path_factory.mktemp("tune") / "tuned.frugal"
    said = frugalctl("tune", "--store", router.store, *SMALL, "--json", "--out", out)
    return json.loads(said.out), out


def test_every_attempt_is_shown_with_its_standard_error(tuned):
    said, _ = tuned
    assert [(one["k"], one["prior"], one["switch_z"]) for one in said["tried"]] == [(40, 30, 1), (1, 30, 1), (40, 30, 8)]
    assert sum(one["kept"] for one in said["tried"]) == 1
    assert all(0 < one["score"] <= 1 and one["score_se"] > 0 for one in said["tried"])


def test_what_stands_gives_way_only_to_more_than_one_standard_error(tuned):
    said, _ = tuned
    for one in said["tried"][1:]:
        assert not one["kept"] or one["gain"] > one["gain_se"]
    kept = next(one for one in said["tried"] if one["kept"])
    assert (said["k"], said["prior"], said["switch_z"]) == (kept["k"], kept["prior"], kept["switch_z"])


def test_a_setting_that_is_plainly_better_takes_over(router):
    """Eighty standard errors keep the router on one expert; each of two kinds of prompts needs its own."""
    said = json.loads(frugalctl("tune", "--store", router.store, "--fold", "3", "--k", "40", "--prior", "30",
                                "--switch-z", "80,1", "--json", "--by", "accuracy", "--models", "mathy,poet").out)
    assert said["switch_z"] == 1
    assert said["tried"][1]["gain"] > 0.2
    assert said["lambda"] is None and said["curve"] == []


QUICK = ["--fold", "3", "--k", "40", "--prior", "30", "--switch-z", "1"]
NAMES = ["auto-cheap", "auto", "auto-best"]


def test_without_a_target_auto_is_the_thriftiest_within_one_standard_error_of_the_best(tuned):
    said, _ = tuned
    close = [point for point in said["curve"] if point["loss"] <= point["loss_se"]]
    assert said["lambda"] in [point["lambda"] for point in close]
    kept = next(point for point in said["curve"] if point["kept"])
    assert kept["usd"] == pytest.approx(min(point["usd"] for point in close))
    assert said["value_usd"] == pytest.approx(1 / said["lambda"])


def test_three_policies_stand_in_the_order_of_their_cost(tuned):
    said, _ = tuned
    policies = said["policies"]
    assert list(policies) == NAMES
    costs = [policies[name]["expected"]["usd_per_1k"] for name in NAMES]
    assert costs == sorted(costs)
    assert policies["auto"]["value_usd"] == pytest.approx(said["value_usd"])
    for policy in policies.values():
        promise = policy["expected"]
        assert promise["quality_low"] <= promise["quality"] <= promise["quality_high"]
        assert promise["usd_per_1k_low"] <= promise["usd_per_1k"] <= promise["usd_per_1k_high"]
        assert promise["quality_se"] > 0 and promise["rows"] == 500 and len(promise["bundle"]) == 16


def test_a_quality_of_the_best_expert_is_reached_for_less(router):
    said = json.loads(frugalctl("tune", "--store", router.store, *QUICK, "--target", "quality=0.96x:best", "--json").out)
    promise = said["policies"]["auto"]["expected"]
    best = 0.99  # sage, by its skill
    assert promise["quality"] >= 0.96 * best - 2 * promise["quality_se"]
    assert promise["usd_per_1k"] < 0.7 * 11  # sage's: 20 tokens in, 100 out


def test_a_cost_is_kept(router):
    said = json.loads(frugalctl("tune", "--store", router.store, *QUICK, "--target", "usd_per_1k=0.5", "--json").out)
    kept = next(point for point in said["curve"] if point["kept"])
    assert kept["usd"] <= 0.0005
    dearer = [point for point in said["curve"] if point["lambda"] < kept["lambda"]]
    assert all(point["usd"] > 0.0005 - 1e-9 for point in dearer if point["quality"] > kept["quality"])


def test_a_value_is_taken_as_it_is(router):
    said = json.loads(frugalctl("tune", "--store", router.store, *QUICK, "--target", "value_usd=0.0375", "--json").out)
    assert said["value_usd"] == pytest.approx(0.0375)
    assert said["policies"]["auto"]["value_usd"] == pytest.approx(0.0375)


def test_a_target_out_of_reach_says_what_there_is_and_writes_nothing(router, tmp_path):
    ran = frugalctl("tune", "--store", router.store, *QUICK, "--target", "usd_per_1k=0.01", "--out", tmp_path / "b",
                    "--policies", tmp_path / "p.json", check=False)
    assert ran.returncode == 1
    assert "cannot be reached" in ran.err and "the cheapest is quality 0.9" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_takes_the_policies_that_were_written(router, tmp_path):
    bundle, policies = tmp_path / "new.frugal", tmp_path / "policies.json"
    frugalctl("tune", "--store", router.store, *QUICK, "--target", "quality=0.97x:best", "--out", bundle, "--policies",
              policies)
    experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    whole = {**router.config(experts), "bundle": str(bundle), "policies_file": str(policies)}
    whole["policies"] = {"auto": {"max_output_tokens": 1000}}
    with Gateway(whole) as gateway:
        models = {model["id"]: model for model in gateway.get("/v1/models").json()["data"]}
        written = json.loads(policies.read_text())
        assert set(NAMES) < set(models)
        for name in NAMES:
            assert models[name]["frugal"]["expected"] == pytest.approx(written[name]["expected"])


def test_a_policy_that_says_its_value_itself_is_pointed_out(router, tmp_path):
    experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    (tmp_path / "c.json").write_text(json.dumps({**router.config(experts)}))
    said = frugalctl("tune", "--store", router.store, *QUICK, "--config", tmp_path / "c.json", "--policies",
                     tmp_path / "p.json")
    assert "says value_usd of policy 'auto' itself" in said.err


def test_prices_are_those_of_the_configuration(router, tmp_path):
    """Ten times the price that the answers were bought at: so are the promises."""
    dear = {name: (10 * low, 10 * high) for name, (low, high) in PRICES.items()}
    experts = {name: expert("http://127.0.0.1:9/v1", price=dear[name]) for name in dear}
    (tmp_path / "c.json").write_text(json.dumps(router.config(experts)))
    command = ["tune", "--store", router.store, *QUICK, "--json"]
    then, now = (json.loads(frugalctl(*command, *more).out)["policies"]["auto-best"]["expected"]["usd_per_1k"]
                 for more in ([], ["--config", tmp_path / "c.json"]))
    assert now == pytest.approx(10 * then, rel=0.05)


def test_the_same_seed_tunes_alike(router):
    command = ["tune", "--store", router.store, *SMALL, "--json"]
    assert frugalctl(*command).out == frugalctl(*command, "--threads", "1").out


def configured(router, tmp_path, bundle, **policy):
    experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    whole = router.config(experts, policies={"auto": {"default": "mathy", **policy}})
    (tmp_path / "config.json").write_text(json.dumps({**whole, "bundle": str(bundle)}))
    said = frugalctl("route", "--config", tmp_path / "config.json", "--json", held_out("poems", 1)[0])
    return json.loads(said.out)


def test_a_silent_policy_takes_what_was_tuned(router, tuned, tmp_path):
    said, bundle = tuned
    assert configured(router, tmp_path, bundle)["lambda"] == pytest.approx(said["lambda"])


def test_a_policy_that_speaks_is_obeyed(router, tuned, tmp_path):
    _, bundle = tuned
    assert configured(router, tmp_path, bundle, value_usd=0.5)["lambda"] == pytest.approx(2)


def test_a_bundle_that_was_not_tuned_changes_nothing(router, tmp_path):
    assert configured(router, tmp_path, router.bundle())["lambda"] == 0


def test_recorded_outcomes_are_tuned_on_without_a_store(tmp_path):
    write_outcomes(tmp_path)
    said = frugalctl("tune", "--fit", f"{tmp_path}:calib", *SMALL, "--out", tmp_path / "tuned.frugal").out
    assert "500 prompts in 3 parts" in said
    assert (tmp_path / "tuned.frugal").exists()


@pytest.mark.parametrize("arguments", [[], ["--store", "a", "--fit", "b"], ["--fit", "DATA", "--k", "0"],
                                       ["--fit", "DATA", "--k", "many"], ["--fit", "DATA", "--by", "luck"],
                                       ["--fit", "DATA", "--embedders", "nobody"], ["--fit", "DATA", "--target", "best"],
                                       ["--fit", "DATA", "--target", "quality=1x:nobody"],
                                       ["--fit", "DATA", "--by", "accuracy", "--target", "quality=0.9"]])
def test_a_wrong_use_is_told(tmp_path, arguments):
    write_outcomes(tmp_path)
    ran = frugalctl("tune", *[tmp_path if one == "DATA" else one for one in arguments], check=False)
    assert ran.returncode == 2
    assert "frugalctl" in ran.err
