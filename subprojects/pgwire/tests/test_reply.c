/*
 * One test per rule of pgwire/reply.h. A rule is tried on short stories, told in words:
 *
 *     P B Ds Dp E C S Q F c f d   the client sends Parse ... CopyDone, CopyFail, CopyData
 *     ~P  +P                      the relay's own Parse; a Parse that the relay answers
 *     P?  P#  P%                  the server skips it; the pair is lost; the queue is full
 *     <1                          the server sends 1, and it is passed to the client
 *     <1~  <1!                    it is swallowed; it is a violation
 *     <Z  <ZT  <E  <EF            ReadyForQuery of status I; of T; an error; a fatal one
 *     =P                          now the answer to a Parse is made up
 *     owed  nothing  rest  loose  copy  both  batch  synced     what the queue must say of itself
 *     removed:4                   so many messages the last error has removed
 *     alike                       messages from now on have the same cookie
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/proto.h"
#include "pgwire/reply.h"

#define ROOM 16

struct story {
    const char *text;
    struct pgw_reply_queue q;
    struct pgw_reply_entry ring[ROOM];
    struct pgw_reply_verdict last;
    uint32_t n_sent; /* the cookie is the number of the message */
    bool is_alike;   /* the cookie is always the same */
};

static enum pgw_reply_kind kind_of(const char *word)
{
    return pgw_reply_kind_of((uint8_t)word[0],
                             word[1] == 's' ? PGW_TARGET_STATEMENT : PGW_TARGET_PORTAL);
}

static void make_up(struct story *s, const char *word)
{
    struct pgw_reply_entry e;

    cr_assert(pgw_reply_is_due(&s->q), "%s: %s: nothing to make up", s->text, word);
    e = pgw_reply_make_up(&s->q);
    cr_assert_eq(e.kind, kind_of(word), "%s: %s", s->text, word);
    cr_assert_eq(e.way, PGW_REPLY_MAKE_UP);
    cr_assert_eq(e.n, 1);
}

static void send(struct story *s, const char *word)
{
    enum pgw_reply_way way = word[0] == '~'   ? PGW_REPLY_SWALLOW
                             : word[0] == '+' ? PGW_REPLY_MAKE_UP
                                              : PGW_REPLY_FORWARD;
    const char *letter = way == PGW_REPLY_FORWARD ? word : word + 1;
    char last = word[strlen(word) - 1];
    enum pgw_reply_outcome expected = last == '?'   ? PGW_REPLY_SKIPPED
                                      : last == '#' ? PGW_REPLY_LOST
                                      : last == '%' ? PGW_REPLY_FULL
                                                    : PGW_REPLY_NOTED;

    s->n_sent += !s->is_alike;
    cr_assert_eq(pgw_reply_sent(&s->q, kind_of(letter), way, s->n_sent), expected, "%s: %s",
                 s->text, word);
}

static void receive(struct story *s, const char *word)
{
    char last = word[strlen(word) - 1];
    enum pgw_reply_judgement expected = last == '~'   ? PGW_REPLY_DROP
                                        : last == '!' ? PGW_REPLY_VIOLATION
                                                      : PGW_REPLY_PASS;
    uint8_t detail = word[0] == 'Z' ? 'I' : 'E';

    if (word[1] >= 'A' && word[1] <= 'Z')
        detail = (uint8_t)word[1];
    cr_assert_eq(pgw_reply_received(&s->q, (uint8_t)word[0], detail, &s->last), expected, "%s: <%s",
                 s->text, word);
}

static uint32_t count_removed(const struct story *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->last.n_removed; i++)
        n += pgw_reply_removed(&s->q, &s->last, i)->n;
    return n;
}

