"""Everything a whole-program test needs: the daemon wrapped in a class, experts that follow a script,
and a client that shows every byte.

    with Expert(scripts.answer("hello")) as small:
        with Gateway(config({"small": expert(small)})) as gateway:
            assert gateway.chat("hi").json()["choices"][0]["message"]["content"] == "hello"

Nothing here sleeps in order to wait: a test waits for a gate, a log line, a request or a closed connection,
each with a deadline (PATIENCE) after which it fails and says what it was waiting for.
"""

from .configs import config, embedding, expert
from .upstream import Call, Expert, Gate
from .gateway import BUILD, Gateway, run_frugald
from .ledger import Ledger, with_store
from .logs import Line, LogBook, parse_logfmt
from .metrics import Metrics
from .programs import Experts, frugalctl
from .waiting import PATIENCE, SLOW, deadline, eventually
from .wire import Cut, Head, Response, Stream, Wire

__all__ = [
    "BUILD", "Call", "Cut", "Expert", "Experts", "Gate", "Gateway", "Head", "Ledger", "Line", "LogBook", "Metrics",
    "PATIENCE", "Response", "SLOW", "Stream", "Wire", "config", "deadline", "embedding", "eventually",
    "expert", "frugalctl", "parse_logfmt", "run_frugald", "with_store",
]
