/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a connector and its host agree on, in one object whose types abidiff can compare. */
#include <caisson/http.h>
#include <caisson/mail.h>
#include <caisson/testing.h>

static int run(struct csn_call *call)
{
    return csn_ok(call);
}

CSN_CONNECTOR("contract", "1.0.0", {"run", run});

/* What the macro does not reach: the tables and values that are passed by pointer. */
#define SHAPE(type)                                                                                                    \
    CSN_EXPORT extern struct type shape_of_##type;                                                                     \
    struct type shape_of_##type

SHAPE(csn_call);
SHAPE(csn_services);
SHAPE(csn_http_pair);
SHAPE(csn_http_request);
SHAPE(csn_http_response);
SHAPE(csn_mail);
SHAPE(csn_mail_address);
SHAPE(csn_mail_attachment);
SHAPE(csn_mail_header);
SHAPE(csn_mail_recipient);
SHAPE(csn_mail_result);
SHAPE(csn_test_result);
