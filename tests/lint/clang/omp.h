/* omp.h - what we use of it, for clang, which finds no omp.h of gcc's. Only lints and
 * fuzzing see this file. */
#ifndef TESTS_LINT_CLANG_OMP_H
#define TESTS_LINT_CLANG_OMP_H

void omp_set_num_threads(int n);

#endif
