/* calendar.c - reads dates and counts days; see calendar.h. */
#include "tools/experts/calendar.h"

#include <math.h>
#include <stdlib.h>

#define MAX_DATES 4

struct date {
    int year, month, day;
};

static const char *const weekdays[] = { "Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday" };
static const char *const weekday_words[] = {
    "monday",  "tuesday",  "wednesday",  "thursday",  "friday",  "saturday",  "sunday",
    "mondays", "tuesdays", "wednesdays", "thursdays", "fridays", "saturdays", "sundays"
};
static const char *const months[] = { "january",   "february", "march",    "april",
                                      "may",       "june",     "july",     "august",
                                      "september", "october",  "november", "december" };

static bool is_leap(const struct calendar_skill *skill, int year)
{
    if (skill->century_rule && year % 100 == 0)
        return year % 400 == 0;
    return year % 4 == 0;
}

static int month_days(const struct calendar_skill *skill, int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && is_leap(skill, year));
}

static int day_of_year(const struct calendar_skill *skill, struct date date)
{
    int day = date.day;
    for (int m = 1; m < date.month; m++)
        day += month_days(skill, date.year, m);
    return day;
}

/* Days since 1 January 2000, a Saturday, counted year by year. */
static int day_number(const struct calendar_skill *skill, struct date date)
{
    int days = day_of_year(skill, date) - 1;
    for (int y = 2000; y < date.year; y++)
        days += 365 + is_leap(skill, y);
    for (int y = date.year; y < 2000; y++)
        days -= 365 + is_leap(skill, y);
    return days;
}

static int weekday_of(int day_number)
{
    return ((day_number + 5) % 7 + 7) % 7;
}

static struct date date_after(const struct calendar_skill *skill, struct date date,
                              int days)
{
    if (abs(days) > skill->exact_shift) {
        /* Rule of thumb: whole years of 365 days, then months of 30. */
        date.year += days / 365;
        int months_on = date.month - 1 + days % 365 / 30;
        date.year += months_on < 0 ? -1 : months_on / 12;
        date.month = (months_on % 12 + 12) % 12 + 1;
        days = days % 365 % 30;
    }
    date.day += days;
    while (date.day > month_days(skill, date.year, date.month)) {
        date.day -= month_days(skill, date.year, date.month);
        date.year += date.month == 12;
        date.month = date.month % 12 + 1;
    }
    while (date.day < 1) {
        date.month = date.month == 1 ? 12 : date.month - 1;
        date.year -= date.month == 12;
        date.day += month_days(skill, date.year, date.month);
    }
    return date;
}

/* -- reading --------------------------------------------------------------------- */

static int month_at(const struct prompt *prompt, size_t i)
{
    for (int m = 0; m < 12; m++) {
        if (prompt_is(prompt, i, months[m]))
            return m + 1;
    }
    return 0;
}

static int whole_at(const struct prompt *prompt, size_t i)
{
    bool number = i < prompt->n_items && prompt->items[i].kind == ITEM_NUMBER &&
                  prompt->items[i].value < 10000;
    return number ? (int)prompt->items[i].value : -1;
}

static bool is_suffix(const struct prompt *prompt, size_t i)
{
    return prompt_is(prompt, i, "st") || prompt_is(prompt, i, "nd") ||
           prompt_is(prompt, i, "rd") || prompt_is(prompt, i, "th");
}

static bool valid(const struct calendar_skill *skill, struct date date)
{
    return date.year > 0 && date.month >= 1 && date.month <= 12 && date.day >= 1 &&
           date.day <= month_days(skill, date.year, date.month);
}

/* 2021-03-14, 14/03/2021 */
static size_t numeric_date(const struct calendar_skill *skill,
                           const struct prompt *prompt, size_t i, struct date *ret_date)
{
    bool dashes = prompt_is(prompt, i + 1, "-") && prompt_is(prompt, i + 3, "-");
    bool slashes = prompt_is(prompt, i + 1, "/") && prompt_is(prompt, i + 3, "/");
    if (!dashes && !slashes)
        return 0;
    int a = whole_at(prompt, i), b = whole_at(prompt, i + 2), c = whole_at(prompt, i + 4);
    struct date date = { a, b, c };
    if (slashes) {
        bool day_first =
            a > 12 || (skill->day_first && prompt_has(prompt, "day / month"));
        date = day_first ? (struct date){ c, b, a } : (struct date){ c, a, b };
    }
    if (!valid(skill, date))
        return 0;
    *ret_date = date;
    return 5;
}

