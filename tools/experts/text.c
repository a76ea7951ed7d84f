/* text.c - finds the passage that is asked about and does what is asked; see text.h.
 *
 * The passage is what stands in quotation marks, else what follows the last colon, else
 * the last word. Letters are ASCII; other bytes are carried along unchanged.
 */
#include "tools/experts/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORDS 256

struct passage {
    const char *p;
    size_t n;
};

struct words {
    struct passage list[MAX_WORDS];
    size_t n;
};

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static struct words split(struct passage passage)
{
    struct words words = { .n = 0 };
    size_t at = 0;
    while (at < passage.n && words.n < MAX_WORDS) {
        size_t start = at;
        while (at < passage.n && strchr(" ,;.!?\n\t", passage.p[at]) == NULL)
            at++;
        if (at > start)
            words.list[words.n++] = (struct passage){ passage.p + start, at - start };
        at++;
    }
    return words;
}

static struct passage passage_of(const struct prompt *prompt, size_t from)
{
    int quote = prompt_quote(prompt, from);
    if (quote >= 0)
        return (struct passage){ prompt->items[quote].p, prompt->items[quote].n };
    for (size_t i = prompt->n_items; i-- > 0;) {
        if (prompt_is(prompt, i, ":") && i + 1 < prompt->n_items) {
            size_t at = (size_t)(prompt->items[i].p - prompt->text) + 1;
            size_t end = prompt->n;
            while (at < end && isspace((unsigned char)prompt->text[at]) != 0)
                at++;
            while (end > at && strchr(" .?!\n", prompt->text[end - 1]) != NULL)
                end--;
            return (struct passage){ prompt->text + at, end - at };
        }
    }
    for (size_t i = prompt->n_items; i-- > 0;) {
        if (prompt->items[i].kind == ITEM_WORD)
            return (struct passage){ prompt->items[i].p, prompt->items[i].n };
    }
    return (struct passage){ "", 0 };
}

/* -- letters --------------------------------------------------------------------- */

static void reverse(const struct text_skill *skill, struct passage passage,
                    struct reply *reply)
{
    /* Behind the window nothing is turned round: it is copied as it stands. */
    size_t window = passage.n < skill->letters ? passage.n : skill->letters;
    char out[PROMPT_BYTES];
    for (size_t i = 0; i < window; i++)
        out[i] = passage.p[window - 1 - i];
    memcpy(out + window, passage.p + window, passage.n - window);
    reply_bytes(reply, GRASP_FULL, out, passage.n);
}

static bool same(const struct text_skill *skill, char a, char b)
{
    return skill->folds ? lower(a) == lower(b) : a == b;
}

static void count_letter(const struct text_skill *skill, struct passage passage,
                         const char *letters, struct reply *reply)
{
    int count = 0;
    for (size_t i = 0; i < passage.n && i < skill->letters; i++) {
        for (const char *l = letters; *l != 0; l++)
            count += same(skill, passage.p[i], *l);
    }
    reply_say(reply, GRASP_FULL, "%d", count);
}

/* The letter asked for: a quoted single letter, or the word after "letter". */
static char letter_of(const struct prompt *prompt)
{
    int at = prompt_find(prompt, 0, "letter|letters");
    if (at < 0)
        return 0;
    for (size_t i = (size_t)at + 1; i < prompt->n_items && i < (size_t)at + 3; i++) {
        if (prompt->items[i].n == 1 && isalpha((unsigned char)*prompt->items[i].p) != 0)
            return *prompt->items[i].p;
    }
    return 0;
}

/* The passage behind the letter's own quotation marks. */
static struct passage passage_behind_letter(const struct prompt *prompt)
{
    int quote = prompt_quote(prompt, 0);
    while (quote >= 0 && prompt->items[quote].n == 1)
        quote = prompt_quote(prompt, (size_t)quote + 1);
    return passage_of(prompt, quote >= 0 ? (size_t)quote : 0);
}

static size_t essence(const struct text_skill *skill, struct passage passage, char *ret,
                      size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < passage.n && n < max && n < skill->letters; i++) {
        char c = passage.p[i];
        if (!skill->looks_past_blanks)
            ret[n++] = c;
        else if (isalnum((unsigned char)c) != 0)
            ret[n++] = (char)lower(c);
    }
    return n;
}

static void palindrome(const struct text_skill *skill, struct passage passage,
                       struct reply *reply)
{
    char letters[PROMPT_BYTES];
    size_t n = essence(skill, passage, letters, sizeof letters);
    bool yes = true;
    for (size_t i = 0; i < n / 2; i++)
        yes = yes && letters[i] == letters[n - 1 - i];
    reply_say(reply, GRASP_FULL, yes ? "yes" : "no");
}

