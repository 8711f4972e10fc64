/*
 * Writes the generated pages into a folder: how `ninja configuration-docs` keeps them in step with
 * the schema. Not installed.
 */
#include <stdio.h>

#include "weir/conf/manual.h"

static int write_page(const char *folder, const char *name, void (*write)(FILE *out))
{
    char path[4096];
    FILE *out;
    int failed;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    out = fopen(path, "we");
    if (out == NULL) {
        perror(path);
        return 1;
    }
    write(out);
    failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        perror(path);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    return write_page(argv[1], "weir.conf.example", conf_example_write) |
           write_page(argv[1], "configuration.md", conf_manual_write);
}
