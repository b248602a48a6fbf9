"""The server: one port, and which door a request is for.

application   the ASGI callable: routes, counts and logs every request
metrics       what was counted, as Prometheus reads it
pages         the first page, which shows no data
log           lines of JSON on stderr
process       the socket, TLS, signals, and what starts and stops with the server
"""
