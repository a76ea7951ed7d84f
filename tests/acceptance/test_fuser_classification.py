"""FoE-classification and FrugalFoE on the outputs of the paper's own twenty experts: the reference tables, to the last digit.

Every sum that decides is an integer, so a figure is right or wrong; only what is drawn at random or fitted has a
tolerance.
"""

import functools
import json
import resource

import pytest

from harness import frugalctl

pytestmark = pytest.mark.timeout(1800)

BASELINES = {
    "single-best": 0.5892, "average": 0.5508, "max-confidence": 0.8976, "majority": 0.8888, "weighted": 0.9282,
    "mean-probability": 0.9312, "domain-oracle": 0.9886, "any-oracle": 1.0000,
}
KAPPAS = [1, 3, 5, 7, 9, 11, 15, 25, 50]
BY_KAPPA = {
    "knn": [.9748, .9798, .9794, .9778, .9776, .9764, .9742, .9688, .9564],
    "knn-route": [.8886, .9588, .9694, .9694, .9726, .9750, .9760, .9760, .9732],
}
LAMBDAS = [0, .01, .02, .05, .10, .15, .20, .30, .50]
SIZES = [1, 2, 3, 4, 5, 6, 8]
# loss, M, cap: accuracy and mean number of experts for each lambda; accuracy forced to each size
WALKS = {
    ("hard", 10, 20): (
        [(.9124, 2.9724)] * 4 + [(.8698, 2.2974)] * 2 + [(.8138, 1.8804), (.7630, 1.6222), (.6656, 1.2874)],
        [.5494, .7392, .8356, .8850, .9204, .9386, .9542]),
    ("soft", 10, 20): (
        [(.9514, 3.7010), (.9514, 3.7010), (.9454, 3.3852), (.9332, 2.9784), (.9060, 2.6026), (.8894, 2.3778),
         (.8652, 2.1206), (.8122, 1.8028), (.6434, 1.2092)],
        [.5634, .7446, .8388, .9048, .9358, .9564, .9704]),
    ("soft", 50, 8): (
        [(.9698, 5.0222), (.9648, 4.2170), (.9578, 3.7136), (.9390, 3.0604), (.9060, 2.4668), (.8736, 2.1376),
         (.8372, 1.8736), (.7692, 1.5592), (.5762, 1.0276)],
        [.5634, .7606, .8602, .9090, .9424, .9606, .9750]),
}
FITTED = {"linear": 0.970, "mlp": 0.970, "ridge": 0.960}
RANDOM = {
    "random-vote": [.5541, .6985, .7294, .7559, .7769, .7928, .8263],
    "random-knn": [.5397, .6965, .7684, .8286, .8581, .8804, .9185],
}
# lambda: (queries, accuracy) of FrugalML by another program
FRUGALML = {0.4: (1.24, .6720), 0.3: (1.36, .7220), 0.1: (1.46, .7406), 0: (1.66, .7522)}


@pytest.fixture(scope="module")
def evaluate(data):
    folder = data / "cifar20"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")

    @functools.cache
    def run(method, *options, fit="even", measure="odd"):
        return json.loads(frugalctl("eval", "classification", "--data", folder, "--fit", fit, "--measure", measure,
                                    "--method", method, *options, "--json", patience=1500).out)
    return run


def shown(values):
    """As the tables show them: four digits, so that equal means equal to the last one."""
    return [tuple(f"{v:.4f}" for v in value) if isinstance(value, tuple) else f"{value:.4f}" for value in values]


def comma(values):
    return ",".join(f"{value:g}" for value in values)


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def walks(evaluate):
    """What each column's walk says, and the processor time that all took."""
    before = processor_seconds()
    said = {(loss, neighbours, cap): evaluate("frugalfoe", "--kappa", "9", "--neighbours", neighbours, "--loss", loss,
                                              "--lambda", comma(LAMBDAS), "--max-experts", cap, "--threads", "2")
            for loss, neighbours, cap in WALKS}
    said["seconds"] = processor_seconds() - before
    return said


