/*
 * Runs a fuzz target over every file of the folders named on the command line, so that what fuzzing
 * once found stays found in every build, gcc's included. A folder without files is an error: a
 * corpus that has gone missing must not look like a pass.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t len = 0, room = 0, n;

    if (f == NULL) {
        perror(path);
        return 1;
    }
    do {
        if (len == room) {
            room = room == 0 ? 4096 : room * 2;
            data = realloc(data, room);
            if (data == NULL)
                abort();
        }
        n = fread(data + len, 1, room - len, f);
        len += n;
    } while (n > 0);
    fclose(f);

    /* A copy of exactly len bytes, so that ASan sees a read one byte too far. */
    uint8_t *exact = malloc(len > 0 ? len : 1);

    if (exact == NULL)
        abort();
    for (size_t i = 0; i < len; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *entry;

        if (dir == NULL) {
            perror(argv[i]);
            return 1;
        }
        while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
            char path[4096];

            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            if (replay_file(path) != 0)
                return 1;
            n_files++;
        }
        closedir(dir);
    }
    printf("%u inputs replayed\n", n_files);
    return n_files == 0;
}
