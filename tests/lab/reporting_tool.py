#!/usr/bin/env python3
"""A tool's agent, as one would be written in an afternoon: says once in so often that the tool is up. URL CACERT TOKEN PORT MILLISECONDS EVERY"""
import http.client
import json
import ssl
import sys
import time
import urllib.parse

url, cacert, token, port, milliseconds, every = sys.argv[1:]
host = urllib.parse.urlsplit(url).netloc
context = ssl.create_default_context(cafile=cacert)
connection = None
while True:
    try:
        connection = connection or http.client.HTTPSConnection(host, context=context, timeout=2)
        connection.request("PUT", f"/api/v1/ports/{port}/health", json.dumps({"state": "UP", "milliseconds": int(milliseconds)}),
                           {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        print(answer.status, flush=True)
    except (OSError, http.client.HTTPException) as error:  # the appliance is away: again
        print(error, flush=True)
        connection = None
    time.sleep(int(every) / 1000)
