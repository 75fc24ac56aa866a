/* SPDX-License-Identifier: Apache-2.0 */
/* caisson: the administrator's and the caller's command. */
#include <curl/curl.h>
#include <locale.h>

#include "cli.h"

int main(int count, char **words)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return 1;
    int status = cli_main(count, words);
    curl_global_cleanup();
    return status;
}
