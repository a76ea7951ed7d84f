"""Configurations of the daemon, as small as the test at hand needs."""


def expert(upstream, model="scripted", price=(1.0, 2.0), embedding=None, generator=True, **more):
    """One expert's entry. `upstream` is an Expert or a URL; the price is USD per million tokens in and out,
    so 10 tokens in and 20 out cost 50e-6 USD; None stands for no price at all."""
    entry = {"endpoints": [getattr(upstream, "url", upstream)], "max_in_flight": 1000}
    if generator:
        entry["generator"] = {"model": model, "context": 1000000, "prompt_bound": "bytes"}
        if price is not None:
            entry["generator"]["price"] = {"input": price[0], "output": price[1]}
    if embedding is not None:
        entry["embedding"] = embedding
    generator_more = more.pop("generator_more", {})
    if generator_more:
        entry["generator"].update(generator_more)
    entry.update(more)
    return entry


def embedding(model="embed-scripted", dim=16, price=0.0):
    return {"model": model, "dim": dim, "price": price}


def config(experts, policies=None, **more):
    """A configuration on ephemeral ports; the policy `auto` has the first expert as its default."""
    whole = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 2, "experts": experts}
    if policies is None:
        policies = {"auto": {"value_usd": 0.02, "default": next(iter(experts)), "max_output_tokens": 1000}}
    whole["policies"] = policies
    whole.update(more)
    return whole
