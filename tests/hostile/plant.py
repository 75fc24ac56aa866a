# SPDX-License-Identifier: Apache-2.0
"""Puts connectors into a home as an administrator with an editor would: a folder, a drop-in, one reload for all."""
import copy
import hashlib
import json
import os
import shutil

MANIFEST = {"name": "sins-g", "version": "1.0.0", "abi": 1, "summary": "Misbehaves while it is loaded.",
            "actions": {"run": {"summary": "Says what loading got.", "input": {"type": "object"}, "fields": ["canary"]}},
            "credential": {"fields": {"canary": {"summary": "A value that must never be seen again.", "required": False}}},
            "limits": {"wall_s": 5}}


def manifest(**changes):
    """The usual manifest with other members; None takes one out."""
    whole = {**copy.deepcopy(MANIFEST), **changes}
    return {name: value for name, value in whole.items() if value is not None}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Garden:
    """Everything that one item plants. Use as a context manager: afterwards it is all gone, and the daemon knows."""

    def __init__(self, daemon, mode="call"):
        self.daemon, self.mode, self.folders, self.dropins = daemon, mode, [], []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for path in self.dropins:
            os.unlink(path)
        for path in self.folders:
            if os.path.islink(path):
                os.unlink(path)
            else:
                shutil.rmtree(path, ignore_errors=True)
        self.reload()

    def reload(self):
        self.daemon.cli("reload")

    def folder(self, name):
        path = os.path.join(self.daemon.home, "plugins", name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
        self.folders.append(path)
        return path

    def put(self, name, file, data):
        path = os.path.join(self.folder(name), file)
        with open(path, "wb") as out:
            out.write(data)
        os.chmod(path, 0o644)
        return path

    def dropin(self, name, plugin, grant="", file=None):
        """plugin: the lines of [Plugin]."""
        path = os.path.join(self.daemon.home, "plugins.d", file or f"60-{name}.conf")
        with open(path, "w", encoding="utf-8") as out:
            out.write("[Plugin]\n" + "\n".join(f"{key}={value}" for key, value in plugin.items()) + "\n[Grant]\n"
                      + f"Isolation={self.mode}\nSpares=0\n" + grant)
        os.chmod(path, 0o644)
        self.dropins.append(path)
        return path

    def plant(self, name, so, asked=None, grant="", **plugin):
        """A connector with these bytes, approved as it is; plugin: lines of [Plugin] to say otherwise."""
        asked = manifest() if asked is None else asked
        text = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        base = "sins-g" if isinstance(asked, bytes) else str(asked.get("name"))
        self.put(name, "manifest.json", text)
        if so is not None:
            self.put(name, f"{base if base.isascii() and base.isprintable() and '/' not in base else 'sins-g'}.so", bytes(so))
        lines = {"Name": name, "Path": name, "Digest": digest(bytes(so or b"")), "ManifestDigest": digest(text), **plugin}
        self.dropin(name, {key: value for key, value in lines.items() if value is not None}, grant)

    def listed(self):
        """name -> (state, problem), as the administrator sees it; the drop-in of a name counts that was planted."""
        known = json.loads(self.daemon.cli("--json", "plugin", "list").stdout)
        rows = known["plugins"] if isinstance(known, dict) else known
        return {row["name"]: (row["state"], row.get("problem", "")) for row in rows}