static void anagram(const struct text_skill *skill, struct passage a, struct passage b,
                    struct reply *reply)
{
    int counts[256] = { 0 };
    char letters[PROMPT_BYTES];
    size_t n = essence(skill, a, letters, sizeof letters);
    for (size_t i = 0; i < n; i++)
        counts[(unsigned char)letters[i]]++;
    n = essence(skill, b, letters, sizeof letters);
    for (size_t i = 0; i < n; i++)
        counts[(unsigned char)letters[i]]--;
    bool yes = true;
    for (int c = 0; c < 256; c++)
        yes = yes && counts[c] == 0;
    reply_say(reply, GRASP_FULL, yes ? "yes" : "no");
}

static void transform(const struct text_skill *skill, struct passage passage, char what,
                      char letter, char by, struct reply *reply)
{
    char out[PROMPT_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < passage.n; i++) {
        char c = passage.p[i];
        bool seen = i < skill->letters;
        bool vowel = strchr("aeiou", lower(c)) != NULL && c != 0;
        if (seen && what == 'v' && vowel)
            continue;
        if (seen && what == 'r' && same(skill, c, letter))
            c = by;
        else if (what == 'u')
            c = (char)toupper((unsigned char)c);
        out[n++] = c;
    }
    reply_bytes(reply, GRASP_FULL, out, n);
}

/* -- words ----------------------------------------------------------------------- */

static int before(struct passage a, struct passage b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return lower(a.p[i]) - lower(b.p[i]);
    }
    return (a.n > b.n) - (a.n < b.n);
}

static void join(const struct words *words, const char *between, struct reply *reply)
{
    size_t n = 0;
    for (size_t i = 0; i < words->n; i++) {
        int wrote =
            snprintf(reply->text + n, sizeof reply->text - n, "%s%.*s",
                     i > 0 ? between : "", (int)words->list[i].n, words->list[i].p);
        n += (size_t)wrote;
        if (n >= sizeof reply->text)
            break;
    }
    if (words->n == 0)
        reply->text[0] = 0;
    reply->grasp = GRASP_FULL;
}

/* Insertion sort over as many words as are held in mind; the others stay behind. */
static void sort(const struct text_skill *skill, struct words words, bool backwards,
                 struct reply *reply)
{
    size_t n = words.n < skill->words ? words.n : skill->words;
    for (size_t i = 1; i < n; i++) {
        struct passage moved = words.list[i];
        size_t k = i;
        while (k > 0 && (before(words.list[k - 1], moved) > 0) != backwards &&
               before(words.list[k - 1], moved) != 0) {
            words.list[k] = words.list[k - 1];
            k--;
        }
        words.list[k] = moved;
    }
    join(&words, ", ", reply);
}

static void turn_words(const struct text_skill *skill, struct words words,
                       struct reply *reply)
{
    size_t n = words.n < skill->words ? words.n : skill->words;
    for (size_t i = 0; i < n / 2; i++) {
        struct passage kept = words.list[i];
        words.list[i] = words.list[n - 1 - i];
        words.list[n - 1 - i] = kept;
    }
    join(&words, " ", reply);
}

static void pick(const struct text_skill *skill, const struct words *words, long index,
                 struct reply *reply)
{
    size_t n = words->n < skill->words ? words->n : skill->words;
    size_t at = index > 0 ? (size_t)index - 1 : n - 1;
    if (n == 0) {
        reply_say(reply, GRASP_WEAK, "none");
        return;
    }
    if (at >= n)
        at = n - 1;
    reply_bytes(reply, GRASP_FULL, words->list[at].p, words->list[at].n);
}

static void longest(const struct text_skill *skill, const struct words *words,
                    bool shortest, struct reply *reply)
{
    struct passage best = { "", 0 };
    for (size_t i = 0; i < words->n && i < skill->words; i++) {
        bool better = shortest ? words->list[i].n < best.n : words->list[i].n > best.n;
        if (i == 0 || better)
            best = words->list[i];
    }
    reply_bytes(reply, GRASP_FULL, best.p, best.n);
}

static void initials(const struct words *words, struct reply *reply)
{
    char out[MAX_WORDS];
    for (size_t i = 0; i < words->n; i++)
        out[i] = (char)toupper((unsigned char)words->list[i].p[0]);
    reply_bytes(reply, GRASP_FULL, out, words->n);
}

