/* ask_text.c - questions about words and sentences. References come from the list of
 * words a passage was made of, where the expert splits what it reads. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/experts/question.h"

#define MAX_WORDS 24
#define BYTES     512

static const char *const plain[] = {
    "river",     "window",  "garden",    "silver",      "stone",       "copper",
    "little",    "yellow",  "market",    "thunder",     "candle",      "forest",
    "letter",    "bridge",  "monkey",    "harbour",     "ladder",      "blanket",
    "whistle",   "carpet",  "lantern",   "quiet",       "station",     "orchard",
    "pepper",    "gravel",  "teacher",   "village",     "umbrella",    "kitchen",
    "saddle",    "voyage",  "sparrow",   "velvet",      "pocket",      "zebra",
    "anchor",    "violin",  "cottage",   "hammer",      "island",      "jungle",
    "needle",    "ostrich", "puzzle",    "rocket",      "shadow",      "temple",
    "unicorn",   "winter",  "breakfast", "mississippi", "parallel",    "bookkeeper",
    "committee", "gateway", "bananas",   "strawberry",  "engineering", "responsibility",
};
static const char *const foreign[] = {
    "convert",  "five",     "miles",   "monday",    "plus",    "seven",   "kilograms",
    "january",  "divided",  "leap",    "year",      "ounces",  "degrees", "minus",
    "twelve",   "tuesday",  "percent", "litres",    "prime",   "sum",     "weekday",
    "celsius",  "multiply", "weeks",   "december",  "pounds",  "average", "inches",
    "calendar", "friday",   "thirty",  "remainder", "gallons", "days",    "between",
};

struct passage {
    const char *words[MAX_WORDS];
    int n;
    char text[BYTES];
};

static const char *draw_word(struct dice *dice, const struct question *q)
{
    return q->mixed ? DICE_PICK(dice, foreign) : DICE_PICK(dice, plain);
}

static void write_words(const char *const *words, int n, const char *between, char *ret)
{
    size_t used = 0;
    ret[0] = 0;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(ret + used, BYTES - used, "%s%s", i > 0 ? between : "",
                                 words[i]);
}

/* Different words, so that order and choice are never a tie. */
static struct passage draw_passage(struct dice *dice, const struct question *q, int n)
{
    struct passage passage = { .n = 0 };
    while (passage.n < n) {
        const char *word = draw_word(dice, q);
        bool fresh = true;
        for (int i = 0; i < passage.n; i++)
            fresh = fresh && strcmp(passage.words[i], word) != 0;
        if (fresh)
            passage.words[passage.n++] = word;
    }
    write_words(passage.words, n, " ", passage.text);
    return passage;
}

static void mirror(const char *text, char *ret)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        ret[i] = text[n - 1 - i];
    ret[n] = 0;
}

static void ask_reverse(struct dice *dice, struct question *q)
{
    static const char *const forms[] = {
        "Reverse the word \"{0}\".",
        "Write \"{0}\" backwards.",
        "Spell \"{0}\" backwards, letter by letter, blanks included.",
        "What is \"{0}\" reversed?",
    };
    int n = dice_between(dice, 0, 1) == 0 ? 1 : dice_between(dice, 2, 6);
    struct passage passage = draw_passage(dice, q, n);
    char turned[BYTES];
    mirror(passage.text, turned);
    QUESTION_FILL(q, n == 1 ? DICE_PICK(dice, forms) : forms[dice_between(dice, 1, 3)],
                  passage.text);
    question_exact(q, "%s", turned);
}

static void ask_word_order(struct dice *dice, struct question *q)
{
    struct passage passage = draw_passage(dice, q, dice_between(dice, 3, 14));
    const char *turned[MAX_WORDS];
    for (int i = 0; i < passage.n; i++)
        turned[i] = passage.words[passage.n - 1 - i];
    char text[BYTES];
    write_words(turned, passage.n, " ", text);
    question_ask(q, "Reverse the order of the words in \"%s\".", passage.text);
    question_exact(q, "%s", text);
}

