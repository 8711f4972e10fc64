/*
 * From a file to a snapshot: the text is read and its grammar checked (source, syntax), libconfig
 * makes a tree of it, and each setting of the tree is held against its row of the schema.
 *
 * This is the only file that names libconfig. The library sees nothing that it could stumble over
 * (see syntax.h), so its own errors are not expected; they are still reported, never ignored.
 */
#include "load.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "value.h"

#define FOUND_SHOWN_MAX 80

/* The place of the token that a setting began with: its name, or the '{' of a list's element. */
static const struct place *setting_place(const struct loader *l, const config_setting_t *setting)
{
    unsigned line = config_setting_source_line(setting);

    /* libconfig notes the line of an element when it has read it; of a text it knows only by the
     * next token that it is over. */
    if (config_setting_name(setting) == NULL && config_setting_type(setting) == CONFIG_TYPE_STRING)
        line--;
    ASSERT(line >= 1 && line <= l->syntax.n_places);
    return &l->syntax.places[line - 1];
}

/* What stands in the file as the value of a named setting: three tokens make "name = value". */
static void found_text(const struct loader *l, const config_setting_t *setting, char *out,
                       size_t size)
{
    const struct place *value = setting_place(l, setting) + 2;
    size_t len = value->len < FOUND_SHOWN_MAX ? value->len : FOUND_SHOWN_MAX;

    if (config_setting_is_aggregate(setting)) {
        snprintf(out, size, "%s", config_setting_is_group(setting) ? "{ ... }" : "( ... )");
        return;
    }
    snprintf(out, size, "%.*s%s", (int)len, value->text, len < value->len ? "..." : "");
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    }
}

static int fail_value(const struct loader *l, const struct section *s, const struct schema_row *row,
                      const config_setting_t *setting)
{
    char found[FOUND_SHOWN_MAX + 8] = "(not shown)", accepted[400];

    if (!row->secret)
        found_text(l, setting, found, sizeof(found));
    value_accepted(row, true, accepted, sizeof(accepted));
    return source_fail(&l->source, setting_place(l, setting), false, "%s.%s = %s; accepted: %s",
                       s->path, schema_key(row, s->id), found, accepted);
}

/* Where a key that this section does not have may stand; NULL: nowhere. */
static const char *find_home(const char *key)
{
    static const struct {
        enum schema_section section;
        const char *name;
    } homes[] = {{SCHEMA_WEIR, "weir"},
                 {SCHEMA_ARENA, "weir.arena"},
                 {SCHEMA_DATABASES, "an entry of databases"},
                 {SCHEMA_USERS, "an entry of users"}};

    for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
        if (schema_find(homes[i].section, key) != NULL)
            return homes[i].name;
    }
    return NULL;
}

static int fail_unknown(const struct loader *l, const struct section *s,
                        const config_setting_t *setting)
{
    const char *key = config_setting_name(setting);
    const char *meant = schema_other_name(s->id, key);
    const char *home = find_home(key);
    char advice[120];

    if (meant == NULL && home == NULL)
        meant = schema_suggest(s->id, key);
    if (meant != NULL)
        snprintf(advice, sizeof(advice), "did you mean \"%s\"?", meant);
    else if (home != NULL)
        snprintf(advice, sizeof(advice), "it belongs to %s", home);
    else
        snprintf(advice, sizeof(advice),
                 "accepted: those that weir --help-config lists for this group");
    return source_fail(&l->source, setting_place(l, setting), false,
                       "%s.%.60s: there is no such key; %s", s->path, key, advice);
}

/* The strings of a list or array. Anything else in it leaves the value VALUE_OTHER. */
static int read_texts(struct loader *l, const config_setting_t *setting, struct value *out)
{
    int n = config_setting_length(setting);
    const char **texts = memory_get(&l->conf->memory, (size_t)n * sizeof(*texts));

    if (texts == NULL)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        texts[i] = config_setting_get_string_elem(setting, i);
        if (texts[i] == NULL)
            return 0;
    }
    *out = (struct value){.kind = VALUE_TEXTS, .texts = texts, .n_texts = (size_t)n};
    return 0;
}

