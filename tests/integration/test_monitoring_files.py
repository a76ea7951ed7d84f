"""The alert rules and the dashboard ask for metrics and labels that the gateway really has."""

import json
import re

import pytest
import yaml

from test_openapi import ROOT, table

DERIVED = ("_bucket", "_sum", "_count")


def metrics():
    """Exposed name -> kind, of the code's own table."""
    return {row[2]: row[1] for row in table("gateway/domain/metrics.h", "METRICS")}


def words():
    """Every value that a closed label may have."""
    header, found = "gateway/domain/metrics.h", set()
    for macro in ("METRIC_ROUTES", "METRIC_ATTEMPT_RESULTS", "METRIC_TOKEN_TYPES", "METRIC_SPENDS",
                  "METRIC_REFUSALS_TABLE", "METRIC_SHEDS", "METRIC_HEALTHS", "METRIC_CONVERSATIONS_TABLE",
                  "METRIC_CACHES"):
        found |= {row[1] for row in table(header, macro)}
    found |= {row[1] for row in table("gateway/domain/reason.h", "REASONS")}
    found |= {row[1] for row in table("gateway/domain/api_error.h", "API_ERRORS")}
    return found


def labels():
    return {row[1] for row in table("gateway/domain/metrics.h", "METRIC_DIMENSIONS")} | {"le", "instance", "job"}


def alert_queries():
    rules = yaml.safe_load((ROOT / "config/alerts.yml").read_text())
    return [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def dashboard_queries():
    board = json.loads((ROOT / "config/grafana-dashboard.json").read_text())
    return [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("title, query", alert_queries() + dashboard_queries())
def test_a_query_asks_for_what_exists(title, query):
    known = metrics()
    names = re.findall(r"\b(?:frugal|gen_ai)_\w+(?=[{\[) ])", re.sub(r"by \([^)]*\)", "", query))
    for name in names:
        base = next((name[: -len(end)] for end in DERIVED if name.endswith(end)), name)
        assert base in known, name
        assert (base != name) == (known[base] == "SECONDS"), f"{name} is asked for as if it were of another kind"
    assert names or "up{" in query
    for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', query):
        assert label in labels(), label
        if label not in ("instance", "job"):
            assert set(value.split("|")) <= words(), value
    for group in re.findall(r"by \(([^)]*)\)", query):
        assert {label.strip() for label in group.split(",")} <= labels(), group


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(query for _, query in dashboard_queries())
    assert [name for name in metrics() if name not in shown] == []