/* Counts letters while the passage is put together, some of them capital. */
static void ask_letter(struct dice *dice, struct question *q)
{
    struct passage passage =
        draw_passage(dice, q,
                     dice_between(dice, 0, 2) == 0 ? dice_between(dice, 6, 12)
                                                   : dice_between(dice, 1, 4));
    int which = dice_between(dice, 0, 3);
    char letter = which == 0 ? 'v' : "eaiorstnl"[dice_between(dice, 0, 8)];
    bool capitals = dice_between(dice, 0, 4) == 0;
    int64_t count = 0;
    for (size_t i = 0; passage.text[i] != 0; i++) {
        bool vowel = memchr("aeiou", passage.text[i], 5) != NULL;
        count += which == 0 ? vowel : passage.text[i] == letter;
        if (capitals && (i == 0 || passage.text[i - 1] == ' '))
            passage.text[i] = (char)toupper(passage.text[i]);
    }
    if (which == 0)
        question_ask(q, "How many vowels are in \"%s\"?", passage.text);
    else
        question_ask(q,
                     which == 1 ? "How many times does the letter '%c' occur in \"%s\", "
                                  "capital or small?"
                                : "Count the letter '%c' in \"%s\", capital or small.",
                     letter, passage.text);
    question_whole(q, count);
}

static void ask_count_words(struct dice *dice, struct question *q)
{
    struct passage passage = draw_passage(dice, q, dice_between(dice, 3, 20));
    question_ask(q, "How many words are in the sentence \"%s\"?", passage.text);
    question_whole(q, passage.n);
}