static int read_value(struct loader *l, const config_setting_t *setting, struct value *out)
{
    *out = (struct value){.kind = VALUE_OTHER};
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_BOOL:
        *out = (struct value){.kind = VALUE_BOOL, .integer = config_setting_get_bool(setting)};
        return 0;
    case CONFIG_TYPE_INT64:
        *out = (struct value){.kind = VALUE_INTEGER, .integer = config_setting_get_int64(setting)};
        return 0;
    case CONFIG_TYPE_FLOAT:
        out->kind = VALUE_FLOAT;
        return 0;
    case CONFIG_TYPE_STRING:
        *out = (struct value){.kind = VALUE_TEXT, .text = config_setting_get_string(setting)};
        return 0;
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_ARRAY:
        return read_texts(l, setting, out);
    default:
        return 0;
    }
}

static int load_arena(struct loader *l, const config_setting_t *group);

static int load_key(struct loader *l, struct section *s, const config_setting_t *setting)
{
    const struct schema_row *row = schema_find(s->id, config_setting_name(setting));
    struct value_target target = {s->base, &l->conf->memory, l->folder};
    struct value value;
    size_t n_rows;
    int r;

    if (row == NULL)
        return fail_unknown(l, s, setting);
    s->given[row - schema_rows(&n_rows)] = setting_place(l, setting);
    if (row->type == SCHEMA_GROUP && config_setting_is_group(setting))
        return load_arena(l, setting);
    r = read_value(l, setting, &value);
    if (r == 0)
        r = value_store(row, &value, &target);
    if (r == 0 && row->policy)
        s->policy->given |= schema_policy_bit(row);
    return r == -EINVAL ? fail_value(l, s, row, setting) : r;
}

/* In an entry of databases or users the inheritable ones mean nothing until they are given. */
static int load_defaults(struct loader *l, const struct section *s)
{
    struct value_target target = {s->base, &l->conf->memory, l->folder};
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    ASSERT(n_rows <= SECTION_MAX_ROWS);
    for (size_t i = 0; i < n_rows; i++) {
        int r = 0;

        if ((rows[i].sections & s->id) != 0 && rows[i].default_text != NULL)
            r = value_store_default(&rows[i], &target);
        if (r != 0)
            return r;
    }
    return 0;
}

static int check_required(const struct loader *l, const struct section *s)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        if ((rows[i].sections & s->id) != 0 && rows[i].required && s->given[i] == NULL)
            return source_fail(&l->source, &s->at, false, "%s: the key \"%s\" is missing", s->path,
                               rows[i].key);
    }
    return 0;
}

/* Fills s->base from the group. */
static int load_section(struct loader *l, struct section *s, const config_setting_t *group)
{
    int n = config_setting_length(group);
    int r;

    s->at = *setting_place(l, group);
    r = load_defaults(l, s);
    for (int i = 0; r == 0 && i < n; i++)
        r = load_key(l, s, config_setting_get_elem(group, (unsigned)i));
    if (r == 0)
        r = check_required(l, s);
    return r == 0 ? check_section(l, s) : r;
}

static int load_arena(struct loader *l, const config_setting_t *group)
{
    struct section s = {.id = SCHEMA_ARENA, .path = "weir.arena", .base = &l->conf->weir.arena};

    return load_section(l, &s, group);
}

static int load_weir(struct loader *l, const config_setting_t *group)
{
    struct section arena = {
        .id = SCHEMA_ARENA, .path = "weir.arena", .at = *setting_place(l, group)};
    struct section s = {
        .id = SCHEMA_WEIR, .path = "weir", .base = &l->conf->weir, .policy = &l->conf->weir.policy};
    int r;

    if (!config_setting_is_group(group))
        return source_fail(&l->source, setting_place(l, group), false,
                           "weir: accepted: a group: weir = { ... };");
    arena.base = &l->conf->weir.arena;
    r = load_defaults(l, &arena);
    if (r == 0)
        r = check_section(l, &arena);
    return r == 0 ? load_section(l, &s, group) : r;
}

