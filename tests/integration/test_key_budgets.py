"""Budgets of keys: never passed, whoever asks at once, and never closed to what still fits."""

import threading

import openai
import pytest

from harness import Gate, config, embedding, eventually, expert, scripts
from harness.keys import Key, key_file
from harness.ledger import Ledger

# A worst case to the pico-dollar: no prompt price, ten output tokens at 100 USD a million are 0.001 USD.
PRICE = (0.0, 100.0)
WORST = 0.001
ASK = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}
ROUTES = {"chat": ("/v1/chat/completions", {}), "stream": ("/v1/chat/completions", {"stream": True}),
          "completions": ("/v1/completions", {}), "responses": ("/v1/responses", {}),
          "streamed responses": ("/v1/responses", {"stream": True}), "messages": ("/v1/messages", {}),
          "streamed messages": ("/v1/messages", {"stream": True})}


def body_of(route):
    path, more = ROUTES[route]
    if path == "/v1/responses":
        return path, {"model": "auto", "input": "hello", "max_output_tokens": 10, **more}
    if path == "/v1/completions":
        return path, {"model": "auto", "prompt": "hello", "max_tokens": 10, **more}
    return path, {**ASK, **more}


def setting(run, key, script, on_budget="reject", most=10, **more):
    small = run.expert(script, completions=script)
    policies = {"auto": {"value_usd": 0.02, "default": "small", "max_output_tokens": most, "on_budget": on_budget}}
    gateway = run.gateway(
        config({"small": expert(small, price=PRICE)}, policies, keys={"file": "keys.json"}, **more),
        files={"keys.json": key_file(key)})
    gateway.small = small
    return gateway


def ask_at_once(gateway, key, n, route="chat"):
    """n clients at the same time; gives their answers."""
    path, body = body_of(route)
    answers, start = [None] * n, threading.Barrier(n)

    def client(i):
        start.wait()
        answers[i] = gateway.post(path, body, key.headers)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def statuses(answers):
    return sorted(answer.status for answer in answers)


@pytest.mark.parametrize("route", ROUTES)
def test_of_fifty_clients_at_once_a_budget_for_ten_lets_ten_in(run, route):
    key, gate = Key(day_usd=10 * WORST), Gate()
    full = scripts.answer("ten tokens", prompt=10, output=10)

    def script(call):
        gate.wait()
        full(call)

    gateway = setting(run, key, script)
    path, body = body_of(route)
    answers = [None] * 50
    threads = [threading.Thread(target=lambda i=i: answers.__setitem__(i, gateway.post(path, body, key.headers)))
               for i in range(50)]
    for thread in threads:
        thread.start()
    gateway.log.wait(event="request", status="429", count=40)
    gateway.small.call(10, path="/completions")
    assert len(gateway.small.calls()) == 10, "ten are under way, their worst cases reserved"
    gate.open()
    for thread in threads:
        thread.join()
    assert statuses(answers) == [200] * 10 + [429] * 40
    late = next(answer for answer in answers if answer.status == 429)
    assert late["Retry-After"] == "1" and "x-should-retry" not in late, "nothing is spent for good yet"
    assert late.json()["error"]["type"] == "rate_limit_error"
    assert gateway.metrics().value("frugal_key_refusals_total", why="reserved") == 40
    assert gateway.post(path, body, key.headers).status == 402, "all of it is spent"
    assert gateway.metrics().value("frugal_cost_usd_total") == pytest.approx(10 * WORST, abs=1e-15)


@pytest.mark.parametrize("route", ROUTES)
def test_what_was_reserved_and_not_used_is_free_again(run, route):
    key = Key(day_usd=10 * WORST)
    gateway = setting(run, key, scripts.answer("five tokens", prompt=10, output=5))
    path, body = body_of(route)
    spent, answers = 0.0, []
    while spent + WORST <= 10 * WORST + 1e-12:
        answers.append(gateway.post(path, body, key.headers).status)
        spent += WORST / 2
    assert answers == [200] * 19, "none is refused while what is spent and its own worst case fit"
    assert gateway.post(path, body, key.headers).status == 402


def test_fifty_clients_never_pass_the_budget_and_use_it_up(run):
    key = Key(day_usd=10 * WORST)
    gateway = setting(run, key, scripts.answer("three tokens", prompt=10, output=3))
    rounds = [ask_at_once(gateway, key, 50) for _ in range(2)]
    good = sum(answer.status == 200 for answers in rounds for answer in answers)
    refused = [answer for answers in rounds for answer in answers if answer.status != 200]
    assert all(answer.status in (402, 429) for answer in refused)
    # One more fits while spent + worst <= budget: 9 + 3 * 3 tenths of a worst case, so 31 answers at the most.
    assert good == 31 or (good < 31 and gateway.chat(headers=key.headers, max_tokens=10).status == 200)
    while gateway.chat(headers=key.headers, max_tokens=10).status == 200:
        good += 1
    assert gateway.small.asked <= 31
    cost = gateway.metrics().value("frugal_cost_usd_total")
    assert 9 * WORST < cost <= 10 * WORST


