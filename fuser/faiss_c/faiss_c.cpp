// faiss_c.cpp - the part of FAISS's C API that index.c uses, over Debian's libfaiss.
//
// Debian ships the headers of the C API but not its implementation. Each function here
// has exactly the signature of the header in <faiss/c_api>, so that `make FAISS_C=system`
// links a real libfaiss_c instead without a change elsewhere. No exception leaves this
// file: a C caller could not catch it.

#include <exception>
#include <new>
#include <stdexcept>

#include <faiss/Clustering.h>
#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/impl/FaissException.h>

namespace
{

thread_local std::exception_ptr last_exception;

// Runs `body` and turns what it throws into the codes of error_c.h.
template <typename Body> int guarded(Body body)
{
    try {
        body();
        return OK;
    } catch (faiss::FaissException &) {
        last_exception = std::current_exception();
        return FAISS_EXCEPT;
    } catch (std::exception &) {
        last_exception = std::current_exception();
        return STD_EXCEPT;
    } catch (...) {
        last_exception = std::make_exception_ptr(std::runtime_error("unknown error"));
        return UNKNOWN_EXCEPT;
    }
}

faiss::Index *as_index(FaissIndex *index)
{
    return reinterpret_cast<faiss::Index *>(index);
}

const faiss::Index *as_index(const FaissIndex *index)
{
    return reinterpret_cast<const faiss::Index *>(index);
}

} // namespace

extern "C" {

const char *faiss_get_last_error()
{
    if (!last_exception)
        return "";
    try {
        std::rethrow_exception(last_exception);
    } catch (std::exception &e) {
        return e.what(); // The exception lives on in last_exception.
    }
}

void faiss_Index_free(FaissIndex *index)
{
    delete as_index(index);
}

idx_t faiss_Index_ntotal(const FaissIndex *index)
{
    return as_index(index)->ntotal;
}

int faiss_Index_add(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([&] { as_index(index)->add(n, x); });
}

int faiss_Index_search(const FaissIndex *index, idx_t n, const float *x, idx_t k,
                       float *distances, idx_t *labels)
{
    return guarded([&] { as_index(index)->search(n, x, k, distances, labels); });
}

int faiss_IndexFlat_new_with(FaissIndexFlat **p_index, idx_t d, FaissMetricType metric)
{
    return guarded([&] {
        auto index = new faiss::IndexFlat(d, static_cast<faiss::MetricType>(metric));
        *p_index = reinterpret_cast<FaissIndexFlat *>(index);
    });
}

void faiss_IndexFlat_xb(FaissIndexFlat *index, float **p_xb, size_t *p_size)
{
    auto flat = reinterpret_cast<faiss::IndexFlat *>(index);
    *p_xb = flat->get_xb();
    *p_size = static_cast<size_t>(flat->ntotal) * static_cast<size_t>(flat->d);
}

int faiss_kmeans_clustering(size_t d, size_t n, size_t k, const float *x,
                            float *centroids, float *q_error)
{
    return guarded([&] {
        float error = faiss::kmeans_clustering(d, n, k, x, centroids);
        if (q_error)
            *q_error = error;
    });
}
}
