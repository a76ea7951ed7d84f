"""Requests made from openapi.yaml, good and bad ones, against a running gateway: what it answers is what is described."""

import pathlib

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from harness import Expert, Gateway, config, embedding, expert, scripts

ROOT = pathlib.Path(__file__).resolve().parents[2]
LATE = (503, 504)  # an answer to a deadline of a millisecond
# Unknown headers and fields are legal here, and what is good depends on the experts that there are.
NOT_SAID = [negative_data_rejection, positive_data_acceptance]


@pytest.fixture(scope="module")
def gateway():
    with Expert(scripts.answer("fine"), scripts.embed(scripts.hashed_vector), completions=scripts.complete()) as upstream:
        experts = {name: expert(upstream, embedding=embedding()) for name in ("small", "large")}
        with Gateway(config(experts, store="frugal.db")) as running:
            yield running


schema = schemathesis.openapi.from_path(ROOT / "openapi.yaml").exclude(path=["/metrics", "/admin/reload", "/admin/experts"])


@schema.parametrize()
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None,
                     suppress_health_check=list(hypothesis.HealthCheck))
def test_answers_are_as_described(case, gateway):
    try:
        answer = case.call(base_url=f"http://127.0.0.1:{gateway.port}")
    except requests.exceptions.ChunkedEncodingError:
        # A deadline that passes inside a stream cuts it, and is only told in the stream.
        assert "deadline" in f"{case.headers} {case.body}"
        return
    excluded = NOT_SAID + ([not_a_server_error] if answer.status_code in LATE else [])
    case.validate_response(answer, excluded_checks=excluded)
