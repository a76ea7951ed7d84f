"""Asks questions over HTTP, keeps what came back and what it cost, and grades it."""

import http.client
import json
import queue
import re
import threading

from children import Failed
from setting import OUTPUT_TOKENS

THREADS = 4
TIMEOUT_S = 60


class Answer:
    """One answer: is it right, what did it cost, who gave it, what was queried for it."""

    def __init__(self, right, usd, expert, queried, status):
        self.right = right
        self.usd = usd
        self.expert = expert
        self.queried = queried
        self.status = status


def direct(name):
    """The request that goes straight to one expert."""
    return name, {}


def routed(budget):
    return "auto", {"x-frugal-budget-usd": f"{budget['usd']:.9f}", "x-frugal-value-usd": f"{budget['value_usd']:.9f}"}


def grade(question, text):
    """Numbers: the last one said, to the two decimals asked for. Others: the same words."""
    if question["grade"] == "number":
        said = re.findall(r"-?\d+(?:\.\d+)?", text)
        return bool(said) and abs(float(said[-1]) - float(question["reference"])) < 0.005
    return text.strip().rstrip(".").casefold() == question["reference"].strip().rstrip(".").casefold()


def ask(connection, question, model, headers):
    body = {
        "model": model,
        "max_tokens": OUTPUT_TOKENS,
        "messages": [{"role": "user", "content": question["prompt"]}],
    }
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers}
    )
    response = connection.getresponse()
    payload = response.read()
    if response.status == 402:  # the ceiling holds: no answer, and nothing paid
        return Answer(False, 0.0, "none", "", response.status)
    if response.status != 200:
        raise Failed(f"the gateway answered {model} with {response.status}: {payload[:300]!r}")
    answer = json.loads(payload)
    cost = answer.get("usage", {}).get("cost")
    if not isinstance(cost, (int, float)):
        raise Failed(f"an answer of {model} does not say what it cost: {payload[:300]!r}")
    text = answer["choices"][0]["message"]["content"] or ""
    return Answer(
        grade(question, text), float(cost), response.getheader("x-frugal-expert", "?"),
        response.getheader("x-frugal-queried", "") or "", 200,
    )


def ask_all(address, questions, request, tick):
    """Answers in the order of the questions."""
    model, headers = request
    work = queue.SimpleQueue()
    for index in range(len(questions)):
        work.put(index)
    answers = [None] * len(questions)
    errors = []

    def worker():
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        try:
            while not errors:
                index = work.get_nowait()
                answers[index] = ask(connection, questions[index], model, headers)
                tick()
        except queue.Empty:
            pass
        except Exception as error:  # told by the main thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=worker) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        error = errors[0]
        raise error if isinstance(error, Failed) else Failed(f"asking {model}: {error!r}")
    return answers
