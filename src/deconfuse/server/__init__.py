"""The server: one port, and which door a request is for.

application   the ASGI callable: routes, counts and logs every request
metrics       what was counted, as Prometheus reads it
pages         the first page, which shows no data
log           lines of JSON on stderr
connection    one connection, with limits for the head of a request
process       the socket, TLS, signals, and what starts and stops with the server
home          the directory of a service
credentials   a key as other programs take it
"""
