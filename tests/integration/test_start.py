"""A daemon that cannot serve says so in one clear line and does not start."""

import copy
import json
import re
import socket

import pytest

from harness import config, expert, run_frugald, scripts

GOOD = config({"small": expert("http://127.0.0.1:9/v1"), "large": expert("http://127.0.0.1:9/v1")})


def edited(*path, value=..., rename=None):
    """GOOD with the member at this path set, renamed, or (without either) taken out."""
    whole = copy.deepcopy(GOOD)
    parent = whole
    for step in path[:-1]:
        parent = parent[step]
    if rename is not None:
        parent[rename] = parent.pop(path[-1])
    elif value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return whole


GENERATOR = ("experts", "small", "generator")
TYPOS = {
    "a key with a typo": (edited("experts", "small", "endpoints", rename="endpoint"), "/experts/small", "endpoint"),
    "a top-level key with a typo": (edited("policies", rename="polices"), "", "polices"),
    "a price with a typo": (edited(*GENERATOR, "price", value={"inptu": 1, "output": 2}),
                            "/experts/small/generator/price", "inptu"),
    "no price": (edited(*GENERATOR, "price"), "/experts/small/generator", "price"),
    "half a price": (edited(*GENERATOR, "price", value={"input": 1}), "/experts/small/generator/price", "output"),
    "a negative price": (edited(*GENERATOR, "price", "input", value=-1), "/experts/small/generator/price/input", ""),
    "a price in words": (edited(*GENERATOR, "price", "input", value="1 USD"), "/experts/small/generator/price/input", ""),
    "a bound that does not exist": (edited(*GENERATOR, "prompt_bound", value="guess"),
                                    "/experts/small/generator/prompt_bound", "tokenize"),
    "no endpoint": (edited("experts", "small", "endpoints", value=[]), "/experts/small/endpoints", ""),
    "an endpoint that is no URL": (edited("experts", "small", "endpoints", value=["localhost:80"]),
                                   "/experts/small/endpoints/0", ""),
    "an endpoint of another scheme": (edited("experts", "small", "endpoints", value=["ftp://127.0.0.1/v1"]),
                                      "/experts/small/endpoints/0", ""),
    "an endpoint with a port beyond all ports": (edited("experts", "small", "endpoints", value=["http://127.0.0.1:99999/v1"]),
                                                 "/experts/small/endpoints/0", "65535"),
    "an endpoint as far as the API": (edited("experts", "small", "endpoints",
                                             value=["http://127.0.0.1:9/v1/chat/completions"]),
                                      "/experts/small/endpoints/0", "/v1"),
    "a pause above the longest": (edited("experts", "small", "health", value={"open_ms": 90_000}),
                                  "/experts/small/health", "open_max_ms"),
    "more output than context": (edited(*GENERATOR, "max_output_tokens", value=2_000_000), "/experts/small/generator",
                                 "max_output_tokens"),
    "no experts": (edited("experts", value={}), "/experts", ""),
    "a default that does not exist": (edited("policies", "auto", "default", value="smal"),
                                      "/policies/auto/default", "smal"),
    "an allow list with a stranger": (edited("policies", "auto", "experts", value=["small", "nobody"]),
                                      "/policies/auto/experts/1", "nobody"),
    "an embedder that does not exist": (edited("embedders", value=["lexcial"]), "/embedders/0", "lexcial"),
    "an embedder without an embedding": (edited("embedders", value=["small"]), "/embedders/0", "small"),
    "the same embedder twice": (edited("embedders", value=["lexical", "lexical"]), "/embedders/1", "lexical"),
    "a policy named like an expert": (edited("policies", "large", value=GOOD["policies"]["auto"]),
                                      "/policies/large", "large"),
    "a port beyond all ports": (edited("listen", value="127.0.0.1:99999"), "/listen", ""),
    "a listener without a port": (edited("listen", value="127.0.0.1"), "/listen", ""),
    "clients and operators on one address": ({**GOOD, "listen": "127.0.0.1:8090", "admin": "127.0.0.1:8090"},
                                             "/admin", "a port each"),
    "clients on every address, operators on one": ({**GOOD, "listen": "*:8090", "admin": "127.0.0.1:8090"},
                                                   "/admin", "a port each"),
    "clients where operators are by default": (edited("admin", value=...) | {"listen": "127.0.0.1:8081"},
                                               "/listen", "a port each"),
    "workers: none": (edited("workers", value=-1), "/workers", ""),
    "workers: words": (edited("workers", value="two"), "/workers", ""),
    "a limit of the wrong type": (edited("limits", value={"body_bytes": "10 MB"}), "/limits/body_bytes", ""),
    "a limit below zero": (edited("limits", value={"body_bytes": -1}), "/limits/body_bytes", ""),
    "an unknown limit": (edited("limits", value={"bodybytes": 5}), "/limits", "bodybytes"),
    "a timeout of zero": (edited("experts", "small", "timeouts_ms", value={"connect": 0}),
                          "/experts/small/timeouts_ms/connect", ""),
    "a key in the clear": (edited("experts", "small", "key", value="sk-in-the-clear"), "/experts/small/key", ""),
    "a key from nowhere": (edited("experts", "small", "key", value={"env": "FRUGAL_TEST_NOT_SET"}),
                           "/experts/small/key", "FRUGAL_TEST_NOT_SET"),
    "a key from a file that is not there": (edited("experts", "small", "key", value={"file": "no-such-file"}),
                                            "/experts/small/key", "no-such-file"),
}


def line_of(text, pointer):
    """The line of the last part of a JSON pointer in pretty-printed JSON, by walking its parts in order."""
    at = 0
    for part in pointer.split("/")[1:]:
        if part.isdigit():
            continue
        at = text.index(f'"{part}":', at)
    return text[:at].count("\n") + 1


