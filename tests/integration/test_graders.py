"""frugalctl calibrate's graders over the whole program: what an answer is worth, and what is refused beforehand."""

import json
import sqlite3

import jsonschema
import pytest

from harness import frugalctl, scripts
from test_ctl import prepared

SCHEMA = {"type": "object", "required": ["city", "people"], "additionalProperties": False,
          "properties": {"city": {"type": "string", "minLength": 2}, "people": {"type": "integer", "minimum": 0},
                         "twins": {"type": "array", "items": {"$ref": "#/$defs/name"}, "uniqueItems": True}},
          "$defs": {"name": {"type": "string", "pattern": "^[A-Z]"}}}
VALUES = [{"city": "Ulm", "people": 1}, {"city": "Ulm"}, {"city": "U", "people": 1}, {"city": "Ulm", "people": 1.0},
          {"city": "Ulm", "people": -1}, {"city": "Ulm", "people": 1, "mayor": "x"}, [], None, 3,
          {"city": "Ulm", "people": 1, "twins": ["A", "B"]}, {"city": "Ulm", "people": 1, "twins": ["A", "A"]},
          {"city": "Ulm", "people": 1, "twins": ["a"]}]


def saying(answers):
    """An expert that answers each prompt as the dict says."""
    return lambda call: call.answer(scripts.completion(answers[call.json()["messages"][-1]["content"]]))


def qualities(store):
    with sqlite3.connect(store) as db:
        return dict(db.execute("SELECT id, quality FROM prompts JOIN cells USING (prompt)"))


def test_each_prompt_has_its_own_grader(run, tmp_path):
    (tmp_path / "city.json").write_text(json.dumps(SCHEMA))
    city = f"json-schema:{tmp_path / 'city.json'}"
    cases = [  # grade, reference, prompt, answer, quality
        ("choice", "B", "Capital?\nA) Rome\nB) Paris", "**Answer:** B) Paris", 1),
        ("choice", "Paris", "The capital?\nA) Rome\nB) Paris", "The answer is (A).", 0),
        ("contains", "paris", "Which town?", "It is **Paris**, of course.", 1),
        ("regex:(?i)^yes\\b", None, "Is it?", "Yes, it is", 1),
        ("regex:(?i)^yes\\b", None, "Is it not?", "No", 0),
        (city, None, "A town as JSON", '```json\n{"city": "Ulm", "people": 126000}\n```', 1),
        (city, None, "A town as JSON, please", 'Here: {"city": "Ulm", "people": 126000}', 0),
        ("number", "7", "3 + 4?", "That makes 7.", 1),
    ]
    questions = [{"id": str(n), "prompt": prompt, "reference": reference, "grade": how}
                 for n, (how, reference, prompt, *_) in enumerate(cases)]
    one = run.expert(saying({prompt: answer for _, _, prompt, answer, _ in cases}))
    frugalctl(*prepared(tmp_path, {"one": one}, questions))
    assert qualities(tmp_path / "calib.db") == {str(n): case[-1] for n, case in enumerate(cases)}


def test_a_schema_allows_what_the_reference_implementation_allows(run, tmp_path):
    (tmp_path / "city.json").write_text(json.dumps(SCHEMA))
    questions = [{"id": str(n), "prompt": f"town {n}"} for n in range(len(VALUES))]
    one = run.expert(saying({f"town {n}": json.dumps(value) for n, value in enumerate(VALUES)}))
    frugalctl(*prepared(tmp_path, {"one": one}, questions), "--grade", f"json-schema:{tmp_path / 'city.json'}")
    oracle = jsonschema.Draft202012Validator(SCHEMA)
    assert qualities(tmp_path / "calib.db") == {str(n): float(oracle.is_valid(value)) for n, value in enumerate(VALUES)}


def test_an_answer_that_nobody_can_grade_is_missing_and_not_wrong(run, tmp_path):
    one = run.expert(saying({"long": "a" * 200_000 + "b", "short": "aaa"}))
    questions = [{"id": prompt, "prompt": prompt} for prompt in ("long", "short")]
    frugalctl(*prepared(tmp_path, {"one": one}, questions), "--grade", "regex:^(a+)+$")
    assert qualities(tmp_path / "calib.db") == {"long": None, "short": 1}


@pytest.mark.parametrize("how, says", [
    ("regex:(", "missing closing parenthesis"), ("json-schema:/nowhere.json", "cannot open '/nowhere.json'"),
    ("guess", "'guess' is no grader: it is one of exact number choice"), ("regex:", "is no grader")])
def test_a_grader_that_cannot_be_read_is_said_before_anybody_is_asked(run, tmp_path, how, says):
    one = run.expert(saying({}))
    ran = frugalctl(*prepared(tmp_path, {"one": one}, [{"id": "a", "prompt": "b"}]), "--grade", how, check=False)
    assert ran.returncode == 1 and says in ran.err and "prompts.jsonl:1" in ran.err
    assert one.asked == 0


def test_prompts_that_somebody_sent_start_no_program(run, tmp_path):
    one = run.expert(saying({}))
    question = {"id": "a", "prompt": "b", "grade": f"cmd:touch {tmp_path / 'started'}"}
    ran = frugalctl(*prepared(tmp_path, {"one": one}, [question]), check=False)
    assert ran.returncode == 1 and "wants to run a program" in ran.err
    assert not (tmp_path / "started").exists()