/* An entry of databases or users on its way into the sorted array. */
struct entry {
    const char *name;
    size_t index; /* in the file */
    struct place at;
};

static int entry_compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* databases and users alike: how large an entry is, and where in it things lie. */
struct entry_kind {
    enum schema_section id;
    const char *name;
    size_t size;
    size_t name_offset;
};

/* Reads entry i of the list into base and notes it in *out. */
static int load_entry(struct loader *l, const struct entry_kind *kind, const config_setting_t *list,
                      size_t i, void *base, struct entry *out)
{
    const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
    struct section s = {.id = kind->id, .base = base, .policy = base};

    snprintf(s.path, sizeof(s.path), "%s[%zu]", kind->name, i);
    if (!config_setting_is_group(group))
        return source_fail(&l->source, setting_place(l, group), false,
                           "%s: accepted: a group: { name = \"...\"; ... }", s.path);

    int r = load_section(l, &s, group);

    if (r != 0)
        return r;
    memcpy(&out->name, (const char *)base + kind->name_offset, sizeof(out->name));
    out->index = i;
    out->at = *section_place(&s, "name");
    return 0;
}

/* Sorts the entries by name; the same name twice is refused. */
static int sort_entries(const struct loader *l, const struct entry_kind *kind,
                        struct entry *entries, size_t n)
{
    qsort(entries, n, sizeof(*entries), entry_compare);
    for (size_t i = 1; i < n; i++) {
        const struct entry *first = &entries[i - 1], *second = &entries[i];

        if (strcmp(first->name, second->name) == 0)
            return source_fail(&l->source, &second->at, false,
                               "%s[%zu].name = \"%s\" is there twice, first at %s:%u; accepted: "
                               "each name once",
                               kind->name, second->index, second->name,
                               l->source.files[first->at.file]->path, first->at.line);
    }
    return 0;
}

/* The whole of databases or users, as an array sorted by name. */
static int load_entries(struct loader *l, const struct entry_kind *kind,
                        const config_setting_t *list, void **out, size_t *n_out)
{
    size_t n = (size_t)config_setting_length(list);
    char *in_order, *sorted;
    struct entry *entries;
    int r = 0;

    if (!config_setting_is_list(list))
        return source_fail(&l->source, setting_place(l, list), false,
                           "%s: accepted: a list of groups: %s = ( { name = \"...\"; ... } );",
                           kind->name, kind->name);
    in_order = memory_get(&l->conf->memory, n * kind->size);
    sorted = memory_get(&l->conf->memory, n * kind->size);
    entries = memory_get(&l->conf->memory, n * sizeof(*entries));
    if (in_order == NULL || sorted == NULL || entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = load_entry(l, kind, list, i, in_order + i * kind->size, &entries[i]);
    if (r == 0)
        r = sort_entries(l, kind, entries, n);
    if (r != 0)
        return r;
    for (size_t i = 0; i < n; i++)
        memcpy(sorted + i * kind->size, in_order + entries[i].index * kind->size, kind->size);
    *out = sorted;
    *n_out = n;
    return 0;
}

static int load_databases(struct loader *l, const config_setting_t *list)
{
    static const struct entry_kind kind = {SCHEMA_DATABASES, "databases",
                                           sizeof(struct conf_database),
                                           offsetof(struct conf_database, name)};
    void *databases = NULL;
    int r = load_entries(l, &kind, list, &databases, &l->conf->n_databases);

    l->conf->databases = databases;
    return r;
}

static int load_users(struct loader *l, const config_setting_t *list)
{
    static const struct entry_kind kind = {SCHEMA_USERS, "users", sizeof(struct conf_user),
                                           offsetof(struct conf_user, name)};
    void *users = NULL;
    int r = load_entries(l, &kind, list, &users, &l->conf->n_users);

    l->conf->users = users;
    return r;
}

/* weir first, whatever the order in the file: the others inherit from it. */
static int load_root(struct loader *l, config_setting_t *root)
{
    static const struct {
        const char *name;
        int (*load)(struct loader *l, const config_setting_t *setting);
    } parts[] = {{"weir", load_weir}, {"databases", load_databases}, {"users", load_users}};
    static const struct place nowhere = {"", 0, 0, 1};
    int n = config_setting_length(root);

    for (int i = 0; i < n; i++) {
        const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
        const char *name = config_setting_name(setting);

        if (strcmp(name, "weir") != 0 && strcmp(name, "databases") != 0 &&
            strcmp(name, "users") != 0)
            return source_fail(&l->source, setting_place(l, setting), false,
                               "%.60s: there is no such group; accepted: weir, databases, users",
                               name);
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const config_setting_t *setting = config_setting_get_member(root, parts[i].name);
        int r = 0;

        if (setting != NULL)
            r = parts[i].load(l, setting);
        else if (i == 0)
            r = source_fail(&l->source, &nowhere, false,
                            "weir: the group is missing; accepted: weir = { ... };");
        if (r != 0)
            return r;
    }
    if (l->conf->n_databases == 0)
        return check_warn(l, &nowhere, "databases is empty: clients can reach only the console");
    return 0;
}

const struct place *section_place(const struct section *s, const char *key)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);
    const struct schema_row *row = schema_find(s->id, key);

    ASSERT(row != NULL);
    return s->given[row - rows] != NULL ? s->given[row - rows] : &s->at;
}

