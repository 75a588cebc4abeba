"""The OpenAPI document in the hands of other people's tools: a linter, and a TypeScript client that is generated from it."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import TOP  # noqa: E402

SOURCE = TOP / "tests/api/client"
FOLDER = TOP / "build/api-client"


class Client(Described):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", "tsconfig.json", "client.ts"):
            shutil.copy(SOURCE / name, FOLDER)
        installed = FOLDER / "node_modules/.package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < (SOURCE / "package-lock.json").stat().st_mtime:
            cls.npm("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
        (FOLDER / "openapi.json").write_text(json.dumps(cls.document))

    @classmethod
    def npm(cls, *command, expected=0):
        environment = {**os.environ, "SLUICE_URL": cls.lab.url, "SLUICE_TOKEN": cls.lab.token, "NODE_EXTRA_CA_CERTS": cls.lab.cacert,
                       "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
        done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=300, check=False)
        if (done.returncode == 0) != (expected == 0):
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
        return done.stdout + done.stderr

    def test_the_linter_finds_no_error_in_it_and_one_in_a_spoiled_one(self):
        self.npm("node_modules/.bin/redocly", "lint", "openapi.json")
        spoiled = json.loads(json.dumps(self.document))
        del spoiled["components"]["schemas"]["Rule"]
        (FOLDER / "spoiled.json").write_text(json.dumps(spoiled))
        self.assertIn("no-unresolved-refs", self.npm("node_modules/.bin/redocly", "lint", "spoiled.json", expected=1))

    def test_a_typescript_client_generated_from_it_compiles_and_works(self):
        # A field with a default may be left out of what is sent.
        self.npm("node_modules/.bin/openapi-typescript", "openapi.json", "-o", "schema.d.ts", "--default-non-nullable=false")
        self.npm("node_modules/.bin/tsc")
        self.assertIn("the client works", self.npm("node", "client.js"))


if __name__ == "__main__":
    unittest.main()
