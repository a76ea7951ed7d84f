/* sphere.h - k-means of vectors of unit length, by their cosine.
 *
 * Deterministic: everything follows from the order of the vectors. One thread, no files.
 */
#ifndef TOOLS_CTL_SPHERE_H
#define TOOLS_CTL_SPHERE_H

#include <stddef.h>
#include <stdint.h>

#define SPHERE_ROUNDS 30

/* vectors: n x dim. ret_centres: k x dim, of unit length. 0 < k <= n. Returns the mean simplified
 * silhouette, -1..1: (b - a) / max(a, b) of the distances to the own and to the next centre. */
double sphere_kmeans(const float *vectors, size_t n, size_t dim, size_t k,
                     float *ret_centres);
/* The nearest centre. */
size_t sphere_nearest(const float *vector, const float *centres, size_t dim, size_t k);

#endif
