"""Verifies a webhook with the independent implementation of Standard Webhooks: secret, headers as JSON, body file."""
import json
import sys

from standardwebhooks.webhooks import Webhook

with open(sys.argv[3], "rb") as file:
    body = file.read()
Webhook(sys.argv[1]).verify(body, json.loads(sys.argv[2]))
print("verified")
