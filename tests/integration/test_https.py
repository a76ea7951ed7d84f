"""Experts over HTTPS: verified, with their own key and our certificate, in HTTP/2 where they speak it, streamed like any other."""

import ssl
import subprocess

import pytest

from harness import config, embedding, eventually, expert, run_frugald, scripts
from harness.certificates import Authority
from harness.nginx import Http2


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority, made anew."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=scripted expert", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_an_expert_over_https_is_asked_with_its_key(run, authority):
    certificate, context = authority
    small = run.expert(scripts.answer("over TLS"), tls=context)
    gateway = run.gateway(config({"small": expert(small, ca_file=str(certificate), key={"env": "SMALL_KEY"})}),
                          env={"SMALL_KEY": "sk-for-the-expert"})
    assert gateway.chat().json()["choices"][0]["message"]["content"] == "over TLS"
    with gateway.stream() as stream:
        assert stream.text() == "over TLS" and stream.done
    assert small.call(2).request["Authorization"] == "Bearer sk-for-the-expert"


def test_a_key_travels_in_the_header_that_the_expert_reads(run, authority):
    """Over TLS and without, to chat and to embeddings, and a client cannot put another one in its place."""
    certificate, context = authority
    secure = run.expert(scripts.answer(), scripts.embed(scripts.hashed_vector), tls=context)
    plain = run.expert(scripts.answer(), scripts.embed(scripts.hashed_vector))
    own = {"key": {"env": "SMALL_KEY"}, "key_header": "api-key", "embedding": embedding()}
    gateway = run.gateway(config({"secure": expert(secure, ca_file=str(certificate), **own), "plain": expert(plain, **own)}),
                          env={"SMALL_KEY": "sk-for-the-expert"})
    for name, upstream in (("secure", secure), ("plain", plain)):
        assert gateway.chat(model=name, headers={"x-frugal-fwd-Api-Key": "forged"}).status == 200
        assert gateway.post("/v1/embeddings", {"model": name, "input": "x"}).status == 200
        for call in upstream.calls():
            assert call.request["api-key"] == "sk-for-the-expert" and "authorization" not in call.request


def test_an_expert_with_a_certificate_of_nobody_is_not_trusted(run, authority):
    _, context = authority
    stranger, good = run.expert(scripts.answer(), tls=context), run.expert(scripts.answer("the honest one"))
    gateway = run.gateway(config({"stranger": expert(stranger), "good": expert(good)}))
    assert gateway.chat()["x-frugal-expert"] == "good"
    assert gateway.chat(model="stranger").status == 502
    assert stranger.asked == 0


def test_a_certificate_for_another_name_is_not_trusted(run, authority):
    certificate, context = authority
    small = run.expert(scripts.answer(), tls=context)
    gateway = run.gateway(config({"small": expert(f"https://localhost:{small.port}/v1", ca_file=str(certificate))}))
    assert gateway.chat().status == 502
    assert small.asked == 0


def test_certificates_are_not_checked_only_where_the_configuration_says_so(run, authority):
    _, context = authority
    small = run.expert(scripts.answer("trusted anyway"), tls=context)
    gateway = run.gateway(config({"small": expert(small, tls_verify=False), "checked": expert(small)}))
    assert [gateway.chat(model=name).status for name in ("small", "checked", "small")] == [200, 502, 200]


# -- our certificate

@pytest.fixture(scope="module")
def experts_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("experts"), "experts")


def asking_for_certificates(authority, name):
    context = authority.server_context(authority.issue(name))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(authority.cert))
    return context


def test_an_expert_that_asks_for_a_certificate_is_shown_it(run, experts_authority):
    ours = experts_authority.issue("us", usage="clientAuth")
    small = run.expert(scripts.answer("welcome"), tls=asking_for_certificates(experts_authority, "strict"))
    known = {"ca_file": str(experts_authority.cert), "cert_file": str(ours[0]), "key_file": str(ours[1])}
    gateway = run.gateway(config({"small": expert(small, **known),
                                  "bare": expert(small, ca_file=str(experts_authority.cert))}))
    # One after another on the same worker's handles: neither gets what is the other's.
    for _ in range(4):
        assert gateway.chat(model="small").json()["choices"][0]["message"]["content"] == "welcome"
        assert gateway.chat(model="bare").status == 502


def test_a_certificate_that_does_not_fit_is_refused_at_the_start(experts_authority):
    ours, other = (experts_authority.issue(name, usage="clientAuth") for name in ("ours", "other"))
    whole = config({"small": expert("https://127.0.0.1:9/v1", cert_file=str(ours[0]), key_file=str(other[1]))})
    ran = run_frugald("--check-config", config=whole)
    assert ran.returncode == 1 and "/experts/small/key_file: " in ran.err and "does not belong" in ran.err
    whole = config({"small": expert("https://127.0.0.1:9/v1", cert_file=str(ours[0]))})
    ran = run_frugald("--check-config", config=whole)
    assert ran.returncode == 1 and "needs both 'cert_file' and 'key_file'" in ran.err


