/* What is noted of a server's words; what is sent and told because of it: tests/e2e. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "client.h"
#include "known.h"
#include "sessions.h"

static const struct {
    size_t len;
    uint8_t bytes[96];
} reports = {66, "S\0\0\0\x11TimeZone\0UTC\0S\0\0\0\x19"
                 "client_encoding\0UTF8\0S\0\0\0\x15"
                 "is_superuser\0off\0"};

struct scene {
    struct sessions all;
    struct client client;
    struct server server;
};

static struct scene *scene_new(void)
{
    struct scene *s =
        aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);

    cr_assert_not_null(s);
    memset(s, 0, sizeof(*s));
    cr_assert_eq(known_new(&s->all.known), 0);
    s->server.greeting = (const struct greeting *)&reports;
    s->client.settings.greeting = s->server.greeting;
    s->client.all = &s->all;
    s->client.server = &s->server;
    s->client.phase = CLIENT_ACTIVE;
    return s;
}

static void scene_free(struct scene *s)
{
    settings_fini(&s->client.settings);
    pairs_fini(&s->server.settings);
    known_free(s->all.known);
    free(s);
}

/* "name=value;name=value;", nothing empty. */
static void fill(struct pairs *p, const char *text)
{
    while (*text != '\0') {
        size_t name = strcspn(text, "="), value = strcspn(text + name, ";") - 1;

        cr_assert(pairs_put(p, span_of(text, name), span_of(text + name + 1, value)));
        text += name + 1 + value + 1;
    }
}

static void is(const struct pairs *p, const char *expected, const char *of)
{
    struct pairs e = {0};

    fill(&e, expected);
    cr_assert(pairs_equal(p, &e), "%s is not %s", of, expected);
    pairs_fini(&e);
}

static void report(struct scene *s, const char *name, const char *value)
{
    char body[64];
    int len = snprintf(body, sizeof(body), "%s%c%s", name, 0, value) + 1;

    cr_assert_eq(settings_reported(&s->client, pgw_span_of(body, (size_t)len), PGW_REPLY_PASS),
                 PGW_REPLY_DROP);
}

static void complete(struct scene *s, const char *tag)
{
    cr_assert(settings_completed(&s->client, pgw_span_of(tag, strlen(tag) + 1), false));
}

/* What happens: "name=value" is a report, anything else a tag. */
struct step_case {
    const char *startup, *wanted, *there;
    const char *steps[4];
    const char *then_wanted, *then_there;
};

static const struct step_case step_cases[] = {
    /* the client's SET, and what takes it back */
    {"", "", "", {"TimeZone=GMT"}, "timezone=GMT;", "timezone=GMT;"},
    {"", "", "", {"TimeZone=GMT", "TimeZone=UTC"}, "", ""},
    {"timezone=X;",
     "timezone=X;",
     "timezone=X;",
     {"TimeZone=UTC"},
     "timezone=UTC;",
     "timezone=UTC;"},
    {"timezone=X;", "timezone=UTC;", "timezone=UTC;", {"TimeZone=X"}, "timezone=X;", "timezone=X;"},
    /* nobody can set it */
    {"", "", "", {"is_superuser=on"}, "", "is_superuser=on;"},
    {"", "", "is_superuser=on;", {"is_superuser=off"}, "", ""},
    /* RESET: the tag is before its report, or behind it (before PostgreSQL 14) */
    {"timezone=X;",
     "timezone=Y;",
     "timezone=Y;",
     {"RESET", "TimeZone=UTC"},
     "timezone=X;",
     "timezone=UTC;"},
    {"timezone=X;",
     "timezone=Y;",
     "timezone=Y;",
     {"TimeZone=UTC", "RESET"},
     "timezone=X;",
     "timezone=UTC;"},
    {"timezone=X;", "timezone=UTC;", "timezone=UTC;", {"RESET"}, "timezone=X;", "timezone=UTC;"},
    {"timezone=X;", "timezone=Y;", "timezone=Y;", {"RESET"}, "timezone=Y;", "timezone=Y;"},
    {"", "timezone=Y;", "timezone=Y;", {"RESET", "TimeZone=UTC"}, "", ""},
    {"a=1;", "a=1;", "a=1;", {"RESET"}, "a=1;", "a=1;"},
    /* DISCARD ALL */
    {"a=1;timezone=X;",
     "a=1;timezone=Y;",
     "a=1;timezone=Y;",
     {"DISCARD ALL", "TimeZone=UTC"},
     "a=1;timezone=X;",
     "timezone=UTC;"},
    {"timezone=X;",
     "timezone=Y;",
     "b=2;c=3;timezone=Y;",
     {"TimeZone=UTC", "DISCARD ALL"},
     "timezone=X;",
     "timezone=UTC;"},
    {"",
     "client_encoding=LATIN1;",
     "client_encoding=LATIN1;",
     {"DISCARD ALL", "client_encoding=UTF8"},
     "",
     ""},
    /* neither is of importance here */
    {"a=1;", "a=1;", "a=1;", {"SELECT 1", "SETTING", "DISCARD TEMP"}, "a=1;", "a=1;"},
};

