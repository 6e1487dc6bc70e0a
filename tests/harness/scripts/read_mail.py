"""Prints one header, or the plain text, of a mail."""
import email
import email.policy
import sys

with open(sys.argv[1], "rb") as file:
    mail = email.message_from_binary_file(file, policy=email.policy.default)
if sys.argv[2] == "header":
    print(mail.get(sys.argv[3], ""), end="")
else:
    part = mail.get_body(preferencelist=("plain", "html"))
    print(part.get_content() if part else "", end="")
