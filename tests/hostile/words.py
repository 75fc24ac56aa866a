# SPDX-License-Identifier: Apache-2.0
"""What attempts got, in words for the rows."""
import contextlib
import errno

from daemon import eventually


def shown(rows):
    """attempt=result of a connector's own list."""
    return " ".join(f"{row['what']}={errno.errorcode[row['errno']] if row['result'] < 0 else row['result']}" for row in rows)


def reports(call, *names):
    """Which of these system calls the kernel reported of a call. They may come a little after the answer; and the end of
    a leased worker names what it tried in earlier calls as well."""
    def seen():
        return {report.get("name") for report in call.reports}

    with contextlib.suppress(AssertionError):
        eventually("the reports", lambda: seen() >= set(names), 2)
    return "reports=" + "+".join(name for name in names if name in seen())
