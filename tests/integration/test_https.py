"""Experts over HTTPS: verified, with their own key, and streamed like any other."""

import ssl
import subprocess

import pytest

from harness import config, embedding, expert, scripts


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
