"""A prompt on the real path: llama.cpp's server as generator and as embedding, streamed."""

import glob
import json
import os
import re
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import BUILD, Experts, embedding, eventually, expert, frugalctl
from harness.programs import run_program

PREPARE_SECONDS = 1500
pytestmark = pytest.mark.timeout(PREPARE_SECONDS + 300)


def debian_mirror():
    """Where this machine's own packages come from."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            found = re.search(r"https?://\S+/debian(?=[\s/])", open(path).read())
        except OSError:
            continue
        if found:
            return found[0]
    return "http://deb.debian.org/debian"


def healthy(url):
    try:
        return urllib.request.urlopen(f"{url}/health", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def llama(data):
    """URL of llama.cpp's server with a tiny random model."""
    script = data.parent / "tools" / "llama-server.sh"
    if not script.exists():
        pytest.skip(f"no {script}: llama.cpp's server cannot be started")
    env = {**os.environ, "DEBIAN_MIRROR": os.environ.get("DEBIAN_MIRROR") or debian_mirror()}
    prepared = subprocess.run(["bash", str(script), "--prepare"], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PREPARE_SECONDS)
    if prepared.returncode == 77:
        pytest.skip("llama.cpp's server cannot be made here (no root, or no debootstrap)")
    assert prepared.returncode == 0, prepared.stderr[-2000:]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = subprocess.Popen(["bash", str(script), str(port)], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: server.poll() is not None or healthy(url), "llama.cpp's server is healthy", 60)
        assert server.poll() is None, "llama.cpp's server ended"
        yield url + "/v1"
    finally:
        server.terminate()
        server.wait(20)


def questions(n, seed):
    """Generated prompts of the two kinds that two of the small experts know."""
    said = run_program(BUILD / "frugal-experts", "questions", "--n", n, "--seed", seed).out
    return [question for question in map(json.loads, said.splitlines())
            if question["domain"] in ("arithmetic", "text")]


def whole(llama, experts, **more):
    """Two real small experts, the tiny model as a bad but cheap third, its embedding as the only evidence."""
    return {
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2,
        "experts": {
            "tiny": expert(llama, model="tiny", price=(0.01, 0.01), embedding=embedding("tiny", 64, 0.001),
                           generator_more={"max_output_tokens": 16, "context": 2048}),
            "arithmetic": expert(experts.url, model="arithmetic", price=(0.1, 0.1)),
            "text": expert(experts.url, model="text", price=(0.1, 0.1))},
        "embedders": ["tiny"],
        "policies": {"auto": {"value_usd": 0.02, "default": "tiny", "max_output_tokens": 16},
                     "tiny-only": {"value_usd": 0.02, "default": "tiny", "experts": ["tiny"],
                                   "max_output_tokens": 16}}, **more}


@pytest.fixture(scope="session")
def learned(llama, tmp_path_factory):
    """Calibrated on the real path and built with llama.cpp's embedding: experts, configuration, folder."""
    folder = tmp_path_factory.mktemp("llama")
    with Experts() as experts:
        config = whole(llama, experts)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "prompts.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions(600, 1)))
        calibrated = frugalctl("calibrate", "--config", folder / "config.json", "--prompts", folder / "prompts.jsonl",
                               "--store", folder / "calib.db", "--concurrency", 4)
        frugalctl("build", "--store", folder / "calib.db", "--out", folder / "bundle.frugal", "--embedders", "tiny",
                  "--config", folder / "config.json")
        yield {**config, "bundle": str(folder / "bundle.frugal")}, calibrated


def test_a_prompt_is_embedded_by_llama_cpp_and_routed(run, learned):
    gateway = run.gateway(learned[0])
    asked = questions(160, 2)
    right = 0
    for question in asked:
        answer = gateway.chat(question["prompt"])
        assert answer.status == 200, answer
        assert answer["x-frugal-queried"] == "tiny"
        right += answer["x-frugal-expert"] == question["domain"]
    # The model is random, so its embedding says little; still clearly more than a guess.
    assert right >= 0.6 * len(asked), f"{right} of {len(asked)}"
    assert gateway.metrics().value("frugal_cost_usd_total", expert="tiny", **{"for": "evidence"}) > 0


def test_llama_cpp_answers_a_routed_stream(run, learned):
    gateway = run.gateway(learned[0])
    with gateway.stream("Say anything.", model="tiny-only", max_tokens=12,
                        stream_options={"include_usage": True}) as stream:
        assert stream["x-frugal-expert"] == "tiny"
        chunks = stream.chunks()
    assert stream.done and not stream.cut
    usage = chunks[-1]["usage"]
    assert 0 < usage["completion_tokens"] <= 12
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["cost"] == pytest.approx(tokens * 0.01e-6, rel=0.5)


def test_llama_cpp_answers_whole(run, learned):
    gateway = run.gateway(learned[0])
    answer = gateway.chat("Say anything.", model="tiny", max_tokens=8)
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    assert answer.json()["usage"]["cost"] > 0


def test_a_ceiling_binds_llama_cpp(run, learned):
    gateway = run.gateway(learned[0])
    answer = gateway.chat("Say anything.", model="tiny", headers={"x-frugal-budget-usd": "0.000004"}, max_tokens=500)
    assert answer.status == 200, answer
    assert answer.json()["usage"]["cost"] <= 0.000004


def test_a_client_that_leaves_stops_llama_cpp(run, learned, llama):
    gateway = run.gateway(learned[0])
    stream = gateway.stream("Say anything.", model="tiny", max_tokens=1500)
    next(stream)
    stream.close()
    assert gateway.log.wait(event="request")["result"] == "client_gone"

    def idle():
        slots = json.load(urllib.request.urlopen(llama.removesuffix("/v1") + "/slots", timeout=5))
        return not any(slot["is_processing"] for slot in slots)

    eventually(idle, "llama.cpp's server generates no more")
