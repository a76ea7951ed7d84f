"""The public listener over TLS: modern versions only, certificates swapped while it serves, clients' certificates."""

import json
import socket
import ssl
import subprocess
import threading

import pytest

from harness import Gate, Wire, config, eventually, expert, run_frugald, scripts
from harness.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("gateway")


def with_tls(upstream, pair, **more):
    tls = {"cert_file": str(pair[0]), "key_file": str(pair[1])}
    if "client_ca" in more:
        tls["client_ca_file"] = str(more.pop("client_ca"))
    return config({"small": expert(upstream)}, tls=tls, **more)


def secure(gateway, context, **options):
    return Wire(context.wrap_socket(socket.create_connection(("127.0.0.1", gateway.port), timeout=20),
                                    server_hostname="127.0.0.1", **options))


def shown(gateway, context):
    """Serial number of the certificate that a new connection is shown."""
    with secure(gateway, context) as wire:
        return wire.sock.getpeercert()["serialNumber"]


def test_answers_and_streams_come_over_tls(run, authority, pair):
    gateway = run.gateway(with_tls(run.expert(scripts.answer("sealed")), pair))
    with secure(gateway, authority.client_context()) as wire:
        assert wire.sock.version() == "TLSv1.3"
        for _ in range(3):  # the connection is kept
            answer = gateway.request("POST", "/v1/chat/completions",
                                     {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, wire=wire)
            assert answer.json()["choices"][0]["message"]["content"] == "sealed"
        stream = gateway.stream(wire=wire)
        assert stream.text() == "sealed" and stream.done
    assert gateway.log.lines(event="listening", listener="public")[0]["tls"] == "true"


def test_bodies_of_megabytes_go_both_ways(run, authority, pair):
    text = "x" * 3_000_000
    small = run.expert(scripts.answer(text))
    gateway = run.gateway(with_tls(small, pair))
    with secure(gateway, authority.client_context()) as wire:
        body = {"model": "auto", "messages": [{"role": "user", "content": "y" * 3_000_000}]}
        answer = gateway.request("POST", "/v1/chat/completions", body, wire=wire)
        assert answer.json()["choices"][0]["message"]["content"] == text
    assert len(small.call().json()["messages"][0]["content"]) == 3_000_000


@pytest.mark.parametrize("version, taken", [("TLSv1", False), ("TLSv1.1", False), ("TLSv1.2", True), ("TLSv1.3", True)])
def test_only_modern_versions_are_spoken(run, authority, pair, version, taken):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair))
    flag = "-" + version.lower().replace("v", "").replace(".", "_")  # SECLEVEL=0: it is our side that has to refuse
    ran = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", flag, "-cipher", "ALL:@SECLEVEL=0",
                          "-CAfile", authority.cert], input="", capture_output=True, text=True, timeout=60)
    assert ("Verification: OK" in ran.stdout and "Cipher is (NONE)" not in ran.stdout) == taken, ran.stdout + ran.stderr


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(run, authority, pair, cipher):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair))
    ran = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"],
                         input="", capture_output=True, text=True, timeout=60)
    assert "Cipher is (NONE)" in ran.stdout, ran.stdout


def test_who_speaks_in_clear_is_not_answered(run, pair):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair))
    with gateway.connect() as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        said = b"".join(iter(wire.read_some, b""))
        assert b"HTTP/1.1" not in said
    assert gateway.get("/healthz", admin=True).status == 200  # the operators' listener is loopback's and in clear


def test_a_client_that_leaves_is_noticed(run, authority, pair):
    small = run.expert(scripts.stream_then_silent("x"))
    gateway = run.gateway(with_tls(small, pair))
    wire = secure(gateway, authority.client_context())
    stream = gateway.stream(wire=wire)
    next(stream)
    stream.close()
    small.call().wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_a_client_that_leaves_before_the_first_byte_is_noticed(run, authority, pair):
    small = run.expert(scripts.silent)
    gateway = run.gateway(with_tls(small, pair))
    wire = secure(gateway, authority.client_context())
    gateway.start(wire=wire)
    call = small.call()
    wire.close()
    call.wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_a_new_certificate_is_shown_after_a_reload_and_cuts_nobody_off(run, authority, tmp_path):
    gate = Gate()

    def held(call):
        call.head(stream=True)
        call.chunk("first")
        call.wait(gate)
        call.chunk(" last")
        call.usage()
        call.done()

    old, new = authority.issue("first"), authority.issue("second")
    live = tmp_path / "live.pem", tmp_path / "live.key"
    for source, target in zip(old, live):
        target.write_bytes(source.read_bytes())
    gateway = run.gateway(with_tls(run.expert(held), live))
    context = authority.client_context()
    before = shown(gateway, context)
    kept = secure(gateway, context)
    stream = gateway.stream(wire=kept)
    next(stream)
    for source, target in zip(new, live):
        target.write_bytes(source.read_bytes())
    assert gateway.post("/admin/reload", b"", admin=True).status == 200
    after = {shown(gateway, context) for _ in range(8)}
    assert len(after) == 1 and before not in after
    gate.open()
    assert stream.text() == " last" and stream.done and not stream.cut
    assert gateway.request("GET", "/healthz", wire=kept).status == 200
    kept.close()


