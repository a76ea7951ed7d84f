/* plot.c - draws a cost-quality curve as SVG. */
#include "tools/ctl/plot.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WIDTH  820
#define HEIGHT 520
#define LEFT   70
#define RIGHT  30
#define TOP    40
#define BOTTOM 60

struct frame {
    FILE *file;
    double low_cost, high_cost; /* decimal logarithms */
    double low_quality, high_quality;
};

static void widen(struct frame *frame, const struct measures_point *points, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double cost = log10(fmax(points[i].cost, 1e-12));
        frame->low_cost = fmin(frame->low_cost, cost);
        frame->high_cost = fmax(frame->high_cost, cost);
        frame->low_quality = fmin(frame->low_quality, points[i].quality);
        frame->high_quality = fmax(frame->high_quality, points[i].quality);
    }
}

static double x_of(const struct frame *frame, double cost)
{
    double span = fmax(frame->high_cost - frame->low_cost, 1e-9);
    double at = (log10(fmax(cost, 1e-12)) - frame->low_cost) / span;
    return LEFT + fmin(fmax(at, 0), 1) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *frame, double quality)
{
    double span = fmax(frame->high_quality - frame->low_quality, 1e-9);
    return HEIGHT - BOTTOM -
           (quality - frame->low_quality) / span * (HEIGHT - TOP - BOTTOM);
}

static void text(const struct frame *frame, double x, double y, const char *anchor,
                 const char *words)
{
    (void)fprintf(frame->file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y,
                  anchor);
    for (; *words != '\0'; words++) {
        if (*words == '<' || *words == '&')
            (void)fputs(*words == '<' ? "&lt;" : "&amp;", frame->file);
        else
            (void)fputc(*words, frame->file);
    }
    (void)fputs("</text>\n", frame->file);
}

static void axes(const struct frame *frame)
{
    char words[32];
    for (int third = 3 * (int)floor(frame->low_cost); third < 3 * (frame->high_cost + 1);
         third++) {
        static const double marks[] = { 1, 2, 5 };
        double cost = marks[(third % 3 + 3) % 3] * pow(10, floor(third / 3.0));
        double x = x_of(frame, cost);
        if (log10(cost) < frame->low_cost || log10(cost) > frame->high_cost)
            continue;
        (void)fprintf(
            frame->file,
            "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x,
            TOP, x, HEIGHT - BOTTOM);
        (void)snprintf(words, sizeof(words), "$%g", cost);
        text(frame, x, HEIGHT - BOTTOM + 18, "middle", words);
    }
    double step = frame->high_quality - frame->low_quality > 0.4 ? 0.1 : 0.05;
    int first = (int)ceil(frame->low_quality / step);
    int last = (int)floor(frame->high_quality / step);
    for (int line = first; line <= last; line++) {
        double q = line * step;
        double y = y_of(frame, q);
        (void)fprintf(
            frame->file,
            "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT,
            y, WIDTH - RIGHT, y);
        (void)snprintf(words, sizeof(words), "%.2f", q);
        text(frame, LEFT - 8, y + 4, "end", words);
    }
    text(frame, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16, "middle", "USD per request");
    text(frame, LEFT - 50, TOP - 16, "start", "quality");
}

static void line(const struct frame *frame, const char *class,
                 const struct measures_point *points, size_t n)
{
    (void)fprintf(frame->file, "<polyline class=\"%s\" points=\"", class);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(frame->file, "%.1f,%.1f ", x_of(frame, points[i].cost),
                      y_of(frame, points[i].quality));
    (void)fputs("\"/>\n", frame->file);
}

static void draw(const struct frame *frame, const struct plot *plot)
{
    struct measures_point oracle[2] = { { pow(10, frame->low_cost), plot->oracle },
                                        { pow(10, frame->high_cost), plot->oracle } };
    (void)fprintf(
        frame->file,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<style>polyline{fill:none;stroke-width:2}.grid{stroke:#ddd}"
        ".router{stroke:#0b66c3}.zero{stroke:#999;stroke-dasharray:6 4}"
        ".oracle{stroke:#2a9d4b;stroke-dasharray:2 4}circle{fill:#c0392b}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        WIDTH, HEIGHT);
    axes(frame);
    line(frame, "oracle", oracle, 2);
    line(frame, "zero", plot->zero, plot->n_zero);
    line(frame, "router", plot->curve, plot->n_curve);
    for (size_t j = 0; j < plot->n_single; j++) {
        double x = x_of(frame, plot->single[j].cost),
               y = y_of(frame, plot->single[j].quality);
        bool right = x > (LEFT + WIDTH - RIGHT) * 0.7;
        (void)fprintf(frame->file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", x, y);
        text(frame, x + (right ? -7 : 7), y + 14, right ? "end" : "start",
             plot->models[j]);
    }
    text(frame, LEFT + 10, TOP + 4, "start",
         "blue: router   red: single models   grey: random mixing   green: oracle");
    (void)fputs("</svg>\n", frame->file);
}

enum fault_err plot_write(const struct plot *plot, const char *path, struct fault *fault)
{
    struct frame frame = { fopen(path, "we"), INFINITY, -INFINITY, plot->oracle,
                           plot->oracle };
    if (frame.file == NULL)
        return fault_set(fault, FAULT_IO, "cannot open '%s': %s", path, strerror(errno));
    widen(&frame, plot->single, plot->n_single);
    widen(&frame, plot->curve, plot->n_curve);
    frame.low_quality -= 0.02;
    frame.high_quality += 0.02;
    draw(&frame, plot);
    if (ferror(frame.file) != 0 || fclose(frame.file) != 0)
        return fault_set(fault, FAULT_IO, "cannot write '%s'", path);
    return FAULT_OK;
}
