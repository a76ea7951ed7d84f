"""Models, health, readiness, metrics: what operators and clients look at."""

import pytest

from harness import Gate, config, embedding, eventually, expert, scripts


def test_models_are_the_policies_and_the_experts(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config(
        {"small": expert(small), "large": expert(small), "embedder": expert(small, generator=False, embedding=embedding())},
        policies={name: {"value_usd": 0.02, "default": "small", "max_output_tokens": 10} for name in ("auto", "thrifty")}))
    listed = gateway.get("/v1/models").json()
    assert listed["object"] == "list"
    assert {model["id"] for model in listed["data"]} == {"auto", "thrifty", "small", "large", "embedder"}
    apis = {model["id"]: model["frugal"].get("apis") for model in listed["data"]}
    assert apis == {"auto": None, "thrifty": None, "small": ["chat", "completions"], "large": ["chat", "completions"],
                    "embedder": ["embeddings"]}
    for model in listed["data"]:
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]


def test_one_model_can_be_asked_for(run):
    entries = {"small": expert("http://127.0.0.1:9/v1"), "org/large:70b": expert("http://127.0.0.1:9/v1")}
    gateway = run.gateway(config(entries))
    assert gateway.get("/v1/models/auto").json()["id"] == "auto"
    assert gateway.get("/v1/models/org%2Flarge:70b").json()["id"] == "org/large:70b"
    missing = gateway.get("/v1/models/nobody")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")


def test_health_does_not_depend_on_experts(run):
    gateway = run.gateway(config({"small": expert("http://127.0.0.1:9/v1")}))
    assert gateway.chat().status >= 500
    for target in ("/healthz", "/readyz"):
        assert gateway.get(target).status == 200
        assert gateway.get(target, admin=True).status == 200
    assert isinstance(gateway.get("/readyz").json()["degraded"], list)


