"""Scripts that many tests use."""

import hashlib
import struct


def completion(content="fine", prompt=10, output=20, **more):
    """The body of a whole answer."""
    body = {
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}}
    body.update(more)
    return body


def answer(content="fine", prompt=10, output=20, headers=(), **more):
    """Answers as it is asked: whole, or as a stream of one piece."""
    whole = completion(content, prompt, output, **more)

    def script(call):
        if not call.json().get("stream"):
            call.answer(whole, headers=headers)
            return
        call.head(stream=True, headers=headers)
        call.chunk("", role="assistant")
        call.chunk(content)
        call.chunk(finish="stop")
        if (call.json().get("stream_options") or {}).get("include_usage"):
            call.usage(prompt, output)
        call.done()

    return script


def complete(text="fine", prompt=10, output=20, headers=()):
    """A completions endpoint: whole, or as a stream of one piece."""
    head = {"id": "cmpl-scripted", "object": "text_completion", "created": 1, "model": "scripted"}
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    choice = {"index": 0, "text": text, "logprobs": None}

    def script(call):
        if not call.json().get("stream"):
            call.answer({**head, "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}, headers=headers)
            return
        call.head(stream=True, headers=headers)
        call.event({**head, "choices": [{**choice, "finish_reason": None}]})
        call.event({**head, "choices": [{**choice, "text": "", "finish_reason": "stop"}]})
        if (call.json().get("stream_options") or {}).get("include_usage"):
            call.event({**head, "choices": [], "usage": usage})
        call.done()

    return script


def message(content="fine", prompt=10, output=20, **more):
    """The body of a whole Anthropic message; `content` is a text or a list of blocks."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    body = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": "scripted-claude", "content": blocks,
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": prompt, "output_tokens": output}}
    body.update(more)
    return body


def message_events(pieces, prompt=10, output=20, **usage):
    """The events of a good message of one text; `usage` is further usage of its beginning."""
    return [
        {"type": "message_start", "message": message([], usage={"input_tokens": prompt, "output_tokens": 1, **usage},
                                                     stop_reason=None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": output}},
        {"type": "message_stop"}]


def response(content="fine", prompt=10, output=20, **more):
    """The body of a whole response."""
    body = {"id": "resp_scripted", "object": "response", "created_at": 1, "status": "completed", "model": "scripted-gpt",
            "error": None, "incomplete_details": None, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": content, "annotations": []}]}],
            "usage": {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
                      "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}}
    body.update(more)
    return body


def response_events(pieces, prompt=10, output=20, **more):
    whole = response("".join(pieces), prompt, output, **more)
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {**whole["output"][0], "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in pieces),
        {"type": "response.output_text.done", **at, "text": "".join(pieces), "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": "".join(pieces)}},
        {"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]},
        {"type": "response.completed", "response": whole}]
    return [{**event, "sequence_number": n} for n, event in enumerate(events)]


def natively(whole, events, headers=()):
    """An endpoint of one of these two APIs: whole, or as a stream of these events."""
    def script(call):
        if not call.json().get("stream"):
            call.answer(whole, headers=headers)
            return
        call.head(stream=True, headers=headers)
        for event in events:
            call.named(event)
        call.end()

    return script


def stream(pieces, prompt=10, output=20):
    """A good stream of these pieces."""
    def script(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        for piece in pieces:
            call.chunk(piece)
        call.chunk(finish="stop")
        call.usage(prompt, output)
        call.done()

    return script


def refuse(status=500, message="the expert is unwell", headers=(), kind="server_error"):
    def script(call):
        call.answer({"error": {"message": message, "type": kind, "param": None, "code": None}},
                    status=status, headers=headers)

    return script


def silent(call):
    """Reads the request and never answers."""
    call.stall()


def stream_then_silent(*pieces):
    def script(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        for piece in pieces:
            call.chunk(piece)
        call.stall()

    return script


def stream_then_cut(*pieces, reset=False):
    def script(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        for piece in pieces:
            call.chunk(piece)
        call.cut(reset)

    return script


def cut(call):
    """Ends the connection instead of an answer."""
    call.cut()


def embed(vector_of, tokens=5):
    """An embeddings endpoint: vector_of(text) gives the floats."""
    def script(call):
        asked = call.json()
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        data = [{"object": "embedding", "index": i, "embedding": vector_of(text)} for i, text in enumerate(inputs)]
        call.answer({"object": "list", "model": asked["model"], "data": data,
                     "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    return script


def tokenize(tokens=None):
    """A tokenizer as llama.cpp's: a token a word, or so many."""
    def script(call):
        n = len(call.json()["content"].split()) if tokens is None else tokens
        call.answer({"tokens": list(range(n))})

    return script


def hashed_vector(text, dim=16):
    """A vector that depends on the words of a text, the same ones every time."""
    vector = [0.01] * dim
    for word in text.lower().split():
        vector[struct.unpack("<I", hashlib.sha256(word.encode()).digest()[:4])[0] % dim] += 1.0
    return vector
