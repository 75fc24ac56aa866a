/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_email email.so manifest.json — the connector against servers that are scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <caisson/testing.h>
#include <cmocka.h>

/* The steps of an SMTP session, up to where a test goes its own way. */
#define GREETING "send 220 mail.example.com ESMTP\nline EHLO localhost\n"
#define STARTTLS                                                                                                       \
    GREETING "send 250-mail.example.com\nsend 250 STARTTLS\nline STARTTLS\nsend 220 go\ntls\nline EHLO localhost\n"
#define OFFERS "send 250-mail.example.com\nsend 250-SIZE 10000000\nsend 250 AUTH PLAIN LOGIN\n"
#define PLAIN "line AUTH PLAIN\nsend 334 \nline AHVzZXIAcGFzcw==\n"
#define READY STARTTLS OFFERS PLAIN "send 235 ok\n"
#define MAIL READY "line MAIL FROM:<ada@example.com>\nsend 250 ok\n"
#define RCPT MAIL "line RCPT TO:<bob@example.org>\nsend 250 ok\n"
#define DATA RCPT "line DATA\nsend 354 go\nmessage\n"
#define TAKEN DATA "send 250 2.0.0 queued as 7\nhang\n"

#define INPUT "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org\"],\"subject\":\"Hi\",\"text\":\"Hello\"}"
#define SETTINGS "{\"host\":\"mail.example.com\"}"

static const char *connector, *manifest;

static int set_up(void **state)
{
    struct csn_test *test = csn_test_open(connector, manifest);
    csn_test_secret(test, "username", "user");
    csn_test_secret(test, "password", "pass");
    csn_test_secret(test, "api_key", "SG.key");
    csn_test_settings(test, SETTINGS);
    csn_test_clock(test, 1614265330);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    csn_test_close(*state);
    return 0;
}

static void has(struct csn_test *test, const char *part)
{
    const char *seen = csn_test_seen(test, 0, NULL);
    if (!strstr(seen, part)) fail_msg("\"%s\" is not in what was sent:\n%s", part, seen);
}

static void lacks(struct csn_test *test, const char *part)
{
    const char *seen = csn_test_seen(test, 0, NULL);
    if (strstr(seen, part)) fail_msg("\"%s\" is in what was sent:\n%s", part, seen);
}

static const struct csn_test_result *send(struct csn_test *test, const char *script, const char *input)
{
    csn_test_peer(test, "mail.example.com", 587, script);
    return csn_test_run(test, "send", input);
}

/* ── SMTP ─────────────────────────────────────────────────────────────────────────────────────────────*/

static void sends_over_starttls(void **state)
{
    const struct csn_test_result *result = send(*state, TAKEN, INPUT);
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(result->committed, 1);
    has(*state, "Date: Thu, 25 Feb 2021 15:02:10 +0000\r\n");
    has(*state, "From: ada@example.com\r\nTo: bob@example.org\r\nSubject: Hi\r\n");
    has(*state, "Message-ID: <01890a5d-ac96-774b-bcce-b302099a8057@example.com>\r\nMIME-Version: 1.0\r\n");
    has(*state, "\r\n\r\nHello\r\n");
    assert_string_equal(csn_test_answer(*state, "/message_id"), "<01890a5d-ac96-774b-bcce-b302099a8057@example.com>");
    assert_string_equal(csn_test_answer(*state, "/recipients"),
                        "[{\"accepted\":true,\"address\":\"bob@example.org\",\"code\":250,\"text\":\"ok\"}]");
    assert_string_equal(csn_test_answer(*state, "/code"), "250");
}

static void sends_over_implicit_tls_with_login(void **state)
{
    csn_test_settings(*state,
                      "{\"host\":\"mail.example.com\",\"port\":465,\"tls\":\"tls\",\"helo\":\"me.example.com\"}");
    csn_test_peer(*state, "mail.example.com", 465,
                  "tls\nsend 220 hi\nline EHLO me.example.com\nsend 250-x\nsend 250 AUTH LOGIN\nline AUTH LOGIN\n"
                  "send 334 VXNlcm5hbWU6\nline dXNlcg==\nsend 334 UGFzc3dvcmQ6\nline cGFzcw==\nsend 235 ok\nline MAIL\n"
                  "send 250 ok\nline RCPT\nsend 250 ok\nline DATA\nsend 354 go\nmessage\nsend 250 ok\n");
    const struct csn_test_result *result = csn_test_run(*state, "send", INPUT);
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
}

