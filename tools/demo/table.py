"""From answers to rows, and the one table."""

import collections


def summary(answers):
    return {
        "accuracy": sum(answer.right for answer in answers) / len(answers),
        "usd_per_request": sum(answer.usd for answer in answers) / len(answers),
    }


def random_choice(columns):
    """What drawing an expert for each question gives on average."""
    rows = [summary(column) for column in columns]
    return {key: sum(row[key] for row in rows) / len(rows) for key in ("accuracy", "usd_per_request")}


def oracle(columns):
    """The cheapest expert that is right, where one is; else the cheapest."""
    chosen = [
        min(answers, key=lambda answer: (not answer.right, answer.usd)) for answers in zip(*columns)
    ]
    return summary(chosen)


def best_single(result):
    return max(result["experts"], key=lambda row: (row["accuracy"], -row["usd_per_request"]))


def generous(result):
    return max(result["router"], key=lambda row: row["budget_usd"])


def print_table(result, routers):
    best = best_single(result)
    print(f"{result['n']} held-out questions over HTTP; cost as the gateway reported it\n")
    print(f"  {'':<34} {'accuracy':>8}  {'USD per 1000':>12}  {'cost of best single':>19}")

    def line(name, row):
        share = row["usd_per_request"] / best["usd_per_request"] if best["usd_per_request"] > 0 else 0
        print(f"  {name:<34} {row['accuracy']:>8.3f}  {1000 * row['usd_per_request']:>12.5f}  {share:>18.1%}")

    for row in result["experts"]:
        line(f"always {row['name']}" + (" (best single)" if row is best else ""), row)
    line("an expert at random", result["random"])
    for row, (budget, _) in zip(result["router"], routers):
        line(f"router, {budget['name']}: <= {budget['usd']:g} USD", row)
    line("oracle", result["oracle"])
    print()
    for budget, answers in routers:
        served = collections.Counter(answer.expert for answer in answers)
        bought = sum("embedder" in answer.queried for answer in answers)
        shares = ", ".join(f"{name} {count / len(answers):.0%}" for name, count in served.most_common())
        print(f"  {budget['name']:<9} chose {shares}; bought embeddings for {bought / len(answers):.0%}")
    print()


def conclude(result):
    """Is the router better than the best single expert at half of its cost or less?"""
    best, router = best_single(result), generous(result)
    better = router["accuracy"] > best["accuracy"]
    cheaper = router["usd_per_request"] <= best["usd_per_request"] / 2
    if better and cheaper:
        print(
            f"The router beats {best['name']} by {100 * (router['accuracy'] - best['accuracy']):.1f} points"
            f" at {router['usd_per_request'] / best['usd_per_request']:.0%} of its cost."
        )
        return True
    if not better:
        print(f"NOT SHOWN: the router's accuracy is not above that of {best['name']}.")
    if not cheaper:
        print(f"NOT SHOWN: the router costs more than half of {best['name']}.")
    return False
