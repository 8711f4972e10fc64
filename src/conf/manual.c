/*
 * Three renderings of one table. Nothing about a single key is written here: what a key means
 * stands in its row, so a new row appears in all three.
 */
#include "weir/conf/manual.h"

#include <stdbool.h>
#include <string.h>

#include "value.h"
#include "weir/conf/schema.h"

#define WIDTH 96

static const char *const applies_text[] = {
    [SCHEMA_LIVE] = "live",
    [SCHEMA_NEW_CONNECTIONS] = "new connections",
    [SCHEMA_RESTART] = "restart",
};

#define RELOAD_TODAY                                                                               \
    "That is what will be: today a reload changes log_level, logfile and shutdown_timeout, and "   \
    "all else waits for the next start."

static const char applies_help[] =
    "Applies: live = at a reload, for everything; new connections = at a reload, for what connects "
    "from then on; restart = only when weir starts. " RELOAD_TODAY;

/* Writes text in lines of at most WIDTH columns, each after the prefix. */
static void write_wrapped(FILE *out, const char *prefix, const char *text)
{
    size_t room = WIDTH - strlen(prefix);

    while (*text != '\0') {
        size_t len = strlen(text);

        if (len > room) {
            len = room;
            while (len > 0 && text[len] != ' ')
                len--;
            if (len == 0) /* one word longer than a line */
                len = strcspn(text, " ");
        }
        fprintf(out, "%s%.*s\n", prefix, (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
}

static const char *quote(const struct schema_row *row)
{
    return value_is_quoted(row) && strcmp(row->default_text, "0") != 0 ? "\"" : "";
}

/* "Accepted: ...; counts ..." */
static void write_accepted(FILE *out, const char *prefix, const struct schema_row *row)
{
    char accepted[400], line[500];

    value_accepted(row, false, accepted, sizeof(accepted));
    snprintf(line, sizeof(line), "Accepted: %s. Applies: %s.", accepted,
             applies_text[row->applies]);
    write_wrapped(out, prefix, line);
}

/* A key with its explanation as comment lines before it; commented out itself unless live. */
static void write_key(FILE *out, const struct schema_row *row, enum schema_section section,
                      const char *indent, bool live)
{
    char prefix[32];

    snprintf(prefix, sizeof(prefix), "%s# ", indent);
    write_wrapped(out, prefix, row->help);
    write_accepted(out, prefix, row);
    fprintf(out, "%s%s = %s%s%s;\n\n", live ? indent : prefix, schema_key(row, section), quote(row),
            row->default_text, quote(row));
}

static void write_arena(FILE *out, const struct schema_row *group)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    write_wrapped(out, "    # ", group->help);
    fprintf(out, "    %s = {\n", group->key);
    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & SCHEMA_ARENA) != 0)
            write_key(out, &rows[i], SCHEMA_ARENA, "        ", true);
    }
    fputs("    };\n", out);
}

static void write_weir(FILE *out)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    fputs("weir = {\n", out);
    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & SCHEMA_WEIR) == 0)
            continue;
        if (rows[i].topic != NULL)
            fprintf(out, "    # ---- %s ----\n\n", rows[i].topic);
        if (rows[i].type == SCHEMA_GROUP)
            write_arena(out, &rows[i]);
        else
            write_key(out, &rows[i], SCHEMA_WEIR, "    ", true);
    }
    fputs("};\n\n", out);
}

/* The inheritable keys as they look inside an entry, commented out by the prefix. */
static void write_policy_keys(FILE *out, enum schema_section section, const char *prefix)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].policy && (rows[i].sections & section) != 0)
            fprintf(out, "%s%s = %s%s%s;\n", prefix, rows[i].key, quote(&rows[i]),
                    rows[i].default_text, quote(&rows[i]));
    }
}

static void write_databases(FILE *out)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    fputs("# The databases that clients can ask for. An entry:\n"
          "databases = (\n    {\n",
          out);
    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & SCHEMA_DATABASES) == 0 || rows[i].policy)
            continue;
        if (!rows[i].required) {
            write_key(out, &rows[i], SCHEMA_DATABASES, "        ", true);
            continue;
        }
        write_wrapped(out, "        # ", rows[i].help);
        fprintf(out, "        %s = \"*\";\n\n", rows[i].key);
    }
    fputs("        # Any of these overrides what stands under weir, for this database:\n", out);
    write_policy_keys(out, SCHEMA_DATABASES, "        # ");
    fputs("    }\n);\n\n", out);
}

