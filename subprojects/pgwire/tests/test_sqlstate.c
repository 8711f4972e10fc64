#include "pgwire/sqlstate.h"

#include <criterion/criterion.h>

#include "pgwire/proto.h"

struct state_case {
    const char *code;
    const char *condition;
    const char *class_name;
};

Test(sqlstate, codes_have_names)
{
    const struct state_case cases[] = {
        {PGW_STATE_SUCCESSFUL_COMPLETION, "successful_completion", "successful completion"},
        {PGW_STATE_PROTOCOL_VIOLATION, "protocol_violation", "connection exception"},
        {PGW_STATE_CONNECTION_FAILURE, "connection_failure", "connection exception"},
        {PGW_STATE_FEATURE_NOT_SUPPORTED, "feature_not_supported", "feature not supported"},
        {PGW_STATE_INVALID_SQL_STATEMENT_NAME, "invalid_sql_statement_name",
         "invalid SQL statement name"},
        {PGW_STATE_DUPLICATE_PREPARED_STATEMENT, "duplicate_prepared_statement",
         "syntax error or access rule violation"},
        {PGW_STATE_TOO_MANY_CONNECTIONS, "too_many_connections", "insufficient resources"},
        {PGW_STATE_ADMIN_SHUTDOWN, "admin_shutdown", "operator intervention"},
        {"XX002", "index_corrupted", "internal error"},
        {"22P06", "nonstandard_use_of_escape_character", "data exception"},
        {"08999", NULL, "connection exception"},
        {"99999", NULL, NULL},
        {"0800", NULL, NULL},
        {"080060", NULL, NULL},
        {"", NULL, NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *condition = pgw_sqlstate_condition(pgw_span_str(cases[i].code));
        const char *class_name = pgw_sqlstate_class(pgw_span_str(cases[i].code));

        cr_assert_eq(condition == NULL, cases[i].condition == NULL, "%s", cases[i].code);
        cr_assert_eq(class_name == NULL, cases[i].class_name == NULL, "%s", cases[i].code);
        if (condition != NULL)
            cr_assert_str_eq(condition, cases[i].condition);
        if (class_name != NULL)
            cr_assert_str_eq(class_name, cases[i].class_name);
    }
}

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

#define N_LETTERS (sizeof(letters) - 1)

/* The number of codes of a class that are found. */
static unsigned count_conditions(char code[PGW_SQLSTATE_LEN + 1])
{
    unsigned n = 0;

    for (size_t rest = 0; rest < N_LETTERS * N_LETTERS * N_LETTERS; rest++) {
        code[2] = letters[rest / N_LETTERS / N_LETTERS];
        code[3] = letters[rest / N_LETTERS % N_LETTERS];
        code[4] = letters[rest % N_LETTERS];
        n += pgw_sqlstate_condition(pgw_span_str(code)) != NULL;
    }
    return n;
}

/* A row out of order would be found by no search: count those that are. */
Test(sqlstate, every_row_is_found)
{
    unsigned n_conditions = 0, n_classes = 0;
    char code[] = "00000";

    for (size_t class = 0; class < N_LETTERS * N_LETTERS; class ++) {
        code[0] = letters[class / N_LETTERS];
        code[1] = letters[class % N_LETTERS];
        if (pgw_sqlstate_class(pgw_span_str(code)) == NULL)
            continue;
        n_classes++;
        n_conditions += count_conditions(code);
    }
    cr_assert_eq(n_classes, 43);
    cr_assert_eq(n_conditions, 261);
}
