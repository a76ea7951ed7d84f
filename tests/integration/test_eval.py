"""frugalctl eval on data with mistakes: said with file and line, or answered soundly; never a NaN."""

import json
import math

import pytest

from harness import frugalctl

ROWS = 24
NAMES = ["left", "right"]
FILES = ["models.json", "prompts.jsonl", "quality.csv", "cost.csv"]


def write(folder, rows=ROWS, names=NAMES, quality=lambda n, name: int((n % 2 == 0) == (name == "left"))):
    """Prompts of two kinds that take turns; each model is right on one kind. The last third is to measure on."""
    folder.mkdir(exist_ok=True)
    words = ["add the numbers {} and {}", "sing a song of the sea {} {}"]
    (folder / "models.json").write_text(json.dumps(
        {"models": {name: {"price_in": 1, "price_out": 2} for name in names}}))
    (folder / "prompts.jsonl").write_text("".join(json.dumps(
        {"id": f"p{n}", "prompt": words[n % 2].format(n, n * 7), "domain": ["sums", "songs"][n % 2],
         "split": "dev" if n % 3 == 2 else "calib"}) + "\n" for n in range(rows)))
    for file, cell in ("quality.csv", quality), ("cost.csv", lambda n, name: 100 + 50 * (name == "right")):
        (folder / file).write_text("\n".join(
            [",".join(["id", *names])] + [",".join([f"p{n}", *(str(cell(n, name)) for name in names)])
                                          for n in range(rows)]) + "\n")
    return folder


def write_vectors(path, rows=ROWS, change=None):
    lines = ["id,v0,v1,v2"] + [f"p{n},{n % 2},{1 - n % 2},{n / 100}" for n in range(rows)]
    if change:
        lines[3] = change(lines[3])
    path.write_text("\n".join(lines) + "\n")
    return path


def change_line(path, number, change):
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")


def routing(folder, *options, check=True, cross=False):
    where = ("--fit", folder, "--fold", "3") if cross else ("--fit", f"{folder}:calib", "--measure", f"{folder}:dev")
    return frugalctl("eval", "routing", *where, *options, "--json", check=check)


def finite(value):
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def sound(ran):
    """The document, whose numbers are numbers and whose shares are shares."""
    said = json.loads(ran.out, parse_constant=lambda word: pytest.fail(f"{word} in {ran.out}"))
    assert finite(said)
    assert 0 <= said["accuracy"] <= said["oracle"] + 1e-9 <= 1 + 1e-9
    assert 0 <= said["ece"] <= 1
    return said


MISTAKES = {
    "quality nan": ("quality.csv", 4, lambda line: "p2,nan,1"),
    "quality infinite": ("quality.csv", 4, lambda line: "p2,1,inf"),
    "quality above one": ("quality.csv", 4, lambda line: "p2,1.01,1"),
    "quality below zero": ("quality.csv", 4, lambda line: "p2,-0.5,1"),
    "quality of a row twice": ("quality.csv", 5, lambda line: "p2,1,1"),
    "quality of nobody": ("quality.csv", 5, lambda line: "nobody,1,1"),
    "a model that has no price": ("quality.csv", 1, lambda line: "id,left,centre"),
    "a model twice": ("quality.csv", 1, lambda line: "id,left,left"),
    "a model without costs": ("cost.csv", 1, lambda line: "id,left,centre"),
    "a column short": ("quality.csv", 4, lambda line: "p2,1"),
    "a column too many": ("cost.csv", 4, lambda line: "p2,1,1,1"),
    "cost nan": ("cost.csv", 4, lambda line: "p2,nan,1"),
    "cost infinite": ("cost.csv", 4, lambda line: "p2,1,1e999"),
    "cost negative": ("cost.csv", 4, lambda line: "p2,1,-1"),
    "an id twice": ("prompts.jsonl", 3, lambda line: line.replace('"p2"', '"p1"')),
    "a prompt of no text": ("prompts.jsonl", 3, lambda line: line.replace('"prompt"', '"promt"')),
    "a line that is not JSON": ("prompts.jsonl", 3, lambda line: line[:-1]),
    "bytes that are no text": ("prompts.jsonl", 3, lambda line: line.replace("a", "\udc80", 1)),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.parametrize("command", ["import", "eval"])
def test_a_mistake_in_outcomes_is_said_with_file_and_line(tmp_path, command, case):
    name, number, change = MISTAKES[case]
    folder = write(tmp_path / "data")
    path = folder / name
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_bytes(("\n".join(lines) + "\n").encode(errors="surrogateescape"))
    ran = routing(folder, check=False) if command == "eval" else \
        frugalctl("import", folder, "--store", tmp_path / "calib.db", check=False)
    assert ran.returncode == 1, (ran.out, ran.err)
    assert f"{name}:{number}" in ran.err
    assert ran.out == ""


def test_a_model_of_the_prices_without_a_column_is_said(tmp_path):
    folder = write(tmp_path / "data")
    (folder / "models.json").write_text(json.dumps(
        {"models": {name: {"price_in": 1, "price_out": 2} for name in [*NAMES, "extra"]}}))
    ran = routing(folder, check=False)
    assert ran.returncode == 1
    assert "extra" in ran.err and "quality.csv" in ran.err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"models": {}}', '{"models": {"left": {"price_in": "1"}}}',
                                  '{"models": {"left": {"price_in": NaN, "price_out": 1}}}'])