static void write_users(FILE *out)
{
    fputs(
        "# Settings for single users; they win over those of the database. Users themselves stand "
        "in\n# auth_file. An entry:\n"
        "users = (\n"
        "    # {\n"
        "    #     name = \"alice\";\n",
        out);
    write_policy_keys(out, SCHEMA_USERS, "    #     ");
    fputs("    # }\n);\n", out);
}

void conf_example_write(FILE *out)
{
    fputs("# weir.conf with every key and its default. What you do not need may be left out.\n"
          "#\n"
          "# A time is a text with a unit (us, ms, s, min, h, d) or a number of seconds. A size is "
          "a\n"
          "# text with a unit (B, kB, MB, GB, TB; 1 kB = 1024 bytes) or a number of bytes. Text "
          "stands\n"
          "# in double quotes. Relative files count from the folder of this file. A part may be "
          "kept\n"
          "# in another file: @include \"FILE\".\n"
          "#\n",
          out);
    write_wrapped(out, "# ", applies_help);
    fputs("\n", out);
    write_weir(out);
    write_databases(out);
    write_users(out);
}

static void write_help_key(FILE *out, const struct schema_row *row, enum schema_section section)
{
    if (row->default_text != NULL)
        fprintf(out, "  %s = %s%s%s\n", schema_key(row, section), quote(row), row->default_text,
                quote(row));
    else
        fprintf(out, "  %s\n", schema_key(row, section));
    write_wrapped(out, "      ", row->help);
    write_accepted(out, "      ", row);
}

static void write_help_section(FILE *out, const char *title, enum schema_section section)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    fprintf(out, "%s\n\n", title);
    for (size_t i = 0; i < n_rows; i++) {
        bool inherited = rows[i].policy && section != SCHEMA_WEIR;

        if ((rows[i].sections & section) != 0 && !inherited)
            write_help_key(out, &rows[i], section);
    }
    fputs("\n", out);
}

/* The names of the inheritable keys that an entry of the section may hold. */
static void write_help_inherited(FILE *out, const char *title, enum schema_section section)
{
    char names[1000] = "";
    size_t used = 0, n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    fprintf(out, "%s\n", title);
    for (size_t i = 0; i < n_rows && used < sizeof(names); i++) {
        if (rows[i].policy && (rows[i].sections & section) != 0)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
                                     used == 0 ? "" : ", ", rows[i].key);
    }
    write_wrapped(out, "      ", names);
    fputs("\n", out);
}

void conf_help_write(FILE *out)
{
    write_wrapped(out, "", applies_help);
    fputs("\n", out);
    write_help_section(out, "weir = { ... };", SCHEMA_WEIR);
    write_help_section(out, "weir = { arena = { ... }; };", SCHEMA_ARENA);
    write_help_section(out, "databases = ( { ... }, ... );", SCHEMA_DATABASES);
    write_help_inherited(out, "  and, over what stands under weir:", SCHEMA_DATABASES);
    write_help_section(out, "users = ( { ... }, ... );", SCHEMA_USERS);
    write_help_inherited(out,
                         "  and, over what stands for the database and under weir:", SCHEMA_USERS);
}

/* A row of a Markdown table. */
static void write_table_row(FILE *out, const struct schema_row *row, enum schema_section section)
{
    char accepted[400];

    value_accepted(row, false, accepted, sizeof(accepted));
    fprintf(out, "| `%s` | %s | ", schema_key(row, section), accepted);
    if (row->required)
        fputs("required", out);
    else if (row->default_text != NULL)
        fprintf(out, "`%s%s%s`", quote(row), row->default_text, quote(row));
    fprintf(out, " | %s | %s", applies_text[row->applies], row->help);
    if (row->policy && (row->sections & SCHEMA_DATABASES) == 0)
        fputs(" Not in databases.", out);
    if (row->policy && (row->sections & SCHEMA_USERS) == 0)
        fputs(" Not in users.", out);
    fputs(" |\n", out);
}