Test(settings, what_is_noted)
{
    for (size_t i = 0; i < sizeof(step_cases) / sizeof(step_cases[0]); i++) {
        const struct step_case *c = &step_cases[i];
        struct scene *s = scene_new();

        s->client.suspicion.changes_settings = true;
        fill(&s->client.settings.startup, c->startup);
        fill(&s->client.settings.wanted, c->wanted);
        fill(&s->server.settings, c->there);
        for (size_t n = 0; n < 4 && c->steps[n] != NULL; n++) {
            const char *equals = strchr(c->steps[n], '=');
            char name[32];

            if (equals == NULL) {
                complete(s, c->steps[n]);
                continue;
            }
            snprintf(name, sizeof(name), "%.*s", (int)(equals - c->steps[n]), c->steps[n]);
            report(s, name, equals + 1);
        }
        is(&s->client.settings.wanted, c->then_wanted, c->steps[0]);
        is(&s->server.settings, c->then_there, c->steps[0]);
        scene_free(s);
    }
}

/* What comes of our own Query, or of what is done behind a client that has gone, is not its wish.
 */
Test(settings, what_is_not_the_clients_doing)
{
    struct scene *s = scene_new();

    s->client.settings.is_applying = true;
    report(s, "TimeZone", "GMT");
    is(&s->client.settings.wanted, "", "wanted");
    is(&s->server.settings, "timezone=GMT;", "there");
    s->client.settings.is_applying = false;
    s->client.phase = CLIENT_LOST;
    report(s, "client_encoding", "LATIN1");
    complete(s, "DISCARD ALL");
    is(&s->client.settings.wanted, "", "wanted");
    is(&s->server.settings, "client_encoding=LATIN1;timezone=GMT;", "there");
    scene_free(s);
}

Test(settings, a_tag_that_casts_doubt)
{
    static const struct {
        const char *tag;
        bool doubted;
    } cases[] = {{"SET", true},          {"RESET", true},
                 {"SELECT 1", false},    {"SET CONSTRAINTS", false},
                 {"DISCARD ALL", false}, {"RESETS", false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene *s = scene_new();

        complete(s, cases[i].tag);
        cr_assert_eq(s->server.settings_doubted, cases[i].doubted, "%s", cases[i].tag);
        scene_free(s);
    }
}

/* Others than those that the server told at its login are none of ours. */
Test(settings, reports_that_pass)
{
    static const char other[] = "other\0x", cut[] = "TimeZone\0Europe/Pa";
    struct scene *s = scene_new();

    cr_assert_eq(settings_reported(&s->client, pgw_span_of(other, sizeof(other)), PGW_REPLY_PASS),
                 PGW_REPLY_PASS);
    cr_assert_eq(settings_reported(&s->client, pgw_span_of(cut, sizeof(cut) - 1), PGW_REPLY_PASS),
                 PGW_REPLY_PASS);
    is(&s->client.settings.wanted, "", "wanted");
    is(&s->server.settings, "", "there");
    scene_free(s);
}

Test(settings, context)
{
    static const char *const different[] = {"",
                                            "timezone=GMT;",
                                            "client_encoding=GMT;",
                                            "search_path=a;",
                                            "search_path=b;",
                                            "role=a;",
                                            "search_path=a;role=a;",
                                            "search_path=;"};
    uint64_t contexts[sizeof(different) / sizeof(different[0])];
    struct scene *s = scene_new();

    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        pairs_clear(&s->client.settings.wanted);
        if (i + 1 == sizeof(different) / sizeof(different[0]))
            cr_assert(pairs_put(&s->client.settings.wanted, span_str("search_path"), span_str("")));
        else
            fill(&s->client.settings.wanted, different[i]);
        s->client.settings.context = 0;
        contexts[i] = settings_context(&s->client);
        cr_assert_eq(settings_context(&s->client), contexts[i]);
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(contexts[k], contexts[i], "%zu and %zu", k, i);
    }
    /* what has no influence, and what the server has by itself */
    pairs_clear(&s->client.settings.wanted);
    fill(&s->client.settings.wanted, "application_name=x;client_encoding=UTF8;timezone=UTC;");
    s->client.settings.context = 0;
    cr_assert_eq(settings_context(&s->client), contexts[0]);
    s->client.settings.is_reset = true; /* or these would be nobody's doing */
    report(s, "TimeZone", "GMT");
    cr_assert_eq(settings_context(&s->client), contexts[1]);
    report(s, "TimeZone", "UTC");
    cr_assert_eq(settings_context(&s->client), contexts[0]);
    scene_free(s);
}

/* Behind what may change settings nobody's statements are this client's, nor those of its next
 * server. */
Test(settings, context_of_its_own)
{
    struct scene *s = scene_new();
    uint64_t shared = settings_context(&s->client), own;

    s->client.id = 17;
    (void)suspect_query(&s->client, pgw_span_of("set a = 1", 10), true);
    own = settings_context(&s->client);
    cr_assert(suspect_is_private(own) && !suspect_is_private(shared));
    cr_assert_eq(settings_context(&s->client), own);
    suspect_linked(&s->client, false);
    cr_assert_eq(settings_context(&s->client), shared);
    (void)suspect_query(&s->client, pgw_span_of("set a = 1", 10), true);
    cr_assert(suspect_is_private(settings_context(&s->client)));
    cr_assert_neq(settings_context(&s->client), own);
    suspect_fini(&s->client.suspicion);
    scene_free(s);
}

/* A change that no text explains may be a function's, or the server's: it is to be asked. */
Test(settings, report_out_of_nowhere)
{
    struct scene *s = scene_new();

    report(s, "TimeZone", "GMT");
    is(&s->client.settings.wanted, "", "wanted");
    is(&s->server.settings, "timezone=GMT;", "there");
    cr_assert_eq(s->server.suspected, STATE_BIT(STATE_SETTINGS));
    scene_free(s);
}
