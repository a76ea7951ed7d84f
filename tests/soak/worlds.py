"""A world out of a seed: experts with prices and manners, policies, and what a crowd of clients asks of them.

All money here is counted again, from the experts' invoices and the price list alone, in integers of pico-USD:
nothing of the gateway's own arithmetic is used to judge it.
"""

import dataclasses
import datetime
import random

from harness.keys import Key

# What an expert does beside answering well. Its output limit is honoured by all of these.
MANNERS = [
    "", "", "delay_ms=15", "chunk_ms=3", "cut_after=3", "cut_after=0", "cut_head=1", "stall_after=2", "stall_head=1",
    "status=429", "status=500", "status=503", "status=500,bill_all=1", "usage=late", "usage=with_choices", "usage=none",
    "usage=negative", "usage=absurd", "usage=zero", "usage=text", "usage=running", "error_event_at=2",
    "malformed_at=1", "no_done=1", "slice_bytes=40", "cut_after=4,bill_all=1", "reasoning=5", "cached=9,cache_write=4",
    "cached=1000,usage=late", "reasoning=900", "tool_calls=1", "empty=1", "chunk_ms=40,bill_all=1"]
# What an expert speaks beside chat; most of the time its answers in these are asked for in its own words.
APIS = [["chat", "completions"], ["chat", "completions", "messages", "responses"], ["chat", "messages"],
        ["chat", "completions", "responses"]]
ABILITIES = ["n", "logprobs", "json_object", "json_schema", "tools"]
EMBEDDERS = ["dim=16", "dim=16,delay_ms=20", "dim=16,delay_ms=200"]
RESEND = ["elsewhere", "never", "anywhere"]
WORDS = "why does the sum of a garden and an old friend equal 17 plus moonlight minus 4 in free verse".split()


def usd_per_million(pico):
    return pico / 1e6


@dataclasses.dataclass
class Price:
    """Pico-USD a token."""
    input: int
    output: int
    cached: int
    write: int
    reasoning: int
    fee: int
    above: int = 0      # tokens; 0: no second tier
    factor: int = 1     # of that tier, in quarters: it may be cheaper

    def cost(self, bill):
        prompt, cached, written = bill["prompt_tokens"], bill["cached_tokens"], bill["cache_write_tokens"]
        output, reasoning = bill["completion_tokens"], bill["reasoning_tokens"]
        pico = ((prompt - cached - written) * self.input + cached * self.cached + written * self.write
                + (output - reasoning) * self.output + reasoning * self.reasoning)
        if self.above and prompt > self.above:
            pico = pico * self.factor // 4  # all rates are multiples of 4
        return pico + self.fee

    def written(self):
        entry = {"input": usd_per_million(self.input), "output": usd_per_million(self.output),
                 "cached_input": usd_per_million(self.cached), "cache_write": usd_per_million(self.write),
                 "reasoning": usd_per_million(self.reasoning), "request": self.fee / 1e12}
        if self.above:
            entry["above"] = {"tokens": self.above, **{name: entry[name] * self.factor / 4 for name in
                              ("input", "output", "cached_input", "cache_write", "reasoning")}}
            entry["above"] = {name: round(value, 6) for name, value in entry["above"].items()}
        return entry