def test_prices_that_are_none_are_said(tmp_path, text):
    folder = write(tmp_path / "data")
    (folder / "models.json").write_text(text)
    ran = routing(folder, check=False)
    assert ran.returncode == 1
    assert "models.json" in ran.err


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(tmp_path, file):
    folder = write(tmp_path / "data")
    (folder / file).unlink()
    ran = routing(folder, check=False)
    assert ran.returncode == 1
    assert file in ran.err


@pytest.mark.parametrize("case, change", {
    "nan": lambda line: "p2,nan,0,0", "infinite": lambda line: "p2,0,inf,0", "too large": lambda line: "p2,1e99,0,0",
    "all zero": lambda line: "p2,0,0,0", "words": lambda line: "p2,0,x,0", "a number short": lambda line: "p2,0,1",
    "a number too many": lambda line: "p2,0,1,0,0", "an id twice": lambda line: "p1,0,1,0",
}.items())
def test_a_mistake_in_vectors_is_said_with_file_and_line(tmp_path, case, change):
    folder = write(tmp_path / "data")
    vectors = write_vectors(tmp_path / "vectors.csv", change=change)
    ran = routing(folder, "--embedder", vectors, check=False)
    assert ran.returncode == 1, (ran.out, ran.err)
    assert "vectors.csv:4" in ran.err


def test_vectors_without_a_header_or_without_rows_are_said(tmp_path):
    folder = write(tmp_path / "data")
    for text in ("", "p0,1,0\n", "id\n", "id,v0,v1\n"):
        (tmp_path / "vectors.csv").write_text(text)
        ran = routing(folder, "--embedder", tmp_path / "vectors.csv", check=False)
        assert ran.returncode == 1, (text, ran.out)
        assert "vectors.csv" in ran.err


def test_rows_without_a_vector_are_decided_without_it(tmp_path):
    folder = write(tmp_path / "data", rows=90)
    vectors = write_vectors(tmp_path / "vectors.csv", rows=60)
    assert sound(routing(folder, "--embedder", f"lexical,{vectors}"))["n"] == 30


