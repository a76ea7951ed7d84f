"""frugalctl bundle show, promote, rollback: which bundle a gateway routes by, and the way back."""

import json

import pytest

from harness import Expert, Gateway, expert, frugalctl, scripts
from harness.routers import PRICES


@pytest.fixture
def place(router, tmp_path):
    """A configuration whose bundle is `bundle.frugal` beside it, an older and a newer bundle, and the policies of
    each."""
    for name, target in (("old", "value_usd=0.01"), ("new", "value_usd=0.05")):
        frugalctl("tune", "--store", router.store, "--fold", "2", "--k", "40" if name == "old" else "60", "--prior",
                  "30", "--switch-z", "1", "--target", target, "--out", tmp_path / f"{name}.frugal", "--policies",
                  tmp_path / f"{name}.json")
    return Place(router, tmp_path)


class Place:
    def __init__(self, router, folder):
        self.folder, self.config = folder, folder / "frugal.json"
        experts = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
        self.tree = {**router.config(experts), "bundle": "bundle.frugal"}
        self.write()

    def write(self, **more):
        self.tree |= more
        self.config.write_text(json.dumps(self.tree))

    def path(self, name):
        return self.folder / name

    def id(self, name):
        return json.loads(frugalctl("bundle", "show", self.path(name), "--json").out)["id"]

    def promote(self, name, *more, **how):
        return frugalctl("bundle", "promote", self.path(f"{name}.frugal"), "--config", self.config, *more, **how)

    def rollback(self, *more, **how):
        return frugalctl("bundle", "rollback", "--config", self.config, *more, **how)


def test_show_says_what_is_in_a_bundle(place):
    said = json.loads(frugalctl("bundle", "show", place.path("new.frugal"), "--json").out)
    assert said["rows"] == 500 and said["k"] == 60 and len(said["id"]) == 16
    assert {one["name"]: one["rows"] for one in said["experts"]} == {"mathy": 500, "poet": 500, "sage": 500}
    assert {one["name"] for one in said["embedders"]} == {"surface", "lexical"}
    assert said["tuned"]["value_usd"] == pytest.approx(0.05)
    assert said["bytes"] == place.path("new.frugal").stat().st_size
    for people in (frugalctl("bundle", "show", place.path("new.frugal")).out,):
        assert f"bundle {said['id']}: 500 rows" in people and "tuned: value_usd 0.05 (lambda 20)" in people


def test_a_promoted_bundle_stands_and_the_former_one_is_kept(place):
    assert "former" not in place.promote("old").out
    assert place.id("bundle.frugal") == place.id("old.frugal")
    place.promote("new")
    assert place.id("bundle.frugal") == place.id("new.frugal")
    assert place.id("bundle.frugal.1") == place.id("old.frugal")


def test_rollback_puts_the_former_back_and_is_its_own_undoing(place):
    place.promote("old")
    place.promote("new")
    place.rollback()
    assert place.id("bundle.frugal") == place.id("old.frugal")
    place.rollback()
    assert place.id("bundle.frugal") == place.id("new.frugal")
    assert sorted(one.name for one in place.folder.glob("bundle.frugal*")) == ["bundle.frugal", "bundle.frugal.1"]


def test_only_so_many_are_kept(place):
    for name in ("old", "new", "old", "new", "old"):
        place.promote(name, "--keep", "2")
    names = sorted(one.name for one in place.folder.glob("bundle.frugal*"))
    assert names == ["bundle.frugal", "bundle.frugal.1", "bundle.frugal.2"]
    assert place.id("bundle.frugal.1") == place.id("new.frugal") and place.id("bundle.frugal.2") == place.id("old.frugal")


def test_policies_go_with_their_bundle(place):
    place.path("policies.json").write_text(place.path("old.json").read_text())
    place.write(policies_file="policies.json")
    place.promote("old")
    place.promote("new", "--policies", place.path("new.json"))
    assert json.loads(place.path("policies.json").read_text())["auto"]["value_usd"] == pytest.approx(0.05)
    place.rollback()
    assert json.loads(place.path("policies.json").read_text())["auto"]["value_usd"] == pytest.approx(0.01)
    assert place.id("bundle.frugal") == place.id("old.frugal")


