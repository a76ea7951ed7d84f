// faiss_c.cpp - the part of FAISS's C API that index.c uses, over Debian's libfaiss.
//
// Debian ships the headers of the C API but not its implementation. Each function here
// has exactly the signature of the header in <faiss/c_api>, so that `make FAISS_C=system`
// links a real libfaiss_c instead without a change elsewhere. No exception leaves this
// file: a C caller could not catch it.

#include <exception>
#include <new>
#include <stdexcept>

#include <faiss/AutoTune.h>
#include <faiss/Clustering.h>
#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Clustering_c.h>
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>

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

int faiss_Index_assign(FaissIndex *index, idx_t n, const float *x, idx_t *labels, idx_t k)
{
    return guarded([&] { as_index(index)->assign(n, x, labels, k); });
}

void faiss_ClusteringParameters_init(FaissClusteringParameters *params)
{
    faiss::ClusteringParameters own;
    params->niter = own.niter;
    params->nredo = own.nredo;
    params->verbose = own.verbose;
    params->spherical = own.spherical;
    params->int_centroids = own.int_centroids;
    params->update_index = own.update_index;
    params->frozen_centroids = own.frozen_centroids;
    params->min_points_per_centroid = own.min_points_per_centroid;
    params->max_points_per_centroid = own.max_points_per_centroid;
    params->seed = own.seed;
    params->decode_block_size = own.decode_block_size;
}

int faiss_Clustering_new_with_params(FaissClustering **p_clustering, int d, int k,
                                     const FaissClusteringParameters *cp)
{
    return guarded([&] {
        faiss::ClusteringParameters own;
        own.niter = cp->niter;
        own.nredo = cp->nredo;
        own.verbose = cp->verbose;
        own.spherical = cp->spherical;
        own.int_centroids = cp->int_centroids;
        own.update_index = cp->update_index;
        own.frozen_centroids = cp->frozen_centroids;
        own.min_points_per_centroid = cp->min_points_per_centroid;
        own.max_points_per_centroid = cp->max_points_per_centroid;
        own.seed = cp->seed;
        own.decode_block_size = cp->decode_block_size;
        *p_clustering =
            reinterpret_cast<FaissClustering *>(new faiss::Clustering(d, k, own));
    });
}

int faiss_Clustering_train(FaissClustering *clustering, idx_t n, const float *x,
                           FaissIndex *index)
{
    return guarded([&] {
        reinterpret_cast<faiss::Clustering *>(clustering)->train(n, x, *as_index(index));
    });
}

void faiss_Clustering_centroids(FaissClustering *clustering, float **centroids, size_t *size)
{
    auto &own = reinterpret_cast<faiss::Clustering *>(clustering)->centroids;
    *centroids = own.data();
    *size = own.size();
}

void faiss_Clustering_free(FaissClustering *clustering)
{
    delete reinterpret_cast<faiss::Clustering *>(clustering);
}

int faiss_index_factory(FaissIndex **p_index, int d, const char *description,
                        FaissMetricType metric)
{
    return guarded([&] {
        auto index =
            faiss::index_factory(d, description, static_cast<faiss::MetricType>(metric));
        *p_index = reinterpret_cast<FaissIndex *>(index);
    });
}

int faiss_ParameterSpace_new(FaissParameterSpace **space)
{
    return guarded([&] {
        *space = reinterpret_cast<FaissParameterSpace *>(new faiss::ParameterSpace());
    });
}

void faiss_ParameterSpace_free(FaissParameterSpace *space)
{
    delete reinterpret_cast<faiss::ParameterSpace *>(space);
}

int faiss_ParameterSpace_set_index_parameter(const FaissParameterSpace *space,
                                             FaissIndex *index, const char *name,
                                             double value)
{
    return guarded([&] {
        reinterpret_cast<const faiss::ParameterSpace *>(space)->set_index_parameter(
            as_index(index), name, value);
    });
}
}
