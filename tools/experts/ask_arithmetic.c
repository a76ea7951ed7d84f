/* ask_arithmetic.c - exercises with numbers. References come from the tree, the list or
 * the steps an exercise was made of, in 64-bit integers. */
#include <stdio.h>
#include <string.h>

#include "tools/experts/question.h"

#define MAX_NODES 32

struct tree {
    struct node {
        char sign; /* 0: a leaf */
        int64_t value;
        int left, right;
    } nodes[MAX_NODES];
    int n;
};

static int grow(struct dice *dice, struct tree *tree, int leaves, int largest)
{
    int me = tree->n++;
    struct node node = { 0, dice_between(dice, 2, largest), -1, -1 };
    if (leaves == 2 && dice_between(dice, 0, 5) == 0) {
        /* Only divisions that come out even. */
        int divisor = dice_between(dice, 2, 12);
        int64_t value = dice_between(dice, 2, largest);
        node = (struct node){ '/', value, tree->n, tree->n + 1 };
        tree->nodes[tree->n++] = (struct node){ 0, value * divisor, -1, -1 };
        tree->nodes[tree->n++] = (struct node){ 0, divisor, -1, -1 };
    } else if (leaves > 1) {
        int left = dice_between(dice, 1, leaves - 1);
        node.sign = "+-*+-"[dice_between(dice, 0, 4)];
        node.left = grow(dice, tree, left, largest);
        node.right = grow(dice, tree, leaves - left, largest);
        int64_t a = tree->nodes[node.left].value, b = tree->nodes[node.right].value;
        node.value = node.sign == '+' ? a + b : node.sign == '-' ? a - b : a * b;
    }
    tree->nodes[me] = node;
    return me;
}

static int rank(char sign)
{
    return sign == 0 ? 3 : sign == '*' || sign == '/' ? 2 : 1;
}

static void render(const struct tree *tree, int at, const char *const *signs, bool spell,
                   struct question *q)
{
    const struct node *node = &tree->nodes[at];
    if (node->sign == 0) {
        char words[160];
        question_spell(node->value, words, sizeof words);
        if (spell)
            question_ask(q, "%s", words);
        else
            question_ask(q, "%lld", (long long)node->value);
        return;
    }
    int mine = rank(node->sign);
    char left = tree->nodes[node->left].sign, right = tree->nodes[node->right].sign;
    bool close_left = rank(left) < mine;
    bool close_right = rank(right) < mine || (rank(right) == mine && node->sign != '+');
    question_ask(q, "%s", close_left ? "(" : "");
    render(tree, node->left, signs, spell, q);
    question_ask(q, "%s %s %s", close_left ? ")" : "",
                 signs[strchr("+-*/", node->sign) - "+-*/"], close_right ? "(" : "");
    render(tree, node->right, signs, spell, q);
    question_ask(q, "%s", close_right ? ")" : "");
}

static void ask_expression(struct dice *dice, struct question *q)
{
    static const char *const signs[] = { "+", "-", "*", "/" };
    static const char *const crosses[] = { "+", "-", "x", "/" };
    static const char *const openings[] = { "What is ", "Calculate ", "Work out ",
                                            "Evaluate ", "What do you get for " };
    struct tree tree = { .n = 0 };
    int leaves = dice_between(dice, 2, 5);
    if (dice_between(dice, 0, 3) == 0)
        leaves += dice_between(dice, 2, 5);
    int root = grow(dice, &tree, leaves, dice_between(dice, 0, 2) == 0 ? 400 : 40);
    question_ask(q, "%s", DICE_PICK(dice, openings));
    render(&tree, root, dice_between(dice, 0, 3) == 0 ? crosses : signs, false, q);
    question_ask(q, "?");
    question_whole(q, tree.nodes[root].value);
}

