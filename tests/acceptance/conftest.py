import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.fixtures import *  # noqa: E402, F401, F403
from llama import Installed  # noqa: E402


@pytest.fixture(scope="session")
def data():
    """The folder of real outcomes: make acceptance DATA=DIR."""
    named = os.environ.get("DATA")
    if not named:
        pytest.skip("no DATA: make acceptance DATA=DIR runs this on real outcomes")
    folder = pathlib.Path(named).resolve()
    if not folder.is_dir():
        pytest.skip(f"no folder '{named}': real outcomes are not on this machine")
    return folder


@pytest.fixture(scope="session")
def llama_cpp(data):
    """llama.cpp's server, ready to be started as often as a test likes."""
    return Installed(data.parent / "tools" / "llama-server.sh")


@pytest.fixture(scope="session")
def llamas(llama_cpp):
    """Two of them, running for all tests; who wants to end one starts its own."""
    with llama_cpp.start() as left, llama_cpp.start() as right:
        yield left, right
