/* replay.c - runs a fuzz target over files, and over all files in folders, with any compiler.
 *
 *   fuzz_sse tests/fuzz/corpus/sse tests/cases/sse
 *
 * `expect` files of the case folders are no inputs. A law that does not hold aborts; the path
 * is printed before each input when FUZZ_VERBOSE is set.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_BYTES (64 << 20)

static size_t count;

static int replay_file(const char *path, size_t bytes)
{
    /* Exactly as large as the input, so that a read behind it is found. */
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    FILE *file = fopen(path, "rb");
    int rc = 1;

    if (!data || !file || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "cannot read '%s'\n", path);
    } else {
        if (getenv("FUZZ_VERBOSE"))
            fprintf(stderr, "%s\n", path);
        (void)LLVMFuzzerTestOneInput(data, bytes);
        count++;
        rc = 0;
    }
    if (file)
        (void)fclose(file);
    free(data);
    return rc;
}

static int replay(const char *path);

static int replay_folder(const char *path)
{
    struct dirent **entries;
    int rc = 0, n = scandir(path, &entries, NULL, alphasort);

    if (n < 0) {
        fprintf(stderr, "cannot read '%s'\n", path);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char inner[4096];

        if (name[0] != '.' && strcmp(name, "expect") != 0) {
            (void)snprintf(inner, sizeof(inner), "%s/%s", path, name);
            rc |= replay(inner);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int replay(const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0 || info.st_size > MAX_BYTES) {
        fprintf(stderr, "cannot read '%s'\n", path);
        return 1;
    }
    return S_ISDIR(info.st_mode) ? replay_folder(path)
                                 : replay_file(path, (size_t)info.st_size);
}

int main(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc; i++)
        rc |= replay(argv[i]);
    printf("%zu inputs\n", count);
    return rc;
}