def test_certificates_are_swapped_under_load(run, authority, tmp_path):
    pairs = [authority.issue(f"load-{n}") for n in range(2)]
    live = tmp_path / "live.pem", tmp_path / "live.key"

    def put(pair):
        for source, target in zip(pair, live):
            target.write_bytes(source.read_bytes())

    put(pairs[0])
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), live))
    stop, failed, seen = threading.Event(), [], set()

    def ask():
        context = authority.client_context()
        while not stop.is_set():
            try:
                with secure(gateway, context) as wire:
                    seen.add(wire.sock.getpeercert()["serialNumber"])
                    if gateway.request("GET", "/healthz", wire=wire).status != 200:
                        failed.append("status")
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(10):
        put(pairs[n % 2])
        assert gateway.post("/admin/reload", b"", admin=True).status == 200
    eventually(lambda: len(seen) == 2, "both certificates are seen")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]


def test_a_key_of_another_certificate_is_refused_and_the_old_one_stays(run, authority, pair, tmp_path):
    live = tmp_path / "live.pem", tmp_path / "live.key"
    for source, target in zip(pair, live):
        target.write_bytes(source.read_bytes())
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), live))
    before = shown(gateway, authority.client_context())
    live[1].write_bytes(authority.issue("stranger")[1].read_bytes())
    answer = gateway.post("/admin/reload", b"", admin=True)
    error = answer.json()["error"]
    assert (answer.status, error["param"]) == (422, "/tls/key_file")
    assert "does not belong to the certificate" in error["message"]
    assert shown(gateway, authority.client_context()) == before


@pytest.mark.parametrize("what, why", [
    ("no certificate", "cannot read"), ("no key", "cannot read"), ("no PEM", "no chain of certificates"),
    ("a key with a passphrase", "encrypted"), ("no key in PEM", "no private key"), ("no authority", "no certificate in PEM")])
def test_a_start_says_what_is_wrong_with_the_files(authority, pair, tmp_path, what, why):
    cert, key = pair
    more = {}
    if what == "no certificate":
        cert = tmp_path / "absent.pem"
    elif what == "no key":
        key = tmp_path / "absent.key"
    elif what == "no PEM":
        cert = tmp_path / "text.pem"
        cert.write_text("certainly not")
    elif what == "a key with a passphrase":
        key = tmp_path / "locked.key"
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", pair[1], "-out", key, "-passout", "pass:secret"], check=True)
    elif what == "no key in PEM":
        key = tmp_path / "text.key"
        key.write_text("certainly not")
    else:
        more["client_ca"] = tmp_path / "empty.pem"
        more["client_ca"].write_text("")
    whole = with_tls("http://127.0.0.1:9/v1", (cert, key), **more)
    for arguments in ((), ("--check-config",)):
        ran = run_frugald(*arguments, config=whole)
        assert ran.returncode == 1 and why in ran.err and "/tls/" in ran.err, ran.err


def test_a_certificate_needs_its_key_in_the_configuration(pair):
    whole = config({"small": expert("http://127.0.0.1:9/v1")}, tls={"cert_file": str(pair[0])})
    ran = run_frugald("--check-config", config=whole)
    assert ran.returncode == 1 and "'key_file' is missing" in ran.err


def test_an_expired_certificate_is_served_with_a_warning(run, authority):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), authority.issue("stale", days=-1)))
    assert "put a new one in its place" in gateway.log.wait(event="certificate_expired").raw
    warnings = gateway.post("/admin/reload", b"", admin=True).json()["warnings"]
    assert any("has expired" in warning["text"] for warning in warnings)
    with pytest.raises(ssl.SSLCertVerificationError):
        secure(gateway, authority.client_context())


