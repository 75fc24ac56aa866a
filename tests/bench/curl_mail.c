/* SPDX-License-Identifier: Apache-2.0 */
/* Mail by libcurl in process, one kept session a thread: as fast as this stack sends with nothing around it.
 * usage: curl-mail URL CALLERS MAILS CA|-      -: no TLS; prints one JSON line: per_second, failed */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    const char *url, *ca;
    int mails;
    _Atomic int next, failed;
} work;

static const char mail[] =
    "From: a@mail.demo.example\r\nTo: b@mail.demo.example\r\nSubject: bench\r\n\r\nhello hello hello\r\n";

static double now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static size_t feed(char *to, size_t size, size_t count, void *context)
{
    size_t *at = context, left = sizeof mail - 1 - *at, now = left < size * count ? left : size * count;
    memcpy(to, mail + *at, now);
    *at += now;
    return now;
}

static CURL *make(struct curl_slist *to, size_t *at)
{
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, work.url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, "<a@mail.demo.example>");
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, feed);
    curl_easy_setopt(curl, CURLOPT_READDATA, at);
    if (strcmp(work.ca, "-") == 0) return curl;
    curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
    curl_easy_setopt(curl, CURLOPT_CAINFO, work.ca);
    curl_easy_setopt(curl, CURLOPT_USERNAME, "u");
    curl_easy_setopt(curl, CURLOPT_PASSWORD, "p");
    return curl;
}

static void *caller(void *resolve)
{
    size_t at = 0;
    struct curl_slist *to = curl_slist_append(NULL, "<b@mail.demo.example>");
    CURL *curl = make(to, &at);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, (struct curl_slist *)resolve);
    while (work.next++ < work.mails) {
        at = 0;
        if (curl_easy_perform(curl)) work.failed++;
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(to);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: curl-mail URL CALLERS MAILS CA|-\n"), 2;
    int callers = atoi(argv[2]);
    pthread_t *threads = calloc((size_t)callers, sizeof *threads);
    char name[64];
    const char *port = strrchr(argv[1], ':');
    snprintf(name, sizeof name, "mail.demo.example:%d:127.0.0.1", port ? atoi(port + 1) : 25);
    struct curl_slist *resolve = curl_slist_append(NULL, name);
    work.url = argv[1], work.mails = atoi(argv[3]), work.ca = argv[4];
    curl_global_init(CURL_GLOBAL_ALL);
    double start = now_us();
    for (int i = 0; i < callers; i++) pthread_create(&threads[i], NULL, caller, resolve);
    for (int i = 0; i < callers; i++) pthread_join(threads[i], NULL);
    printf("{\"per_second\": %.1f, \"failed\": %d}\n", work.mails / (now_us() - start) * 1e6, work.failed);
    curl_slist_free_all(resolve);
    free(threads);
    return 0;
}