/* 14 March 2021, 14th of March 2021, March 14, 2021; without a day (March 2021) the first
 * of the month. */
static size_t worded_date(const struct calendar_skill *skill, const struct prompt *prompt,
                          size_t i, struct date *ret_date)
{
    struct date date = { 0, 0, 1 };
    size_t at = i;
    if (whole_at(prompt, at) > 0) {
        date.day = whole_at(prompt, at++);
        at += is_suffix(prompt, at);
        at += prompt_is(prompt, at, "of");
        date.month = month_at(prompt, at++);
    } else {
        date.month = month_at(prompt, at++);
        bool has_day = whole_at(prompt, at) > 0 && whole_at(prompt, at) <= 31;
        if (date.month > 0 && has_day) {
            date.day = whole_at(prompt, at++);
            at += is_suffix(prompt, at);
        }
    }
    if (date.month == 0)
        return 0;
    at += prompt_is(prompt, at, ",");
    at += prompt_is(prompt, at, "of");
    date.year = whole_at(prompt, at++);
    if (!valid(skill, date))
        return 0;
    *ret_date = date;
    return at - i;
}

static size_t read_dates(const struct calendar_skill *skill, const struct prompt *prompt,
                         struct date *ret_dates, size_t *ret_behind)
{
    size_t n = 0;
    for (size_t i = 0; i < prompt->n_items && n < MAX_DATES;) {
        size_t used = numeric_date(skill, prompt, i, &ret_dates[n]);
        if (used == 0)
            used = worded_date(skill, prompt, i, &ret_dates[n]);
        if (used > 0) {
            n++;
            *ret_behind = i + used;
        }
        i += used > 0 ? used : 1;
    }
    return n;
}

static int weekday_in(const struct prompt *prompt, size_t from)
{
    for (size_t i = from; i < prompt->n_items; i++) {
        for (int d = 0; d < 14; d++) {
            if (prompt_is(prompt, i, weekday_words[d]))
                return d % 7;
        }
    }
    return -1;
}

/* "100 days", "3 weeks": the number before the unit, in days; 0 if there is none. */
static int duration(const struct prompt *prompt)
{
    int at = prompt_find(prompt, 0, "days|weeks|day|week|fortnights");
    while (at > 0) {
        double value = 0;
        if (prompt_number(prompt, (size_t)at - 1, 20, &value) == 1 && value < 1000000) {
            int each = prompt_is(prompt, (size_t)at, "weeks") ||
                               prompt_is(prompt, (size_t)at, "week")
                           ? 7
                       : prompt_is(prompt, (size_t)at, "fortnights") ? 14
                                                                     : 1;
            return (int)value * each;
        }
        at = prompt_find(prompt, (size_t)at + 1, "days|weeks|day|week|fortnights");
    }
    return 0;
}

/* -- tasks ----------------------------------------------------------------------- */

static int span(const struct calendar_skill *skill, struct date a, struct date b)
{
    int days = abs(day_number(skill, b) - day_number(skill, a));
    if (days <= skill->exact_span_days)
        return days;
    double estimate =
        (b.year - a.year) * 365.25 + (b.month - a.month) * 30.44 + (b.day - a.day);
    return abs((int)lround(estimate));
}

static int week_of(const struct calendar_skill *skill, struct date date)
{
    int day = day_of_year(skill, date);
    if (!skill->iso_weeks)
        return (day - 1) / 7 + 1;
    int weekday = weekday_of(day_number(skill, date));
    int week = (day - 1 - weekday + 10) / 7;
    if (week == 0) {
        struct date eve = { date.year - 1, 12, 31 };
        return week_of(skill, eve);
    }
    int length = 365 + is_leap(skill, date.year);
    return week == 53 && length - day < 3 - weekday ? 1 : week;
}