static void write_table_head(FILE *out, const char *topic)
{
    if (topic != NULL)
        fprintf(out, "\n### %s\n", topic);
    fputs("\n| key | accepted | default | applies | meaning |\n|---|---|---|---|---|\n", out);
}

static void write_arena_table(FILE *out, const struct schema_row *group)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    fprintf(out, "\n### %s: %s = { ... };\n\n%s\n", group->topic, group->key, group->help);
    write_table_head(out, NULL);
    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & SCHEMA_ARENA) != 0)
            write_table_row(out, &rows[i], SCHEMA_ARENA);
    }
}

/* The keys of a section that are not inherited from weir, a table for each topic. */
static void write_tables(FILE *out, enum schema_section section)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);
    bool first = true;

    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & section) == 0 || (rows[i].policy && section != SCHEMA_WEIR))
            continue;
        if (rows[i].type == SCHEMA_GROUP) {
            write_arena_table(out, &rows[i]);
            continue;
        }
        if (first || rows[i].topic != NULL)
            write_table_head(out, rows[i].topic);
        write_table_row(out, &rows[i], section);
        first = false;
    }
}

static void write_manual_intro(FILE *out)
{
    fputs(
        "# Configuration\n\n"
        "<!-- Written by `ninja -C build configuration-docs` from src/conf/schema.c. -->\n\n"
        "weir reads one file in libconfig's syntax. `weir -t FILE` checks it and says what is "
        "wrong;\n`weir --help-config` prints these tables; [weir.conf.example](weir.conf.example) "
        "is a complete\nfile.\n\n"
        "- A **time** is a text with a unit (`\"250ms\"`, `\"30s\"`, `\"2min\"`, `\"1h\"`, "
        "`\"1d\"`; also `us`)\n  or a number of seconds.\n"
        "- A **size** is a text with a unit (`\"64kB\"`, `\"256MB\"`, `\"1GB\"`; also `B`, `TB`; "
        "1 kB = 1024 bytes)\n  or a number of bytes.\n"
        "- Text stands in double quotes. A list of names or addresses is `\"a, b\"` or "
        "`[\"a\", \"b\"]`.\n"
        "- Relative files count from the folder of the main file.\n"
        "- `@include \"FILE\"` puts another file in its place. Its path counts from the file that "
        "names it;\n  folders, devices, loops, more than 10 levels and more than 16 MB in all are "
        "refused.\n"
        "- An unknown key, a key set twice, a wrong type or a value out of range is refused, with "
        "file, line,\n  key, what was found and what is accepted. A reload that fails changes "
        "nothing.\n"
        "- *Applies* tells when a changed value counts: **live** at a reload, for everything; "
        "**new\n  connections** at a reload, for what connects from then on; **restart** only at "
        "the next start.\n\n" RELOAD_TODAY "\n",
        out);
}

void conf_manual_write(FILE *out)
{
    write_manual_intro(out);
    fputs("\n## weir\n\nOne group: `weir = { key = value; ... };`\n\n"
          "The keys under *Pools* may also stand in an entry of databases or users. The user's "
          "value wins\nover the database's, that over weir's. `default_pool_size` is called "
          "`pool_size` there. A\n`min_pool_size` that meets a smaller `pool_size` of another level "
          "is cut to it.\n",
          out);
    write_tables(out, SCHEMA_WEIR);
    fputs("\n## databases\n\nA list of groups, one for each database that clients can ask for:\n"
          "`databases = ( { name = \"app\"; host = \"10.0.0.5\"; }, { name = \"*\"; } );`\n",
          out);
    write_tables(out, SCHEMA_DATABASES);
    fputs("\n## users\n\nA list of groups with settings for single users; who exists is told by "
          "`auth_file`. Settings go by\nthe user who logs in at the server: where a database has "
          "`user`, by that one.\n"
          "`users = ( { name = \"alice\"; pool_mode = \"session\"; pool_size = 5; } );`\n",
          out);
    write_tables(out, SCHEMA_USERS);
}
