"""Logs of requests as people have them, made from a seed: 300 lines of three kinds of questions.

Sums, poems and dates share few words, and whoever answers them can tell from a line what is right:

    for line in write_log(path): line["kind"], line["question"], line["right"]
"""

import json
import random

from .routers import prompt_of

KINDS = ("sums", "poems", "dates")
SYSTEM = "You are the assistant of a small shop. Answer in one sentence, without markdown, in the language of the question."


def date_question(draw):
    day = draw.choice(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])
    return draw.choice([
        f"Which weekday comes {draw.randint(2, 300)} days after {day}?",
        f"If today is {day}, what weekday was it {draw.randint(2, 300)} days ago?",
        f"How many days lie between {day} and the {draw.randint(2, 40)}th {day} after it?"])


def question_of(kind, draw):
    return date_question(draw) if kind == "dates" else prompt_of(kind, draw)


def lines_of(n=300, seed=5, system=SYSTEM):
    """What was asked, in the order of the log; no question twice."""
    draw = random.Random(seed)
    seen, lines = set(), []
    while len(lines) < n:
        kind = KINDS[len(lines) % len(KINDS)]
        question = question_of(kind, draw)
        if question in seen:
            question = f"{question[:-1]}, please{question[-1]} (order {draw.randint(10, 9999)})"
        if question in seen:
            continue
        seen.add(question)
        messages = [{"role": "system", "content": system}] if system else []
        if len(lines) % 10 == 9:
            messages += [{"role": "user", "content": "Good morning!"},
                         {"role": "assistant", "content": "Good morning, how can I help?"}]
        messages.append({"role": "user", "content": question})
        lines.append({"kind": kind, "question": question, "messages": messages})
    return lines


def completion_of(text, model, prompt_tokens=20, completion_tokens=12):
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
                      "total_tokens": prompt_tokens + completion_tokens}}


def write_log(path, n=300, seed=5, model="large", answer=None, **more):
    """A log of chat requests (`--from openai-jsonl`). answer(line): what `model` said, kept as its answer."""
    lines = lines_of(n, seed, **more)
    with path.open("w") as out:
        for line in lines:
            record = {"model": model, "messages": line["messages"], "temperature": 0.2, "user": "shop"}
            if answer:
                record = {"request": record, "response": completion_of(answer(line), f"{model}-2026-05-01")}
            out.write(json.dumps(record) + "\n")
    return lines


def write_litellm(path, n=300, seed=5, group="large", model="gpt-4o", answer=lambda line: "No.", lines=None):
    """The same as LiteLLM's spend log; of other lines, where they are given."""
    lines = lines or lines_of(n, seed)
    with path.open("w") as out:
        for number, line in enumerate(lines):
            out.write(json.dumps({
                "request_id": f"chatcmpl-{number:05}", "call_type": "acompletion", "api_key": "hash", "spend": 0.000123,
                "total_tokens": 32, "prompt_tokens": 20, "completion_tokens": 12,
                "startTime": "2026-05-01T10:00:00.250Z", "endTime": "2026-05-01T10:00:01.500Z",
                "model": model, "model_group": group, "cache_hit": "None", "request_tags": [line["kind"]],
                "metadata": {"kind": line["kind"]}, "messages": line["messages"],
                "response": completion_of(answer(line), model)}) + "\n")
    return lines


__all__ = ["KINDS", "SYSTEM", "completion_of", "lines_of", "write_litellm", "write_log"]
