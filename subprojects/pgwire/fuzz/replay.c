/*
 * Runs a fuzz target over every file of a folder, so that its corpus is a test in every build,
 * those without libFuzzer included. An empty folder fails: a lost corpus must not look like a pass.
 */
#include <dirent.h>
#include <string.h>

#include "check.h"

#define MAX_SEED ((size_t)1 << 20)

static void replay(const char *path)
{
    static uint8_t room[MAX_SEED];
    FILE *f = fopen(path, "rb");

    if (f == NULL) {
        perror(path);
        exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
    }

    size_t len = fread(room, 1, sizeof(room), f);
    uint8_t *exact = malloc(len + (len == 0)); /* ASan sees a read beyond it */

    fclose(f);
    CHECK(exact != NULL && len < sizeof(room));
    memcpy(exact, room, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned n = 0;

    if (dir == NULL) {
        perror(folder);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
        char path[1024];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        replay(path);
        n++;
    }
    closedir(dir);
    printf("%u inputs replayed\n", n);
    return n == 0;
}
