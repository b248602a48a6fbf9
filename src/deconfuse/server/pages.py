"""The pages that anybody may see: they show no data, only what this is and how to get a key."""

from __future__ import annotations

from deconfuse import names

HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 42rem; padding: 0 1rem }}
pre {{ background: #8882; padding: .75rem 1rem; overflow-x: auto }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd }} }}</style>
<body>{body}</body></html>
"""

_FIRST = f"""<h1>deconfuse {names.VERSION}</h1>
<p>This is the API of Amazon Rekognition Custom Labels and an S3 for its images, in one place.
Clients of AWS work with it as they are; they need its address and a key.</p>
<p>Whoever runs this server prints both, ready to be pasted, with</p>
<pre>deconfuse credentials --format env</pre>
<p>for a shell, or as a profile for ~/.aws/config:</p>
<pre>deconfuse credentials --format aws-config</pre>
<p>and with --home DIR where the server was started so.</p>
<p>Then, for example:</p>
<pre>aws rekognition describe-projects</pre>
<pre>aws rekognition describe-projects --profile custom-labels-access</pre>
"""


def page(path: str) -> tuple[int, bytes]:
    """Status and HTML of the page at `path`."""
    if path == "/":
        return 200, _PAGE.format(title="deconfuse", body=_FIRST).encode()
    body = '<h1>Not found</h1><p>There is no such page. <a href="/">The first page</a></p>'
    return 404, _PAGE.format(title="deconfuse: not found", body=body).encode()