@pytest.mark.parametrize("arguments", [(), ("--check-config",)], ids=["start", "check"])
def test_an_authority_that_is_not_there_is_refused_at_the_start(tmp_path, arguments):
    whole = config({"small": expert("https://127.0.0.1:9/v1", ca_file=str(tmp_path / "absent.pem"))})
    ran = run_frugald(*arguments, config=whole)
    assert ran.returncode == 1 and "/experts/small/ca_file: " in ran.err and "absent.pem" in ran.err, ran.err


# -- HTTP/2

@pytest.fixture
def http2(run, experts_authority):
    pair = experts_authority.issue("front")

    def front(script, more=""):
        small = run.expert(script)
        return small, run.start(Http2(small, pair, more))

    return front


def over_http2(front, authority, **more):
    return {"small": expert(front, ca_file=str(authority.cert), **more)}


def test_http2_is_spoken_where_the_expert_offers_it(run, http2, experts_authority):
    small, front = http2(scripts.answer("in frames"))
    gateway = run.gateway(config(over_http2(front, experts_authority)))
    for _ in range(3):
        assert gateway.chat().json()["choices"][0]["message"]["content"] == "in frames"
    with gateway.stream() as stream:
        assert stream.text() == "in frames" and stream.done
    served = eventually(lambda: len(front.served()) == 4 and front.served(), "all are in nginx's log")
    assert {line[0] for line in served} == {"HTTP/2.0"}
    assert len({line[2] for line in served}) <= 2  # a kept connection a worker


def test_http2_can_be_turned_off(run, http2, experts_authority):
    _, front = http2(scripts.answer())
    gateway = run.gateway(config(over_http2(front, experts_authority, http2=False)))
    assert gateway.chat().status == 200
    served = eventually(front.served, "it is in nginx's log")
    assert served[0][0] == "HTTP/1.1"


def test_bodies_of_megabytes_go_both_ways_in_http2(run, http2, experts_authority):
    small, front = http2(scripts.answer("z" * 2_000_000))
    gateway = run.gateway(config(over_http2(front, experts_authority)))
    for n, size in enumerate((10, 40_000, 3_000_000)):  # gathered, and read as it is sent
        answer = gateway.chat("y" * size)
        assert len(answer.json()["choices"][0]["message"]["content"]) == 2_000_000
        assert len(small.call(n + 1).json()["messages"][0]["content"]) == size
    assert {line[0] for line in front.served()} == {"HTTP/2.0"}


def test_a_client_that_leaves_ends_the_experts_call_in_http2_too(run, http2, experts_authority):
    small, front = http2(scripts.stream_then_silent("x"))
    gateway = run.gateway(config(over_http2(front, experts_authority)))
    stream = gateway.stream()
    next(stream)
    stream.close()
    small.call().wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_a_slow_client_holds_up_nobody_else_on_http2(run, http2, experts_authority):
    """libcurl stops a whole connection when one of its streams is paused: so each has one."""
    def flood(call):
        call.head(stream=True)
        for _ in range(1500):
            call.chunk("x" * 4000)
        call.usage()
        call.done()

    small, front = http2(lambda call: flood(call) if call.json().get("stream") else call.answer(scripts.completion("quick")))
    gateway = run.gateway(config(over_http2(front, experts_authority), workers=1))
    wire = gateway.connect(receive_buffer=4096)
    gateway.start(stream=True, wire=wire)
    small.call()
    for _ in range(20):
        assert gateway.chat().json()["choices"][0]["message"]["content"] == "quick"
    wire.close()
    assert {line[0] for line in front.served()} == {"HTTP/2.0"}


def test_an_expert_that_breaks_off_in_http2_is_an_honest_error(run, http2, experts_authority):
    _, front = http2(scripts.stream_then_cut("half"))
    gateway = run.gateway(config(over_http2(front, experts_authority)))
    with gateway.stream() as stream:
        events = list(stream)
    assert "[DONE]" not in events and any('"error"' in event for event in events)


# -- redirects

@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(run, status):
    """An expert, or who has taken its place, could send prompts and keys to wherever it likes."""
    target = run.expert(scripts.answer("stolen"))

    def redirect(call):
        call.answer(b"", status=status, headers={"Location": f"{target.url}/chat/completions"})

    gateway = run.gateway(config({"small": expert(run.expert(redirect))}))
    assert gateway.chat().status == 502
    assert target.asked == 0