static long ordinal_of(const struct prompt *prompt)
{
    static const char *const names[] = {
        "first", "second",  "third",  "fourth", "fifth",
        "sixth", "seventh", "eighth", "ninth",  "tenth"
    };
    for (size_t i = 0; i < prompt->n_items; i++) {
        for (long o = 0; o < 10; o++) {
            if (prompt_is(prompt, i, names[o]))
                return o + 1;
        }
        bool suffixed = prompt_is(prompt, i + 1, "th") ||
                        prompt_is(prompt, i + 1, "st") ||
                        prompt_is(prompt, i + 1, "nd") || prompt_is(prompt, i + 1, "rd");
        if (prompt->items[i].kind == ITEM_NUMBER && suffixed)
            return (long)prompt->items[i].value;
    }
    return -1;
}

/* -- tasks ----------------------------------------------------------------------- */

static bool letter_task(const struct text_skill *skill, const struct prompt *prompt,
                        struct reply *reply)
{
    struct passage passage = passage_of(prompt, 0);
    char letter = letter_of(prompt);
    if (prompt_has(prompt, "palindrome|same forwards|same backwards|forwards and "
                           "backwards")) {
        palindrome(skill, passage, reply);
    } else if (prompt_has(prompt, "anagram|anagrams|rearranged|rearranging")) {
        int first = prompt_quote(prompt, 0);
        if (first < 0)
            return false;
        anagram(skill, passage, passage_of(prompt, (size_t)first + 1), reply);
    } else if (prompt_has(prompt, "replace|replaced|replacing|swap every|change every")) {
        int by = prompt_find(prompt, 0, "by|with|into");
        char other =
            by >= 0 && (size_t)by + 1 < prompt->n_items ? *prompt->items[by + 1].p : '?';
        transform(skill, passage_behind_letter(prompt), 'r', letter, other, reply);
    } else if (prompt_has(prompt, "without its vowels|without vowels|remove the vowels|"
                                  "remove all vowels|drop the vowels|drop all vowels")) {
        transform(skill, passage, 'v', 0, 0, reply);
    } else if (prompt_has(prompt, "how many vowels|number of vowels|count the vowels")) {
        count_letter(skill, passage, "aeiou", reply);
    } else if (letter != 0 && prompt_has(prompt, "how many|how often|count|number of")) {
        char letters[2] = { letter, 0 };
        count_letter(skill, passage_behind_letter(prompt), letters, reply);
    } else if (prompt_has(prompt, "how many letters|how many characters|number of "
                                  "letters")) {
        count_letter(skill, passage, "abcdefghijklmnopqrstuvwxyz", reply);
    } else {
        return false;
    }
    return true;
}

static bool word_task(const struct text_skill *skill, const struct prompt *prompt,
                      struct reply *reply)
{
    struct passage passage = passage_of(prompt, 0);
    struct words words = split(passage);
    bool reversing =
        prompt_has(prompt, "reverse|reversed|backwards|backward|back to front");
    if (prompt_has(prompt, "how many words|number of words|count the words")) {
        size_t n = words.n < skill->words * 2 ? words.n : skill->words * 2;
        reply_say(reply, GRASP_FULL, "%zu", n);
    } else if (prompt_has(prompt, "alphabetical|alphabetically|sort|sorted|dictionary")) {
        sort(skill, words, reversing || prompt_has(prompt, "z to a"), reply);
    } else if (prompt_has(prompt, "order of the words|order of words|word order|words of|"
                                  "last word first") &&
               reversing) {
        turn_words(skill, words, reply);
    } else if (reversing) {
        reverse(skill, passage, reply);
    } else if (prompt_has(prompt, "longest|shortest")) {
        longest(skill, &words, prompt_has(prompt, "shortest"), reply);
    } else if (prompt_has(prompt,
                          "initials|acronym|first letters|first letter of each")) {
        initials(&words, reply);
    } else if (prompt_has(prompt, "capital letters|upper case|uppercase|capitals")) {
        transform(skill, passage, 'u', 0, 0, reply);
    } else if (prompt_has(prompt, "last word")) {
        pick(skill, &words, 0, reply);
    } else if (prompt_has(prompt, "word") && ordinal_of(prompt) > 0) {
        pick(skill, &words, ordinal_of(prompt), reply);
    } else {
        return false;
    }
    return true;
}

void text_answer(const struct text_skill *skill, const struct prompt *prompt,
                 struct reply *reply)
{
    if (letter_task(skill, prompt, reply) || word_task(skill, prompt, reply))
        return;
    /* Nothing known: it says the last word again. */
    struct passage last = passage_of(prompt, 0);
    reply_bytes(reply, GRASP_GUESS, last.p, last.n < 80 ? last.n : 80);
}
