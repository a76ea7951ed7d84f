"""The same exchange costs the same, streamed or not, and the client is told what the books say."""

import decimal
import json

import pytest

from harness import config, expert, scripts

PICO = decimal.Decimal(10) ** 12


def usage_of(prompt=10, output=20):
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


class Manner:
    """An expert that says the same text either way, with its usage in some place."""

    def __init__(self, usage=None, where="last", cut=False):
        self.usage, self.where, self.cut = usage, where, cut

    def __call__(self, call):
        (self._stream if call.json().get("stream") else self._whole)(call)

    def _whole(self, call):
        body = scripts.completion("twelve letters")
        body.pop("usage")
        if self.usage is not None:
            body["usage"] = self.usage
        text = json.dumps(body).encode()
        if not self.cut:
            call.answer(body)
            return
        call.head(length=len(text))
        call.raw_bytes(text[:len(text) // 2])
        call.cut()

    def _stream(self, call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        call.chunk("twelve ")
        if self.cut:
            call.cut()
            return
        call.chunk("letters")
        if self.where == "with_choices":
            call.chunk(finish="stop", usage=self.usage)
        else:
            call.chunk(finish="stop")
            if self.usage is not None:
                call.event({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": self.usage})
        call.done()


MANNERS = {
    "usage normal": Manner(usage_of()),
    "usage absent": Manner(),
    "usage on a chunk with choices": Manner(usage_of(), "with_choices"),
    "usage after the finish chunk": Manner(usage_of(), "after"),
    "cut": Manner(usage_of(), cut=True),
    "usage negative": Manner(usage_of(10, -20)),
    "usage absurd": Manner(usage_of(10 ** 18, 20)),
    "usage of nothing": Manner(usage_of(0, 0)),
    "usage in words": Manner({"prompt_tokens": "ten", "completion_tokens": "twenty"}),
    "more cached than read": Manner({**usage_of(), "prompt_tokens_details": {"cached_tokens": 11}}),
    "reasoning beside the answer": Manner({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 130,
                                           "completion_tokens_details": {"reasoning_tokens": 100}}),
}


def numbers(text):
    return json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal)


@pytest.mark.parametrize("ceiling", [None, "0.001"])
@pytest.mark.parametrize("manner", MANNERS)
def test_streamed_and_buffered_cost_the_same(run, manner, ceiling):
    small = run.expert(MANNERS[manner])
    gateway = run.gateway(config({"small": expert(small)}))
    headers = {"x-frugal-budget-usd": ceiling} if ceiling else {}
    whole = gateway.chat(headers={**headers, "x-request-id": "whole"}, max_tokens=200)
    with gateway.stream(headers={**headers, "x-request-id": "stream"}, max_tokens=200,
                        stream_options={"include_usage": True}) as stream:
        raw = list(stream)
    lines = {id: gateway.log.wait(event="request", request_id=id) for id in ("whole", "stream")}
    for key in ("cost_usd", "bound_usd", "estimated"):
        assert lines["whole"].get(key) == lines["stream"].get(key), (key, lines)
    told = [numbers(event)["usage"] for event in raw if '"cost"' in event]
    if "cut" in manner:
        assert lines["whole"]["estimated"] == "true" and not told
        return
    assert whole["x-frugal-cost-usd"] == lines["whole"]["cost_usd"]
    if "absent" in manner:
        assert "usage" not in whole.json()
        assert told == [numbers(raw[-2])["usage"]] and told[0]["cost_details"]["estimated"] is True
        assert told[0]["cost"] == decimal.Decimal(lines["stream"]["cost_usd"]) and told[0]["completion_tokens"] > 0
        return
    usage = numbers(whole.body)["usage"]
    for one in (usage, told[-1]):
        assert one["cost"] == decimal.Decimal(lines["whole"]["cost_usd"])
        assert one["cost_details"]["estimated"] is ("estimated" in lines["whole"])
        assert isinstance(one["cost"], decimal.Decimal)
    if ceiling and "estimated" in lines["whole"]:
        assert usage["cost_details"]["bound_usd"] == decimal.Decimal(lines["whole"]["bound_usd"]) <= decimal.Decimal(ceiling)


def test_what_cannot_be_is_counted_at_its_worst_case_and_noticed(run):
    small = run.expert(MANNERS["usage negative"])
    gateway = run.gateway(config({"small": expert(small)}))
    gateway.chat(headers={"x-frugal-budget-usd": "0.001", "x-request-id": "one"}, max_tokens=200)
    line = gateway.log.wait(event="request", request_id="one")
    assert decimal.Decimal(line["cost_usd"]) < decimal.Decimal(line["bound_usd"]) <= decimal.Decimal("0.001")
    assert gateway.log.wait(event="usage_not_believed")
    assert gateway.metrics().value("frugal_usage_not_believed_total", expert="small") == 1
    assert gateway.metrics().value("frugal_expert_barred") == 0
