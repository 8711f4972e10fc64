/*
 * What the grammar refuses and how it says so; what it accepts in unusual dress.
 */
#include "conf_case.h"

#include <stdlib.h>

struct refusal {
    const char *text;
    unsigned line;
    const char *message;
};

static const struct refusal refusals[] = {
    /* the usual mistakes */
    {"weir = { };\nusers = (\n {name = \"a\";},\n);", 4, "no ',' may follow the last one"},
    {"weir = { admin_users = [\"a\",\n]; };", 2, "no ',' may follow the last one"},
    {"weir = {\nquery_wait_timeout = 30s;\n};", 2,
     "query_wait_timeout = 30s: text, and a number with a unit, stands in double quotes; accepted: "
     "a time from 1ms to 365d: \"250ms\", \"30s\""},
    {"weir = { arena = {\ntotal_size = 256MB;\n}; };", 2,
     "total_size = 256MB: text, and a number with a unit, stands in double quotes; accepted: a "
     "size from 64kB to 1TB"},
    {"weir = {\nlog_connections = yes;\n};", 2,
     "log_connections = yes: a switch is true or false; accepted: true or false"},
    {"weir = {\nfail_fast = off;\n};", 2, "a switch is true or false; accepted: true or false"},
    {"weir = {\npin_reactors = on;\n};", 2, "accepted: \"auto\", \"on\" or \"off\""},
    {"weir = {\npool_mode = session;\n};", 2,
     "pool_mode = session: text, and a number with a unit, stands in double quotes"},
    {"weir = {\nlisten_addr = 127.0.0.1;\n};", 2, "listen_addr = 127.0.0.1: text"},
    {"weir = {\nlisten_addr = ::1;\n};", 2, "at ':': expected a value"},
    {"weir = {\nauth_file = /etc/users;\n};", 2, "this character belongs to nothing"},
    {"weir = {\nauth_file = 'users';\n};", 2, "text stands in double quotes"},
    {"weir = {\nmystery = 30s;\n};", 2, "mystery = 30s: text, and a number with a unit"},
    {"weir = {\nlisten_port = 1e3;\n};", 2, "listen_port = 1e3"},
    {"weir = {\nlisten_port 6432;\n};", 2, "at '6432': expected '=' after a key"},
    {"weir = {\nlisten_port = ;\n};", 2, "at ';': expected a value"},
    {"weir = {\nlisten_port = 1;;\n};", 2, "at ';': expected a key"},
    {"weir = {\n\"listen_port\" = 1;\n};", 2, "expected a key"},
    {"weir = {\nauth_file = \"a\" \"b\";\n};", 2, "expected one text"},
    {"weir = {\n};\n};", 3, "at '}': expected a key, as in: key = value;"},
    {"weir = {\nlisten_port = 1;\n);", 3, "the '}' that ends the group"},
    {"weir = {\nlisten_port = 1;", 2, "the '{' of " CASE_PATH ":1 is not closed"},
    {"weir = { };\nusers = ( { name = \"a\"; }\n", 3, "the '(' of " CASE_PATH ":2 is not closed"},
    {"weir = { };\nusers = ( { name = \"a\"; }\n{ name = \"b\"; } );", 3,
     "at '{': expected ',' or ')'"},
    {"weir = { admin_users = [ \"a\"\n\"b\" ]; };", 2, "expected one text"},
    {"weir = { admin_users = [ \"a\";\n\"b\" ]; };", 1, "expected ',' or ']'"},
    {"weir = { admin_users = [ \"a\",\n1 ]; };", 2, "values of one kind"},
    {"weir = { admin_users = [\n{ } ]; };", 2, "plain values in an array"},
    {"weir =", 1, "the file ends; expected a value"},
    {"weir", 1, "the file ends; expected '='"},
    {"weir = {\nauth_file = \"users;\n};", 2, "not closed: a '\"' is missing"},
    {"weir = { /* a comment\n};", 1, "this comment is not closed"},
    {"weir = { /*/ };", 1, "this comment is not closed"},
    {"weir = { /* two\n lines */ reactors = 65; };", 2, "weir.reactors = 65"},
    {"weir = { # one\n // two\n reactors = 65; };", 3, "weir.reactors = 65"},
    {"weir = { };\nusers = ( { name = \"a\"; },\nb );", 3, "users = b: text"},
    /* zero bytes would cut what the library sees */
    {"weir = {\nauth_file = \"a\\x00b\";\n};", 2, "zero bytes are not possible"},
    {"weir = {\nauth_file = \"a\\X00b\";\n};", 2, "zero bytes are not possible"},
    {"weir = {\nauth_file = \"\\\\\\x00\";\n};", 2, "zero bytes are not possible"},
    /* includes */
    {"@include \"/dev/null\"", 1, "@include: not possible in a text that is not a file"},
    {"weir = { };\n@include <x>", 2, "expected @include \"FILE\""},
    {"weir = { };\n@import \"x\"", 2, "expected @include \"FILE\""},
    {"weir = { };\n@include \"x\n\"", 2, "not closed"},
    /* what stands where */
    {"wier = { };", 1, "wier: there is no such group; accepted: weir, databases, users"},
    {"weir = { };\ndatabase = ( );", 2, "database: there is no such group"},
    {"databases = ( );", 1, "weir: the group is missing"},
    {"", 1, "weir: the group is missing"},
    {"weir = 5;", 1, "weir: accepted: a group"},
    {"weir = ( );", 1, "weir: accepted: a group"},
    {"weir = { };\ndatabases = { name = \"a\"; };", 2, "databases: accepted: a list of groups"},
    {"weir = { };\ndatabases = [ ];", 2, "databases: accepted: a list of groups"},
    {"weir = { };\nusers = 5;", 2, "users: accepted: a list of groups"},
    {"weir = { };\ndatabases = (\n\"a\"\n);", 3, "databases[0]: accepted: a group"},
    {"weir = { };\ndatabases = (\n{ name = \"a\"; },\n{ host = \"h\"; } );", 4,
     "databases[1]: the key \"name\" is missing"},
    {"weir = { };\nweir = { };", 2, "weir is set twice, first at " CASE_PATH ":1"},
    {"weir = {\npool_size = 5;\n};", 2, "did you mean \"default_pool_size\"?"},
    {"weir = { };\ndatabases = ( { name = \"a\";\ndefault_pool_size = 5; } );", 3,
     "did you mean \"pool_size\"?"},
    {"weir = {\nport = 5;\n};", 2, "it belongs to an entry of databases"},
    {"weir = {\nchunk_size = 5;\n};", 2, "it belongs to weir.arena"},
    {"weir = { };\nusers = ( { name = \"a\";\nauth_type = 5; } );", 3, "it belongs to weir"},
    {"weir = {\nzzzzzzzzzzzz = 5;\n};", 2, "accepted: those that weir --help-config lists"},
    /* rules between keys */
    {"weir = { };\ndatabases = ( { name = \"a\"; },\n{ name = \"b\"; },\n{ name = \"a\"; } );", 4,
     "databases[2].name = \"a\" is there twice, first at " CASE_PATH ":2"},
    {"weir = { };\nusers = ( { name = \"a\"; },\n{ name = \"a\"; } );", 3,
     "users[1].name = \"a\" is there twice"},
    {"weir = { };\ndatabases = ( {\nname = \"pgbouncer\"; } );", 3, "that is the admin console"},
    {"weir = { };\ndatabases = ( {\nname = \"weir\"; } );", 3, "that is the admin console"},
    {"weir = {\nmin_pool_size = 21;\n};", 2,
     "weir.min_pool_size = 21: accepted: at most the pool's size, which is 20 here"},
    {"weir = { };\ndatabases = ( { name = \"a\";\nmin_pool_size = 3; pool_size = 2; } );", 3,
     "databases[0].min_pool_size = 3: accepted: at most the pool's size, which is 2 here"},
    {"weir = { };\nusers = ( { name = \"a\";\nmin_pool_size = 30; } );", 3,
     "users[0].min_pool_size = 30: accepted: at most the pool's size, which is 20 here"},
    {"weir = {\nlisten_addr = \"\";\n};", 2, "listen_addr and unix_socket_dir are both \"\""},
    {"weir = { arena = {\ntotal_size = \"1MB\";\nchunks_count = 16; }; };", 3,
     "total_size and chunks_count are both given; accepted: one of them"},
    {"weir = { arena = {\ntotal_size = \"64kB\"; chunk_size = \"128kB\"; }; };", 2,
     "total_size is less than one chunk"},
    {"weir = { arena = {\nchunk_size = \"5KiB\";\n}; };", 2,
     "weir.arena.chunk_size = \"5KiB\"; accepted: a power of two"},
};