@pytest.mark.parametrize("durability", ["batched", "full"])
def test_budget_and_ledger_agree_however_durable_the_ledger_is(run, tmp_path, durability):
    key = Key(day_usd=10 * WORST)
    store = tmp_path / "frugal.db"
    gateway = setting(run, key, scripts.answer("seven tokens", prompt=10, output=7),
                      store={"path": str(store), "durability": durability})
    answers = ask_at_once(gateway, key, 30)
    assert set(statuses(answers)) <= {200, 402, 429}
    good = sum(answer.status == 200 for answer in answers)
    ledger = Ledger(store)
    charged = 7 * 10 ** 8
    eventually(lambda: ledger.spend() == good * charged, "what was paid is in the ledger, and nothing else")
    # 0.0007 USD are spent each time and 0.001 must be left: 13 at the most.
    while gateway.chat(headers=key.headers, max_tokens=10).status == 200:
        good += 1
    assert good == 13
    eventually(lambda: ledger.spend() == good * charged, "the same afterwards")
    assert [row["key"] for row in ledger.rows("SELECT DISTINCT key FROM spend")] == ["team"]


def test_a_budget_is_not_called_spent_that_the_cheapest_expert_fits(run):
    key = Key(day_usd=1.5 * WORST)
    small, big = run.expert(scripts.answer()), run.expert(scripts.answer())
    policies = {"auto": {"value_usd": 0.02, "default": "big", "max_output_tokens": 10, "on_budget": "reject"}}
    gateway = run.gateway(config({"small": expert(small, price=PRICE), "big": expert(big, price=(0.0, 1000.0))}, policies,
                                 keys={"file": "keys.json"}), files={"keys.json": key_file(key)})
    answer = gateway.chat(headers=key.headers, max_tokens=10)
    assert answer.status == 402 and answer.error["code"] == "insufficient_quota"
    message = answer.error["message"]
    assert "is spent" not in message and "does not fit into the daily budget of this key" in message
    assert "0.0015 of 0.0015 USD are left" in message and "the cheapest can cost 0.001 USD" in message
    assert small.asked == big.asked == 0
    assert gateway.chat(model="small", headers=key.headers, max_tokens=10).status == 200, "nothing was taken for the refused one"


def test_a_spent_budget_says_which_window_and_until_when(run):
    key = Key(day_usd=WORST, month_usd=1)
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=10))
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 200
    answer = gateway.chat(headers=key.headers, max_tokens=10)
    assert answer.status == 402 and answer.error["code"] == "insufficient_quota"
    assert answer.error["type"] == "insufficient_quota" and answer["x-should-retry"] == "false"
    message = answer.error["message"]
    assert "the daily budget of this key is spent: 0 of 0.001 USD" in message
    assert "this request can cost 0.001 USD" in message and "it resets at 20" in message and "T00:00:00.000Z" in message
    assert "retry-after" not in answer and gateway.small.asked == 1
    assert gateway.metrics().value("frugal_key_refusals_total", why="budget") == 1


@pytest.mark.parametrize("window, word", [("month_usd", "monthly"), ("total_usd", "total")])
def test_the_other_windows_bind_as_well(run, window, word):
    key = Key(**{window: WORST})
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=10))
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 200
    answer = gateway.chat(headers=key.headers, max_tokens=10)
    assert answer.status == 402 and f"the {word} budget" in answer.error["message"]
    assert ("it resets never" in answer.error["message"]) == (word == "total")


def test_an_answer_is_trimmed_to_what_is_left_where_that_is_wanted(run):
    key = Key(day_usd=0.01)
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=60), on_budget="trim", most=100)
    assert gateway.chat(headers=key.headers, max_tokens=60).status == 200
    assert gateway.small.call().json()["max_tokens"] == 60
    assert gateway.chat(headers=key.headers, max_tokens=60).status == 200
    assert gateway.small.call(2).json()["max_tokens"] == 40


def test_who_names_no_limit_leaves_half_of_the_budget_to_others(run):
    key, gate = Key(day_usd=0.2), Gate()

    def script(call):
        gate.wait()
        scripts.answer("fine", prompt=10, output=10)(call)

    gateway = setting(run, key, script, on_budget="trim", most=4096)
    asking = [threading.Thread(target=gateway.chat, kwargs={"headers": key.headers, "max_tokens": 600}),
              *(threading.Thread(target=gateway.chat, kwargs={"headers": key.headers}) for _ in range(2))]
    limits = []
    for n, thread in enumerate(asking, 1):
        thread.start()
        limits.append(gateway.small.call(n).json()["max_tokens"])
    # 2000 tokens can be paid: 600 that were asked for, then what an answer needs with room (4 * 256), then the rest.
    assert limits == [600, 1024, 376]
    refused = gateway.chat(headers=key.headers)
    assert refused.status == 429 and "reserved" in refused.error["message"]
    gate.open()
    for thread in asking:
        thread.join()
    assert gateway.chat(headers=key.headers).status == 200
    assert gateway.small.call(4).json()["max_tokens"] == 1024