def test_the_check_warns_of_an_expired_certificate_as_the_start_does(authority):
    ran = run_frugald("--check-config", config=with_tls("http://127.0.0.1:9/v1", authority.issue("old", days=-1)))
    assert ran.returncode == 0 and "has expired" in ran.err, ran.err


def test_the_time_of_expiry_is_a_metric(run, authority, pair):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair))
    context = authority.client_context()
    with secure(gateway, context) as wire:
        until = ssl.cert_time_to_seconds(wire.sock.getpeercert()["notAfter"])
    assert gateway.metrics().value("frugal_tls_certificate_expiry_seconds") == until
    assert gateway.log.wait(event="certificate_expires")  # within days


def test_a_key_that_everybody_can_read_is_warned_of(run, authority, tmp_path):
    cert, key = authority.issue("open")
    key.chmod(0o644)
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), (cert, key)))
    assert "chmod o-r" in gateway.log.wait(event="key_open").raw


def test_a_chain_is_shown_whole_in_whatever_order_the_file_has_it(run, authority, tmp_path):
    middle = authority.intermediate("middle")
    cert, key = middle.issue("leaf")
    chain = tmp_path / "chain.pem"
    for order in ((cert, middle.cert), (middle.cert, cert)):
        chain.write_bytes(b"".join(path.read_bytes() for path in order))
        gateway = run.gateway(with_tls(run.expert(scripts.answer()), (chain, key)))
        assert shown(gateway, authority.client_context())


def test_an_rsa_certificate_serves_too(run, authority):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), authority.issue("rsa", kind="rsa")))
    assert shown(gateway, authority.client_context())


def test_turning_tls_off_needs_a_start(run, authority, pair):
    whole = with_tls(run.expert(scripts.answer()), pair)
    gateway = run.gateway(whole)
    del whole["tls"]
    gateway.write_config(whole)
    warnings = gateway.post("/admin/reload", b"", admin=True).json()["warnings"]
    assert [warning["setting"] for warning in warnings if warning["setting"]] == ["tls"]
    assert shown(gateway, authority.client_context())


# -- clients' certificates

def can_ask(gateway, context):
    """In TLS 1.3 a client learns that its certificate was refused when it reads."""
    try:
        with secure(gateway, context) as wire:
            return gateway.request("GET", "/healthz", wire=wire).status == 200
    except (ssl.SSLError, ConnectionError, EOFError, AssertionError):
        return False
    except Exception as error:
        assert type(error).__name__ == "Cut", error
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_clients_of_an_authority_are_let_in(run, authority, pair, tmp_path, version):
    clients = Authority(tmp_path, "clients")
    stranger = Authority(tmp_path, "strangers").issue("stranger", usage="clientAuth")
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair, client_ca=clients.cert))

    def asked(own):
        context = authority.client_context(own)
        context.minimum_version = context.maximum_version = version
        return can_ask(gateway, context)

    assert asked(clients.issue("known", usage="clientAuth"))
    assert not asked(None)
    assert not asked(stranger)
    assert not asked(clients.issue("expired", usage="clientAuth", days=-1))
    assert not asked(clients.issue("server", usage="serverAuth"))
    assert gateway.get("/healthz", admin=True).status == 200


def test_authorities_of_clients_change_with_a_reload(run, authority, pair, tmp_path):
    one, two = (Authority(tmp_path, name) for name in ("one", "two"))
    live = tmp_path / "clients.pem"
    live.write_bytes(one.cert.read_bytes())
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair, client_ca=live))
    mine, theirs = (authority.client_context(clients.issue(f"client-{clients.name}", usage="clientAuth")) for clients in (one, two))
    assert (can_ask(gateway, mine), can_ask(gateway, theirs)) == (True, False)
    live.write_bytes(two.cert.read_bytes())
    assert gateway.post("/admin/reload", b"", admin=True).status == 200
    assert (can_ask(gateway, mine), can_ask(gateway, theirs)) == (False, True)


def test_the_settings_are_in_no_answer(run, authority, pair):
    gateway = run.gateway(with_tls(run.expert(scripts.answer()), pair))
    assert json.dumps(str(pair[1])) not in gateway.post("/admin/reload", b"", admin=True).body.decode()
