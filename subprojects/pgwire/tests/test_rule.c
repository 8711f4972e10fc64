#include <criterion/criterion.h>
#include <string.h>

#include "pgwire/rule.h"

static void check_letters(const struct pgw_rule *table, const char *letters)
{
    for (unsigned type = 0; type < PGW_N_TYPES; type++) {
        const struct pgw_rule *r = &table[type];
        bool known = type != 0 && strchr(letters, (int)type) != NULL;

        cr_assert_eq(r->name != NULL, known, "letter 0x%02x", type);
        cr_assert_eq(r->action != PGW_VIOLATION, known, "letter 0x%02x", type);
        cr_assert_eq(r->phases != 0, known, "letter 0x%02x", type);
        cr_assert_leq(r->min_body, r->max_body, "letter 0x%02x", type);
    }
}

Test(rule, the_tables_know_exactly_the_letters_of_the_protocol)
{
    check_letters(pgw_frontend_rules, "QPBDECSHFdcfXp");
    check_letters(pgw_backend_rules, "RKSZ123TtDCIENnsAGHWcdVv");
}

Test(rule, no_length_fits_an_unknown_letter)
{
    const uint32_t lengths[] = {0, 1, 3, 4, 5, 100, INT32_MAX, UINT32_MAX};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        cr_assert_not(pgw_rule_fits(&pgw_frontend_rules['Z'], lengths[i]));
        cr_assert_not(pgw_rule_fits(&pgw_backend_rules[0], lengths[i]));
    }
}

struct limit {
    const struct pgw_rule *rule;
    uint32_t shortest; /* length words */
    uint32_t longest;
};

Test(rule, lengths_fit_up_to_the_limit_and_no_further)
{
    const struct limit limits[] = {
        {&pgw_frontend_rules['Q'], 5, 0x3ffffffe},
        {&pgw_frontend_rules['P'], 8, 0x3ffffffe},
        {&pgw_frontend_rules['B'], 12, 0x3ffffffe},
        {&pgw_frontend_rules['F'], 14, 0x3ffffffe},
        {&pgw_frontend_rules['d'], 4, 0x3ffffffe},
        {&pgw_frontend_rules['D'], 6, 10000},
        {&pgw_frontend_rules['C'], 6, 10000},
        {&pgw_frontend_rules['E'], 9, 10000},
        {&pgw_frontend_rules['S'], 4, 10000},
        {&pgw_frontend_rules['H'], 4, 10000},
        {&pgw_frontend_rules['X'], 4, 10000},
        {&pgw_frontend_rules['c'], 4, 10000},
        {&pgw_frontend_rules['f'], 5, 10000},
        {&pgw_frontend_rules['p'], 4, 65535},
        {&pgw_backend_rules['Z'], 5, 5},
        {&pgw_backend_rules['1'], 4, 4},
        {&pgw_backend_rules['K'], 12, 264},
        {&pgw_backend_rules['D'], 6, 0x40000003},
        {&pgw_backend_rules['C'], 5, 10000},
        {&pgw_backend_rules['R'], 8, 65543},
        {&pgw_backend_rules['t'], 6, 262146},
        {&pgw_backend_rules['G'], 7, 131077},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct limit *l = &limits[i];

        cr_assert(pgw_rule_fits(l->rule, l->shortest), "%s", l->rule->name);
        cr_assert(pgw_rule_fits(l->rule, l->longest), "%s", l->rule->name);
        cr_assert_not(pgw_rule_fits(l->rule, l->shortest - 1), "%s", l->rule->name);
        cr_assert_not(pgw_rule_fits(l->rule, l->longest + 1), "%s", l->rule->name);
        cr_assert_not(pgw_rule_fits(l->rule, 0), "%s", l->rule->name);
        cr_assert_not(pgw_rule_fits(l->rule, UINT32_MAX), "%s", l->rule->name);
    }
}

Test(rule, phases)
{
    const struct pgw_rule *f = pgw_frontend_rules, *b = pgw_backend_rules;

    cr_assert(pgw_rule_allows(&f['p'], PGW_IN_AUTH));
    cr_assert_not(pgw_rule_allows(&f['p'], PGW_IN_IDLE));
    cr_assert_not(pgw_rule_allows(&f['Q'], PGW_IN_AUTH));
    cr_assert_not(pgw_rule_allows(&f['Q'], PGW_IN_COPY_IN));
    cr_assert(pgw_rule_allows(&f['Q'], PGW_IN_EXTENDED));
    cr_assert(pgw_rule_allows(&f['S'], PGW_IN_COPY_IN));
    cr_assert(pgw_rule_allows(&f['d'], PGW_IN_IDLE)); /* late data of a failed COPY */
    cr_assert_not(pgw_rule_allows(&f['d'], PGW_IN_AUTH));
    cr_assert(pgw_rule_allows(&f['X'], PGW_IN_AUTH));
    cr_assert(pgw_rule_allows(&b['E'], PGW_IN_IDLE));
    cr_assert_not(pgw_rule_allows(&b['D'], PGW_IN_IDLE));
    cr_assert_not(pgw_rule_allows(&b['Z'], PGW_IN_IDLE));
    cr_assert_not(pgw_rule_allows(&b['1'], PGW_IN_SIMPLE));
    cr_assert_not(pgw_rule_allows(&b['A'], PGW_IN_SETUP));
    cr_assert(pgw_rule_allows(&b['d'], PGW_IN_COPY_BOTH));
}

Test(rule, flags_and_actions)
{
    const struct pgw_rule *f = pgw_frontend_rules, *b = pgw_backend_rules;

    for (const char *p = "QFPBDCESp"; *p != '\0'; p++)
        cr_assert(f[(uint8_t)*p].flags & PGW_ANSWERED, "%c", *p);
    for (const char *p = "HdcfX"; *p != '\0'; p++)
        cr_assert_not(f[(uint8_t)*p].flags & PGW_ANSWERED, "%c", *p);
    for (const char *p = "PBDCEH"; *p != '\0'; p++)
        cr_assert(f[(uint8_t)*p].flags & PGW_BATCHED, "%c", *p);
    for (const char *p = "PBDC"; *p != '\0'; p++)
        cr_assert_eq(f[(uint8_t)*p].action, PGW_RENAME, "%c", *p);
    for (const char *p = "ENSA"; *p != '\0'; p++)
        cr_assert(b[(uint8_t)*p].flags & PGW_ASYNC, "%c", *p);
    cr_assert_eq(f['S'].flags, PGW_ANSWERED | PGW_ENDS_BATCH);
    cr_assert_eq(f['X'].flags, PGW_TERMINATES);
    cr_assert_eq(f['X'].action, PGW_INTERCEPT);
    cr_assert_eq(b['Z'].action, PGW_LOOK);
    cr_assert_eq(b['S'].action, PGW_INTERCEPT);
}
