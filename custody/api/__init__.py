"""What others may ask and say over HTTP: an exchange's backend with signed requests, operators over a unix socket.

Nothing is decided here. A handler checks a request's form, hands it to a port, and spells the answer.
"""