def test_readiness_without_a_bundle_is_ready(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    assert gateway.get("/readyz").status == 200


def test_head_is_get_without_a_body(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    for target in ("/v1/models", "/healthz"):
        got, head = gateway.get(target), gateway.request("HEAD", target)
        assert (head.status, head.body) == (200, b"")
        assert head.get("Content-Length") in (None, got["Content-Length"])


def test_metrics_are_valid_and_count_what_happened(run):
    small = run.expert([scripts.answer(), scripts.answer(), scripts.refuse(400)])
    gateway = run.gateway(small)
    gateway.chat()
    gateway.chat(model="small")
    gateway.chat()
    gateway.chat(model="nobody")
    gateway.post("/v1/chat/completions", b"{")
    gateway.log.wait(event="request", count=5)
    metrics = gateway.metrics()
    assert metrics.value("frugal_requests_total", route="chat") == 5
    assert metrics.value("frugal_requests_total", route="chat", result="ok") == 2
    assert metrics.value("frugal_requests_total", route="chat", result="no_model") == 1
    assert metrics.value("frugal_requests_total", route="chat", result="bad_json") == 1
    assert metrics.value("frugal_decisions_total", expert="small", reason="no_bundle") == 2
    assert metrics.value("frugal_decisions_total", expert="small", reason="direct") == 1
    assert metrics.value("frugal_attempts_total", expert="small", result="status_4xx") == 1
    assert metrics.value("gen_ai_server_request_duration_seconds_count", route="chat") == 5
    assert metrics.value("frugal_overhead_seconds_count") >= 2


def test_histograms_are_cumulative(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    for _ in range(5):
        gateway.chat()
    gateway.log.wait(event="request", count=5)
    metrics = gateway.metrics()
    name = "gen_ai_server_request_duration_seconds"
    series = sorted((float(dict(labels)["le"]), number) for (sample, labels), number in metrics.samples.items()
                    if sample == f"{name}_bucket" and dict(labels)["route"] == "chat")
    counts = [number for _, number in series]
    assert counts == sorted(counts)
    assert series[-1][0] == float("inf") and counts[-1] == metrics.value(f"{name}_count", route="chat") == 5


def test_strangers_do_not_make_label_sets_grow(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    gateway.chat()
    gateway.get("/nowhere")
    gateway.chat(model="nobody")
    gateway.log.wait(event="request", count=3)
    gateway.metrics()  # a scrape is counted too, in the next one
    before = len(gateway.metrics().samples)
    for n in range(50):
        gateway.chat(model=f"model-{n}")
        gateway.get(f"/path-{n}")
    gateway.log.wait(event="request", count=103)
    assert len(gateway.metrics().samples) == before


def test_a_call_in_flight_shows_and_goes(run):
    gate = Gate()
    small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion())))
    gateway = run.gateway(small)
    wire = gateway.start()
    small.call()
    metrics = gateway.metrics()
    assert metrics.value("frugal_requests_in_flight") == 1
    assert metrics.value("frugal_expert_in_flight", expert="small") == 1
    gate.open()
    wire.read_body(wire.read_head(), is_answer=True)
    gateway.log.wait(event="request")
    metrics = gateway.metrics()
    assert metrics.value("frugal_requests_in_flight") == metrics.value("frugal_expert_in_flight") == 0


def test_metrics_stay_on_the_admin_listener_and_chat_on_the_public_one(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    assert gateway.get("/metrics").status == 404
    assert gateway.request("POST", "/v1/chat/completions", {"model": "auto"}, admin=True).status == 404


def test_a_gateway_without_an_admin_listener_serves(run):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    whole["admin"] = None
    gateway = run.gateway(whole)
    assert gateway.chat().status == 200


def test_one_line_a_request_has_ids_choice_money_and_times(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.chat()
    line = gateway.log.wait(event="request")
    assert line["request_id"] == answer["x-request-id"]
    assert line["decision_id"] == answer["x-frugal-decision-id"]
    assert (line["expert"], line["reason"], line["status"]) == ("small", "no_bundle", "200")
    assert float(line["cost_usd"]) == pytest.approx(50e-6)
    assert [key for key in line if key.endswith(("_ms", "_us"))]
    assert len(gateway.log.lines(event="request")) == 1


def test_health_checks_do_not_fill_the_log(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    for _ in range(10):
        gateway.get("/healthz")
        gateway.get("/readyz")
        gateway.metrics()
    gateway.chat()
    gateway.log.wait(event="request")
    assert len(gateway.log.lines(event="request")) == 1


def test_an_expert_that_is_full_is_passed_over(run):
    gate = Gate()
    small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion("small"))))
    large = run.expert(scripts.answer("large"))
    gateway = run.gateway(config({"small": expert(small, max_in_flight=1), "large": expert(large)}))
    wire = gateway.start()
    small.call()
    assert gateway.chat()["x-frugal-expert"] == "large"
    refused = gateway.chat(model="small")
    assert refused.status == 503 and int(refused["Retry-After"]) >= 1
    gate.open()
    assert wire.read_head().start.split()[1] == "200"


def test_too_many_requests_at_once_are_refused_politely(run):
    gate = Gate()
    small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion())))
    gateway = run.gateway(config({"small": expert(small)}, limits={"in_flight": 2, "queue": 0}))
    wires = [gateway.start() for _ in range(2)]
    small.call(2)
    refused = gateway.chat()
    assert (refused.status, refused.error["code"]) == (503, "overloaded")
    assert int(refused["Retry-After"]) >= 1
    assert gateway.get("/healthz").status == 200
    gate.open()
    assert [wire.read_head().start.split()[1] for wire in wires] == ["200", "200"]


def test_open_connections_of_clients_are_counted(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as one, gateway.connect() as two:
        for wire in (one, two):
            gateway.request("GET", "/healthz", wire=wire)
        assert gateway.metrics().value("frugal_client_connections") == 3  # the scrape's own, too
    eventually(lambda: gateway.metrics().value("frugal_client_connections") == 1, "both have gone")
