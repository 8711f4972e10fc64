/* client_auth against server_auth: every method with every form of a secret on either side. */
#include "rig.h"

static struct rig rig;

static void setup(void)
{
    rig_init(&rig);
}

static void teardown(void)
{
    rig_fini(&rig);
}

TestSuite(dialogue, .init = setup, .fini = teardown);

/* What is done to the message of this number, counted from 0 over both directions. */
struct fault {
    enum { FAULT_NONE, FAULT_CUT, FAULT_FLIP } kind;
    unsigned message;
    size_t at; /* the length that is left, or the byte that is another */
};

struct outcome {
    enum client_auth_result checker;
    enum server_auth_result prover;
    unsigned n_messages;
    size_t len; /* of the message that the fault is for */
};

/* A message on its way: its body, perhaps with the fault in it. */
static struct span carry(struct rig_message *m, uint8_t letter, const struct fault *f,
                         struct outcome *o)
{
    struct span body = rig_body(m, letter);
    bool hit = o->n_messages++ == f->message;

    if (!hit)
        return body;
    o->len = body.len;
    if (f->kind == FAULT_CUT)
        body.len = f->at;
    if (f->kind == FAULT_FLIP)
        m->bytes[PGW_HEADER_LEN + f->at] ^= 1;
    return body;
}

/* The prover hears what the checker wrote, if anything, and answers. */
static bool prover_turn(struct server_auth *prover, struct rig_message *asked,
                        struct rig_message *answer, const struct fault *f, struct outcome *o)
{
    if (asked->w.len > 0)
        o->prover = rig_answer(&rig, prover, carry(asked, 'R', f, o), answer);
    if (o->checker != CLIENT_AUTH_OK)
        return o->checker == CLIENT_AUTH_ASK && o->prover == SERVER_AUTH_SEND;
    if (o->prover != SERVER_AUTH_WAIT && o->prover != SERVER_AUTH_SEND)
        return false;
    pgw_build_authentication(rig_room(asked, 1024), PGW_AUTH_OK);
    o->prover = rig_answer(&rig, prover, carry(asked, 'R', f, o), answer);
    return false;
}

static struct outcome talk(struct client_auth *checker, enum conf_auth_type method,
                           enum rig_kind kind, struct server_auth *prover, const struct fault *f)
{
    struct outcome o = {.prover = SERVER_AUTH_WAIT};
    struct rig_message asked, answer;

    o.checker = rig_start(&rig, checker, method, kind, &asked);
    while (prover_turn(prover, &asked, &answer, f, &o))
        o.checker = rig_hear(&rig, checker, carry(&answer, 'p', f, &o), &asked);
    return o;
}

static struct outcome meet(enum conf_auth_type method, enum rig_kind kind, const char *password,
                           enum rig_kind own, const struct fault *f)
{
    struct client_auth checker;
    struct server_auth prover;
    struct outcome o;

    rig_login(&rig, &prover, password, own);
    o = talk(&checker, method, kind, &prover, f);
    client_auth_fini(&checker);
    server_auth_fini(&prover);
    return o;
}

static const struct fault no_fault;

/* y: gets in, n: is refused. */
static const struct {
    enum conf_auth_type method;
    const char *in; /* by enum rig_kind: unknown, none, plain, md5, scram */
} methods[] = {
    {CONF_AUTH_TRUST, "yyyyy"},
    {CONF_AUTH_PASSWORD, "nnyyy"},
    {CONF_AUTH_MD5, "nnyyy"},
    {CONF_AUTH_SCRAM, "nnyny"},
};

#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

Test(dialogue, the_right_password_gets_in_and_a_wrong_one_does_not)
{
    for (size_t i = 0; i < N_METHODS; i++) {
        for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
            bool in = methods[i].in[kind] == 'y', trust = methods[i].method == CONF_AUTH_TRUST;
            struct outcome o;

            for (unsigned round = 0; round < 2; round++) { /* the second with keys that are known */
                o = meet(methods[i].method, kind, RIG_PASSWORD, RIG_NONE, &no_fault);
                cr_assert_eq(o.checker, in ? CLIENT_AUTH_OK : CLIENT_AUTH_REFUSED, "%zu %u", i,
                             kind);
                cr_assert_eq(o.prover == SERVER_AUTH_OK, in, "%zu %u", i, kind);
            }
            keys_free(rig.keys);
            cr_assert_eq(keys_new(&rig.keys, 4), 0);
            o = meet(methods[i].method, kind, "Pencil", RIG_NONE, &no_fault);
            cr_assert_eq(o.checker, in && trust ? CLIENT_AUTH_OK : CLIENT_AUTH_REFUSED, "%zu %u", i,
                         kind);
        }
    }
}

/* Which stored secret can answer which request? */
static const struct {
    enum conf_auth_type method;
    const char *in; /* by enum rig_kind of the prover */
} provers[] = {
    {CONF_AUTH_TRUST, "yyyyy"},
    {CONF_AUTH_PASSWORD, "nnynn"},
    {CONF_AUTH_MD5, "nnyyn"},
    {CONF_AUTH_SCRAM, "nnynn"}, /* no client has shown keys */
};

