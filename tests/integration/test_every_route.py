"""What holds for every row of the table of routes: HEAD where there is GET, OPTIONS everywhere, and what is not there."""

import pytest

from harness import config, expert, scripts
from test_openapi import table

ROWS = [(surface == "ADMIN", method, path.replace("{}", "x")) for surface, method, path, _ in
        table("gateway/edge/routes.h", "ROUTES")]
PATHS = sorted({(admin, path) for admin, _, path in ROWS})
names = [f"{'admin' if admin else 'public'} {path}" for admin, path in PATHS]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def gateway():
    from harness import Expert, Gateway
    with Expert(scripts.answer()) as small, Gateway(config({"small": expert(small)}, cors=[ORIGIN])) as gateway:
        yield gateway


def methods(admin, path):
    return {method for a, method, p in ROWS if (a, p) == (admin, path)}


def as_head_has(answer):
    return {name.lower(): value for name, value in answer.head.fields if name.lower() not in ("date", "x-request-id")}


@pytest.mark.parametrize("admin, path", [row for row in PATHS if "GET" in methods(*row)])
def test_head_is_get_without_its_body(gateway, admin, path):
    got, head = gateway.get(path, admin=admin), gateway.request("HEAD", path, admin=admin)
    assert head.status == got.status and head.body == b"" and head["x-request-id"]
    if path != "/metrics":  # which counts the questions, too
        assert as_head_has(head) == as_head_has(got)


@pytest.mark.parametrize("admin, path", PATHS, ids=names)
def test_options_names_the_methods(gateway, admin, path):
    answer = gateway.request("OPTIONS", path, admin=admin)
    wanted = methods(admin, path) | ({"HEAD"} if "GET" in methods(admin, path) else set()) | {"OPTIONS"}
    assert answer.status == 204 and set(answer["allow"].split(", ")) == wanted
    assert "access-control-allow-origin" not in answer
    asked = gateway.request("OPTIONS", path, headers={"origin": ORIGIN, "access-control-request-method": "POST"}, admin=admin)
    assert asked["access-control-allow-origin"] == ORIGIN and set(asked["access-control-allow-methods"].split(", ")) == wanted


@pytest.mark.parametrize("admin, path", PATHS, ids=names)
def test_a_method_that_is_not_there_is_a_405_that_names_those_that_are(gateway, admin, path):
    for method in sorted(METHODS - methods(admin, path)):
        answer = gateway.request(method, path, admin=admin)
        assert answer.status == 405 and methods(admin, path) <= set(answer["allow"].split(", ")), method
        assert answer["x-frugal-error-source"] == "gateway" and answer["x-request-id"]
        error = answer.json()["error"]
        assert error["message"] and error["type"] == "invalid_request_error"
        if path != "/v1/messages":
            assert answer.error["code"] == "method_not_allowed"


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/chat", "/v1/models/", "/v1/responses/resp_1", "/v1/messages/batches"])
def test_a_path_that_is_not_there_is_a_404_in_the_shape_of_errors(gateway, admin, path):
    for method in sorted(METHODS | {"HEAD", "OPTIONS"}):
        answer = gateway.request(method, path, admin=admin)
        assert answer.status == 404 and answer["x-frugal-error-source"] == "gateway" and "allow" not in answer
        if method != "HEAD":
            assert answer.json()["error"]["message"]