static int weekdays_in_month(const struct calendar_skill *skill, struct date date,
                             int weekday)
{
    struct date first = { date.year, date.month, 1 };
    int start = weekday_of(day_number(skill, first));
    int offset = (weekday - start + 7) % 7;
    return (month_days(skill, date.year, date.month) - offset - 1) / 7 + 1;
}

static bool one_date(const struct calendar_skill *skill, const struct prompt *prompt,
                     struct date date, struct reply *reply)
{
    int weekday = weekday_in(prompt, 0);
    int days = duration(prompt);
    bool back = prompt_has(prompt, "before|earlier|ago|back");
    if (prompt_has(prompt, "how many mondays|how many tuesdays|how many wednesdays|"
                           "how many thursdays|how many fridays|how many saturdays|"
                           "how many sundays") &&
        weekday >= 0) {
        reply_say(reply, GRASP_FULL, "%d", weekdays_in_month(skill, date, weekday));
    } else if (days != 0 && prompt_has(prompt, "date|after|before|from|later|earlier")) {
        struct date then = date_after(skill, date, back ? -days : days);
        reply_say(reply, GRASP_FULL, "%04d-%02d-%02d", then.year, then.month, then.day);
    } else if (prompt_has(prompt,
                          "weekday|day of the week|which day was|what day was|"
                          "what day is|which day is|day falls|falls on|fall on")) {
        if (prompt_has(prompt, "last day of"))
            date.day = month_days(skill, date.year, date.month);
        reply_say(reply, GRASP_FULL, "%s", weekdays[weekday_of(day_number(skill, date))]);
    } else if (prompt_has(prompt, "day of the year|day of its year|day number")) {
        reply_say(reply, GRASP_FULL, "%d", day_of_year(skill, date));
    } else if (prompt_has(prompt,
                          "week number|calendar week|iso week|week of the year")) {
        reply_say(reply, GRASP_FULL, "%d", week_of(skill, date));
    } else if (prompt_has(prompt, "how many days|days has|days long|number of days")) {
        reply_say(reply, GRASP_FULL, "%d", month_days(skill, date.year, date.month));
    } else {
        return false;
    }
    return true;
}

static bool no_date(const struct calendar_skill *skill, const struct prompt *prompt,
                    struct reply *reply)
{
    int weekday = weekday_in(prompt, 0);
    int days = duration(prompt);
    int leap = prompt_find(prompt, 0, "leap");
    if (leap >= 0) {
        double year = 0;
        if (prompt_next_number(prompt, 0, 0, &year) == 0)
            return false;
        reply_say(reply, GRASP_FULL, is_leap(skill, (int)year) ? "yes" : "no");
        return true;
    }
    if (weekday < 0 || days == 0)
        return false;
    int shift = prompt_has(prompt, "ago|before|earlier|was it") ? -days : days;
    if (days > skill->exact_shift)
        shift = shift / 30 * 2 + shift % 30; /* a month moves the weekday by two */
    reply_say(reply, GRASP_FULL, "%s", weekdays[((weekday + shift) % 7 + 7) % 7]);
    return true;
}

/* Nothing known: yes-or-no questions get a no, questions for a count the days of a month,
 * all others the day most meetings are held on. */
static void guess(const struct prompt *prompt, struct reply *reply)
{
    if (prompt_is(prompt, 0, "is") || prompt_is(prompt, 0, "does"))
        reply_say(reply, GRASP_GUESS, "no");
    else if (prompt_has(prompt, "how many|how much"))
        reply_say(reply, GRASP_GUESS, "30");
    else
        reply_say(reply, GRASP_GUESS, "Wednesday");
}

void calendar_answer(const struct calendar_skill *skill, const struct prompt *prompt,
                     struct reply *reply)
{
    struct date dates[MAX_DATES];
    size_t behind = 0;
    size_t n = read_dates(skill, prompt, dates, &behind);
    if (n >= 2 &&
        prompt_has(prompt, "between|from|until|apart|passed|elapsed|separate")) {
        reply_say(reply, GRASP_FULL, "%d", span(skill, dates[n - 2], dates[n - 1]));
        return;
    }
    if (n >= 1 && one_date(skill, prompt, dates[n - 1], reply))
        return;
    if (no_date(skill, prompt, reply))
        return;
    guess(prompt, reply);
}
