/* clones.h - compiles a hot loop once per vector width and lets the loader choose.
 *
 * Debian builds for the oldest x86-64; a distance loop is three to five times faster with the machine's own
 * vector unit. The loader's choice (an ifunc) runs before a sanitizer is ready, so sanitized builds take the
 * plain version.
 */
#ifndef FUSER_CLONES_H
#define FUSER_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                   \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#    define FUSER_CLONES                                                                 \
        __attribute__((target_clones("default", "avx2", "avx512f"), optimize("O3")))
/* For loops over bytes and words, which AVX-512 has in an extension of its own. */
#    define FUSER_CLONES_BYTES                                                           \
        __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"),               \
                       optimize("O3")))
#else
#    define FUSER_CLONES
#    define FUSER_CLONES_BYTES
#endif

#endif
