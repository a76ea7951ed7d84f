/* request_head.c - what stands in the head of a request, and what is wrong with it; see
 * request_head.h. */
#include "gateway/edge/request_head.h"

#include <stddef.h>
#include <string.h>

/* MHD takes "Content-Length : 5" for a header of another name, and control characters. */
static bool is_odd(struct str name, struct str value)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
            return true;
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return true;
    return name.n == 0;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 size_t name_n, const char *value, size_t value_n)
{
    struct request_head *head = arg;
    (void)kind;
    if (head->n == REQUEST_HEADERS_MAX) {
        head->overflow = true;
        return MHD_NO;
    }
    struct exchange_header *header = &head->headers[head->n++];
    header->name = (struct str){ name, name_n };
    header->value = str_trim((struct str){ value, value_n });
    head->odd = head->odd || is_odd(header->name, header->value);
    if (str_eq_nocase(header->name, STR("host"))) {
        head->n_host++;
    } else if (str_eq_nocase(header->name, STR("content-length"))) {
        head->n_length++;
        head->length = header->value;
    } else if (str_eq_nocase(header->name, STR("transfer-encoding"))) {
        head->n_encoding++;
        head->encoding = header->value;
    } else if (str_eq_nocase(header->name, STR("expect"))) {
        head->expect = header->value;
    }
    return MHD_YES;
}

void request_head_read(struct request_head *head, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    memset(head, 0, offsetof(struct request_head, headers));
    head->bytes = size != NULL ? size->header_size : 0;
    (void)MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, head);
}

const char *request_head_fault(const struct request_head *head, const char *version,
                               size_t most_bytes, bool *ret_large)
{
    uint64_t length;
    *ret_large =
        head->overflow || head->bytes + head->n * REQUEST_HEADER_NOTE > most_bytes;
    if (head->overflow)
        return "too many headers";
    if (*ret_large)
        return "the head of the request is too large";
    if (head->odd)
        return "a header with a blank in its name or a control character";
    if (head->n_host > 1)
        return "more than one Host header";
    if (head->n_host == 0 && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
        return "no Host header";
    if (head->n_length > 1)
        return "more than one Content-Length header";
    if (head->n_length == 1 && head->n_encoding > 0)
        return "both Content-Length and Transfer-Encoding";
    if (head->n_encoding > 1 ||
        (head->n_encoding == 1 && !str_eq_nocase(head->encoding, STR("chunked"))))
        return "a Transfer-Encoding other than chunked";
    if (head->n_length == 1 && str_to_u64(head->length, &length) != ERR_OK)
        return "a Content-Length that is not a number";
    return NULL;
}

int64_t request_head_body_bytes(const struct request_head *head)
{
    uint64_t length = 0;
    if (head->n_encoding > 0)
        return -1;
    if (head->n_length == 0 || str_to_u64(head->length, &length) != ERR_OK)
        return 0;
    return length > INT64_MAX ? INT64_MAX : (int64_t)length;
}
