#include <criterion/criterion.h>

#include "pgwire/sqlstate.h"
#include "words.h"

#define FIELDS "SFATAL\0VFATAL\0C22023\0Mno such value\0Fguc.c\0"

Test(words, all_that_is_told_again)
{
    static const char fields[] = "SFEHLER\0VERROR\0C22P02\0Mno\0Done\0Htwo\0Wthree\0";
    struct words words;
    struct pgw_report report;

    words_read(pgw_span_of(fields, sizeof(fields)), &words);
    report = words_report(&words, "FATAL");
    cr_assert_str_eq(report.severity, "FATAL");
    cr_assert_str_eq(report.sqlstate, "22P02");
    cr_assert_str_eq(report.message, "no");
    cr_assert_str_eq(report.detail, "one");
    cr_assert_str_eq(report.hint, "two");
    words_read(pgw_span_of(FIELDS, sizeof(FIELDS)), &words);
    report = words_report(&words, "FATAL");
    cr_assert_null(report.detail);
    cr_assert_null(report.hint);
}

/* Cut anywhere, what is whole is taken. */
Test(words, an_error_that_is_cut)
{
    static const char fields[] = FIELDS;

    for (size_t len = 0; len <= sizeof(fields); len++) {
        struct words words;
        bool has_state = len >= sizeof("SFATAL\0VFATAL\0C22023");
        bool has_text = len >= sizeof("SFATAL\0VFATAL\0C22023\0Mno such value");

        words_read(pgw_span_of(fields, len), &words);
        cr_assert_str_eq(words.sqlstate, has_state ? "22023" : PGW_STATE_CANT_CHANGE_RUNTIME_PARAM);
        cr_assert_eq(strcmp(words.message, "no such value") == 0, has_text, "%zu", len);
        cr_assert_neq(words.message[0], '\0');
    }
}

Test(words, a_long_message_is_cut)
{
    struct words words;
    char body[1003];

    memset(body, 'x', sizeof(body));
    body[0] = 'M';
    body[1001] = body[1002] = '\0';
    words_read(pgw_span_of(body, sizeof(body)), &words);
    cr_assert_eq(strlen(words.message), sizeof(words.message) - 1);
}

Test(words, a_long_message_is_cut_between_letters)
{
    static const char *const letters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x98"};

    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        size_t size = strlen(letters[i]);

        for (size_t before = 0; before < size; before++) {
            struct words words;
            char body[1024] = "M";
            size_t len = 1 + before;

            memset(body + 1, 'x', before);
            for (; len + size < sizeof(body) - 2; len += size)
                memcpy(body + len, letters[i], size);
            words_read(pgw_span_of(body, len + 2), &words);
            cr_assert_eq((strlen(words.message) - before) % size, 0);
            cr_assert_gt(strlen(words.message), sizeof(words.message) - 1 - size);
        }
    }
}