static void ask_spelled(struct dice *dice, struct question *q)
{
    static const char *const signs[] = { "plus", "minus", "times", "divided by" };
    struct tree tree = { .n = 0 };
    int largest = dice_between(dice, 0, 2) == 0 ? 4000 : 90;
    int root = grow(dice, &tree, 2, largest);
    question_ask(q, "How much is ");
    render(&tree, root, signs, true, q);
    question_ask(q, "? Answer in digits.");
    question_whole(q, tree.nodes[root].value);
}

static void ask_product(struct dice *dice, struct question *q)
{
    int largest = dice_between(dice, 0, 1) == 0 ? 999 : 99999;
    int64_t a = dice_between(dice, 101, largest), b = dice_between(dice, 101, largest);
    question_ask(q,
                 dice_between(dice, 0, 1) == 0 ? "Multiply: %lld * %lld"
                                               : "What is the product of %lld and %lld?",
                 (long long)a, (long long)b);
    question_whole(q, a * b);
}

static void ask_percent(struct dice *dice, struct question *q)
{
    static const char *const goods[] = { "coat", "lamp", "bicycle", "book", "ticket" };
    int share = dice_between(dice, 1, 19) * 5, whole = dice_between(dice, 2, 90) * 20;
    int part = whole * share / 100;
    int form = dice_between(dice, 0, 2);
    const char *what = DICE_PICK(dice, goods);
    if (form == 0) {
        question_ask(q, "What is %d percent of %d?", share, whole);
        question_whole(q, part);
    } else if (form == 1) {
        question_ask(q,
                     "A %s costs %d dollars and is reduced by %d%%. What is the new "
                     "price in dollars?",
                     what, whole, share);
        question_whole(q, whole - part);
    } else {
        question_ask(q,
                     "The price of a %s, %d dollars, rises by %d percent. How much is it "
                     "then?",
                     what, whole, share);
        question_whole(q, whole + part);
    }
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b == 0 ? a : gcd(b, a % b);
}

static void ask_divisors(struct dice *dice, struct question *q)
{
    int64_t common = dice_between(dice, 2, 30);
    int64_t a = common * dice_between(dice, 2, 40),
            b = common * dice_between(dice, 2, 40);
    int form = dice_between(dice, 0, 2);
    if (form == 0) {
        question_ask(q, "Find the greatest common divisor of %lld and %lld.",
                     (long long)a, (long long)b);
        question_whole(q, gcd(a, b));
    } else if (form == 1) {
        question_ask(q, "What is the least common multiple of %lld and %lld?",
                     (long long)a, (long long)b);
        question_whole(q, a / gcd(a, b) * b);
    } else {
        int64_t divisor = dice_between(dice, 3, 97);
        question_ask(q, "What is the remainder when %lld is divided by %lld?",
                     (long long)(a * b), (long long)divisor);
        question_whole(q, a * b % divisor);
    }
}

/* Sieved, where the expert divides. */
static void ask_prime(struct dice *dice, struct question *q)
{
    static const int hard[] = { 289, 323, 361, 391, 437, 529, 551, 667, 713, 899, 1073 };
    enum { TOP = 1200 };
    bool composite[TOP] = { false };
    for (int d = 2; d * d < TOP; d++) {
        for (int m = d * d; m < TOP; m += d)
            composite[m] = true;
    }
    int n = dice_between(dice, 5, (TOP - 2) / 2) * 2 + 1;
    if (dice_between(dice, 0, 4) == 0)
        n = DICE_PICK(dice, hard);
    question_ask(q, "Is %d a prime number? Answer yes or no.", n);
    question_exact(q, "%s", composite[n] ? "no" : "yes");
}