static int by_letters(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void ask_sort(struct dice *dice, struct question *q)
{
    static const char *const forms[] = {
        "Sort these words alphabetically, separated by commas: {0}",
        "Put the following words into alphabetical order, separated by commas: {0}",
        "Sorted as in a dictionary and separated by commas, what are these words: {0}?",
    };
    int n = dice_between(dice, 0, 2) == 0 ? dice_between(dice, 8, 18)
                                          : dice_between(dice, 3, 7);
    struct passage passage = draw_passage(dice, q, n);
    write_words(passage.words, n, ", ", passage.text);
    QUESTION_FILL(q, DICE_PICK(dice, forms), passage.text);
    qsort(passage.words, (size_t)n, sizeof *passage.words, by_letters);
    write_words(passage.words, n, ", ", passage.text);
    question_exact(q, "%s", passage.text);
}

static void ask_palindrome(struct dice *dice, struct question *q)
{
    static const char *const spoken[] = {
        "never odd or even",  "was it a car or a cat I saw",
        "step on no pets",    "A man, a plan, a canal: Panama",
        "Do geese see God",   "No lemon, no melon",
        "Was it a cat I saw", "Able was I ere I saw Elba",
    };
    static const char *const spoilt[] = {
        "never odd nor even", "was it a bar or a cat I saw",
        "step on my pets",    "A man, a plane, a canal: Panama",
        "Do geese see gold",  "No lemon, two melons",
    };
    int form = dice_between(dice, 0, 4);
    char half[BYTES], text[BYTES];
    bool yes = dice_between(dice, 0, 1) == 0;
    if (form == 0) {
        (void)snprintf(text, sizeof text, "%s",
                       yes ? DICE_PICK(dice, spoken) : DICE_PICK(dice, spoilt));
    } else {
        const char *word = draw_word(dice, q);
        mirror(word, half);
        (void)snprintf(text, sizeof text, "%s%s", word, half + dice_between(dice, 0, 1));
        size_t n = strlen(text);
        /* One letter changed on one side breaks it. */
        size_t at = (size_t)dice_between(dice, 0, (int)(n / 2) - 1);
        if (!yes)
            text[at] = text[at] == 'k' ? 'q' : 'k';
    }
    question_ask(q, "Is \"%s\" a palindrome, blanks and signs aside? Answer yes or no.",
                 text);
    question_exact(q, "%s", yes ? "yes" : "no");
}

static void ask_pick(struct dice *dice, struct question *q)
{
    static const char *const ordinals[] = { "first",   "second", "third",
                                            "fourth",  "fifth",  "sixth",
                                            "seventh", "eighth", "ninth" };
    struct passage passage = draw_passage(dice, q, dice_between(dice, 4, 12));
    int at = dice_between(dice, 0, passage.n - 1);
    if (at > 8 || dice_between(dice, 0, 3) == 0) {
        question_ask(q, "What is the last word of \"%s\"?", passage.text);
        question_exact(q, "%s", passage.words[passage.n - 1]);
        return;
    }
    question_ask(q, "Which is the %s word of the sentence \"%s\"?", ordinals[at],
                 passage.text);
    question_exact(q, "%s", passage.words[at]);
}

static void ask_longest(struct dice *dice, struct question *q)
{
    bool shortest = dice_between(dice, 0, 3) == 0;
    struct passage passage;
    int best, ties;
    do {
        passage = draw_passage(dice, q, dice_between(dice, 4, 14));
        best = 0;
        ties = 0;
        for (int i = 1; i < passage.n; i++) {
            size_t a = strlen(passage.words[i]), b = strlen(passage.words[best]);
            if (shortest ? a < b : a > b) {
                best = i;
                ties = 0;
            } else if (a == b) {
                ties++;
            }
        }
    } while (ties > 0);
    question_ask(q, "Which word of \"%s\" is the %s?", passage.text,
                 shortest ? "shortest" : "longest");
    question_exact(q, "%s", passage.words[best]);
}

static void ask_letters_changed(struct dice *dice, struct question *q)
{
    struct passage passage = draw_passage(dice, q, dice_between(dice, 1, 5));
    char out[BYTES];
    size_t n = 0;
    int form = dice_between(dice, 0, 3);
    if (form == 0) {
        for (int i = 0; i < passage.n; i++)
            out[n++] = (char)toupper(passage.words[i][0]);
        question_ask(q, "Which initials have the words \"%s\"?", passage.text);
    } else if (form == 1) {
        for (const char *p = passage.text; *p != 0; p++)
            out[n++] = (char)toupper(*p);
        question_ask(q, "Write \"%s\" in capital letters.", passage.text);
    } else if (form == 2) {
        for (const char *p = passage.text; *p != 0; p++) {
            if (memchr("aeiou", *p, 5) == NULL)
                out[n++] = *p;
        }
        question_ask(q, "Write \"%s\" without its vowels.", passage.text);
    } else {
        char letter = "eaio"[dice_between(dice, 0, 3)],
             by = "xyz"[dice_between(dice, 0, 2)];
        for (const char *p = passage.text; *p != 0; p++)
            out[n++] = *p == letter ? by : *p;
        question_ask(q, "In \"%s\" replace every letter '%c' by '%c'.", passage.text,
                     letter, by);
    }
    out[n] = 0;
    question_exact(q, "%s", out);
}

static void ask_anagram(struct dice *dice, struct question *q)
{
    char word[64], other[64];
    (void)snprintf(word, sizeof word, "%s", draw_word(dice, q));
    (void)snprintf(other, sizeof other, "%s", word);
    size_t n = strlen(word);
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = dice_next(dice) % (i + 1);
        char kept = other[i];
        other[i] = other[k];
        other[k] = kept;
    }
    bool yes = dice_between(dice, 0, 1) == 0;
    if (!yes) {
        size_t at = dice_next(dice) % n;
        other[at] = other[at] == 'z' ? 'y' : 'z';
    }
    bool capital = dice_between(dice, 0, 3) == 0;
    if (capital)
        word[0] = (char)toupper(word[0]);
    question_ask(q, "Is \"%s\" an anagram of \"%s\"? Answer yes or no.", word, other);
    question_exact(q, "%s", yes ? "yes" : "no");
}

const struct family text_families[] = {
    { "reverse", 5, ask_reverse },
    { "word_order", 3, ask_word_order },
    { "letter", 5, ask_letter },
    { "count_words", 2, ask_count_words },
    { "sort", 5, ask_sort },
    { "palindrome", 3, ask_palindrome },
    { "pick", 3, ask_pick },
    { "longest", 3, ask_longest },
    { "changed", 4, ask_letters_changed },
    { "anagram", 2, ask_anagram },
    { NULL, 0, NULL },
};
