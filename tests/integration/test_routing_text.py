"""Which text of a conversation is embedded: by a rule that a build puts into its bundle, and the gateway follows."""

import ctypes
import json
import struct

import pytest

from harness import expert, frugalctl, scripts
from harness.routers import PRICES, Router, held_out

RULE = "system=0.4,earlier=0.3,bytes=4000"
VERSION = "text@2;system=0.4;earlier=0.3;bytes=4000"
POEM, SUM = (" ".join(held_out(domain, 4)) for domain in ("poems", "sums"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A router of our own: its texts are cut in several ways here."""
    return Router(tmp_path_factory.mktemp("texts"))


def build(store, name, *more):
    out = store.folder / f"{name}.frugal"
    said = frugalctl("build", "--store", store.store, "--out", out, "--json", *more)
    return out, json.loads(said.out)


@pytest.fixture
def gateway_of(run, store):
    def make(bundle):
        upstreams = {name: run.expert(scripts.answer(f"by {name}")) for name in PRICES}
        entries = {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}
        policies = {"auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 1000}}
        return run.gateway({**store.config(entries, policies=policies), "bundle": str(bundle)})

    return make


def route(gateway, *messages):
    return gateway.post("/v1/route", {"model": "auto", "messages": [
        {"role": role, "content": text} for role, text in messages]}).json()


def test_a_system_prompt_and_earlier_turns_count_where_the_rule_gives_them_a_share(gateway_of, store):
    bundle, said = build(store, "weighed", "--routing-text", RULE)
    assert (said["routing_text"], said["recut"]) == (VERSION, 500)
    gateway = gateway_of(bundle)
    for name, text in (("poet", POEM), ("mathy", SUM)):
        decision = route(gateway, ("system", text), ("user", "Yes, please."))
        assert decision["expert"] == name, decision["reason"]
        assert decision["text"] == {"version": VERSION, "bytes": len(f"Yes, please.\n{text}"), "turns": 2}
        assert route(gateway, ("user", text), ("assistant", "Well."), ("user", "x" * 150))["text"]["bytes"] == \
            len(text) + 151


def test_the_default_rule_reads_the_last_user_turn(gateway_of, store):
    bundle, said = build(store, "default")
    assert said["routing_text"] == "text@1"
    decision = route(gateway_of(bundle), ("system", POEM), ("user", "x" * 150))
    assert decision["text"] == {"version": "text@1", "bytes": 150, "turns": 2}


def test_a_store_can_be_cut_anew_and_back(store):
    first = build(store, "first")[1]
    other = build(store, "other", "--routing-text", "bytes=256")[1]
    again = build(store, "again")[1]
    assert other["id"] != first["id"] and again["id"] == first["id"]
    assert other["recut"] == again["recut"] == 500


def test_frugalctl_route_cuts_as_the_bundle_says(gateway_of, store):
    bundle, _ = build(store, "weighed", "--routing-text", RULE)
    gateway = gateway_of(bundle)
    told = json.loads(frugalctl("route", "--config", gateway.config_path, "--json", POEM).out)
    assert told["expert"] == "poet"


@pytest.mark.parametrize("rule, why", [("text@9", "text@1"), ("system=0.5,earlier=0.5", "0.9"), ("bytes=12", "256")])
def test_a_wrong_rule_is_refused_by_build(store, rule, why):
    ran = frugalctl("build", "--store", store.store, "--out", store.folder / "never.frugal", "--routing-text", rule,
                    check=False)
    assert ran.returncode != 0 and why in ran.err
    assert not (store.folder / "never.frugal").exists()


TEMPLATE = "You are the clerk of a large shop and answer questions of customers in one short sentence. Question: "


@pytest.fixture(scope="module")
def templated(tmp_path_factory):
    """The same outcomes, each question behind a template that all of them share."""
    store = Router(tmp_path_factory.mktemp("templates"))
    data = store.folder / "data"
    lines = [json.loads(line) for line in (data / "prompts.jsonl").read_text().splitlines()]
    for line in lines:
        line["prompt"] = TEMPLATE + line["prompt"]
    (data / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store.store.unlink()
    frugalctl("import", data, "--store", store.store)
    return store


def test_a_shared_template_is_found_put_into_the_bundle_and_taken_off_by_the_gateway(gateway_of, templated):
    bundle, said = build(templated, "stripped", "--strip-common-prefix")
    assert (said["templates"], said["recut"]) == (1, 500)
    assert said["routing_text"].startswith("text@1;strip=")
    gateway = gateway_of(bundle)
    for name, text in (("poet", POEM), ("mathy", SUM)):
        decision = route(gateway, ("user", TEMPLATE + text))
        assert decision["expert"] == name
        assert decision["text"] == {"version": said["routing_text"], "bytes": len(text), "turns": 1}
    assert route(gateway, ("user", POEM))["text"]["bytes"] == len(POEM)
    again, said_again = build(templated, "stripped-again", "--strip-common-prefix")
    assert (said_again["recut"], said_again["id"]) == (0, said["id"])
    back, _ = build(templated, "whole")
    assert route(gateway_of(back), ("user", TEMPLATE + POEM))["text"]["bytes"] == len(TEMPLATE + POEM)


def xxh3(data):
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    return library.XXH3_64bits(ctypes.c_char_p(bytes(data)), ctypes.c_size_t(len(data)))


def resealed(raw, old, new):
    """The bundle with other bytes in it, its checksums right again: fuser/bundle_file.h."""
    raw = bytearray(raw.replace(old, new))
    n_sections, = struct.unpack_from("<I", raw, 12)
    for at in range(32, 32 + 32 * n_sections, 32):
        offset, size = struct.unpack_from("<QQ", raw, at + 8)
        struct.pack_into("<Q", raw, at + 24, xxh3(raw[offset:offset + size]))
    struct.pack_into("<Q", raw, 16, xxh3(raw[24:32 + 32 * n_sections]))
    return bytes(raw)


def test_a_bundle_whose_texts_this_program_makes_otherwise_is_refused(run, store, tmp_path):
    bundle, said = build(store, "stamped")
    assert said["routing_text_stamp"].startswith("text@1#")
    other = said["routing_text_stamp"][:-4] + "0000"
    raw = bundle.read_bytes()
    assert raw.count(said["routing_text_stamp"].encode()) == 1
    bad = tmp_path / "bad.frugal"
    bad.write_bytes(resealed(raw, said["routing_text_stamp"].encode(), other.encode()))
    entries = {name: expert("http://127.0.0.1:9/v1", price=PRICES[name]) for name in PRICES}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**store.config(entries), "bundle": str(bad)}))
    ran = frugalctl("route", "--config", path, POEM, check=False)
    assert ran.returncode == 1
    assert "makes other texts" in ran.err and "frugalctl build" in ran.err


def test_bundles_of_two_rules_are_compared_each_by_its_own_and_tune_builds_by_one(templated, tmp_path):
    lines = [json.loads(line) for line in (templated.folder / "data" / "prompts.jsonl").read_text().splitlines()]
    data = tmp_path / "data"
    data.mkdir()
    for name in ("models.json", "quality.csv", "cost.csv"):
        (data / name).write_bytes((templated.folder / "data" / name).read_bytes())
    for number, line in enumerate(lines):
        line["split"] = "dev" if number % 10 < 2 else "calib"
    (data / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = tmp_path / "calib.db"
    frugalctl("import", data, "--store", store)
    for name, more in (("whole", []), ("stripped", ["--strip-common-prefix"])):
        frugalctl("build", "--store", store, "--split", "calib", "--out", tmp_path / f"{name}.frugal",
                  "--embedders", "lexical", *more)
    said = json.loads(frugalctl("eval", "compare", tmp_path / "whole.frugal", tmp_path / "stripped.frugal", "--store", store,
                                "--value-usd", "0.001", "--json").out)
    assert said["rows"] == 100
    frugalctl("tune", "--store", store, "--out", tmp_path / "tuned.frugal", "--embedders", "lexical",
              "--strip-common-prefix", "--k", "80", "--prior", "30", "--switch-z", "1", "--fold", "2")
    assert b"text@1;strip=" in (tmp_path / "tuned.frugal").read_bytes()
