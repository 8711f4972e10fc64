#include <criterion/criterion.h>
#include <stdio.h>

#include "choice.h"
#include "pgwire/proto.h"
#include "pgwire/writer.h"

#define BYTES(text) text, sizeof(text) - 1

/* Reads the parameters, which follow those of a user, of a startup packet. */
static enum choice read(const char *params, size_t len, struct pairs *out,
                        struct choice_refusal *refusal)
{
    uint8_t buf[4096];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    struct pgw_startup s;

    pgw_writer_begin_untyped(&w);
    pgw_writer_u32(&w, PGW_VERSION_3_0);
    pgw_writer_bytes(&w, pgw_span_of("user\0alice", 11));
    pgw_writer_bytes(&w, pgw_span_of(params, len));
    pgw_writer_u8(&w, '\0');
    pgw_writer_end_untyped(&w);

    struct pgw_span in = pgw_writer_span(&w);

    cr_assert(!w.full);
    cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
    cr_assert_eq(s.kind, PGW_STARTUP_SESSION);
    return choice_read(&s, out, refusal);
}

Test(choice, what_is_chosen)
{
    static const struct {
        const char *params;
        size_t len;
        const char *expected; /* "name=value;" in the order of names */
    } cases[] = {
        {BYTES(""), ""},
        {BYTES("database\0app\0replication\0off\0_pq_.x\0y\0options\0\0"), ""},
        {BYTES("TimeZone\0UTC\0"), "timezone=UTC;"},
        {BYTES("TimeZone\0UTC\0timezone\0GMT\0"), "timezone=GMT;"},
        {BYTES("Database\0x\0"), "database=x;"},
        {BYTES("a.b.c\0\0$x_1\0é\0"), "$x_1=é;a.b.c=;"},
        {BYTES("options\0-c work_mem=1MB --Time-Zone=a\\ b -cx.y=\0"),
         "time_zone=a b;work_mem=1MB;x.y=;"},
        {BYTES("TimeZone\0UTC\0options\0-c timezone=GMT -c a=1\0"), "a=1;timezone=UTC;"},
        {BYTES("options\0-c a=1 -c a=2\0"), "a=2;"},
        {BYTES("options\0-c a=\\'\\\\\0"), "a='\\;"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pairs chosen = {0};
        struct choice_refusal refusal;
        struct pair pair;
        size_t at = 0, n = 0;
        char text[256] = "";

        cr_assert_eq(read(cases[i].params, cases[i].len, &chosen, &refusal), CHOICE_MADE, "%zu", i);
        while (pairs_next(&chosen, &at, &pair))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s;", (const char *)pair.name.ptr,
                                  (const char *)pair.value.ptr);
        cr_assert_str_eq(text, cases[i].expected);
        pairs_fini(&chosen);
    }
}

/* 63 and 64 letters. */
#define LONGEST "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

Test(choice, what_is_refused)
{
    static const struct {
        const char *params;
        size_t len;
        const char *sqlstate, *message; /* sqlstate NULL: it is not refused */
    } cases[] = {
        {BYTES("is_superuser\0on\0"), "55P02", "parameter \"is_superuser\" cannot be changed"},
        {BYTES("Server_Version\0x\0"), "55P02", "parameter \"Server_Version\" cannot be changed"},
        {BYTES("options\0-c exit-on-error=on\0"), "55P02",
         "parameter \"exit_on_error\" cannot be changed"},
        {BYTES("log_connections\0on\0"), "55P02",
         "parameter \"log_connections\" cannot be set after connection start"},
        {BYTES("options\0--Post_Auth_Delay=1\0"), "55P02",
         "parameter \"Post_Auth_Delay\" cannot be set after connection start"},
        {BYTES("a\"b\0x\0"), "42704", "unrecognized configuration parameter \"a\"b\""},
        {BYTES("a b\0x\0"), "42704", "unrecognized configuration parameter \"a b\""},
        {BYTES("a..b\0x\0"), "42704", "unrecognized configuration parameter \"a..b\""},
        {BYTES(".b\0x\0"), "42704", "unrecognized configuration parameter \".b\""},
        {BYTES("b.\0x\0"), "42704", "unrecognized configuration parameter \"b.\""},
        {BYTES(LONGEST "\0x\0"), NULL, NULL},
        {BYTES("a." LONGEST "." LONGEST "\0x\0"), NULL, NULL},
        {BYTES(LONGEST "l\0x\0"), "42704", "unrecognized configuration parameter \"" LONGEST "l\""},
        {BYTES("options\0work_mem\0"), "42601",
         "invalid command-line argument for server process: work_mem"},
        {BYTES("options\0-c\0"), "42601", "invalid command-line argument for server process: -c"},
        {BYTES("options\0-c a\0"), "42601", "invalid command-line argument for server process: a"},
        {BYTES("options\0-c a=1 -d 5\0"), "0A000",
         "options may be -c name=value and --name=value, not -d"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pairs chosen = {0};
        struct choice_refusal refusal;
        enum choice choice = read(cases[i].params, cases[i].len, &chosen, &refusal);

        cr_assert_eq(choice, cases[i].sqlstate == NULL ? CHOICE_MADE : CHOICE_REFUSED, "%zu", i);
        if (choice == CHOICE_REFUSED) {
            cr_assert_str_eq(refusal.sqlstate, cases[i].sqlstate);
            cr_assert_str_eq(refusal.message, cases[i].message);
        }
        pairs_fini(&chosen);
    }
}

Test(choice, a_long_name_is_cut_in_the_refusal)
{
    struct pairs chosen = {0};
    struct choice_refusal refusal;
    char params[2003];

    memset(params, 'a', sizeof(params));
    memcpy(params + 2000, "\0x", 3);
    cr_assert_eq(read(params, sizeof(params), &chosen, &refusal), CHOICE_REFUSED);
    cr_assert_lt(strlen(refusal.message), 200);
    pairs_fini(&chosen);
}

Test(choice, what_any_server_takes)
{
    static const struct {
        const char *name, *value;
        bool plain;
    } cases[] = {
        {"application_name", "psql ~!", true}, {"Application_Name", "", true},
        {"application_name", LONGEST, true},   {"application_name", LONGEST "l", false},
        {"application_name", "é", false},      {"application_name", "a\tb", false},
        {"application_name", "\x7f", false},   {"application_nam", "psql", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(choice_is_plain(span_str(cases[i].name), span_str(cases[i].value)),
                     cases[i].plain, "%zu", i);
}