@pytest.mark.parametrize("case", TYPOS)
@pytest.mark.parametrize("checking", [True, False], ids=["check", "start"])
def test_a_configuration_with_a_mistake_is_refused_with_file_pointer_and_line(case, checking):
    whole, pointer, word = TYPOS[case]
    ran = run_frugald(*(["--check-config"] if checking else []), config=whole)
    assert ran.returncode not in (0, 99) and ran.returncode < 128, ran
    said = ran.err + ran.out
    assert "config.json" in said
    assert pointer in said
    assert word in said
    assert re.search(r"config\.json:\d+", said), said
    assert "sk-in-the-clear" not in said


def test_the_line_of_a_mistake_is_the_right_one():
    whole = edited(*GENERATOR, "price", "input", value=-1)
    text = json.dumps(whole, indent=2)
    said = run_frugald("--check-config", config=text).err
    assert f"config.json:{line_of(text, '/experts/small/generator/price/input')}" in said, said


def test_a_typo_is_answered_with_what_was_probably_meant():
    said = run_frugald("--check-config", config=edited("experts", "small", "endpoints", rename="endpionts")).err
    assert "endpoints" in said.replace("endpionts", "")


@pytest.mark.parametrize("text, line", [
    ('{\n  "listen": "127.0.0.1:0",\n  "experts": {\n', 3), ('{\n"listen": "127.0.0.1:0",,\n}', 2), ("", 1),
    ("[]", 1), ('{\n"listen": "a:0",\n"listen": "b:0"\n}', 3), ('{\n"listen": "caf\udce9"}', 2)],
    ids=["cut off", "two commas", "empty", "a list", "a key twice", "not UTF-8"])
def test_a_configuration_that_is_not_json_is_refused_with_its_line(tmp_path, text, line):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    ran = run_frugald("--config", path, "--check-config")
    assert ran.returncode != 0
    found = re.search(r"config\.json:(\d+)", ran.err)
    assert found, ran.err
    assert abs(int(found[1]) - line) <= 1


def test_a_good_configuration_passes_the_check():
    ran = run_frugald("--check-config", config=GOOD)
    assert ran.returncode == 0, ran.err


def test_a_configuration_that_is_not_there_is_said(tmp_path):
    ran = run_frugald("--config", tmp_path / "nowhere.json")
    assert ran.returncode != 0
    assert "nowhere.json" in ran.err and "no such file" in ran.err.lower()


def test_without_a_configuration_the_usage_is_shown():
    ran = run_frugald()
    assert ran.returncode != 0
    assert "--config" in ran.err + ran.out


def test_an_unknown_option_is_refused():
    ran = run_frugald("--cofnig", "x")
    assert ran.returncode != 0
    assert "cofnig" in ran.err


def test_version_and_help_are_told():
    version, helped = run_frugald("--version"), run_frugald("--help")
    assert version.returncode == 0 and re.search(r"\d+\.\d+", version.out)
    assert helped.returncode == 0
    for option in ("--config", "--check-config", "--version"):
        assert option in helped.out


def test_a_port_in_use_is_said(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = run_frugald(config={**GOOD, "listen": address})
        assert ran.returncode != 0
        assert address in ran.err and "in use" in ran.err.lower()


def test_a_second_gateway_on_a_port_is_refused(run):
    """Two gateways would share the clients of a port, which nobody asked for."""
    first = run.gateway(GOOD)
    for listener, port in (("listen", first.port), ("admin", first.admin_port)):
        address = f"127.0.0.1:{port}"
        ran = run_frugald(config={**GOOD, listener: address})
        assert ran.returncode != 0
        assert address in ran.err and "in use" in ran.err and "name another port" in ran.err
    assert first.get("/healthz").status == 200


def test_a_name_does_not_hide_that_clients_and_operators_share_an_address(run):
    """The configuration compares what is written; the sockets tell what a name stands for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)[0][4][0]
    written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    ran = run_frugald(config={**GOOD, "listen": written, "admin": f"localhost:{port}"})
    assert ran.returncode != 0
    assert f"localhost:{port}" in ran.err and "in use" in ran.err


def test_a_bundle_that_is_not_there_is_said():
    ran = run_frugald(config={**GOOD, "bundle": "nowhere.frugal", "embedders": ["lexical"]})
    assert ran.returncode != 0
    assert "nowhere.frugal" in ran.err


BROKEN = {
    "empty": lambda data: b"", "foreign": lambda data: b"SQLite format 3\0" + data[16:],
    "text": lambda data: b"hello\n" * 100, "cut to a byte": lambda data: data[:1],
    "cut in the head": lambda data: data[:24], "cut in half": lambda data: data[:len(data) // 2],
    "one byte short": lambda data: data[:-1], "one byte long": lambda data: data + b"\0",
    "a flipped bit in the head": lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    "a flipped bit in the middle": lambda data: data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 64])
    + data[len(data) // 2 + 1:],
    "a flipped bit at the end": lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    "of another version": lambda data: data[:8] + bytes([255, 255, 255, 127]) + data[12:],
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_bundle_is_refused_by_name(router, case):
    whole = {**GOOD, "bundle": "broken.frugal", "embedders": ["lexical"]}
    ran = run_frugald(config=whole, files={"broken.frugal": BROKEN[case](router.bundle("lexical").read_bytes())})
    assert ran.returncode not in (0, 99) and 0 < ran.returncode < 128, ran
    assert "broken.frugal" in ran.err
    assert len(ran.err.strip().splitlines()) <= 3


def test_a_bundle_made_with_other_embedders_is_refused_or_said(run, router):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical", embedders=["surface"])
    gateway = run.gateway(whole)
    assert "lexical" in gateway.log.text()
    assert gateway.chat().status == 200
