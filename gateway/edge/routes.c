/* routes.c - finds a request's row in the table of routes */
#include "gateway/edge/routes.h"

#include <stdio.h>
#include <string.h>

struct route {
    enum route_surface surface;
    const char *method, *path;
    enum exchange_route route;
};

static const struct route routes[] = {
#define X(surface, method, path, route)                                                  \
    { ROUTE_##surface, method, path, EXCHANGE_##route },
    ROUTES(X)
#undef X
};

/* Does the path fit the pattern? *ret_argument is what stands for "{}". */
static bool fits(const char *pattern, struct str path, struct str *ret_argument)
{
    const char *hole = strstr(pattern, "{}");
    if (hole == NULL)
        return str_is(path, pattern);
    const size_t before = (size_t)(hole - pattern), after = strlen(hole + 2);
    if (path.n <= before + after || memcmp(path.p, pattern, before) != 0 ||
        memcmp(path.p + path.n - after, hole + 2, after) != 0)
        return false;
    *ret_argument = (struct str){ path.p + before, path.n - before - after };
    return true;
}

static bool accepts(const struct route *route, struct str method)
{
    return str_is(method, route->method) ||
           (str_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

void route_find(enum route_surface surface, struct str method, struct str path,
                struct route_match *ret_match)
{
    const char *pattern =
        NULL; /* the first that fits: a longer one stands before others */
    size_t at = 0;
    ret_match->allow[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *route = &routes[i];
        struct str argument = { NULL, 0 };
        if (route->surface != surface || !fits(route->path, path, &argument) ||
            (pattern != NULL && strcmp(pattern, route->path) != 0))
            continue;
        pattern = route->path;
        if (accepts(route, method)) {
            ret_match->route = route->route;
            ret_match->argument = argument;
            return;
        }
        at += (size_t)snprintf(ret_match->allow + at, ROUTE_ALLOW_BYTES - at, "%s%s%s",
                               at > 0 ? ", " : "", route->method,
                               strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    ret_match->route = EXCHANGE_NOT_FOUND;
    if (at > 0) {
        ret_match->route =
            str_is(method, "OPTIONS") ? EXCHANGE_OPTIONS : EXCHANGE_BAD_METHOD;
        (void)snprintf(ret_match->allow + at, ROUTE_ALLOW_BYTES - at, ", OPTIONS");
    }
    ret_match->argument = str_of(ret_match->allow);
}
