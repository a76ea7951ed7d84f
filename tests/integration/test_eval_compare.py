"""frugalctl eval compare: is a new bundle worth taking? Exit codes for programs, words for people."""

import json

import pytest

from harness import frugalctl
from harness.routers import PER_DOMAIN, write_outcomes

VALUE = ["--value-usd", "0.02"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Of 500 prompts the first 300 are for building: `good` learned both kinds, `blind` has the experts' names
    swapped, so that it sends every prompt to the wrong one."""
    folder = tmp_path_factory.mktemp("compare")
    data = folder / "data"
    data.mkdir()
    write_outcomes(data)
    lines = [json.loads(line) for line in (data / "prompts.jsonl").read_text().splitlines()]
    for n, line in enumerate(lines):
        line["split"] = "calib" if n < 300 else "dev"
    (data / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    quality = (data / "quality.csv").read_text()
    frugalctl("import", data, "--store", folder / "good.db")
    (data / "quality.csv").write_text(quality.replace("id,mathy,poet", "id,poet,mathy", 1))
    frugalctl("import", data, "--store", folder / "blind.db")
    (data / "quality.csv").write_text(quality)
    for name, store, more in (("good", "good", []), ("again", "good", ["--k", "60"]), ("blind", "blind", []),
                              ("leaky", "good", ["--split", "calib,dev"])):
        frugalctl("build", "--store", folder / f"{store}.db", "--out", folder / f"{name}.frugal",
                  *(more if "--split" in more else ["--split", "calib", *more]))
    assert len(lines) == 2 * PER_DOMAIN
    return folder


def compare(folder, old, new, *more, check=True, words=("eval", "compare")):
    return frugalctl(*words, folder / f"{old}.frugal", folder / f"{new}.frugal", "--store", folder / "good.db", *VALUE,
                     *more, check=check)


def test_a_bundle_is_not_worse_than_itself(bundles):
    said = json.loads(compare(bundles, "good", "good", "--json").out)
    assert said["verdict"] == "not_worse" and said["rows"] == 200 and said["dropped"] == 0
    assert said["utility"]["interval"] == [0, 0] and said["moved"] == 0


def test_a_better_bundle_is_better(bundles):
    said = json.loads(compare(bundles, "blind", "good", "--json").out)
    assert said["verdict"] == "better"
    assert said["quality"]["new"] > 0.9 and said["quality"]["change"] > 0.3
    low, high = said["utility"]["interval"]
    assert 0 < low < said["utility"]["change"] < high
    utility = said["quality"]["new"] - said["lambda"] * said["usd_per_request"]["new"]
    assert said["utility"]["new"] == pytest.approx(utility)


def test_a_worse_bundle_ends_with_3(bundles):
    ran = compare(bundles, "good", "blind", check=False)
    assert ran.returncode == 3
    assert "the new bundle is worse" in ran.err and "verdict, of the utility with a margin of 0.01: worse" in ran.out


def test_what_cannot_be_told_ends_with_4(bundles):
    """Nearly alike, and no loss at all is allowed."""
    said = compare(bundles, "good", "again", "--json", "--margin", "0", check=False)
    verdict = json.loads(said.out)
    if verdict["moved"] == 0:
        assert (said.returncode, verdict["verdict"]) == (0, "not_worse")
    else:
        assert said.returncode == {"cannot_tell": 4, "not_worse": 0, "better": 0, "worse": 3}[verdict["verdict"]]
    few = json.loads(compare(bundles, "good", "again", "--json", "--margin", "0.2").out)
    assert few["verdict"] in ("not_worse", "better")


def test_rows_that_a_bundle_was_built_from_are_left_out_and_counted(bundles):
    said = compare(bundles, "good", "good", "--split", "calib,dev")
    assert "on 200 prompts that neither was built from; 300 that one of them was built from are left out" in said.out
    ran = compare(bundles, "good", "leaky", check=False)
    assert ran.returncode == 1 and "of 200 prompts 200 are in one of the bundles: nothing is held out" in ran.err


def test_it_is_also_spelled_with_dashes(bundles):
    assert "verdict" in compare(bundles, "good", "good", words=("eval", "--compare")).out


def test_the_value_is_that_of_the_policy_or_what_was_tuned(bundles, tmp_path):
    ran = frugalctl("eval", "compare", bundles / "good.frugal", bundles / "good.frugal", "--store", bundles / "good.db",
                    check=False)
    assert ran.returncode == 2 and "--value-usd" in ran.err
    (tmp_path / "c.json").write_text(json.dumps({
        "experts": {name: {"endpoints": ["http://127.0.0.1:9/v1"], "generator": {
            "model": "m", "price": {"input": 1.0, "output": 2.0}}} for name in ("mathy", "poet", "sage")},
        "policies": {"dear": {"value_usd": 0.25}}}))
    said = json.loads(frugalctl("eval", "compare", bundles / "good.frugal", bundles / "blind.frugal", "--store",
                                bundles / "good.db", "--config", tmp_path / "c.json", "--policy", "dear", "--json",
                                check=False).out)
    assert said["lambda"] == 4


@pytest.mark.parametrize("broken", ["nothing", "text"])
def test_a_file_that_is_no_bundle_is_named(bundles, tmp_path, broken):
    path = tmp_path / "broken.frugal"
    if broken == "text":
        path.write_text("no bundle")
    ran = frugalctl("eval", "compare", bundles / "good.frugal", path, "--store", bundles / "good.db", *VALUE, check=False)
    assert ran.returncode == 1 and "broken.frugal" in ran.err


def test_what_was_held_out_is_not_built_from_unless_somebody_says_so(bundles):
    def rows(*more):
        return json.loads(frugalctl("build", "--store", bundles / "good.db", "--out", bundles / "default.frugal", "--json",
                                    *more).out)["rows"]

    assert (rows("--split", "calib,dev"), rows()) == (2 * PER_DOMAIN, 300)
    ran = compare(bundles, "good", "default")
    assert f"{2 * PER_DOMAIN - 300} prompts" in ran.out