bool section_has(const struct section *s, const char *key)
{
    return section_place(s, key) != &s->at;
}

/* libconfig's part: text to tree. */
static int load_tree(struct loader *l)
{
    config_t tree;
    int r;

    config_init(&tree);
    if (config_read_string(&tree, l->syntax.text) == CONFIG_TRUE) {
        r = load_root(l, config_root_setting(&tree));
    } else {
        static const struct place nowhere = {"", 0, 0, 1};
        int line = config_error_line(&tree);
        bool known = line >= 1 && (uint32_t)line <= l->syntax.n_places;

        r = source_fail(&l->source, known ? &l->syntax.places[line - 1] : &nowhere, known,
                        "libconfig: %s", config_error_text(&tree));
    }
    config_destroy(&tree);
    return r;
}

/* The absolute form of path and the folder that it is in. */
static int set_path(struct loader *l, const char *path)
{
    struct conf *c = l->conf;
    char cwd[4096];
    bool relative = path[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL;

    c->path = memory_print(&c->memory, "%s%s%s", relative ? cwd : "", relative ? "/" : "", path);
    if (c->path == NULL)
        return -ENOMEM;

    const char *slash = strrchr(c->path, '/');

    l->folder = memory_copy(&c->memory, c->path, slash == NULL ? 0 : (size_t)(slash + 1 - c->path));
    return l->folder == NULL ? -ENOMEM : 0;
}

/* One load from an opened source; text is NULL for a file. */
static int load(const char *path, const struct span *text, struct conf **out,
                struct conf_error *error)
{
    struct loader l = {.conf = calloc(1, sizeof(struct conf))};
    int r = l.conf == NULL ? -ENOMEM : set_path(&l, path);

    if (r == 0)
        r = text == NULL ? source_init(&l.source, path, error)
                         : source_init_text(&l.source, path, *text, error);
    if (r == 0)
        r = syntax_read(&l.source, &l.syntax);
    if (r == 0)
        r = load_tree(&l);
    syntax_free(&l.syntax);
    source_fini(&l.source);
    if (l.conf != NULL)
        atomic_init(&l.conf->n_refs, 1);
    if (r != 0) {
        conf_put(l.conf);
        if (r == -ENOMEM)
            snprintf(error->text, sizeof(error->text), "%s: no memory", path);
        return r;
    }
    *out = l.conf;
    return 0;
}

int conf_load(const char *path, struct conf **out, struct conf_error *error)
{
    return load(path, NULL, out, error);
}

int conf_load_text(const char *path, struct span text, struct conf **out, struct conf_error *error)
{
    return load(path, &text, out, error);
}