Test(dialogue, stored_secrets_log_in_as_far_as_they_can)
{
    for (size_t i = 0; i < sizeof(provers) / sizeof(provers[0]); i++) {
        for (enum rig_kind own = RIG_UNKNOWN; own < RIG_KINDS; own++) {
            bool in = provers[i].in[own] == 'y';
            struct outcome o = meet(provers[i].method, RIG_PLAIN, "", own, &no_fault);

            cr_assert_eq(o.prover, in ? SERVER_AUTH_OK : SERVER_AUTH_FAILED, "%zu %u", i, own);
            cr_assert_eq(o.checker, in ? CLIENT_AUTH_OK : CLIENT_AUTH_ASK, "%zu %u", i, own);
        }
    }
}

/* A client logs in at weir, and weir with what it has learned at a server of the same verifier. */
static void pass_through(enum conf_auth_type at_weir)
{
    struct outcome o = meet(CONF_AUTH_SCRAM, RIG_SCRAM, "", RIG_SCRAM, &no_fault);

    cr_assert_eq(o.prover, SERVER_AUTH_FAILED);
    o = meet(at_weir, RIG_SCRAM, "Pencil", RIG_NONE, &no_fault); /* teaches nothing */
    cr_assert_eq(o.checker, CLIENT_AUTH_REFUSED);
    o = meet(CONF_AUTH_SCRAM, RIG_SCRAM, "", RIG_SCRAM, &no_fault);
    cr_assert_eq(o.prover, SERVER_AUTH_FAILED);

    o = meet(at_weir, RIG_SCRAM, RIG_PASSWORD, RIG_NONE, &no_fault);
    cr_assert_eq(o.checker, CLIENT_AUTH_OK);
    rig.n_works = 0;
    o = meet(CONF_AUTH_SCRAM, RIG_SCRAM, "", RIG_SCRAM, &no_fault);
    cr_assert_eq(o.prover, SERVER_AUTH_OK);
    cr_assert_eq(o.checker, CLIENT_AUTH_OK);
    cr_assert_eq(rig.n_works, 0);
}

Test(dialogue, pass_through_after_scram)
{
    pass_through(CONF_AUTH_SCRAM);
}

Test(dialogue, pass_through_after_a_password_in_clear)
{
    pass_through(CONF_AUTH_PASSWORD);
}

Test(dialogue, pass_through_after_scram_under_md5)
{
    pass_through(CONF_AUTH_MD5);
}

/* The same with a prover that has learned its keys from a client, where it holds a verifier. */
static struct outcome meet_taught(enum conf_auth_type method, enum rig_kind kind,
                                  const char *password, enum rig_kind own, const struct fault *f)
{
    if (own == RIG_SCRAM)
        cr_assert_eq(meet(CONF_AUTH_SCRAM, RIG_SCRAM, RIG_PASSWORD, RIG_NONE, &no_fault).checker,
                     CLIENT_AUTH_OK);
    return meet(method, kind, password, own, f);
}

static void check_parted(struct outcome o, const struct fault *f)
{
    cr_assert(o.checker != CLIENT_AUTH_OK || o.prover != SERVER_AUTH_OK, "message %u, byte %zu, %s",
              f->message, f->at, f->kind == FAULT_CUT ? "cut there" : "another");
}

/* No cut, and no byte that is another, leads to a login on both sides. */
static void spoil(enum conf_auth_type method, enum rig_kind kind, const char *password,
                  enum rig_kind own)
{
    struct outcome whole = meet_taught(method, kind, password, own, &no_fault);
    struct fault f = {.kind = FAULT_NONE};

    cr_assert(whole.checker == CLIENT_AUTH_OK && whole.prover == SERVER_AUTH_OK);
    for (f.message = 0; f.message < whole.n_messages; f.message++) {
        f.kind = FAULT_NONE;

        size_t len = meet_taught(method, kind, password, own, &f).len;

        for (f.at = 0; f.at < len; f.at++) {
            f.kind = FAULT_CUT;
            check_parted(meet_taught(method, kind, password, own, &f), &f);
            f.kind = FAULT_FLIP;
            check_parted(meet_taught(method, kind, password, own, &f), &f);
        }
    }
}

Test(dialogue, spoiled_password)
{
    spoil(CONF_AUTH_PASSWORD, RIG_PLAIN, RIG_PASSWORD, RIG_NONE);
    spoil(CONF_AUTH_PASSWORD, RIG_SCRAM, RIG_PASSWORD, RIG_NONE);
}

Test(dialogue, spoiled_md5)
{
    spoil(CONF_AUTH_MD5, RIG_PLAIN, "", RIG_MD5);
}

Test(dialogue, spoiled_scram)
{
    spoil(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD, RIG_NONE);
    spoil(CONF_AUTH_SCRAM, RIG_SCRAM, "", RIG_SCRAM);
}