Test(syntax, refused_with_a_reason)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        struct conf_error error;

        case_refuse(r->text, &error);
        case_message(&error, r->line, r->message, r->text);
    }
}

Test(syntax, shows_the_line)
{
    struct conf_error error;

    case_refuse("weir = {\n\t  listen_port = \x01 6432;  \n};", &error);
    cr_assert_not_null(strstr(error.text, "\n    listen_port = ? 6432;"), "%s", error.text);
}

Test(syntax, a_raw_zero_byte)
{
    static const char text[] = "weir = { };\n\0databases = ( );";
    struct conf_error error;
    struct conf *c;

    cr_assert_eq(conf_load_text(CASE_PATH, span_of(text, sizeof(text) - 1), &c, &error), -EINVAL);
    case_message(&error, 2, "zero bytes", "a zero byte");
}

static const char *const accepted[] = {
    "weir = { };",
    "weir : { };",
    "weir = { }",
    "\xef\xbb\xbfweir = { };",
    "weir = { listen_port = 1 listen_backlog = 2, reactors = 3 }; # a comment at the very end",
    "weir = { };\r\nusers = ( );\r\n// comment",
    "/* a\n * comment */ weir /**/ = # more\n { /* \" */ } // \"\n;",
    "users = ( { name = \"u\" } )\nweir = { }",
    "weir = { listen_port = 0x1900; reactors = 4L; listen_backlog = 5LL; max_pools = +7; };",
    "weir = { auth_file = \"a // not # a /* comment\"; };",
    "weir = { auth_file = \"q\\\"uote \\\\ tab\\t \\x41 \\q\"; };",
};

