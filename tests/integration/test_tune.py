"""frugalctl tune: settings by cross-validation, and a gateway that takes them where it is silent."""

import json

import pytest

from harness import expert, frugalctl
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


def test_lambda_is_the_thriftiest_within_one_standard_error_of_the_best(tuned):
    said, _ = tuned
    close = [point["lambda"] for point in said["curve"] if point["loss"] <= point["loss_se"]]
    assert said["lambda"] == max(close)
    assert said["value_usd"] == pytest.approx(1 / said["lambda"])


@pytest.mark.parametrize("target", [["--target-quality", "0.9"], ["--target-usd", "0.0005"]])
def test_a_target_sets_lambda(router, target):
    said = json.loads(frugalctl("tune", "--store", router.store, "--fold", "3", "--k", "40", "--prior", "30",
                                "--switch-z", "1", *target, "--json").out)
    points = {point["lambda"]: point for point in said["curve"]}
    if target[0] == "--target-quality":
        assert said["lambda"] == max(at for at, point in points.items() if point["quality"] >= 0.9)
    else:
        assert said["lambda"] == min(at for at, point in points.items() if point["usd"] <= 0.0005)


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
                                       ["--fit", "DATA", "--embedders", "nobody"]])
def test_a_wrong_use_is_told(tmp_path, arguments):
    write_outcomes(tmp_path)
    ran = frugalctl("tune", *[tmp_path if one == "DATA" else one for one in arguments], check=False)
    assert ran.returncode == 2
    assert "frugalctl" in ran.err
