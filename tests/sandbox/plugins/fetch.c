/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTPS request by the helpers. */
#include <caisson/http.h>

static int run(struct csn_call *call)
{
    struct csn_http_request request = {.size = sizeof request, .url = "https://example.com/"};
    struct csn_http_response response = {.size = sizeof response};
    int got = csn_http(call, &request, &response);
    csn_set_int(call, "/got", got);
    csn_set_int(call, "/status", response.status);
    csn_set(call, "/problem", csn_problem(call));
    return csn_ok(call);
}

CSN_CONNECTOR("fetch", "1.0.0", {"run", run});