static void sends_without_a_password_in_clear_where_told(void **state)
{
    csn_test_settings(*state, "{\"host\":\"relay.example.com\",\"port\":25,\"tls\":\"plain\"}");
    const struct csn_test_result *result = csn_test_run(*state, "send", INPUT);
    assert_int_equal(result->status, CSN_BAD_INPUT); /* there is a password */
    assert_int_equal(result->dials, 0);
    csn_test_secret(*state, "username", NULL);
    csn_test_peer(*state, "relay.example.com", 25,
                  "send 220 hi\nline EHLO\nsend 250 x\nline MAIL\nsend 250 ok\nline RCPT\nsend 250 ok\nline DATA\n"
                  "send 354 go\nmessage\nsend 250 ok\n");
    assert_int_equal(csn_test_run(*state, "send", INPUT)->status, CSN_TEST_OK);
}

/* What each failure means for the caller, and whether it came before the point of no return. */
static void understands_every_step(void **state)
{
    static const struct {
        const char *script;
        int status, committed;
    } rows[] = {
        {"fail\n", CSN_RETRY, 0},
        {"refuse\n", CSN_REJECTED, 0},
        {"close\n", CSN_RETRY, 0},
        {"send 421 busy\nhang\n", CSN_RETRY, 0},
        {"send 554 no service\nhang\n", CSN_REJECTED, 0},
        {"send SSH-2.0\nclose\n", CSN_RETRY, 0},
        {GREETING "send 502 what\nline HELO\nsend 502 what\n", CSN_REJECTED, 0},
        {GREETING "send 250 AUTH PLAIN\nhang\n", CSN_REJECTED, 0}, /* no STARTTLS */
        {GREETING "send 250 STARTTLS\nline STARTTLS\nsend 454 later\nhang\n", CSN_RETRY, 0},
        {GREETING "send 250 STARTTLS\nline STARTTLS\nsend 220 go\ntls unknown\n", CSN_REJECTED, 0},
        {GREETING "send 250 STARTTLS\nline STARTTLS\nsend 220 go\ntls expired\n", CSN_REJECTED, 0},
        {GREETING "send 250 STARTTLS\nline STARTTLS\nsend 220 go\ntls other.example\n", CSN_REJECTED, 0},
        {GREETING "send 250 STARTTLS\nline STARTTLS\nsend 220 go\nclose\n", CSN_RETRY, 0},
        {STARTTLS "send 250 x\nhang\n", CSN_REJECTED, 0}, /* no AUTH */
        {STARTTLS "send 250 AUTH CRAM-MD5\nhang\n", CSN_REJECTED, 0},
        {STARTTLS OFFERS PLAIN "send 535 wrong\nhang\n", CSN_REJECTED, 0},
        {STARTTLS OFFERS PLAIN "send 454 later\nhang\n", CSN_RETRY, 0},
        {READY "line MAIL\nsend 451 later\nhang\n", CSN_RETRY, 0},
        {READY "line MAIL\nsend 552 too big\nhang\n", CSN_REJECTED, 0},
        {MAIL "line RCPT\nsend 450 greylisted\nhang\n", CSN_RETRY, 0},
        {MAIL "line RCPT\nsend 550-no\nsend 550 such user\nhang\n", CSN_REJECTED, 0},
        {MAIL "line RCPT\nclose\n", CSN_RETRY, 0},
        {RCPT "line DATA\nsend 451 later\nhang\n", CSN_RETRY, 1},
        {RCPT "line DATA\nsend 554 no\nhang\n", CSN_REJECTED, 1},
        {RCPT "line DATA\nclose\n", CSN_UNKNOWN, 1},
        {RCPT "line DATA\nsend 354 go\nclose\n", CSN_UNKNOWN, 1},
        {DATA "close\n", CSN_UNKNOWN, 1},
        {DATA "send 452 full\nhang\n", CSN_RETRY, 1},
        {DATA "send 550 spam\nhang\n", CSN_REJECTED, 1},
        {DATA "send 250 ok\nclose\n", CSN_TEST_OK, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = send(*state, rows[i].script, INPUT);
        if (result->status != rows[i].status || result->committed != rows[i].committed)
            fail_msg("row %zu: status %d, committed %d: %s", i, result->status, result->committed, result->text);
        if (result->status) assert_true(strlen(result->text) > 10);
    }
}

static void says_what_the_server_said(void **state)
{
    const struct csn_test_result *result = send(*state, MAIL "line RCPT\nsend 550 5.1.1 no such user\nhang\n", INPUT);
    assert_string_equal(result->text, "mail.example.com answered 550 to the envelope: 5.1.1 no such user");
    assert_string_equal(csn_test_answer(*state, "/recipients/0/text"), "5.1.1 no such user");
    assert_string_equal(csn_test_answer(*state, "/recipients/0/accepted"), "false");
}

static void reports_each_recipient(void **state)
{
    const struct csn_test_result *result = send(
        *state,
        MAIL "line RCPT TO:<bob@example.org>\nsend 550 unknown\nline RCPT TO:<c@example.org>\nsend 250 ok\n"
             "line RCPT TO:<d@example.org>\nsend 451 later\nline DATA\nsend 354 go\nmessage\nsend 250 ok\n",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org\"],\"cc\":[\"c@example.org\"],"
        "\"bcc\":[\"d@example.org\"],\"text\":\"x\"}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_string_equal(csn_test_answer(*state, "/accepted"), "1");
    assert_string_equal(csn_test_answer(*state, "/recipients/0/code"), "550");
    assert_string_equal(csn_test_answer(*state, "/recipients/1/accepted"), "true");
    assert_string_equal(csn_test_answer(*state, "/recipients/2/code"), "451");
    has(*state, "Cc: c@example.org\r\n");
    lacks(*state, "Bcc");
}

/* Refused for good and for now together: another attempt may reach one of them, unless one was accepted. */
static void retries_while_one_may_be_reached(void **state)
{
    static const char two[] = "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org\",\"c@example.org\"]}";
    const struct csn_test_result *result = send(*state,
                                                MAIL "line RCPT\nsend 451 later\nline RCPT\nsend 550 no\nhang\n", two);
    assert_int_equal(result->status, CSN_RETRY);
    assert_int_equal(result->committed, 0);
    assert_int_equal(send(*state, RCPT "line RCPT\nsend 451 x\nline DATA\nsend 554 x\n", two)->status, CSN_REJECTED);
}

static void keeps_the_password_until_tls_stands(void **state)
{
    send(*state, GREETING "send 250-AUTH PLAIN LOGIN\nsend 250 x\nhang\n", INPUT);
    lacks(*state, "AUTH");
    lacks(*state, "AHVzZXIAcGFzcw==");
    /* an attacker's answer glued to the 220 must not count as one inside TLS (CVE-2011-0411 and its kin) */
    const struct csn_test_result *result = send(
        *state, GREETING "send 250 STARTTLS\nline STARTTLS\nbody 220 go\\r\\n250 AUTH PLAIN\\r\\n\nhang\n", INPUT);
    assert_int_not_equal(result->status, CSN_TEST_OK);
    lacks(*state, "AHVzZXIAcGFzcw==");
}

static void encodes_headers(void **state)
{
    send(*state, TAKEN,
         "{\"from\":{\"address\":\"ada@example.com\",\"name\":\"Ada \\\"the Countess\\\" L.\"},"
         "\"to\":[{\"address\":\"bob@example.org\",\"name\":\"Böb\"}],\"reply_to\":\"r@example.com\","
         "\"subject\":\"Grüße aus Köln, ein Betreff, der länger ist als eine Zeile sein darf ✓\",\"text\":\"x\","
         "\"headers\":{\"X-Own\":\"ascii\",\"List-Unsubscribe\":\"<https://example.com/a>\"}}");
    has(*state, "From: \r\n \"Ada \\\"the Countess\\\" L.\"\r\n <ada@example.com>\r\n");
    has(*state, "=?UTF-8?B?QsO2Yg==?=\r\n <bob@example.org>\r\n");
    has(*state, "Reply-To: r@example.com\r\n");
    has(*state, "Subject: =?UTF-8?B?R3LDvMOfZSBhdXMgS8O2bG4s");
    has(*state, "X-Own: ascii\r\n");
    has(*state, "List-Unsubscribe: <https://example.com/a>\r\n");
}

static void sends_alternatives_and_attachments(void **state)
{
    send(
        *state, TAKEN,
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org\"],\"text\":\".dot\\n.\\nlast\",\"html\":\"<p>é</p>\","
        "\"attachments\":[{\"name\":\"Übersicht.pdf\",\"type\":\"application/pdf\",\"content\":\"AAECAw==\"},"
        "{\"name\":\"a.png\",\"type\":\"image/png\",\"content\":\"iVBORw0KGgo=\",\"content_id\":\"pic1\"}]}");
    has(*state, "Content-Type: multipart/mixed; boundary=");
    has(*state, "Content-Type: multipart/related; boundary=");
    has(*state, "Content-Type: multipart/alternative; boundary=");
    has(*state, "\r\n\r\n..dot\r\n..\r\nlast");
    has(*state, "<p>=C3=A9</p>");
    has(*state, "Content-Disposition: attachment;\r\n filename*=UTF-8''%C3%9Cbersicht.pdf\r\n");
    has(*state, "AAECAw==");
    has(*state, "Content-ID: <pic1>\r\n");
}

#define PEOPLE "\"from\":\"ada@example.com\",\"to\":[\"bob@example.org\"]"

static void refuses_bad_input(void **state)
{
    static const char *const rows[] = {
        "{" PEOPLE ",\"subject\":\"a\\r\\nBcc: eve@example.com\"}",
        "{" PEOPLE ",\"subject\":\"a\\nb\"}",
        "{" PEOPLE ",\"subject\":\"a\\u0085b\"}",
        "{" PEOPLE ",\"headers\":{\"X-A\":\"a\\r\\n\\r\\nbody\"}}",
        "{" PEOPLE ",\"headers\":{\"X-A\\r\\nX-B\":\"a\"}}",
        "{" PEOPLE ",\"headers\":{\"X A\":\"a\"}}",
        "{" PEOPLE ",\"headers\":{\"Bcc\":\"eve@example.com\"}}",
        "{" PEOPLE ",\"headers\":{\"Content-Type\":\"text/html\"}}",
        "{" PEOPLE ",\"reply_to\":\"a@b\\r\\nX: y\"}",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org>\\r\\nDATA\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@example.org> NOTIFY=x\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"@example.org\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"b..ob@example.org\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[\"bob@exämple.org\"]}",
        "{\"from\":\"ada@example.com\",\"to\":[{\"address\":\"bob@example.org\",\"name\":\"B\\nX: y\"}]}",
        "{\"from\":\"ada@example.com\"}",
        "{\"to\":[\"bob@example.org\"]}",
        "{\"from\":\"a b@example.com\",\"to\":[\"bob@example.org\"]}",
        "{" PEOPLE ",\"attachments\":[{\"name\":\"a\\r\\nX: y\",\"content\":\"AAAA\"}]}",
        "{" PEOPLE ",\"attachments\":[{\"name\":\"a\",\"content\":\"!!\"}]}",
        "{" PEOPLE ",\"attachments\":[{\"name\":\"a\",\"type\":\"text\",\"content\":\"AAAA\"}]}",
        "{" PEOPLE ",\"attachments\":[{\"name\":\"a\",\"type\":\"a/b\\r\\nX: y\",\"content\":\"AAAA\"}]}",
        "{" PEOPLE ",\"attachments\":[{\"name\":\"a\",\"content_id\":\"a>\",\"content\":\"AAAA\"}]}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = csn_test_run(*state, "send", rows[i]);
        if (result->status != CSN_BAD_INPUT) fail_msg("%s: %d %s", rows[i], result->status, result->text);
        assert_int_equal(result->dials, 0);
    }
}

static void sends_utf8_local_parts(void **state)
{
    const struct csn_test_result *result = send(
        *state,
        STARTTLS
        "send 250-SMTPUTF8\nsend 250 AUTH PLAIN\n" PLAIN "send 235 ok\nline MAIL FROM:<ada@example.com> SMTPUTF8\n"
        "send 250 ok\nline RCPT TO:<zoë@example.org>\nsend 250 ok\nline DATA\nsend 354 go\nmessage\nsend 250 ok\n",
        "{\"from\":\"ada@example.com\",\"to\":[\"zoë@example.org\"],\"text\":\"x\"}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
}

static void keeps_a_leased_session(void **state)
{
    csn_test_lease(*state, 1);
    csn_test_peer(*state, "mail.example.com", 587,
                  DATA "send 250 ok\nline MAIL\nsend 250 ok\nline RCPT\nsend 250 ok\nline DATA\nsend 354 go\nmessage\n"
                       "send 250 ok\nhang\n");
    assert_int_equal(csn_test_run(*state, "send", INPUT)->status, CSN_TEST_OK);
    const struct csn_test_result *result = csn_test_run(*state, "send", INPUT);
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(result->dials, 1);
    assert_string_equal(csn_test_answer(*state, "/accepted"), "1");
}

static void answers_before_the_deadline(void **state)
{
    csn_test_deadline(*state, 300);
    assert_int_equal(send(*state, READY "hang\n", INPUT)->status, CSN_RETRY);
    csn_test_deadline(*state, 2500); /* enough to get as far as the message on a busy machine */
    assert_int_equal(send(*state, DATA "hang\n", INPUT)->status, CSN_UNKNOWN);
}

/* ── SendGrid ─────────────────────────────────────────────────────────────────────────────────────────*/

static const struct csn_test_result *post(struct csn_test *test, const char *answer, const char *input)
{
    char script[1000];
    snprintf(script, sizeof script, "tls\nrequest\n%s", answer);
    csn_test_peer(test, "api.sendgrid.com", 443, script);
    return csn_test_run(test, "send_api", input);
}

static void sends_over_the_api(void **state)
{
    const struct csn_test_result *result = post(
        *state, "send HTTP/1.1 202 Accepted\nsend X-Message-Id: abc\nsend Content-Length: 0\nsend\n",
        "{\"from\":{\"address\":\"ada@example.com\",\"name\":\"Ada\"},\"to\":[\"bob@example.org\"],"
        "\"cc\":[{\"address\":\"c@example.org\",\"name\":\"C \\\"\\\\\\\" c\"}],\"subject\":\"Grüße\",\"text\":\"t\","
        "\"html\":\"<p>\",\"attachments\":[{\"name\":\"a.txt\",\"content\":\"aGk=\"}],\"headers\":{\"X-Own\":\"1\"}}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    has(*state, "POST /v3/mail/send HTTP/1.1\r\nHost: api.sendgrid.com\r\n");
    has(*state, "Authorization: Bearer SG.key\r\n");
    has(*state, "Content-Type: application/json\r\n");
    has(*state, "{\"personalizations\":[{\"to\":[{\"email\":\"bob@example.org\"}],"
                "\"cc\":[{\"email\":\"c@example.org\",\"name\":\"C \\\"\\\\\\\" c\"}],"
                "\"custom_args\":{\"caisson_call\":\"01890a5d-ac96-774b-bcce-b302099a8057\"}}],"
                "\"from\":{\"email\":\"ada@example.com\",\"name\":\"Ada\"},\"subject\":\"Grüße\",");
    has(*state, "\"content\":[{\"type\":\"text/plain\",\"value\":\"t\"},{\"type\":\"text/html\",\"value\":\"<p>\"}]");
    has(*state, "\"attachments\":[{\"content\":\"aGk=\",\"filename\":\"a.txt\"");
    assert_string_equal(csn_test_answer(*state, "/service_id"), "abc");
    assert_string_equal(csn_test_answer(*state, "/accepted"), "2");
}

static void understands_the_apis_answers(void **state)
{
    static const struct {
        const char *answer;
        int status;
    } rows[] = {
        {"send HTTP/1.1 400 Bad\nsend\nbody {\"errors\":[{\"message\":\"bad to\"}]}\n", CSN_REJECTED},
        {"send HTTP/1.1 401 No\nsend\n", CSN_REJECTED},
        {"send HTTP/1.1 413 Large\nsend\n", CSN_REJECTED},
        {"send HTTP/1.1 429 Slow\nsend\n", CSN_RETRY},
        {"send HTTP/1.1 503 Busy\nsend\n", CSN_RETRY},
        {"close\n", CSN_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = post(*state, rows[i].answer, INPUT);
        if (result->status != rows[i].status) fail_msg("row %zu: %d %s", i, result->status, result->text);
        assert_int_equal(result->committed, 1);
        assert_null(strstr(result->text, "SG.key"));
        if (i == 0) assert_string_equal(csn_test_answer(*state, "/error_message"), "bad to");
    }
}

static void refuses_bad_input_for_the_api(void **state)
{
    static const char *const rows[] = {"{" PEOPLE ",\"subject\":\"a\\r\\nBcc: eve@example.com\"}",
                                       "{" PEOPLE ",\"headers\":{\"X-A\":\"a\\nb\"}}",
                                       "{" PEOPLE ",\"headers\":{\"Bcc\":\"eve@example.com\"}}",
                                       "{\"from\":\"ada@example.com\",\"bcc\":[\"bob@example.org\"]}"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = csn_test_run(*state, "send_api", rows[i]);
        if (result->status != CSN_BAD_INPUT) fail_msg("%s: %d %s", rows[i], result->status, result->text);
    }
    csn_test_secret(*state, "api_key", NULL);
    assert_int_equal(csn_test_run(*state, "send_api", INPUT)->status, CSN_BAD_INPUT);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sends_over_starttls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_over_implicit_tls_with_login, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_without_a_password_in_clear_where_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(understands_every_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_the_server_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reports_each_recipient, set_up, tear_down),
        cmocka_unit_test_setup_teardown(retries_while_one_may_be_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_the_password_until_tls_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encodes_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_alternatives_and_attachments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_utf8_local_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_leased_session, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_before_the_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_over_the_api, set_up, tear_down),
        cmocka_unit_test_setup_teardown(understands_the_apis_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_input_for_the_api, set_up, tear_down),
    };
    if (argc != 3) return 2;
    connector = argv[1];
    manifest = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
