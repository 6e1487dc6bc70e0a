"""A real SMTP server (aiosmtpd) with TLS and login. Each mail becomes NNNN.eml and NNNN.json in the folder.

While the file `refuse` exists in the folder every recipient gets the answer written in it, such as "451 try later"; with
`refuse-ADDRESS` that recipient does, and with `refuse-content` every mail.
"""
import argparse
import json
import os
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.count = len([name for name in os.listdir(folder) if name.endswith(".json")])

    def refusal(self, name):
        path = os.path.join(self.folder, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        return None

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = self.refusal("refuse") or self.refusal(f"refuse-{address}")
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refusal = self.refusal("refuse-content")
        if refusal:
            return refusal
        self.count += 1
        name = os.path.join(self.folder, f"{self.count:04}")
        with open(name + ".eml", "wb") as file:
            file.write(envelope.original_content)
        about = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "tls": session.ssl is not None or bool(os.environ.get("IMPLICIT")),
            "received": time.time(),
        }
        with open(name + ".tmp", "w", encoding="utf-8") as file:
            json.dump(about, file)
        os.rename(name + ".tmp", name + ".json")
        return "250 stored"


def main():
    parser = argparse.ArgumentParser()
    for name in ("--port", "--folder", "--certificate", "--key", "--user", "--password"):
        parser.add_argument(name, required=True)
    parser.add_argument("--implicit", action="store_true")
    given = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(given.certificate, given.key)

    def authenticate(server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (given.user, given.password)
        if right:
            session.auth_data = data
        return AuthResult(success=right, handled=False, auth_data=data if right else None)

    if given.implicit:
        os.environ["IMPLICIT"] = "1"
        extra = {"ssl_context": context}
        options = {"auth_require_tls": False}
    else:
        extra = {}
        options = {"tls_context": context, "require_starttls": True, "auth_require_tls": True}
    controller = Controller(
        Store(given.folder), hostname="127.0.0.1", port=int(given.port), authenticator=authenticate, auth_required=True,
        ident="Watchkeep test", **options, **extra,
    )
    controller.start()
    print("ready", flush=True)
    while True:
        time.sleep(3600)


sys.exit(main())
