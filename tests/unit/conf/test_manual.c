/*
 * The generated pages: complete, true, and in step with what is committed.
 */
#include "conf_case.h"

#include <ctype.h>
#include <stdlib.h>

#include "weir/conf/manual.h"
#include "weir/conf/schema.h"

/* What a writer writes. The caller frees it. */
static char *written(void (*write)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    cr_assert_not_null(out);
    write(out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static char *committed(const char *name)
{
    const char *docs = getenv("WEIR_DOCS"); /* NOLINT(concurrency-mt-unsafe): one thread */
    char path[4096], *text = NULL;
    size_t len = 0;

    cr_assert_not_null(docs, "WEIR_DOCS must name the folder docs/");
    snprintf(path, sizeof(path), "%s/%s", docs, name);

    FILE *in = fopen(path, "r");

    cr_assert_not_null(in, "%s", path);
    cr_assert_geq(getdelim(&text, &len, '\0', in), 0);
    fclose(in);
    return text;
}

static void compare(const char *name, void (*write)(FILE *out))
{
    char *now = written(write), *then = committed(name);

    cr_assert(strcmp(now, then) == 0,
              "docs/%s is not what the schema says: run ninja -C BUILD configuration-docs", name);
    free(now);
    free(then);
}

Test(manual, committed_pages_are_current)
{
    compare("weir.conf.example", conf_example_write);
    compare("configuration.md", conf_manual_write);
}

/* Whether text contains word with no letter, digit or underscore beside it. */
static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
        bool before = at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '_');
        bool after = isalnum((unsigned char)at[len]) || at[len] == '_';

        if (!before && !after)
            return true;
    }
    return false;
}

static void has_all_keys(void (*write)(FILE *out))
{
    char *text = written(write);
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        cr_assert(has_word(text, rows[i].key), "%s is missing", rows[i].key);
        cr_assert(rows[i].weir_key == NULL || has_word(text, rows[i].weir_key), "%s is missing",
                  rows[i].weir_key);
    }
    free(text);
}

Test(manual, every_key_is_there)
{
    has_all_keys(conf_help_write);
    has_all_keys(conf_example_write);
    has_all_keys(conf_manual_write);
}

Test(manual, lines_fit_a_terminal)
{
    char *text = written(conf_help_write);

    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        cr_assert_leq(strcspn(line, "\n"), 100, "%.120s", line);
    free(text);
}

Test(manual, example_loads_without_warnings)
{
    char *text = written(conf_example_write);
    struct conf *c = case_accept(text);

    cr_assert_eq(c->warnings.n_items, 0);
    cr_assert_eq(c->n_databases, 1);
    cr_assert_str_eq(c->databases[0].name, "*");
    cr_assert_eq(c->n_users, 0);
    conf_put(c);
    free(text);
}

/* Whether what follows the mark of a comment is a setting, or a brace around some. */
static bool is_commented_setting(const char *comment)
{
    size_t len = strcspn(comment, "\n");
    size_t key_len = strspn(comment, "abcdefghijklmnopqrstuvwxyz_");

    return *comment == '{' || *comment == '}' ||
           (key_len > 0 && strncmp(comment + key_len, " = ", 3) == 0 && comment[len - 1] == ';');
}

static void uncomment(char *text)
{
    for (char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char *mark = line + strspn(line, " ");

        if (*mark == '#' && is_commented_setting(mark + 1 + strspn(mark + 1, " ")))
            *mark = ' ';
    }
}

Test(manual, example_loads_with_everything_uncommented)
{
    char *text = written(conf_example_write);
    struct conf *c;
    size_t n_rows, n_policies = 0;
    const struct schema_row *rows = schema_rows(&n_rows);

    uncomment(text);
    c = case_accept(text);
    cr_assert_eq(c->n_users, 1);
    for (size_t i = 0; i < n_rows; i++) {
        if (!rows[i].policy)
            continue;
        n_policies++;
        cr_assert_eq((rows[i].sections & SCHEMA_DATABASES) != 0,
                     (c->databases[0].policy.given & schema_policy_bit(&rows[i])) != 0, "%s",
                     rows[i].key);
        cr_assert_eq((rows[i].sections & SCHEMA_USERS) != 0,
                     (c->users[0].policy.given & schema_policy_bit(&rows[i])) != 0, "%s",
                     rows[i].key);
        cr_assert_neq(c->weir.policy.given & schema_policy_bit(&rows[i]), 0, "%s", rows[i].key);
    }
    cr_assert_gt(n_policies, 10);
    conf_put(c);
    free(text);
}