@pytest.mark.parametrize("method", BASELINES)
def test_a_baseline_is_exact(evaluate, method):
    said = evaluate(method)
    assert said["n"] == 5000
    assert shown([said["accuracy"]]) == shown([BASELINES[method]])


@pytest.mark.parametrize("method", BY_KAPPA)
def test_knn_is_exact_for_every_kappa(evaluate, method):
    said = evaluate(method, "--kappa", comma(KAPPAS))
    assert [point["kappa"] for point in said["kappas"]] == KAPPAS
    assert shown(point["accuracy"] for point in said["kappas"]) == shown(BY_KAPPA[method])


@pytest.mark.parametrize("loss, neighbours, cap", WALKS)
def test_frugalfoe_with_its_stop_rule_is_exact_for_every_lambda(walks, loss, neighbours, cap):
    said = walks[loss, neighbours, cap]
    assert [point["lambda"] for point in said["curve"]] == LAMBDAS
    assert shown((point["accuracy"], point["mean_experts"]) for point in said["curve"]) == \
        shown(WALKS[loss, neighbours, cap][0])


@pytest.mark.parametrize("loss, neighbours, cap", WALKS)
def test_frugalfoe_forced_to_a_size_is_exact(walks, loss, neighbours, cap):
    sizes = {point["experts"]: point["accuracy"] for point in walks[loss, neighbours, cap]["sizes"]}
    assert shown(sizes[size] for size in SIZES) == shown(WALKS[loss, neighbours, cap][1])


def test_the_three_walks_take_under_three_minutes_on_two_cores(walks, capsys):
    """Counted in processor time, half of it on each core: a busy machine says nothing of the program."""
    seconds = walks["seconds"] / 2
    with capsys.disabled():
        print(f"\nthree walks: {seconds:.0f} s on each of two cores")
    assert seconds < 180


def test_the_walk_does_not_depend_on_the_number_of_threads(evaluate):
    few = ("--kappa", "9", "--neighbours", "10", "--loss", "soft", "--lambda", "0.1,0.5", "--max-experts", "2")
    blocks = {"fit": "blocks:0-3", "measure": "blocks:4-4"}
    assert evaluate("frugalfoe", *few, "--threads", "1", **blocks) == \
        evaluate("frugalfoe", *few, "--threads", "3", **blocks)


@pytest.mark.parametrize("method", FITTED)
def test_a_fitted_fuser_reaches_its_figure(evaluate, method):
    assert evaluate(method)["accuracy"] >= FITTED[method]


@pytest.mark.parametrize("method", RANDOM)
def test_random_subsets_are_as_good_as_they_were(evaluate, method):
    sizes = {point["experts"]: point["accuracy"] for point in evaluate(method, "--max-experts", "8")["sizes"]}
    assert [sizes[size] for size in SIZES] == pytest.approx(RANDOM[method], abs=0.02)


def test_the_static_subset_is_exact(evaluate):
    sizes = evaluate("static-greedy", "--max-experts", "5")["sizes"]
    assert shown(point["accuracy"] for point in sizes) == shown([.5494, .7380, .8144, .8694, .8992])


def test_frugalml_is_exact_and_saturates_where_frugalfoe_goes_on(evaluate, walks):
    curve = evaluate("frugalml", "--lambda", comma([0, .02, .1, .3, .4, .5, .6]))["curve"]
    reached = {point["lambda"]: point for point in curve}
    for price, (queries, accuracy) in FRUGALML.items():
        assert f"{reached[price]['mean_experts']:.2f}" == f"{queries:.2f}"
        assert f"{reached[price]['accuracy']:.4f}" == f"{accuracy:.4f}"
    assert max(point["accuracy"] for point in curve) < 0.76
    assert walks["soft", 50, 8]["curve"][0]["accuracy"] > 0.96


def test_domains_that_no_calibration_row_is_from_cost_two_points(evaluate):
    unseen = {"fit": "blocks:0-9", "measure": "blocks:10-19"}
    assert f"{evaluate('single-best', **unseen)['accuracy']:.3f}" == "0.580"
    assert f"{evaluate('knn', '--kappa', '9', **unseen)['accuracy']:.4f}" == "0.9622"
