"""A mail server for tests: STARTTLS or none, asks who comes, writes each mail as a line of JSON.

Arguments: port, file of the mails, and with TLS the files of certificate and key. `slow` instead of a certificate: it
takes connections and says nothing.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def authenticate(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and data.login == b"andon" and data.password == b"geheim"
    return AuthResult(success=ok, handled=False, auth_data="andon" if ok else None)


class Keep:
    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        row = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "user": session.auth_data,
            "hello": session.host_name,
            "subject": mail["subject"],
            "id": mail["message-id"],
            "date": mail["date"],
            "auto": mail["auto-submitted"],
            "text": mail.get_content(),
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return "250 taken"


async def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    loop = asyncio.get_running_loop()
    if sys.argv[3:] == ["slow"]:
        made = asyncio.Protocol
    else:
        context = None
        if sys.argv[3:]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[3], sys.argv[4])
        secure = context is not None

        def made():
            return SMTP(
                Keep(path),
                enable_SMTPUTF8=True,
                tls_context=context,
                require_starttls=secure,
                auth_required=secure,
                authenticator=authenticate,
            )

    server = await loop.create_server(made, "127.0.0.1", port)
    print("listening", file=sys.stderr, flush=True)
    await server.serve_forever()


asyncio.run(main())
