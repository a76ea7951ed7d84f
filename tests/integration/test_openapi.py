"""openapi.yaml says what the code's own tables say: routes, error codes, options, reasons."""

import json
import pathlib
import re

import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEVER_SENT = {"OK", "CLIENT_GONE"}  # no answer has them: success, and a client that is not there any more


def table(header, macro):
    """The rows of an X-macro list in a header: a list of argument lists, strings without their quotes."""
    text = (ROOT / header).read_text()
    body = re.search(rf"#define {macro}\(X\)(.*?)(?<!\\)\n", text.replace("\\\n", " "), re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body)
    rows = re.findall(r'\bX\(((?:"(?:\\.|[^"\\])*"|[^()"])*)\)', body)
    split = lambda row: [cell.strip().strip('"') for cell in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', row)]
    return [split(row) for row in rows]


@pytest.fixture(scope="module")
def spec():
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


def follow(spec, node):
    if "$ref" not in node:
        return node
    found = spec
    for key in node["$ref"][2:].split("/"):
        found = found[key]
    return follow(spec, found)


def schema(spec, name):
    return spec["components"]["schemas"][name]


def test_the_document_is_valid_openapi(spec):
    validate(spec)


def test_every_schema_is_made_of_known_words(spec):
    """A comma in a description without quotes cuts it, and makes a word of the rest."""
    known = {"$ref", "type", "enum", "const", "default", "description", "examples", "example", "properties", "items", "required",
             "additionalProperties", "oneOf", "anyOf", "allOf", "not", "minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems", "minLength",
             "maxLength", "pattern", "format", "title", "x-codes", "uniqueItems", "minProperties", "maxProperties", "exclusiveMaximum",
             "contentEncoding", "if", "then", "else", "prefixItems", "propertyNames"}

    def look(node, where):
        assert not isinstance(node, dict) or set(node) <= known, (where, set(node) - known)
        for key in ("items", "additionalProperties", "not", "if", "then", "else", "propertyNames"):
            if isinstance(node.get(key), dict):
                look(node[key], f"{where}/{key}")
        for key in ("oneOf", "anyOf", "allOf", "prefixItems"):
            for i, one in enumerate(node.get(key, [])):
                look(one, f"{where}/{key}/{i}")
        for name, one in node.get("properties", {}).items():
            look(one, f"{where}/{name}")

    for name, one in spec["components"]["schemas"].items():
        look(one, name)
    for name, one in spec["components"]["headers"].items():
        look(one["schema"], name)


def media_of(spec):
    """Every body that is described: where, its media type's entry, and its status (None: a request)."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            bodies = [(None, operation["requestBody"])] if "requestBody" in operation else []
            for status, answer in bodies + list(operation["responses"].items()):
                for kind, media in follow(spec, answer).get("content", {}).items():
                    if kind != "text/event-stream":
                        yield f"{method} {path} {status or 'request'}", media, status


def test_every_body_has_an_example_that_fits_its_schema(spec):
    for where, media, _ in media_of(spec):
        given = [media["example"]] if "example" in media else [one["value"] for one in media.get("examples", {}).values()]
        assert given, f"{where} has no example"
        checker = OAS31Validator({**media["schema"], "components": spec["components"]})
        for example in given:
            assert not list(checker.iter_errors(example)), (where, [error.message for error in checker.iter_errors(example)])


def test_examples_of_errors_are_what_the_table_says(spec):
    rows = {row[4]: row for row in table("gateway/domain/api_error.h", "API_ERRORS")}
    for where, media, status in media_of(spec):
        error = media.get("example", {}).get("error") if status not in (None, "200") and isinstance(media.get("example"), dict) else None
        if error is None or "request_id" in media["example"]:
            continue
        row = rows[error["code"]]
        assert error["type"] == row[3].replace("INVALID_REQUEST", "invalid_request_error"), where
        assert status in ("default", row[2]), where


def test_the_version_is_the_programs(spec):
    assert spec["info"]["version"] == (ROOT / "VERSION").read_text().strip()


def test_every_route_of_the_table_is_described_and_no_other(spec):
    routes = {(method.lower(), path.replace("{}", "{id}")) for _, method, path, _ in table("gateway/edge/routes.h", "ROUTES")}
    described = {(method, path) for path, methods in spec["paths"].items() for method in methods}
    assert routes and routes == described


def test_every_error_code_of_the_table_is_described_and_no_other(spec):
    codes = {row[4] for row in table("gateway/domain/api_error.h", "API_ERRORS") if row[0] not in NEVER_SENT}
    described = set(schema(spec, "Error")["properties"]["error"]["properties"]["code"]["x-codes"])
    assert codes and codes == described


def test_every_status_of_the_table_is_among_the_answers_to_a_chat(spec):
    later = {"405", "422"}  # a method that is not there has no operation; a reload
    statuses = {row[2] for row in table("gateway/domain/api_error.h", "API_ERRORS") if row[0] not in NEVER_SENT}
    answers = set(spec["paths"]["/v1/chat/completions"]["post"]["responses"]) - {"200", "default"}
    assert statuses - later == answers


def test_every_route_of_clients_asks_for_a_key_and_says_so(spec):
    assert spec["security"] == [{"bearer": []}, {"apiKey": []}, {}]
    for path, methods in spec["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1/"):
                assert {"401", "429"} <= set(operation["responses"]) and "security" not in operation, path
            else:
                assert operation["security"] == [], path


def test_every_paid_route_says_how_a_budget_is_refused(spec):
    for path, methods in spec["paths"].items():
        if "post" in methods and not path.endswith("/feedback") and not path.startswith("/admin/"):
            assert "402" in methods["post"]["responses"], path


def test_every_option_is_described_as_a_header_and_in_the_body(spec):
    keys = {row[1] for row in table("gateway/domain/frugal_headers.h", "FRUGAL_OPTIONS")}
    headers = {"x-frugal-" + key.replace("_", "-") for key in keys}
    assert keys == set(schema(spec, "Frugal")["properties"])
    for path in ("/v1/chat/completions", "/v1/route"):
        taken = {follow(spec, parameter)["name"] for parameter in spec["paths"][path]["post"]["parameters"]}
        assert taken == headers


def test_every_parameter_of_the_list_of_decisions_is_described_and_no_other(spec):
    keys = {row[1] for row in table("gateway/domain/record_query.h", "RECORD_PARAMS")}
    assert keys == {parameter["name"] for parameter in spec["paths"]["/v1/decisions"]["get"]["parameters"]}


def test_every_reason_is_described(spec):
    words, named = schema(spec, "Reason")["anyOf"]
    assert words["enum"] == [row[1] for row in table("gateway/domain/reason.h", "REASONS") if row[1] != "rule"]
    assert named["pattern"] == "^rule:."


def test_every_reason_of_an_exclusion_is_described_but_for_the_keys(spec):
    words = [row[1] for row in table("gateway/domain/excluded.h", "EXCLUDED_WHYS") if row[0] not in ("NOT", "KEY")]
    items = schema(spec, "Decision")["properties"]["excluded"]["items"]
    assert items["properties"]["why"]["enum"] == words


def test_every_ability_is_described(spec):
    items = schema(spec, "Decision")["properties"]["excluded"]["items"]
    words = [row[1] for row in table("gateway/domain/ability.h", "ABILITIES")]
    assert words and items["properties"]["lacks"]["items"]["enum"] == words
    setting = json.loads((ROOT / "config/frugal.schema.json").read_text())
    generator = setting["properties"]["experts"]["additionalProperties"]["properties"]["generator"]
    assert generator["properties"]["capabilities"]["items"]["enum"] == words


def test_every_way_to_meet_a_ceiling_is_described(spec):
    assert schema(spec, "OnBudget")["enum"] == [row[1] for row in table("gateway/domain/config.h", "CONFIG_ON_BUDGETS")]


def test_every_response_header_of_ours_is_described_and_no_other(spec):
    code = "".join(path.read_text() for path in (ROOT / "gateway/flow").glob("*.c"))
    sent = set(re.findall(r'\badd(?:f|_usd)?\(&?head, "(x-frugal-[a-z-]+)"', code))
    described = set()
    for operation in (spec["paths"]["/v1/chat/completions"]["post"], spec["paths"]["/v1/route"]["post"]):
        for answer in operation["responses"].values():
            described |= {name for name in follow(spec, answer)["headers"] if name.startswith("x-frugal-")}
    assert sent and sent == described