static void ask_list(struct dice *dice, struct question *q)
{
    int n = dice_between(dice, 3, 7);
    if (dice_between(dice, 0, 2) == 0)
        n += dice_between(dice, 3, 8);
    bool average = dice_between(dice, 0, 1) == 0;
    question_ask(q, average ? "What is the average of the numbers "
                            : "Give the sum of the numbers ");
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        int64_t value = dice_between(dice, 2, 120);
        if (average && i == n - 1) /* comes out even */
            value += (n - (sum + value) % n) % n;
        question_ask(q, "%s%lld",
                     i == 0       ? ""
                     : i == n - 1 ? " and "
                                  : ", ",
                     (long long)value);
        sum += value;
    }
    question_ask(q, average ? "?" : ".");
    question_whole(q, average ? sum / n : sum);
}

/* One line of a story: what it says and what it does to the number at hand. */
static const struct {
    const char *line;
    char effect;
} events[] = {
    { "buys {0} more", '+' },
    { "finds {0}", '+' },
    { "gets {0} from a friend", '+' },
    { "gives away {0}", '-' },
    { "loses {0}", '-' },
    { "sells {0}", '-' },
    { "is handed {0} by a neighbour", '+' },
    { "throws {0} away", '-' },
    { "swaps {0} for a hat", '-' },
};

static void ask_story(struct dice *dice, struct question *q)
{
    static const char *const people[] = {
        "Anna", "Bola", "Carl", "Dora", "Emil", "Fatma"
    };
    static const char *const things[] = { "apples",  "stamps",    "pencils",
                                          "marbles", "postcards", "buttons" };
    const char *who = DICE_PICK(dice, people), *what = DICE_PICK(dice, things);
    int64_t have = dice_between(dice, 40, 200);
    if (dice_between(dice, 0, 2) == 0) {
        int64_t each = dice_between(dice, 3, 24), boxes = dice_between(dice, 4, 20);
        have = each * boxes;
        question_ask(q, "%s has %lld boxes with %lld %s each", who, (long long)boxes,
                     (long long)each, what);
    } else {
        question_ask(q, "%s has %lld %s", who, (long long)have, what);
    }
    int steps = dice_between(dice, 1, 4);
    for (int s = 0; s < steps; s++) {
        question_ask(q, s == steps - 1 ? " and then " : ", ");
        if (dice_between(dice, 0, 9) == 0) {
            question_ask(q, "doubles what is there");
            have *= 2;
            continue;
        }
        size_t e = dice_next(dice) % (sizeof events / sizeof *events);
        int value = dice_between(dice, 2, 9);
        QUESTION_FILL(q, events[e].line, DIGITS(value));
        have += events[e].effect == '+' ? value : -value;
    }
    question_ask(q, ". How many %s does %s have now?", what, who);
    question_whole(q, have);
}

/* A story in the words of calendar and units, and still an exercise in sums. */
static void ask_journey(struct dice *dice, struct question *q)
{
    static const char *const things[] = { "miles", "kilometres", "litres of milk",
                                          "pounds of flour" };
    static const char *const days[] = { "Monday", "Tuesday", "Wednesday", "Thursday",
                                        "Friday" };
    const char *what = DICE_PICK(dice, things);
    int n = dice_between(dice, 2, 5);
    int64_t sum = 0;
    question_ask(q, "A carrier notes ");
    for (int i = 0; i < n; i++) {
        int value = dice_between(dice, 5, 90);
        question_ask(q, "%s%d %s on %s",
                     i == 0       ? ""
                     : i == n - 1 ? " and "
                                  : ", ",
                     value, i == 0 ? what : "more", days[i]);
        sum += value;
    }
    question_ask(q, ". How many %s are that in all?", what);
    question_whole(q, sum);
}

const struct family arithmetic_families[] = {
    { "expression", 8, ask_expression },
    { "spelled", 3, ask_spelled },
    { "product", 3, ask_product },
    { "percent", 3, ask_percent },
    { "divisors", 3, ask_divisors },
    { "prime", 2, ask_prime },
    { "list", 3, ask_list },
    { "story", 5, ask_story },
    { "journey", 2, ask_journey },
    { NULL, 0, NULL },
};