def test_the_stricter_of_ceiling_and_budget_binds_and_is_named(run):
    key = Key(day_usd=5 * WORST)
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=10), most=100)
    answer = gateway.chat(headers=key.headers + [("x-frugal-budget-usd", "0.0005")], max_tokens=10)
    assert answer.status == 402 and answer.error["code"] == "budget_exceeded"
    answer = gateway.chat(headers=key.headers + [("x-frugal-budget-usd", "0.5")], max_tokens=100)
    assert answer.status == 402 and answer.error["code"] == "insufficient_quota"
    assert gateway.small.asked == 0


def test_the_output_limit_is_inserted_and_unpriced_fields_are_refused_under_a_budget(run):
    key = Key(day_usd=1)
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=10))
    assert gateway.chat(headers=key.headers).status == 200
    assert gateway.small.call().json()["max_tokens"] == 10
    assert gateway.chat(headers=key.headers, service_tier="flex").error["code"] == "unpriced_field"


def test_an_expert_without_a_bound_is_not_asked_under_a_budget(run):
    key = Key(day_usd=1)
    small = run.expert(scripts.answer())
    gateway = run.gateway(
        config({"small": expert(small, generator_more={"prompt_bound": "none"})}, keys={"file": "keys.json"}),
        files={"keys.json": key_file(key)})
    answer = gateway.chat(headers=key.headers)
    assert answer.status == 402 and "upper bound" in answer.error["message"]
    assert small.asked == 0


def test_a_stream_that_is_cut_counts_at_its_worst_case(run):
    key = Key(day_usd=1.5 * WORST)

    def script(call):
        call.head(stream=True)
        call.chunk("one")
        call.cut()

    gateway = setting(run, key, script)
    with gateway.stream(headers=key.headers, max_tokens=10) as stream:
        list(stream)
    assert stream.cut or not stream.done
    gateway.log.wait(event="request", key="team")
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 402


def test_a_client_that_leaves_gives_back_what_was_never_sent_and_no_more(run):
    key, gate = Key(day_usd=WORST), Gate()
    gateway = setting(run, key, lambda call: gate.wait())
    wire = gateway.start(headers=key.headers, max_tokens=10)
    gateway.small.call()
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 429, "it is reserved"
    wire.close()
    gateway.log.wait(event="request", status="499")
    gate.open()
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 402, "its fate is unknown: the worst case counts"


def test_a_refusal_of_the_expert_costs_nothing(run):
    key = Key(day_usd=WORST)
    gateway = setting(run, key, scripts.refuse(400, kind="invalid_request_error"))
    assert [gateway.chat(headers=key.headers, max_tokens=10).status for _ in range(3)] == [400] * 3


def test_a_decision_alone_draws_on_the_budget_too(run, router):
    key = Key(day_usd=0.000001)
    embedder = run.expert(embeddings=router.embeddings)
    experts = {name: expert(run.expert(scripts.answer())) for name in ("mathy", "poet")}
    experts["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim, price=1000.0))
    gateway = run.gateway(router.config(experts, "remote", keys={"file": "keys.json"}),
                          files={"keys.json": key_file(key)})
    gateway.wait_probed()
    probed = len(embedder.calls("/embeddings"))
    answer = gateway.post("/v1/route", ASK, key.headers)
    assert answer.status == 402 and len(embedder.calls("/embeddings")) == probed


def test_bought_embeddings_draw_on_the_budget(run):
    key = Key(day_usd=0.001)
    small = run.expert(embeddings=scripts.embed(lambda text: [0.5] * 4))
    gateway = run.gateway(config({
        "small": expert(small, generator=False, embedding=embedding(dim=4, price=10.0)),
        "large": expert(small)}, {"auto": {"default": "large"}}, keys={"file": "keys.json"}),
        files={"keys.json": key_file(key)})
    seen = [gateway.post("/v1/embeddings", {"model": "small", "input": "x" * 50}, key.headers).status for _ in range(40)]
    cost = gateway.metrics().value("frugal_cost_usd_total")
    assert seen[0] == 200 and seen[-1] == 402 and seen == sorted(seen)
    assert 0 < cost <= 0.001


def test_the_sdk_raises_on_a_spent_budget_at_once(run):
    key = Key(day_usd=WORST / 2)
    gateway = setting(run, key, scripts.answer())
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=key.secret, max_retries=5)
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(**ASK)
    assert raised.value.status_code == 402 and raised.value.code == "insufficient_quota"
    assert gateway.metrics().value("frugal_key_refusals_total", why="budget") == 1, "not retried"


def test_a_changed_budget_keeps_what_was_spent(run):
    key = Key(day_usd=2 * WORST)
    gateway = setting(run, key, scripts.answer("ten", prompt=10, output=10))
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 200
    key.fields["day_usd"] = WORST
    (gateway.folder / "keys.json").write_text(key_file(key))
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert gateway.chat(headers=key.headers, max_tokens=10).status == 402
