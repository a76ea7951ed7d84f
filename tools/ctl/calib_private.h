/* calib_private.h - what the files of the store share: statements, binding, stepping.
 *
 * Only calib*.c include it. A statement is made at first use and kept; calib_ready hands
 * it out reset. NAN and MONEY_NONE become NULL, and NULL becomes them, here and nowhere
 * else.
 */
#ifndef TOOLS_CTL_CALIB_PRIVATE_H
#define TOOLS_CTL_CALIB_PRIVATE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/ctl/calib.h"

#define CALIB_STATEMENTS(X)                                                              \
    X(BEGIN, "BEGIN IMMEDIATE")                                                          \
    X(COMMIT, "COMMIT")                                                                  \
    X(FIND_PROMPT, "SELECT prompt, messages FROM prompts WHERE id = ?")                  \
    X(ADD_PROMPT,                                                                        \
      "INSERT INTO prompts (id, messages, text, text_version, domain, split,"            \
      " reference, grade) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")                              \
    X(DROP_VECTORS, "DELETE FROM vectors WHERE prompt = ?1 AND EXISTS (SELECT 1 FROM"    \
                    " prompts WHERE prompt = ?1 AND text IS NOT ?2)")                    \
    X(SET_PROMPT, "UPDATE prompts SET text = ?2, text_version = ?3,"                     \
                  " domain = coalesce(?4, domain), split = coalesce(?5, split),"         \
                  " reference = coalesce(?6, reference), grade = coalesce(?7, grade)"    \
                  " WHERE prompt = ?1")                                                  \
    X(PROMPTS, "SELECT prompt, id, messages, text, text_version, domain, split,"         \
               " reference, grade FROM prompts ORDER BY prompt")                         \
    X(FIND_EXPERT, "SELECT expert FROM experts WHERE name = ?")                          \
    X(ADD_EXPERT, "INSERT INTO experts (name) VALUES (?)")                               \
    X(SET_PRICES, "UPDATE experts SET input_pico = ?2, output_pico = ?3"                 \
                  " WHERE expert = ?1")                                                  \
    X(EXPERTS, "SELECT expert, name, input_pico, output_pico,"                           \
               " (SELECT count(quality) FROM cells WHERE cells.expert = experts.expert)" \
               " FROM experts ORDER BY expert")                                          \
    X(PUT_CELL, "INSERT OR REPLACE INTO cells (prompt, expert, quality, input_tokens,"   \
                " output_tokens, cost_pico, latency_ms, grader)"                         \
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)")                                      \
    X(CELLS, "SELECT prompt, expert, quality, input_tokens, output_tokens, cost_pico,"   \
             " latency_ms, grader FROM cells ORDER BY prompt, expert")                   \
    X(PUT_VECTOR, "INSERT OR REPLACE INTO vectors (prompt, embedder, model, vector)"     \
                  " VALUES (?, ?, ?, ?)")                                                \
    X(VECTORS, "SELECT prompt, vector FROM vectors WHERE embedder = ? AND model = ?"     \
               " ORDER BY prompt")                                                       \
    X(PUT_ANSWER, "INSERT OR REPLACE INTO answers (prompt, expert, model, sample, text," \
                  " finish_reason, input_tokens, output_tokens, cost_pico, estimated,"   \
                  " latency_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")               \
    X(ADD_ANSWER,                                                                        \
      "INSERT INTO answers (prompt, expert, model, sample, text, finish_reason,"         \
      " input_tokens, output_tokens, cost_pico, estimated, latency_ms)"                  \
      " SELECT ?1, ?2, ?3, (SELECT coalesce(max(sample) + 1, 0) FROM answers WHERE"      \
      " expert = ?2 AND model = ?3 AND prompt = ?1), ?5, ?6, ?7, ?8, ?9, ?10, ?11"       \
      " WHERE NOT EXISTS (SELECT 1 FROM answers WHERE expert = ?2 AND model = ?3 AND"    \
      " prompt = ?1 AND text = ?5)")                                                     \
    X(ANSWERS,                                                                           \
      "SELECT prompt, sample, text, finish_reason, input_tokens, output_tokens,"         \
      " cost_pico, estimated, latency_ms FROM answers WHERE expert = ?1 AND"             \
      " model = ?2 ORDER BY prompt, sample")                                             \
    X(ANSWER, "SELECT answers.text FROM answers JOIN experts USING (expert) WHERE"       \
              " experts.name = ?1 AND model = ?2 AND prompt = ?3 AND sample = ?4")       \
    X(LATEST,                                                                            \
      "SELECT text FROM answers WHERE expert = ?1 AND prompt = ?2 AND sample = 0"        \
      " ORDER BY asked_at DESC, model LIMIT 1")                                          \
    X(PUT_VERDICT,                                                                       \
      "INSERT OR REPLACE INTO verdicts (judge, model, shown, prompt, first, second,"     \
      " version, quality, text, input_tokens, output_tokens, cost_pico, estimated)"      \
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                 \
    X(VERDICT, "SELECT quality FROM verdicts WHERE judge = ?1 AND model = ?2 AND"        \
               " shown = ?3")                                                            \
    X(COUNT_VERDICTS, "SELECT count(*), avg(input_tokens), avg(output_tokens)"           \
                      " FROM verdicts WHERE judge = ? AND model = ?")                    \
    X(OWN_VERDICTS, "SELECT count(*) FROM verdicts JOIN experts ON experts.name = judge" \
                    " WHERE judge = ?1 AND expert IN (first, second)")                   \
    X(PUT_LABEL, "INSERT OR REPLACE INTO labels (prompt, first, second, said)"           \
                 " VALUES (?, ?, ?, ?)")                                                 \
    X(DROP_LABEL, "DELETE FROM labels WHERE prompt = ? AND first = ? AND second = ?")    \
    X(LABELS, "SELECT prompt, first, second, said FROM labels"                           \
              " ORDER BY said_at, prompt, first, second")                                \
    X(PUT_SPENDING, "INSERT INTO spending (prompt, expert, what, bound_pico)"            \
                    " VALUES (?, ?, ?, ?)")                                              \
    X(USAGES,                                                                            \
      "SELECT prompt, expert, output_tokens, latency_ms, length(CAST(text AS BLOB))"     \
      " FROM answers ORDER BY prompt")                                                   \
    X(SAMPLES, "SELECT coalesce(max(sample) + 1, 0) FROM answers WHERE expert = ? AND"   \
               " model = ?")                                                             \
    X(ASKED, "SELECT bound_pico, failure FROM asked WHERE expert = ? AND model = ? AND"  \
             " prompt = ? AND what = ?")                                                 \
    X(PUT_ASKED, "INSERT OR REPLACE INTO asked (expert, model, prompt, what,"            \
                 " bound_pico, failure) VALUES (?, ?, ?, ?, ?, ?)")                      \
    X(DROP_ASKED, "DELETE FROM asked WHERE expert = ? AND model = ? AND prompt = ? AND"  \
                  " what = ?")                                                           \
    X(EACH_ASKED, "SELECT prompt, what, bound_pico, failure FROM asked WHERE"            \
                  " expert = ? AND model = ? ORDER BY prompt, what")

enum calib_statement {
#define X(name, sql) CALIB_##name,
    CALIB_STATEMENTS(X)
#undef X
        CALIB_N_STATEMENTS
};

struct calib {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *prepared[CALIB_N_STATEMENTS]; /* made at first use */
};

enum fault_err calib_failed(struct calib *store, struct fault *fault);
/* A statement ready to be bound, or NULL. */
sqlite3_stmt *calib_ready(struct calib *store, enum calib_statement which);
/* Runs a statement that gives no rows; bound: every bind before it worked. */
NODISCARD enum fault_err calib_run(struct calib *store, sqlite3_stmt *statement,
                                   bool bound, struct fault *fault);
/* *ret_row: the statement stands on a row. At the end, or after an error, it is reset. */
NODISCARD enum fault_err calib_next(struct calib *store, sqlite3_stmt *statement,
                                    bool *ret_row, struct fault *fault);

/* text may be NULL. */
bool calib_bind_text(sqlite3_stmt *statement, int at, const char *text);
bool calib_bind_whole(sqlite3_stmt *statement, int at, int64_t value);
bool calib_bind_number(sqlite3_stmt *statement, int at, double value);
const char *calib_column_text(sqlite3_stmt *statement, int at);
int64_t calib_column_whole(sqlite3_stmt *statement, int at);
double calib_column_number(sqlite3_stmt *statement, int at);

#endif