def draw_price(draw):
    rate = lambda top: 4 * int(10 ** draw.uniform(2, top))  # noqa: E731
    price = Price(rate(6.5), rate(7), 0, 0, 0, draw.choice([0, 0, 10 ** 7, 123456789]))
    price.cached = draw.choice([price.input, price.input // 40 * 4, price.input * 2])
    price.write = draw.choice([price.input, price.input * 2])
    price.reasoning = draw.choice([price.output, price.output * 3, price.output // 8 * 4])
    if draw.random() < 0.4:
        price.above, price.factor = draw.randint(5, 60), draw.choice([2, 8, 10])
    return price


def by_date(draw, price):
    """The same price now; another one until yesterday, and perhaps a dearer one from next month on."""
    if draw.random() < 0.6:
        return price.written()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    day = lambda n: (today + datetime.timedelta(days=n)).isoformat()  # noqa: E731
    prices = [draw_price(draw).written(), {**price.written(), "from": day(-1)}]
    if draw.random() < 0.5:
        prices.append({**draw_price(draw).written(), "from": day(30)})
    return prices


class World:
    def __init__(self, seed, requests, liar=False):
        self.seed = seed
        self.draw = random.Random(seed)
        self.requests = requests
        names = ["mathy", "poet", "sage"] + [f"more{i}" for i in range(self.draw.randint(1, 5))]
        self.prices = {name: draw_price(self.draw) for name in names}
        self.models = {name: self.model(i, self.draw.choice(MANNERS)) for i, name in enumerate(names)}
        # Drawn apart, so that what else a seed gives stays as it was.
        self.manner = random.Random(f"{seed}/able")
        if self.manner.random() < 0.4:
            i, name = self.manner.choice(list(enumerate(names)))
            self.models[name] = self.model(i, "status=400,unsupported=1")
        self.health = random.Random(f"{seed}/health")
        self.able = {name: self.capabilities() for name in names}
        self.needs = {}
        if liar:
            self.models["sage"] = self.model(len(names), "ignore_limit=1,chunks=400")
        # Two teams with a budget that may run out, one without, all drawn on at once.
        self.keys = [Key("poor", day_usd=round(10 ** self.draw.uniform(-4, -2), 6)),
                     Key("well", day_usd=round(10 ** self.draw.uniform(-2, 0), 6), total_usd=1), Key("rich")]
        self.embedder_price = 4 * int(10 ** self.draw.uniform(1, 5))
        self.embedder_model = "script:" + self.draw.choice(EMBEDDERS)

    def model(self, i, manner):
        """`dim` means nothing to a chat, and makes the name of each expert its own."""
        length = "" if "chunks" in manner else f"chunks={self.draw.randint(1, 60)},"
        return f"script:{length}{manner}{',' if manner else ''}dim={100 + i}"

    def capabilities(self):
        """None: it says nothing and is taken to be able to everything."""
        return None if self.manner.random() < 0.5 else self.manner.sample(ABILITIES, self.manner.randrange(len(ABILITIES) + 1))

    def dialect(self, limit_field):
        """What is changed of the requests of one expert, and must not change what they cost."""
        draw, other = self.manner, {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
        rename = {"temperature": "heat"}
        if draw.random() < 0.5:
            old = draw.choice(list(other))
            if limit_field in ("any", other[old]):
                rename[old] = other[old]
        drop = draw.sample(["logit_bias", "user", "seed", "stream_options"], draw.randrange(4))
        return {"rename": rename, "drop": drop, "set": {"note": "x" * draw.choice([1, 2000]), "top_k": 4}}

    def lacking(self, invoice):
        """What that request needed and the expert that was paid is not able to."""
        able = None if invoice["embedding"] else self.able[self.expert_of(invoice["model"])]
        return set() if able is None else self.needs.get(invoice["id"], set()) - set(able)

    def expert_of(self, model):
        return next(name for name, own in self.models.items() if own == model)

    def billed_as(self, invoice):
        return "embedder" if invoice["embedding"] else self.expert_of(invoice["model"])

    def cost(self, invoice):
        if invoice["embedding"]:
            return invoice["prompt_tokens"] * self.embedder_price
        return self.prices[self.expert_of(invoice["model"])].cost(invoice)

    def config(self, url, bundle, **more):
        timeouts = {"connect": 1000, "first_byte": 300, "idle": 250, "total": 2000}
        apis = random.Random(f"{self.seed}/apis")
        experts = {name: {"endpoints": [url], "max_in_flight": self.draw.choice([20, 1000]), "timeouts_ms": timeouts,
                          "generator": {"api": apis.choice(APIS), "model": self.models[name], "price": by_date(self.draw, price),
                                        "output_limit_field": self.draw.choice(["any", "max_tokens",
                                                                                "max_completion_tokens"])}}
                   for name, price in self.prices.items()}
        for name, entry in experts.items():
            generator = entry["generator"]
            if self.able[name] is not None:
                generator["capabilities"] = self.able[name]
            if self.manner.random() < 0.5:
                generator["request"] = self.dialect(generator["output_limit_field"])
            entry["health"] = self.breaker()
            if self.health.random() < 0.3:
                entry["endpoints"] = [url, "http://127.0.0.1:9/v1"]  # nobody is there
        experts["embedder"] = {"endpoints": [url], "timeouts_ms": timeouts, "max_in_flight": 1000, "embedding": {
            "model": self.embedder_model, "dim": 16, "price": usd_per_million(self.embedder_price),
            "hedge": self.health.random() < 0.5}, "probe": {"kind": self.health.choice(["none", "tcp", "models"]), "every_ms": 100}}
        policies = {name: {"value_usd": value, "default": self.draw.choice(list(self.prices)), "gain_se": 0,
                           "max_output_tokens": self.draw.choice([20, 100, 4000]), "decision_deadline_ms": 100,
                           **({"budget_usd": 0.002} if name == "capped" else {})}
                    for name, value in (("auto", 0.02), ("rich", 50), ("capped", 1))}
        self.store = more.pop("store")
        more["store"] = {"path": str(self.store), "durability": self.draw.choice(["batched", "batched", "full"])}
        more["keys"] = {"file": "keys.json"}
        return {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2, "bundle": str(bundle), "experts": experts,
                "embedders": self.draw.choice([["embedder"], ["surface", "lexical", "embedder"]]), "policies": policies,
                "limits": {"attempts": self.draw.choice([1, 3, 6]), **self.limits()}, "resend": self.health.choice(RESEND), **more}

    def limits(self):
        """Pauses that a short request can wait for, and room for few or for all vectors."""
        return {"attempts_again": self.health.choice([0, 1, 3]), "backoff_ms": self.health.choice([1, 20, 100]),
                "embedding_cache_bytes": self.health.choice([0, 0, 20000, 1 << 20])}

    def breaker(self):
        """Many experts of a world fail, so breakers open and close all the time: those of some experts at once, of others never."""
        return self.health.choice([{}, {"failures": 0, "share_percent": 0},
                                   {"failures": 2, "open_ms": 20, "open_max_ms": 100, "slow_start_ms": 50}])

    def ask(self, i):
        """One client: path, body, headers, when it leaves (None: it stays), and its ceiling in pico-USD."""
        draw = random.Random(f"{self.seed}/{i}")
        body, headers, leaves, ceiling = self._chat(draw, i)
        headers.update(draw.choice(self.keys).headers)
        path = draw.choice(["/v1/chat/completions"] * 6 + ["/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/route"])
        text = body["messages"][0]["content"]
        frugal = {"frugal": body["frugal"]} if "frugal" in body else {}
        needs = {"n"} & set(body)
        limit = body.get("max_tokens", body.get("max_completion_tokens"))
        stream = {"stream": True} if body.get("stream") else {}
        if path == "/v1/responses":
            body = {"model": body["model"], "input": text, **frugal, **stream,
                    **({"max_output_tokens": max(limit, 16)} if limit else {})}
        elif path == "/v1/messages":
            body = {"model": body["model"], "messages": body["messages"], "max_tokens": limit or 50, **frugal, **stream}
        elif path == "/v1/chat/completions" and random.Random(f"{self.seed}/{i}/prompt").random() < 0.2:
            path = "/v1/completions"
            body.pop("max_completion_tokens", None)
            body = {**body, "prompt": text if i % 3 else [text] * 2, **({"max_tokens": limit} if limit else {})}
            del body["messages"]
        elif path == "/v1/embeddings":
            body = {"model": "embedder", "input": [text] * draw.randint(1, 3), **frugal}
            ceiling = ceiling if frugal or "x-frugal-budget-usd" in headers else None
        self._converse(i, path, body, headers)
        more, needs = self._more(i, path, needs)
        self.needs[headers["x-request-id"]] = needs
        return path, {**body, **more}, headers, leaves, ceiling

    def _converse(self, i, path, body, headers):
        """Turns before the question: of few conversations, so that they are known again and held by what is cached."""
        draw = random.Random(f"{self.seed}/{i}/turns")
        if draw.random() < 0.15:
            headers["x-frugal-conversation-id"] = f"thread-{draw.randint(1, 5)}"
        if path not in ("/v1/chat/completions", "/v1/messages") or draw.random() < 0.5:
            return
        turns = [{"role": "user", "content": f"{WORDS[draw.randint(0, 3)]} " * 200}]
        for _ in range(draw.randint(1, 4)):
            turns += [{"role": "assistant", "content": "an answer"}, {"role": "user", "content": "and then?"}]
        body["messages"] = turns[:-1] + body["messages"]

    def _more(self, i, path, needs):
        """Members that some experts know by another name, refuse or are not able to, and what the request needs then."""
        draw, more = random.Random(f"{self.seed}/{i}/more"), {}
        if path in ("/v1/responses", "/v1/messages", "/v1/embeddings"):
            return more, set()
        if draw.random() < 0.3:
            more |= {"temperature": 0.5, "logit_bias": {"5": 1}, "user": "u", "seed": 4}
        if draw.random() < 0.15:
            kind = draw.choice(["json_object", "json_schema"])
            more["response_format"] = {"type": kind, **({"json_schema": {"name": "a", "schema": {}}} if "schema" in kind else {})}
            needs = needs | {kind}
        if draw.random() < 0.1:
            more["logprobs"] = 1 if path == "/v1/completions" else True
            needs = needs | {"logprobs"}
        if draw.random() < 0.1 and path != "/v1/completions":
            more["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
            needs = needs | {"tools"}
        return more, needs

    def _chat(self, draw, i):
        body = {"model": draw.choice(["auto", "auto", "rich", "capped", *self.prices]),
                "messages": [{"role": "user", "content": " ".join(draw.choices(WORDS, k=draw.randint(1, 60)))}]}
        headers = {"x-request-id": f"soak-{self.seed}-{i}"}
        if draw.random() < 0.5:
            body["stream"] = True
            if draw.random() < 0.7:
                body["stream_options"] = {"include_usage": True}
        if draw.random() < 0.6:
            body[draw.choice(["max_tokens", "max_completion_tokens"])] = int(10 ** draw.uniform(0, 2.5))
        if draw.random() < 0.25:
            body["n"] = draw.randint(2, 4)
        ceiling = int(10 ** draw.uniform(7, 11)) if draw.random() < 0.9 else None
        if ceiling is not None:
            if draw.random() < 0.5:
                headers["x-frugal-budget-usd"] = f"{ceiling // 10 ** 12}.{ceiling % 10 ** 12:012d}"
            else:
                body["frugal"] = {"budget_usd": ceiling / 1e12}
                ceiling = round(body["frugal"]["budget_usd"] * 1e12)
            if draw.random() < 0.5:
                headers["x-frugal-on-budget"] = draw.choice(["trim", "downgrade", "reject"])
        if body["model"] == "capped":
            ceiling = min(ceiling or 2 * 10 ** 9, 2 * 10 ** 9)
        if draw.random() < 0.2:
            headers["x-frugal-deadline-ms"] = str(draw.randint(50, 1500))
        leaves = draw.uniform(0, 0.3) ** 2 * 3 if draw.random() < 0.25 else None
        return body, headers, leaves, ceiling