def test_policies_that_the_gateway_would_refuse_change_nothing(place):
    place.path("policies.json").write_text(place.path("old.json").read_text())
    place.write(policies_file="policies.json")
    place.promote("old")
    place.path("bad.json").write_text('{"auto": {"value_usd": 0}}')
    ran = place.promote("new", "--policies", place.path("bad.json"), check=False)
    assert ran.returncode == 1 and "/auto/value_usd: must be more than 0" in ran.err
    assert json.loads(place.path("policies.json").read_text())["auto"]["value_usd"] == pytest.approx(0.01)
    assert place.id("bundle.frugal") == place.id("old.frugal")


def test_what_is_no_bundle_changes_nothing(place):
    place.promote("old")
    place.path("bad.frugal").write_bytes(place.path("new.frugal").read_bytes()[:-100])
    ran = place.promote("bad", check=False)
    assert ran.returncode == 1 and "the gateway would refuse it" in ran.err and "truncated" in ran.err
    assert sorted(one.name for one in place.folder.glob("bundle.frugal*")) == ["bundle.frugal"]
    assert place.id("bundle.frugal") == place.id("old.frugal")


def test_a_bundle_of_other_experts_is_refused(place):
    place.tree["experts"] = {"other": expert("http://127.0.0.1:9/v1", price=(1.0, 2.0))}
    place.tree["policies"] = {"auto": {}}
    place.write()
    ran = place.promote("new", check=False)
    assert ran.returncode == 1 and "knows none of the experts" in ran.err
    assert not place.path("bundle.frugal").exists()


def test_only_what_is_not_worse_is_taken_where_that_is_asked_for(place, router):
    place.promote("old")
    ran = place.promote("new", "--compare", router.store, "--split", "calib", check=False)
    assert ran.returncode == 1 and "nothing is held out" in ran.err
    assert place.id("bundle.frugal") == place.id("old.frugal")


def test_nothing_former_cannot_be_put_back(place):
    place.promote("old")
    ran = place.rollback(check=False)
    assert ran.returncode == 1 and "there is no former bundle" in ran.err


def test_a_running_gateway_takes_it_over_and_goes_back(place):
    place.promote("old")
    with Expert(scripts.answer("yes")) as upstream:
        for name in PRICES:
            place.tree["experts"][name] = expert(upstream.url, price=PRICES[name])
        place.write(bundle=str(place.path("bundle.frugal")))
        with Gateway(place.tree) as gateway:
            admin = ["--reload", "--url", f"http://127.0.0.1:{gateway.admin_port}"]
            place.promote("new", *admin)
            assert frugalctl("reload", "--url", f"http://127.0.0.1:{gateway.admin_port}").out.count(place.id("new.frugal")) == 2
            place.rollback(*admin)
            assert frugalctl("reload", "--url", f"http://127.0.0.1:{gateway.admin_port}").out.count(place.id("old.frugal")) == 2


def test_without_a_gateway_to_reload_all_is_as_it_was(place):
    place.promote("old")
    ran = place.promote("new", "--reload", "--url", "http://127.0.0.1:9", check=False)
    assert ran.returncode == 1 and "the former bundle stands again" in ran.err
    assert place.id("bundle.frugal") == place.id("old.frugal")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_a_refused_promotion_leaves_every_file_as_it_was(place, keep):
    place.path("policies.json").write_bytes(place.path("old.json").read_bytes())
    place.write(policies_file="policies.json")
    place.promote("old")
    place.promote("old", "--policies", place.path("new.json"))
    place.promote("new", "--policies", place.path("old.json"))
    before = files(place.folder)
    assert {"bundle.frugal.1", "bundle.frugal.2", "policies.json.1"} <= before.keys()
    ran = place.promote("old", "--policies", place.path("new.json"), "--keep", str(keep), "--reload", "--url",
                        "http://127.0.0.1:9", check=False)
    assert ran.returncode == 1 and "the former bundle stands again" in ran.err
    assert files(place.folder) == before
    place.promote("old", "--keep", str(keep))
    assert not [name for name in files(place.folder) if name.endswith(".gone")]


def test_a_refused_first_promotion_leaves_no_bundle(place):
    before = files(place.folder)
    assert place.promote("new", "--reload", "--url", "http://127.0.0.1:9", check=False).returncode == 1
    assert files(place.folder) == before
