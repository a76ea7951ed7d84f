import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import Expert, Experts, Gateway, config, expert  # noqa: E402
from harness.routers import built_router  # noqa: E402


class Run:
    """What one test has running: stopped in reverse order, each with its own assertions, when the test ends."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._gateways = []

    def expert(self, chat=None, embeddings=None, **options):
        return self._stack.enter_context(Expert(chat, embeddings, **options))

    def experts(self, *arguments):
        return self._stack.enter_context(Experts(*arguments))

    def gateway(self, whole, **options):
        """A gateway with this configuration: a dict, or one scripted expert, called `small`."""
        if isinstance(whole, Expert):
            whole = config({"small": expert(whole)})
        gateway = self._stack.enter_context(Gateway(whole, **options))
        self._gateways.append(gateway)
        return gateway

    def end(self, failed):
        if failed:
            for gateway in self._gateways:
                gateway.show_at_end()
        self._stack.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


_failed = pytest.StashKey()


@pytest.fixture
def run(request):
    run = Run()
    yield run
    run.end(request.node.stash.get(_failed, True))


@pytest.fixture(scope="session")
def router(tmp_path_factory):
    """A bundle made by frugalctl from synthetic outcomes: see harness/routers.py."""
    return built_router(tmp_path_factory.mktemp("router"))