HEADS = ["knn:5", "ridge", "logistic", "mlp", "domain", "metric", "blend"]


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_who_is_good_at_what(tmp_path, head):
    folder = write(tmp_path / "data", rows=240)
    said = sound(routing(folder, "--head", head, "--switch-z", "0", "--prior", "5"))
    assert said["best_single"] == pytest.approx(0.5, abs=0.01)
    assert said["accuracy"] >= 0.9


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("case", ["one row", "one model", "two rows", "all right", "all wrong", "all one half"])
def test_next_to_nothing_to_learn_from_gives_a_sound_answer(tmp_path, case, head):
    folder = tmp_path / "data"
    write(folder, rows={"one row": 3, "two rows": 3}.get(case, ROWS),
          names=["left"] if case == "one model" else NAMES,
          **({"quality": lambda n, name: {"all right": 1, "all wrong": 0, "all one half": 0.5}[case]}
             if case.startswith("all") else {}))
    if case == "one row":
        for file in ("prompts.jsonl", "quality.csv", "cost.csv"):
            lines = (folder / file).read_text().splitlines()
            del lines[0 if file == "prompts.jsonl" else 1]
            (folder / file).write_text("\n".join(lines) + "\n")
    said = sound(routing(folder, "--head", head))
    if case.startswith("all"):
        assert said["accuracy"] == said["best_single"] == said["oracle"]
        assert said["gap_closed"] is None


def test_cells_that_are_not_known_are_left_out(tmp_path):
    folder = write(tmp_path / "data", rows=240)
    for number in range(2, 240, 3):
        change_line(folder / "quality.csv", number, lambda line: line.split(",")[0] + ",,1")
        change_line(folder / "cost.csv", number, lambda line: line.split(",")[0] + ",,150")
    assert sound(routing(folder, "--bootstrap", "20"))["accuracy"] >= 0.9
    assert sound(routing(folder, cross=True))["n"] == 240


@pytest.mark.parametrize("options, word", [
    (["--fold", "3"], "--fold"), (["--models", "left,nobody"], "nobody"), (["--head", "knn:0"], "knn:0"),
    (["--head", "oracle"], "oracle"), (["--embedder", "no-such-file.csv"], "no-such-file.csv"),
    (["--embedder-usd", "1,2"], "--embedder-usd"), (["--embedder-usd", "nan"], "nan"), (["--switch-z", "nan"], "nan"),
    (["--embedder", "lexical,lexical"], "lexical"), (["--bootstrap", "-1"], "-1"),
])
def test_an_option_that_makes_no_sense_is_said(tmp_path, options, word):
    ran = routing(write(tmp_path / "data"), *options, check=False)
    assert ran.returncode in (1, 2), (ran.out, ran.err)
    assert word in ran.err and ran.out == ""


# -- classification ------------------------------------------------------------------------------------

def write_classes(folder, rows=40, change=None, number=4):
    """Three experts and three classes; expert 1 is always right, the others on one class each."""
    folder.mkdir(exist_ok=True)
    lines = ["item,truth,label0,conf0,label1,conf1,label2,conf2"]
    for n in range(rows):
        truth = n % 3
        lines.append(f"{n},{truth},0,{60 + n % 7},{truth},{80 + n % 5},2,{50 + n % 11}")
    if change is not None:
        lines[number - 1] = change
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n")
    return folder


def classification(folder, *options, check=True):
    return frugalctl("eval", "classification", "--data", folder, *options, "--json", check=check)


@pytest.mark.parametrize("line", [
    "2,2,0,nan,2,80,2,50", "2,2,0,101,2,80,2,50", "2,2,0,-1,2,80,2,50", "2,2,0,inf,2,80,2,50", "2,2,0,60.5,2,80,2,50",
    "2,2,999,60,2,80,2,50", "2,-1,0,60,2,80,2,50", "2,x,0,60,2,80,2,50", "2,2,0,60,2,80,2", "2,2,0,60,2,80,2,50,1",
    "1,2,0,60,2,80,2,50",
])
def test_a_mistake_in_class_outputs_is_said_with_file_and_line(tmp_path, line):
    ran = classification(write_classes(tmp_path / "data", change=line), check=False)
    assert ran.returncode == 1, (ran.out, ran.err)
    assert "predictions.csv:4" in ran.err


@pytest.mark.parametrize("header", ["", "item,truth", "item,truth,label0", "item,truth,label1,conf1", "a,b,c,d"])
def test_a_header_of_class_outputs_that_is_none_is_said(tmp_path, header):
    ran = classification(write_classes(tmp_path / "data", change=header, number=1), check=False)
    assert ran.returncode == 1
    assert "predictions.csv" in ran.err


