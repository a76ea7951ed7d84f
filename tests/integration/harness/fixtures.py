"""What a test asks for by name: `run`, which starts and stops things, and `router`, which is learned once.

A folder's conftest takes them over with `from harness.fixtures import *`.
"""

import contextlib

import pytest

from . import Expert, Experts, Gateway, config, expert
from .routers import Router

__all__ = ["pytest_runtest_makereport", "router", "run"]


class Run:
    """What one test has running: stopped in reverse order, each with its own assertions, when the test ends."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._gateways = []

    def start(self, thing):
        """Anything with a `with`."""
        return self._stack.enter_context(thing)

    def expert(self, chat=None, embeddings=None, **options):
        return self.start(Expert(chat, embeddings, **options))

    def experts(self, *arguments):
        return self.start(Experts(*arguments))

    def gateway(self, whole, **options):
        """A gateway with this configuration: a dict, or one scripted expert, called `small`."""
        if isinstance(whole, Expert):
            whole = config({"small": expert(whole)})
        gateway = self.start(Gateway(whole, **options))
        self._gateways.append(gateway)
        return gateway

    def end(self, failed):
        if failed:
            for gateway in self._gateways:
                gateway.show_at_end()
        self._stack.close()


_failed = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest.fixture
def run(request):
    run = Run()
    yield run
    run.end(request.node.stash.get(_failed, True))


@pytest.fixture(scope="session")
def router(tmp_path_factory):
    """A bundle made by frugalctl from synthetic outcomes: see routers.py."""
    return Router(tmp_path_factory.mktemp("router"))
