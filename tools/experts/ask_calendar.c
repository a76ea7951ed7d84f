/* ask_calendar.c - questions about dates. References come from Howard Hinnant's closed
 * formula for the days of the civil calendar ("chrono-Compatible Low-Level Date
 * Algorithms"), where the expert counts year by year. */
#include <stdio.h>

#include "tools/experts/question.h"

static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday" };
static const char *const months[] = { "January",   "February", "March",    "April",
                                      "May",       "June",     "July",     "August",
                                      "September", "October",  "November", "December" };

/* Days since 1970-01-01, a Thursday. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year = y - era * 400;
    int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

struct civil {
    int year, month, day;
};

static struct civil civil_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (struct civil){ (int)(yoe + era * 400) + (month <= 2), month,
                           (int)(doy - (153 * mp + 2) / 5 + 1) };
}

static int weekday_of(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

/* Mostly of our time, some far back or ahead. */
static int64_t draw_day(struct dice *dice)
{
    int low = 1925, high = 2075;
    if (dice_between(dice, 0, 5) == 0) {
        low = dice_between(dice, 0, 1) == 0 ? 1700 : 2101;
        high = low == 1700 ? 1899 : 2299;
    }
    return days_of(dice_between(dice, low, high), 1, 1) + dice_between(dice, 0, 364);
}

static void write_date(struct dice *dice, struct question *q, int64_t days)
{
    struct civil c = civil_of(days);
    const char *month = months[c.month - 1];
    switch (dice_between(dice, 0, 4)) {
    case 0:
        question_ask(q, "%04d-%02d-%02d", c.year, c.month, c.day);
        break;
    case 1:
        question_ask(q, "%s %d, %d", month, c.day, c.year);
        break;
    case 2:
        question_ask(q, "the %d%s of %s %d", c.day,
                     c.day % 10 == 1 && c.day != 11   ? "st"
                     : c.day % 10 == 2 && c.day != 12 ? "nd"
                     : c.day % 10 == 3 && c.day != 13 ? "rd"
                                                      : "th",
                     month, c.year);
        break;
    default:
        question_ask(q, "%d %s %d", c.day, month, c.year);
    }
}

static void ask_weekday(struct dice *dice, struct question *q)
{
    static const char *const openings[] = {
        "What day of the week was ",
        "On which weekday falls ",
        "Tell me the weekday of ",
        "Which day of the week belongs to the date ",
    };
    int64_t days = draw_day(dice);
    question_ask(q, "%s", DICE_PICK(dice, openings));
    if (dice_between(dice, 0, 5) == 0) {
        struct civil c = civil_of(days);
        question_ask(q, "%02d/%02d/%04d (day/month/year)", c.day, c.month, c.year);
    } else {
        write_date(dice, q, days);
    }
    question_ask(q, "?");
    question_exact(q, "%s", weekdays[weekday_of(days)]);
}

static void ask_between(struct dice *dice, struct question *q)
{
    int64_t a = draw_day(dice);
    int64_t b = a + dice_between(dice, 3, dice_between(dice, 0, 2) == 0 ? 9000 : 600);
    bool from = dice_between(dice, 0, 1) == 0;
    question_ask(q, from ? "How many days is it from " : "How many days lie between ");
    write_date(dice, q, a);
    question_ask(q, from ? " until " : " and ");
    write_date(dice, q, b);
    question_ask(q, from ? "?" : ", the first one not counted?");
    question_whole(q, b - a);
}

static void ask_shift(struct dice *dice, struct question *q)
{
    int64_t a = draw_day(dice);
    int n = dice_between(dice, 2, dice_between(dice, 0, 2) == 0 ? 900 : 80);
    bool weeks = dice_between(dice, 0, 3) == 0 && n < 120;
    bool back = dice_between(dice, 0, 2) == 0;
    question_ask(q, "Which date is %d %s %s ", n, weeks ? "weeks" : "days",
                 back ? "before" : "after");
    write_date(dice, q, a);
    question_ask(q, "? Write it as YYYY-MM-DD.");
    struct civil c = civil_of(a + (back ? -1 : 1) * n * (weeks ? 7 : 1));
    question_exact(q, "%04d-%02d-%02d", c.year, c.month, c.day);
}

static void ask_leap(struct dice *dice, struct question *q)
{
    int year = dice_between(dice, 0, 3) == 0 ? dice_between(dice, 16, 24) * 100
                                             : dice_between(dice, 1800, 2200);
    question_ask(q,
                 dice_between(dice, 0, 1) == 0
                     ? "Is %d a leap year? Answer yes or no."
                     : "Does a leap year begin in January %d? Answer yes or no.",
                 year);
    int64_t length = days_of(year + 1, 1, 1) - days_of(year, 1, 1);
    question_exact(q, "%s", length == 366 ? "yes" : "no");
}

static void ask_month(struct dice *dice, struct question *q)
{
    int year = dice_between(dice, 1890, 2110), month = dice_between(dice, 1, 12);
    if (dice_between(dice, 0, 1) == 0) {
        month = 2;
        if (dice_between(dice, 0, 3) == 0)
            year = dice_between(dice, 17, 23) * 100;
    }
    int64_t first = days_of(year, month, 1);
    int64_t next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);
    if (dice_between(dice, 0, 2) > 0) {
        question_ask(q, "How many days has %s %d?", months[month - 1], year);
        question_whole(q, next - first);
        return;
    }
    int weekday = dice_between(dice, 0, 6);
    int count = 0;
    for (int64_t d = first; d < next; d++)
        count += weekday_of(d) == weekday;
    question_ask(q, "How many %ss are there in %s %d?", weekdays[weekday],
                 months[month - 1], year);
    question_whole(q, count);
}

static void ask_day_of_year(struct dice *dice, struct question *q)
{
    int64_t days = draw_day(dice);
    question_ask(q, "Give the day of the year of ");
    write_date(dice, q, days);
    question_ask(q, " as a number.");
    question_whole(q, days - days_of(civil_of(days).year, 1, 1) + 1);
}

static void ask_turn(struct dice *dice, struct question *q)
{
    int weekday = dice_between(dice, 0, 6);
    int n = dice_between(dice, 8, dice_between(dice, 0, 1) == 0 ? 2000 : 90);
    bool back = dice_between(dice, 0, 2) == 0;
    question_ask(q,
                 back ? "Today is %s. What day was it %d days ago?"
                      : "If today is %s, what day is it in %d days?",
                 weekdays[weekday], n);
    question_exact(q, "%s", weekdays[((weekday + (back ? -n : n)) % 7 + 7) % 7]);
}

/* By the definition of ISO 8601: the week of the Thursday in the same week. */
static void ask_week(struct dice *dice, struct question *q)
{
    int64_t days = draw_day(dice);
    int64_t thursday = days - (weekday_of(days) + 6) % 7 + 3;
    int64_t first = days_of(civil_of(thursday).year, 1, 1);
    question_ask(q, "What is the ISO week number of ");
    write_date(dice, q, days);
    question_ask(q, "?");
    question_whole(q, (thursday - first) / 7 + 1);
}

const struct family calendar_families[] = {
    { "weekday", 8, ask_weekday },
    { "between", 5, ask_between },
    { "shift", 5, ask_shift },
    { "leap", 2, ask_leap },
    { "month", 2, ask_month },
    { "day_of_year", 2, ask_day_of_year },
    { "turn", 4, ask_turn },
    { "week", 1, ask_week },
    { NULL, 0, NULL },
};
