"""The API's own description as a judge: every answer must be one that the OpenAPI document promises."""
import functools
import re
import sys

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's packages, for an interpreter that is not Debian's
import jsonschema  # noqa: E402


class Description:
    def __init__(self, document):
        self.document = document
        self.operations = []
        for pattern, methods in document["paths"].items():
            # Longest first: "{name}:rename" before "{name}".
            expression = re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", pattern)))
            for method, operation in methods.items():
                self.operations.append((method.upper(), pattern, expression, operation))
        self.operations.sort(key=lambda entry: -len(entry[1]))

    def operation(self, method, path):
        """(pattern, operation) of a request; nothing if the document has none."""
        for candidate, pattern, expression, operation in self.operations:
            if candidate == method and expression.fullmatch(path):
                return pattern, operation
        return None

    @functools.lru_cache
    def validator(self, pattern, method, status, content_type):
        schema = self.document["paths"][pattern][method.lower()]["responses"][str(status)]["content"][content_type]["schema"]
        # What a client need not mind, we do: a field that the document does not know.
        schemas = {name: {"additionalProperties": False, **s} for name, s in self.document["components"]["schemas"].items()}
        return jsonschema.Draft202012Validator({**schema, "components": {"schemas": schemas}})

    def check_event(self, path, name, data):
        """Raises AssertionError unless the document promises this server-sent event."""
        events = self.document["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]["x-events"]
        assert name in events, f"{name} is an event that {path} does not promise"
        schemas = {name: {"additionalProperties": False, **s} for name, s in self.document["components"]["schemas"].items()}
        errors = sorted(jsonschema.Draft202012Validator({**events[name], "components": {"schemas": schemas}}).iter_errors(data), key=str)
        assert not errors, f"{name} {data} is not as described: {errors[0].json_path}: {errors[0].message[:500]}"

    def check(self, method, target, answer):
        """Raises AssertionError unless the document promises this answer."""
        path = target.split("?")[0]
        found = self.operation("GET" if method == "HEAD" else method, path)
        if not found:
            return  # 404 and 405 of what is not there
        pattern, operation = found
        told = f"{method} {target[:200]}: {answer.status} {answer.body[:500]}"
        if answer.status == 400:
            return  # the target itself is malformed: no operation was reached
        promised = operation["responses"].get(str(answer.status))
        assert promised, f"{told}\nis a status that {method} {pattern} does not promise"
        if "content" not in promised:
            assert not answer.body or pattern.endswith("openapi.json"), f"{told}\nhas a body that is not promised"
            return
        content_type = answer.headers["Content-Type"]
        assert content_type in promised["content"], f"{told}\nis {content_type}"
        errors = sorted(self.validator(pattern, method, answer.status, content_type).iter_errors(answer.json()), key=str)
        assert not errors, f"{told}\nis not as described: {errors[0].json_path}: {errors[0].message[:500]}"
