# SPDX-License-Identifier: Apache-2.0
"""Reads a stopped or running daemon's log as docs/audit-format.md describes it."""
import json
import sqlite3


class Attempts:
    """Every (call, attempt): its idempotency key, and the outcomes written for it."""

    def __init__(self, home):
        database = sqlite3.connect(f"file:{home}/data/audit.db?mode=ro", uri=True)
        try:
            details = dict(database.execute("SELECT idx, value FROM detail WHERE name = 'personal'"))
            self.all, self.bodies = {}, []
            for index, body in database.execute("SELECT idx, body FROM entry ORDER BY idx"):
                record = json.loads(body)
                self.bodies.append(record)
                if record["kind"] == "intent":
                    personal = json.loads(details.get(index) or "{}")
                    self.all[record["call"], record["attempt"]] = {"key": personal.get("key"), "outcomes": []}
                elif record["kind"] == "outcome":
                    self.all[record["call"], record["attempt"]]["outcomes"].append(record)
        finally:
            database.close()

    def by_key(self, key):
        return [attempt for attempt in self.all.values() if attempt["key"] == key]
