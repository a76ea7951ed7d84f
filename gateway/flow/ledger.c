/* ledger.c - charges of one request, and what of them the disk must know when.
 *
 *   charges   [ reported | unknown | free | OPEN ]      the last one, or the last two
 *   store     open row: all of them, before each paid call (full durability)
 *             settled row: all of them, once, at the end */
#include "gateway/flow/ledger.h"

#include <assert.h>
#include <string.h>

#include "gateway/base/clock.h"

#define FIRST_ROOM 8

void ledger_init(struct ledger *ledger, struct store *store, struct loop *loop,
                 struct arena *arena, struct store_decision *head,
                 void (*wake)(void *arg), void *arg)
{
    *ledger = (struct ledger){ .store = store,
                               .loop = loop,
                               .arena = arena,
                               .head = head,
                               .wake = wake,
                               .arg = arg };
}

/* -- a place ----------------------------------------------------------------------------- */

static void wait_for_room(struct ledger *ledger);

/* The place is taken here and not by whoever is woken: who has left meanwhile gives it back
 * (ledger_release), and the next is told. */
static void roomy(void *arg, bool room)
{
    struct ledger_paper *paper = arg;
    struct ledger *ledger = paper->ledger;

    if (room && !store_admit(ledger->store, &ledger->place)) {
        wait_for_room(ledger); /* another one was quicker */
        return;
    }
    paper->state = room ? LEDGER_WRITTEN : LEDGER_FAILED;
    ledger->wake(ledger->arg);
}

static void wait_for_room(struct ledger *ledger)
{
    struct ledger_paper *paper = &ledger->admission;

    paper->state = LEDGER_AWAY;
    paper->ledger = ledger;
    paper->wait = (struct store_wait){ .fn = roomy, .arg = paper, .loop = ledger->loop };
    store_wait_room(ledger->store, &paper->wait);
}

enum ledger_secured ledger_admit(struct ledger *ledger)
{
    if (ledger->store == NULL || ledger->place.held)
        return LEDGER_SECURED;
    if (ledger->admission.state == LEDGER_IDLE) {
        if (store_admit(ledger->store, &ledger->place) || !store_refuses(ledger->store))
            return LEDGER_SECURED;
        wait_for_room(ledger);
    }
    return ledger->admission.state == LEDGER_FAILED ? LEDGER_REFUSED : LEDGER_WAITING;
}

/* -- charges ----------------------------------------------------------------------------- */

static bool make_room(struct ledger *ledger)
{
    size_t room = ledger->room == 0 ? FIRST_ROOM : ledger->room * 2;
    struct store_charge *charges;

    if (ledger->n < ledger->room)
        return true;
    charges = arena_array(ledger->arena, room, sizeof *charges);
    if (charges == NULL)
        return false;
    if (ledger->n > 0)
        memcpy(charges, ledger->charges, ledger->n * sizeof *charges);
    ledger->charges = charges;
    ledger->room = room;
    return true;
}

static bool any_open(const struct ledger *ledger)
{
    return ledger->opened[0].open || ledger->opened[1].open;
}

static enum err open_as(struct ledger *ledger, size_t slot, const struct purse *purse,
                        enum store_kind kind, const char *expert, int64_t worst_pico,
                        int64_t expected_pico)
{
    if (ledger->store == NULL)
        return ERR_OK;
    assert(!ledger->opened[slot].open && !ledger->settled);
    if (!make_room(ledger))
        return ERR_NOMEM;
    ledger->opened[slot] = (struct ledger_open_charge){ .open = true,
                                                        .at = ledger->n,
                                                        .spent_pico = purse->spent_pico,
                                                        .bound_pico = purse->bound_pico };
    ledger->charges[ledger->n++] = (struct store_charge){
        .kind = kind,
        .fate = STORE_FATE_OPEN,
        .expert = str_of(expert),
        .worst_pico = worst_pico,
        .bound_pico = worst_pico != PURSE_UNBOUNDED ? worst_pico : expected_pico,
        .input_tokens = -1,
        .output_tokens = -1,
        .at_us = clock_wall_us(&clock_system),
    };
    return ERR_OK;
}

enum err ledger_open(struct ledger *ledger, const struct purse *purse,
                     enum store_kind kind, const char *expert, int64_t worst_pico,
                     int64_t expected_pico)
{
    return open_as(ledger, 0, purse, kind, expert, worst_pico, expected_pico);
}

enum err ledger_open_beside(struct ledger *ledger, const struct purse *purse,
                            enum store_kind kind, const char *expert, int64_t worst_pico,
                            int64_t expected_pico)
{
    return open_as(ledger, 1, purse, kind, expert, worst_pico, expected_pico);
}

/* What this one has cost is not the other one's. */
static void close_as(struct ledger *ledger, size_t slot, const struct purse *purse,
                     enum store_fate fate, int64_t input_tokens, int64_t output_tokens)
{
    struct ledger_open_charge *opened = &ledger->opened[slot];
    struct ledger_open_charge *other = &ledger->opened[!slot];
    struct store_charge *charge;

    if (!opened->open)
        return;
    opened->open = false;
    charge = &ledger->charges[opened->at];
    charge->fate = fate;
    charge->known = fate == STORE_FATE_REPORTED;
    charge->spent_pico = purse->spent_pico - opened->spent_pico;
    charge->bound_pico = purse->bound_pico - opened->bound_pico;
    charge->input_tokens = input_tokens;
    charge->output_tokens = output_tokens;
    other->spent_pico += charge->spent_pico;
    other->bound_pico += charge->bound_pico;
}