Test(syntax, accepted)
{
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        conf_put(case_accept(accepted[i]));
}

Test(syntax, escapes_are_libconfigs)
{
    struct conf *c = case_accept(accepted[sizeof(accepted) / sizeof(accepted[0]) - 1]);

    cr_assert_str_eq(c->weir.auth_file, "/etc/weir/q\"uote \\ tab\t A \\q");
    conf_put(c);
}

/* Every prefix of a good file: refused or accepted, never worse. */
Test(syntax, cut_at_every_length)
{
    static const char text[] = "weir = { arena = { total_size = \"1MB\" }; /* c */ reactors = 0x2; "
                               "admin_users = [\"a\", \"b\"]; };\n"
                               "databases = ( { name = \"d\"; port = 5; }, { name = \"*\" } ); # e";

    for (size_t len = 0; len < sizeof(text); len++) {
        struct conf_error error = {""};
        struct conf *c = NULL;
        int r = conf_load_text(CASE_PATH, span_of(text, len), &c, &error);

        cr_assert(r == 0 ? c != NULL : r == -EINVAL && error.text[0] == '/', "%zu bytes", len);
        conf_put(c);
    }
}

/* n copies of a piece between two ends. The caller frees it. */
static char *repeat(const char *begin, const char *piece, size_t n, const char *end)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    cr_assert_not_null(out);
    fputs(begin, out);
    for (size_t i = 0; i < n; i++)
        fputs(piece, out);
    fputs(end, out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(syntax, nesting_is_bounded)
{
    static const char most[] =
        "weir = (((((((((((((((((((((((((((((((( ))))))))))))))))))))))))))))))));";
    char *deep = repeat("weir = ", "(", 100000, "");
    struct conf_error error;

    case_refuse(deep, &error);
    case_message(&error, 1, "nested more than 32 deep", "100000 times (");
    free(deep);
    case_refuse(most, &error);
    case_message(&error, 1, "weir: accepted: a group", most);
}

Test(syntax, settings_of_a_group_are_bounded)
{
    char text[8192] = "weir = {\n";
    size_t used = strlen(text);
    struct conf_error error;

    for (int i = 0; i < 257; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "key%d = 1;\n", i);
    case_refuse(text, &error);
    case_message(&error, 258, "more than 256 settings in one group", "257 keys");
}

Test(syntax, text_is_bounded)
{
    char *text = repeat("weir = { };", " ", 16 << 20, "");
    struct conf_error error;
    struct conf *c;

    cr_assert_eq(conf_load_text(CASE_PATH, span_str(text), &c, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "larger than 16 MB"), "%s", error.text);
    free(text);
}

Test(syntax, a_long_message_is_cut)
{
    char *text = repeat("weir = {\n", "x", 5000, " = 1;\n};");
    struct conf_error error;

    case_refuse(text, &error);
    case_message(&error, 2, "there is no such key", "a key of 5000 bytes");
    free(text);
}