/* False if the word is none about the queue. */
static bool look(const struct story *s, const char *word)
{
    const struct {
        const char *word;
        bool is_so;
    } looks[] = {
        {"owed", pgw_reply_is_owed(&s->q)},         {"nothing", !pgw_reply_is_owed(&s->q)},
        {"rest", pgw_reply_is_at_rest(&s->q)},      {"restless", !pgw_reply_is_at_rest(&s->q)},
        {"loose", pgw_reply_is_unsettled(&s->q)},   {"settled", !pgw_reply_is_unsettled(&s->q)},
        {"copy", pgw_reply_is_copying_in(&s->q)},   {"nocopy", !pgw_reply_is_copying_in(&s->q)},
        {"both", pgw_reply_is_copying_both(&s->q)}, {"notboth", !pgw_reply_is_copying_both(&s->q)},
        {"batch", pgw_reply_is_unsynced(&s->q)},    {"synced", !pgw_reply_is_unsynced(&s->q)},
    };

    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        if (strcmp(word, looks[i].word) == 0) {
            cr_assert(looks[i].is_so, "%s: not so: %s", s->text, word);
            return true;
        }
    }
    return false;
}

static void step(struct story *s, const char *word)
{
    if (word[0] == '<')
        receive(s, word + 1);
    else if (word[0] == '=')
        make_up(s, word + 1);
    else if (strncmp(word, "removed:", 8) == 0)
        cr_assert_eq(count_removed(s), strtoul(word + 8, NULL, 10), "%s: %u removed", s->text,
                     count_removed(s));
    else if (strcmp(word, "alike") == 0)
        s->is_alike = true;
    else if (!look(s, word))
        send(s, word);
}

static void tell(struct story *s, const char *text)
{
    char word[16];
    int len;

    *s = (struct story){.text = text};
    pgw_reply_init(&s->q, s->ring, ROOM, 'I');
    for (; sscanf(text, "%15s%n", word, &len) == 1; text += len)
        step(s, word);
}

static void tell_all(const char *const *stories, size_t n)
{
    struct story s;

    for (size_t i = 0; i < n; i++)
        tell(&s, stories[i]);
}

#define TELL(...)                                                                                  \
    do {                                                                                           \
        const char *const stories[] = {__VA_ARGS__};                                               \
        tell_all(stories, sizeof(stories) / sizeof(stories[0]));                                   \
    } while (0)

/* After the story exactly these letters are no violation; N, S and A never are. */
static void check_letters(const char *text, const char *letters)
{
    for (unsigned letter = 0; letter < 256; letter++) {
        bool fits = letter != 0 && (strchr(letters, (int)letter) || strchr("NSA", (int)letter));
        enum pgw_reply_judgement judgement;
        struct story s;

        tell(&s, text);
        judgement = pgw_reply_received(&s.q, (uint8_t)letter, letter == 'Z' ? 'I' : 'E', &s.last);
        cr_assert_eq(judgement != PGW_REPLY_VIOLATION, fits, "%s: letter 0x%02x", text, letter);
    }
}