void ledger_close(struct ledger *ledger, const struct purse *purse, enum store_fate fate,
                  int64_t input_tokens, int64_t output_tokens)
{
    close_as(ledger, 0, purse, fate, input_tokens, output_tokens);
}

void ledger_close_beside(struct ledger *ledger, const struct purse *purse,
                         enum store_fate fate, int64_t input_tokens,
                         int64_t output_tokens)
{
    close_as(ledger, 1, purse, fate, input_tokens, output_tokens);
}

void ledger_over_limit(struct ledger *ledger)
{
    if (ledger->opened[0].open)
        ledger->charges[ledger->opened[0].at].over_limit = true;
}

/* -- the store --------------------------------------------------------------------------- */

static void written(void *arg, bool is_written)
{
    struct ledger_paper *paper = arg;

    paper->state = is_written ? LEDGER_WRITTEN : LEDGER_FAILED;
    paper->ledger->wake(paper->ledger->arg);
}

/* Hands a row over; with a held place it cannot be refused. With a paper it is waited for,
 * unless it was lost: then the paper has failed. */
static void put(struct ledger *ledger, struct store_decision *decision,
                struct store_place *place, struct ledger_paper *paper)
{
    struct store_row *row;

    decision->n_charges = ledger->n;
    decision->charges = ledger->charges;
    row = store_row_decision(decision);
    if (row == NULL)
        store_lose(ledger->store);
    if (paper == NULL) {
        if (row != NULL)
            (void)store_put(ledger->store, &row, place);
        return;
    }
    paper->ledger = ledger;
    paper->n = ledger->n;
    paper->wait =
        (struct store_wait){ .fn = written, .arg = paper, .loop = ledger->loop };
    paper->state = LEDGER_FAILED;
    if (row != NULL && store_put_wait(ledger->store, &row, place, &paper->wait))
        paper->state = LEDGER_AWAY;
}

static bool may_cost(const struct store_charge *charge)
{
    return charge->bound_pico > 0;
}

static void sum_up(struct ledger *ledger, struct store_decision *decision)
{
    int64_t *part;

    decision->spent_pico = decision->bound_pico = 0;
    decision->evidence_pico = decision->generation_pico = 0;
    for (size_t i = 0; i < ledger->n; i++) {
        const struct store_charge *c = &ledger->charges[i];

        part = c->kind == STORE_KIND_EMBEDDING ? &decision->evidence_pico
                                               : &decision->generation_pico;
        *part = money_add(*part, c->spent_pico);
        decision->spent_pico = money_add(decision->spent_pico, c->spent_pico);
        decision->bound_pico = money_add(decision->bound_pico, c->bound_pico);
    }
}

/* All charges so far, the last one at its worst case. */
static void reserve(struct ledger *ledger)
{
    const struct store_charge *last = &ledger->charges[ledger->n - 1];
    struct store_decision *head = ledger->head;

    if (last->kind == STORE_KIND_GENERATION)
        head->expert = last->expert; /* who is asked: a crash leaves this */
    head->state = STORE_STATE_OPEN;
    head->input_tokens = head->output_tokens = -1;
    head->best_pico = head->cheapest_pico = MONEY_NONE;
    sum_up(ledger, head);
    put(ledger, head, NULL, &ledger->reservation);
}

enum ledger_secured ledger_secure(struct ledger *ledger)
{
    struct ledger_paper *paper = &ledger->reservation;

    if (ledger->store == NULL || !store_is_full(ledger->store) || !any_open(ledger) ||
        !may_cost(&ledger->charges[ledger->n - 1]))
        return LEDGER_SECURED;
    /* One of an earlier charge, which was given up meanwhile, comes back first. */
    if (paper->state != LEDGER_AWAY && paper->n != ledger->n)
        reserve(ledger);
    if (paper->state == LEDGER_AWAY)
        return LEDGER_WAITING;
    if (paper->state == LEDGER_FAILED && store_refuses(ledger->store))
        return LEDGER_REFUSED;
    return LEDGER_SECURED;
}

bool ledger_binds(const struct ledger *ledger)
{
    if (ledger->store == NULL || !store_is_full(ledger->store))
        return false;
    for (size_t i = 0; i < ledger->n; i++) {
        if (may_cost(&ledger->charges[i]) || ledger->charges[i].worst_pico > 0)
            return true;
    }
    return false;
}

void ledger_settle(struct ledger *ledger, struct store_decision *decision)
{
    if (ledger->store == NULL || ledger->settled)
        return;
    assert(!any_open(ledger));
    ledger->settled = true;
    decision->state = STORE_STATE_SETTLED;
    sum_up(ledger, decision);
    put(ledger, decision, &ledger->place,
        ledger_binds(ledger) ? &ledger->settlement : NULL);
}

bool ledger_waiting(const struct ledger *ledger)
{
    return ledger->settlement.state == LEDGER_AWAY;
}

bool ledger_busy(const struct ledger *ledger)
{
    return ledger_waiting(ledger) || ledger->reservation.state == LEDGER_AWAY ||
           ledger->admission.state == LEDGER_AWAY;
}

void ledger_release(struct ledger *ledger)
{
    assert(!ledger_busy(ledger));
    if (ledger->store != NULL)
        store_forgo(ledger->store, &ledger->place);
}