def test_every_method_answers_on_next_to_nothing(tmp_path):
    for rows in (2, 3, 40):
        for said in json.loads(classification(write_classes(tmp_path / "data", rows=rows), "--method", "all",
                                              "--max-experts", "3", "--subsets", "2").out):
            assert finite(said) and 0 <= said["accuracy"] <= 1
            assert said["n"] == rows // 2


def test_the_expert_that_is_always_right_is_found(tmp_path):
    folder = write_classes(tmp_path / "data", rows=120)
    for method in ("single-best", "knn", "knn-route", "frugalfoe", "frugalml", "ridge", "linear", "mlp"):
        assert json.loads(classification(folder, "--method", method).out)["accuracy"] == 1, method
    walk = json.loads(classification(folder, "--method", "frugalfoe", "--lambda", "0.1").out)
    assert walk["mean_experts"] == 1


def test_an_expert_that_costs_too_much_is_not_asked(tmp_path):
    folder = write_classes(tmp_path / "data", rows=120)
    (tmp_path / "costs.csv").write_text("expert,usd,seconds\n0,0.001,1\n1,9,1\n2,0.001,1\n")
    options = ("--method", "frugalfoe", "--lambda", "0.5", "--costs", tmp_path / "costs.csv")
    assert json.loads(classification(folder, *options, "--weights", "usd=1").out)["accuracy"] < 1
    assert json.loads(classification(folder, *options, "--weights", "seconds=0.1").out)["accuracy"] == 1


def test_money_seconds_and_energy_add_up_to_one_cost(tmp_path):
    """10 * 0.01 USD + 0.4 * 0.5 s + 0.35 * 2 J are 1, the cost of every expert when none is given; twice the weights
    at half the lambda are the same again, and a hundred times the weights alone buy less."""
    lines = ["item,truth,label0,conf0,label1,conf1,label2,conf2"]
    for n in range(120):  # each knows its own class and takes the others for the next: two together know all
        says = [e if n % 3 == e else (e + 1) % 3 for e in range(3)]
        lines.append(f"{n},{n % 3}," + ",".join(f"{label},{60 + (n + label) % 7}" for label in says))
    (tmp_path / "predictions.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "costs.csv").write_text("expert,usd,seconds,joules\n" + "".join(f"{e},0.01,0.5,2\n" for e in range(3)))

    def curve(prices, *weights):
        said = classification(tmp_path, "--method", "frugalfoe", "--kappa", "5", "--lambda", prices,
                              *(["--costs", tmp_path / "costs.csv", "--weights", ",".join(weights)] if weights else []))
        return [(point["accuracy"], point["mean_experts"]) for point in json.loads(said.out)["curve"]]

    plain = curve("0.01,0.05")
    assert plain[0][1] > 1
    assert plain == curve("0.01,0.05", "usd=10", "seconds=0.4", "joules=0.35")
    assert plain == curve("0.005,0.025", "usd=20", "seconds=0.8", "joules=0.7")
    assert curve("0.01", "usd=1000", "seconds=40", "joules=35")[0][1] == 1


@pytest.mark.parametrize("options, word", [
    (["--method", "oracle"], "oracle"), (["--kappa", "0"], "kappa"), (["--kappa", "2.5"], "kappa"),
    (["--kappa", "500"], "kappa"), (["--lambda", "-1"], "lambda"), (["--lambda", "nan"], "lambda"),
    (["--fit", "blocks:7-9"], "blocks:7-9"), (["--fit", "some"], "some"), (["--weights", "usd=1"], "--weights"),
    (["--loss", "cubic"], "cubic"),
])
def test_an_option_of_classification_that_makes_no_sense_is_said(tmp_path, options, word):
    ran = classification(write_classes(tmp_path / "data"), *options, check=False)
    assert ran.returncode in (1, 2), (ran.out, ran.err)
    assert word in ran.err and ran.out == ""