Test(reply, rules_1_and_15_answers_and_no_others)
{
    const struct {
        const char *text;
        const char *letters;
    } cases[] = {
        {"P", "1E"},
        {"B", "2E"},
        {"C", "3E"},
        {"Dp", "TnE"},
        {"Ds", "tE"},
        {"Ds <t", "TnE"},
        {"E", "DCIsGHE"},
        {"E <D", "DCsE"},
        {"S", "ZE"},
        {"S <E", "Z"},
        {"F", "VE"},
        {"F <V", "ZE"},
        {"F <E", "Z"},
        {"Q", "TDCIGHWE"},
        {"Q <T", "TDCIGHWZE"},
        {"Q <T <D <C", "TDCIGHWZE"},
        {"Q <I", "TDCIGHWZE"},
        {"Q <E", "Z"},
        {"", ""},
        {"P <1", "E"},
        {"P <1 S <Z", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_letters(cases[i].text, cases[i].letters);
}

Test(reply, rule_1_each_message_is_answered_in_turn)
{
    TELL("P <1 B <2 Dp <T E <D <D <C C <3 nothing batch S owed <Z nothing rest",
         "P B Dp E C S <1 <2 <n <C <3 owed <Z nothing rest",
         "P Ds S <1 <t <n <Z P Ds S <1 <t <T <Z rest", "B E E E S <2 <D <s <D <s <C <Z rest",
         "B E S <2 <I <Z rest", "Q <I <Z Q <T <D <D <C <Z Q <C <T <C <C <Z rest",
         "Q Q Q <C <Z owed <C <Z owed <C <Z nothing", "F <V <Z F F <V <Z <V <Z rest",
         "S S S <Z <Z <Z rest", "S Q S <Z <I <Z <Z rest");
}

Test(reply, rule_1_status_decides_about_rest)
{
    TELL("Q <C <ZT restless Q <E <ZE restless nothing Q <C <ZI rest",
         "P B E S <1 <2 <C <ZT restless");
}

Test(reply, rule_2_asynchronous_messages_answer_nothing)
{
    TELL("<N <S <A rest", "Q <N <T <S <D <N <C <A <Z rest", "P S <N <1 <N <Z",
         "P <E <N S <A <Z rest", "~Q Q <N~ <S <A <C~ <Z~ <N <C <N <Z", "~P P <N~ <1~ <N <1");
}

Test(reply, rule_3_error_before_ready_for_query)
{
    TELL("Q <E owed <Z rest", "Q Q <T <D <E <Z <C <Z rest", "F <E <Z F <V <E <Z rest",
         "P B E S P S <1 <2 <C <E owed <Z <1 <Z rest", "P Q <1 <E <Z synced rest",
         "~Q Q <E~ <Z~ <C <Z rest");
}

Test(reply, rule_4_error_in_a_batch)
{
    TELL("P B E S <E removed:3 owed <Z rest", "P B E S <1 <E removed:2 <Z rest",
         "P B E S <1 <2 <D <E removed:1 <Z rest", "P B E S P S <E removed:3 <Z <1 <Z rest",
         "P Q F c P S <E removed:5 <Z rest", "P +P Q +C S <E removed:4 <Z rest",
         "P <E removed:1 nothing batch restless P? +P? ~P? B? Ds? Dp? E? C? Q? F? c? f? S <Z rest",
         "P Q <E removed:2 nothing batch Q? S <Z rest", "P B <E S S Q <Z <Z <C <Z rest",
         "Ds <t <E batch S <Z", "E <H <d <E batch S <Z");
}

Test(reply, rule_5_error_goes_the_way_of_what_it_removes)
{
    TELL("~P B E S <E removed:3 <Z", "~P S <E~ removed:1 <Z", "~P +P S <E removed:2 <Z",
         "~P ~C ~S P S <E~ removed:2 <Z~ <1 <Z", "P ~C S <E removed:2 <Z", "~P c S <E~ <Z",
         "~P ~P ~P B <1~ <E removed:3 S <Z");
}

Test(reply, rule_6_error_in_a_pause_of_a_batch)
{
    TELL("P <1 batch <E removed:0 P? Q? S <Z rest", "P <1 B <E removed:1 E? S <Z rest",
         "P S <1 <Z <E!", "P Q <1 <C <Z <E!", "P <1 <E <E!", "P <E <E!");
}

Test(reply, rule_7_syncs_in_a_copy)
{
    TELL("Q S S <G copy c nocopy <C <Z rest", "Q <G copy S d S c <C <Z rest",
         "Q S d S c S <G nocopy <C <Z owed <Z rest",
         "E S <G copy batch c <C nothing batch S <Z rest",
         "E S d c S <G nocopy synced <C owed <Z rest", "E S d c <G batch <C S <Z rest",
         "E S c c <G batch <C batch nothing S <Z rest", "E S c +P <G batch <C =P batch S <Z rest",
         "E <G copy S batch S c batch <C nothing S <Z rest",
         "B E S c B E S c S <2 <G <C <2 <G <C <Z rest", "Q c c <G <C <G <C <Z rest",
         "Q S c S c <G <C <G <C <Z rest", "Q <G c c <C <G nocopy <C <Z rest",
         "Q <G c <C <G copy c <C <Z", "Q <G Q nocopy S <E <Z <C <Z owed <Z rest",
         "alike Q S S S <G <E <Z loose <Z loose <Z loose <Z rest", "alike Q Q <G nocopy",
         "alike Q S c c c <G nocopy <C <G <C <G <C <Z rest", "Q Q <C <Z <G copy c <C <Z rest",
         "~Q Q S c <C~ <Z~ <G <C <Z rest");
}

Test(reply, rule_8_a_copy_that_ends_well)
{
    TELL("Q S <G S c <C settled <Z settled rest", "E S <G c <C nothing settled <Z!",
         "Q S <G c <C <Z <Z!", "Q <G <C!", "E <G S <C!", "Q <G <Z!", "Q <G <D!", "Q <G c <Z!",
         "Q <G c <E owed <Z rest");
}

Test(reply, rule_9_a_copy_that_fails)
{
    TELL("Q S S <G <E <Z loose restless <Z loose <Z settled rest <Z!",
         "Q S <G <E <Z loose Q <C settled <Z rest", "Q S <G <E <Z loose Q <E settled <Z rest <Z!",
         "Q S <G <E <ZT loose <Z rest", "Q S <G <Z!", "E S c c <G <E loose S <Z loose",
         "Q S <G <E <Z loose Q <Z <C <Z rest", "Q S <G <E <Z loose ~Q <I~ <Z~ rest",
         "Q S <G <E <Z loose ~Q <Z <I~ <Z~ rest", "Q S <G c <E <Z S <Z loose restless <Z rest",
         "Q S c S <G <E <Z <Z loose <Z rest", "Q <G S <E <Z loose",
         "Q S <G c Q <E <Z <C settled <Z rest <Z!", "E S <G <E batch nothing loose <Z synced rest",
         "E S <G <E batch S <Z loose restless", "E S <G c <E S <Z loose",
         "E S <G <E c? f? S <Z P S <Z <1 <Z rest", "E S d c S <G <E owed <Z loose Q <C <Z rest",
         "E S d c S P S <G <E <Z <1 <Z rest", "E S d c S P S <G <E <Z <Z <1 <Z rest",
         "Q <G <E <Z settled rest", "E <G <E settled batch", "E <E S <Z rest",
         "Q S <E <Z settled <Z rest");
}

Test(reply, rule_10_what_nobody_can_tell)
{
    TELL("E S <G <E P#", "E S <G <E B#", "E S <G <E Q#", "E S <G <E F#", "E S c P S <G <E!",
         "E S c Q <G <E!", "E S c P <G <E!", "E S <G c P <E!", "E S c P <G <C <1 S <Z rest",
         "E c P S <G <E removed:2 <Z rest", "E S c S +P <G <E!", "Q S c +P <G <E!", "Q S <G <E +P#",
         "Q S <G <E <Z +P#", "Q S <G c +P <C <Z =P rest", "Q S <G c <C +P <Z =P synced S <Z");
}

Test(reply, rule_11_late_ends_of_a_copy)
{
    TELL("c? f? d rest", "Q c f <C <Z rest c?", "Q d <C d <Z rest", "Q <E c c <Z nothing rest",
         "Q c Q <C <Z <G copy c <C <Z rest", "P <E c? S <Z", "Q c <E <Z S <Z rest",
         "+P c =P nothing c? rest", "P c B <1 c <2 nothing S <Z rest");
}

Test(reply, rule_12_copies_to_the_client)
{
    TELL("Q <H <d <d <c <C <Z rest", "Q <H <c <C <Z", "Q <H <d <E <Z rest", "Q <d!", "Q <c!",
         "Q <H <D!", "Q <H <C!", "Q <H <Z!", "Q <H <c <C <T <D <C <G c <C <H <c <C <Z rest",
         "Q S <H <c <C <Z owed <Z rest", "E S <H <d <c <C <Z rest", "E <H <C!", "E <H <D!",
         "E <H <s!", "E <G <D!", "E <G c <s!", "E <G <I!", "E <W!",
         "Q <W <d d <d c <d <c <C <C <Z rest", "Q <W <c <T <D <C <C <Z rest", "Q <W <E <Z rest",
         "Q <W <d <D!", "Q notboth <W both <d d both c both <c notboth <C <Z rest",
         "Q <W <d <C notboth <EF restless", "Q <W <C <d!");
}

Test(reply, rule_13_fatal_errors_end_everything)
{
    TELL("<EF Q# S# P# <Z!", "Q <EF restless <Z! <E! <N!", "P B S <EP S#", "P B S <EP nothing",
         "~Q Q <EF~", "Q <E <EF", "E <G <EF", "P <E <EF", "S <Z <EF restless c# d#");
}

Test(reply, rule_14_answers_made_up)
{
    TELL("+P synced owed =P nothing rest", "alike +P +P +P owed =P =P =P nothing rest",
         "alike P +P +P B <1 =P =P <2 S <Z rest", "P +P B <1 =P <2 S <Z rest",
         "P +C +P S <1 =C =P <Z rest", "+P +P +P B =P =P =P <2 S <Z rest", "+S =S rest",
         "+Q +S =Q =S rest", "+P <1!", "+P <E! =P", "P B +P <1 <2 =P nothing batch S <Z rest",
         "+Ds +B =Ds =B synced");
}

Test(reply, rule_14_nothing_to_make_up_before_its_turn)
{
    struct story s;

    tell(&s, "");
    cr_assert_not(pgw_reply_is_due(&s.q));
    tell(&s, "P +P S");
    cr_assert_not(pgw_reply_is_due(&s.q));
    step(&s, "<1");
    cr_assert(pgw_reply_is_due(&s.q));
    cr_assert_eq(pgw_reply_make_up(&s.q).cookie, 2);
    cr_assert_not(pgw_reply_is_due(&s.q));
}

Test(reply, rule_14_a_sync_is_not_made_up_in_a_batch, .signal = SIGABRT)
{
    struct story s;

    tell(&s, "P <1 +S");
}

Test(reply, verdicts_name_the_entry)
{
    struct story s;

    tell(&s, "P ~B S <1");
    cr_assert_eq(s.last.cookie, 1);
    cr_assert_eq(s.last.kind, PGW_REPLY_PARSE);
    cr_assert(s.last.is_done);
    tell(&s, "P ~B S <1 <2~");
    cr_assert_eq(s.last.cookie, 2);
    cr_assert_eq(s.last.kind, PGW_REPLY_BIND);
    tell(&s, "Q <T");
    cr_assert_eq(s.last.kind, PGW_REPLY_QUERY);
    cr_assert_not(s.last.is_done);
    tell(&s, "Q <N");
    cr_assert_eq(s.last.kind, PGW_REPLY_NO_KIND);
    cr_assert_not(s.last.is_done);
}

Test(reply, removed_entries_are_named)
{
    struct story s;
    const struct pgw_reply_entry *e;

    tell(&s, "P P ~P +C B S <1 <E");
    cr_assert_eq(s.last.cookie, 2);
    cr_assert_eq(s.last.kind, PGW_REPLY_PARSE);
    cr_assert_eq(s.last.n_removed, 4);
    e = pgw_reply_removed(&s.q, &s.last, 1);
    cr_assert_eq(e->cookie, 3);
    cr_assert_eq(e->kind, PGW_REPLY_PARSE);
    cr_assert_eq(e->way, PGW_REPLY_SWALLOW);
    e = pgw_reply_removed(&s.q, &s.last, 2);
    cr_assert_eq(e->cookie, 4);
    cr_assert_eq(e->kind, PGW_REPLY_CLOSE);
    cr_assert_eq(e->way, PGW_REPLY_MAKE_UP);
}

Test(reply, kinds_of_all_letters)
{
    const char *letters = "PBDECSQFcf";

    for (unsigned letter = 0; letter < 256; letter++) {
        bool has_kind = letter != 0 && strchr(letters, (int)letter) != NULL;

        cr_assert_eq(pgw_reply_kind_of((uint8_t)letter, 'S') != PGW_REPLY_NO_KIND, has_kind,
                     "letter 0x%02x", letter);
    }
    cr_assert_eq(pgw_reply_kind_of('D', 'S'), PGW_REPLY_DESCRIBE_STATEMENT);
    cr_assert_eq(pgw_reply_kind_of('D', 'P'), PGW_REPLY_DESCRIBE_PORTAL);
}

/* Fills the queue with entries that cannot be merged. Returns how many went in. */
static uint32_t fill(struct story *s)
{
    uint32_t n = 0;

    while (pgw_reply_sent(&s->q, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, n) == PGW_REPLY_NOTED)
        n++;
    return n;
}

Test(reply, a_full_queue_changes_nothing)
{
    struct story s;

    tell(&s, "S");
    cr_assert_eq(pgw_reply_room(&s.q), ROOM - 1);
    cr_assert_eq(fill(&s), ROOM - 1);
    cr_assert_eq(pgw_reply_room(&s.q), 0);
    cr_assert_eq(pgw_reply_sent(&s.q, PGW_REPLY_SYNC, PGW_REPLY_FORWARD, 0), PGW_REPLY_FULL);
    cr_assert(pgw_reply_is_unsynced(&s.q));
    step(&s, "<Z");
    cr_assert_eq(pgw_reply_sent(&s.q, PGW_REPLY_SYNC, PGW_REPLY_FORWARD, 0), PGW_REPLY_NOTED);
    cr_assert_not(pgw_reply_is_unsynced(&s.q));
    for (unsigned i = 0; i < ROOM - 1; i++)
        step(&s, "<1");
    step(&s, "<Z");
    step(&s, "rest");
}

/* What is legal in a COPY that has begun needs no room: else the queue could stay full for ever. */
Test(reply, the_end_of_a_copy_needs_no_room)
{
    struct story s;

    tell(&s, "Q");
    while (pgw_reply_sent(&s.q, PGW_REPLY_SYNC, PGW_REPLY_FORWARD, s.n_sent) == PGW_REPLY_NOTED)
        s.n_sent++;
    step(&s, "c%");
    step(&s, "<G");
    for (unsigned i = 0; i < 3 * ROOM; i++)
        step(&s, "S");
    step(&s, "c");
    step(&s, "<C");
    step(&s, "<Z");
    step(&s, "rest");
}

Test(reply, messages_alike_share_an_entry)
{
    const unsigned n = 200000; /* more than one entry can count */
    struct story s;

    tell(&s, "");
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(pgw_reply_sent(&s.q, PGW_REPLY_BIND, PGW_REPLY_FORWARD, 1), PGW_REPLY_NOTED);
    for (unsigned i = 0; i < n; i++) {
        step(&s, "owed");
        step(&s, "<2");
    }
    step(&s, "nothing");
}

Test(reply, messages_that_differ_do_not)
{
    struct story s;

    tell(&s, "B ~B +B B ~B <2 <2~ =B <2 <2~ nothing");
    tell(&s, "alike B ~B +B B ~B <2 <2~ =B <2 <2~ nothing");
    tell(&s, "alike P B P <1 <2 <1 nothing");
    tell(&s, "Q <T Q <D <C <Z <I <Z rest");
}

Test(reply, the_ring_goes_round)
{
    struct story s;

    tell(&s, "");
    for (unsigned i = 0; i < 10 * ROOM; i++) {
        step(&s, "P");
        step(&s, "B");
        step(&s, "S");
        step(&s, i % 3 == 0 ? "<E" : "<1");
        if (i % 3 != 0)
            step(&s, "<2");
        step(&s, "<Z");
        step(&s, "rest");
    }
}

Test(reply, indices_wrap)
{
    struct story s;

    tell(&s, "");
    s.q.head = s.q.tail = UINT32_MAX - 2;
    for (unsigned i = 0; i < 4; i++) {
        step(&s, "P");
        step(&s, "B");
    }
    step(&s, "c");
    step(&s, "<1");
    step(&s, "<2");
    step(&s, "<E");
    step(&s, "removed:7");
    step(&s, "S");
    step(&s, "<Z");
    step(&s, "rest");
}

/* How a relay ends the work of a client that is gone, whatever state the server is in. */
Test(reply, a_server_is_cleaned)
{
    TELL("P B E <1 <2 <C batch ~Q ~S ~Q <C~ <Z~ <Z~ <N~ <C~ <Z~ rest",
         "P B E <E ~Q? ~S ~Q <Z~ <N~ <C~ <Z~ rest", "Q <G ~f <E <Z ~Q <C~ <Z~ rest",
         "E <G ~f <E ~Q? ~S ~Q <Z~ <C~ <Z~ rest");
}
