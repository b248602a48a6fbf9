"""S3's XML: bodies of requests to parameters, results to answers.

    parse(call, body)          all parameters of a request, those of its body included
    render(operation, result)  status, headers and body of an answer; results have the names of the model

Documents are read by expat as it comes with Python, event by event, into small nodes, under limits on bytes, depth
and number of elements. A document type declaration ends the reading, so there are no entities to expand and nothing to
fetch. What the model does not know is refused: an element that was passed over might have been a condition. Namespaces
are not looked at, for half of the clients leave them away.

What is to be known of S3 itself: `encoding-type=url` percent-encodes every key of a listing; the location of a bucket
is the root's own text; a range answers 206. A character that XML cannot hold is written as a reference, as S3 does; who
lists such keys asks for the encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.parsers import expat

from deconfuse.errors import Invalid
from deconfuse.gateway.refusals import check_body
from deconfuse.gateway.routing import Call
from deconfuse.gateway.shapes import S3_NAMESPACE, Element, Operation, Parameter, operations
from deconfuse.gateway.values import read_value, write_value
from deconfuse.service.objects import MAX_PARTS

MAX_XML_BYTES = 2 << 20
MAX_XML_ELEMENTS = 1 << 16
"""Enough for 10,000 parts of an upload with their checksums."""
MAX_XML_DEPTH = 16

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_ENCODED = {
    "ListObjects": {"Delimiter", "Marker", "NextMarker", "Prefix", "Contents.Key", "CommonPrefixes.Prefix"},
    "ListObjectsV2": {"Delimiter", "Prefix", "StartAfter", "Contents.Key", "CommonPrefixes.Prefix"},
    "ListObjectVersions": {
        *("Delimiter", "KeyMarker", "NextKeyMarker", "Prefix"),
        *("Versions.Key", "DeleteMarkers.Key", "CommonPrefixes.Prefix"),
    },
    "ListMultipartUploads": {
        *("Delimiter", "KeyMarker", "NextKeyMarker", "Prefix"),
        *("Uploads.Key", "CommonPrefixes.Prefix"),
    },
}
"""What `encoding-type=url` encodes. Source: Amazon S3 API reference, EncodingType of each listing."""

_MOST = {"DeleteObjects": {"Objects": 1000}, "CompleteMultipartUpload": {"Parts": MAX_PARTS}}
"""How many entries a body may hold. Source: Amazon S3 user guide, "Deleting multiple objects", "Multipart limits"."""

_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ROOTLESS = frozenset({"GetBucketLocation"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as HTTP has it.

    Attributes:
        status: the HTTP status.
        headers: names and values; length, date and request id are the endpoint's to add.
        body: the bytes, b"" where there are none or where content is streamed.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def parse(call: Call, body: bytes) -> dict[str, Any]:
    """All parameters of `call`: those that `routing.route` found, and the member that `body` fills.

    Args:
        call: a request whose body is XML, or one that takes none (then `body` is not looked at).
        body: the body, whole.

    Raises:
        Invalid: the body is not the XML that the operation takes ("body"), or too long ("body length").
        NotBuilt: it asks for something that is not built.
    """
    parameters = dict(call.parameters)
    operation = operations()[call.operation]
    if operation.body != "xml" or operation.body_element is None:
        return parameters
    if not body:
        if operation.is_body_required:
            raise Invalid("body", "the request needs an XML body")
        return parameters
    root = _tree(body)
    element = operation.body_element
    if root.tag != element.tag:
        raise _malformed(f"the root element is to be {element.tag}, not {root.tag[:80]}")
    value = _read(element, root)
    for member, most in _MOST.get(operation.name, {}).items():
        if len(value.get(member, ())) > most:
            raise _malformed(f"at most {most:,} of {member} are possible")
    check_body(operation.name, value)
    if operation.body_member is None:
        return parameters | dict(value)
    parameters[operation.body_member] = value
    return parameters


def render(operation: str, result: Mapping[str, Any]) -> Answer:
    """The answer of an operation that went well.

    Args:
        operation: its name.
        result: the members of its output by the model's names; what is None is left out. Times are aware datetimes,
            ETags stand in their quotes, keys are as they are: with "EncodingType": "url" they are encoded here. The
            content of GetObject is not rendered but streamed by whoever calls; ContentRange makes the status 206.
    """
    op = operations()[operation]
    headers = [*_output_headers(op.outputs, result)]
    body = b""
    if op.answer == "xml" and op.answer_element is not None:
        body = _document(op, op.answer_element, result)
        headers.append((b"Content-Type", b"application/xml"))
    status = 206 if op.status == 200 and result.get("ContentRange") else op.status
    return Answer(status, tuple(headers), body)


def escape(text: str) -> str:
    """`text` as it stands in XML 1.0; what XML cannot hold becomes a reference, as S3 writes it."""
    return _SPECIAL.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return _NAMED.get(character) or f"&#{ord(character)};"


def header_value(text: str) -> bytes:
    """`text` as a header carries it: latin-1 where it can be, so that bytes go out as they came, else UTF-8.

    Control characters, which would end the header, become blanks.
    """
    clean = _CONTROL.sub(" ", text)
    try:
        return clean.encode("latin-1")
    except UnicodeEncodeError:
        return clean.encode("utf-8", "replace")


@dataclass(slots=True)
class _Node:
    tag: str
    attributes: dict[str, str]
    children: list[_Node] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def _tree(body: bytes) -> _Node:
    """The root of a document, with all that is in it.

    Raises:
        Invalid: it is too long, too deep, not well-formed, or declares a document type.
    """
    if len(body) > MAX_XML_BYTES:
        raise Invalid("body length", f"an XML body has at most {MAX_XML_BYTES} bytes")
    top = _Node("", {})
    path = [top]
    n_elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal n_elements
        n_elements += 1
        if len(path) > MAX_XML_DEPTH or n_elements > MAX_XML_ELEMENTS:
            raise _malformed("it has too many elements, or too many within each other")
        node = _Node(
            _local(tag), {_local(name): value for name, value in attributes.items()} if attributes else attributes
        )
        path[-1].children.append(node)
        path.append(node)

    def refuse(*_: Any) -> None:
        raise _malformed("document type declarations and entities are not taken")

    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: path.pop()
    parser.CharacterDataHandler = lambda data: path[-1].texts.append(data)
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise _malformed(str(error)) from None
    return top.children[0]


def _local(name: str) -> str:
    """A name without its namespace, which expat writes before it."""
    return name.rpartition(" ")[2]


def _malformed(why: str) -> Invalid:
    return Invalid("body", f"the XML you provided was not well-formed or did not validate: {why}")


def _read(element: Element, node: _Node) -> Any:
    """The value of one element.

    Raises:
        Invalid: what stands there is not what the model says.
    """
    match element.kind:
        case "structure":
            return _read_structure(element, node)
        case "list" if element.item is not None:
            return [_read(element.item, _expect(child, element.item)) for child in node.children]
    if node.children:
        raise _malformed(f"{element.tag} holds elements")
    try:
        value = read_value(element.kind, node.text)
    except ValueError as error:
        raise _malformed(f"{element.tag}: {error}") from None
    if element.choices and value not in element.choices:
        raise _malformed(f"{element.tag} cannot be {node.text[:80]!r}")
    return value


def _read_structure(element: Element, node: _Node) -> dict[str, Any]:
    if node.text.strip():
        raise _malformed(f"{element.tag} holds text")
    found: dict[str, Any] = {
        member.name: node.attributes[member.tag.rpartition(":")[2]]
        for member in element.members
        if member.is_attribute and member.tag.rpartition(":")[2] in node.attributes
    }
    for child in node.children:
        member = element.by_tag.get(child.tag)
        if member is None:
            raise _malformed(f"{element.tag} holds an element that S3 does not know: {child.tag[:80]}")
        if member.is_flat and member.item is not None:
            found.setdefault(member.name, []).append(_read(member.item, child))
        elif member.name in found:
            raise _malformed(f"{element.tag} holds {child.tag} twice")
        else:
            found[member.name] = _read(member, child)
    for member in element.members:
        if member.is_required and member.name not in found:
            raise _malformed(f"{element.tag} lacks {member.tag}")
    return found


def _expect(node: _Node, element: Element) -> _Node:
    if node.tag != element.tag:
        raise _malformed(f"expected {element.tag}, not {node.tag[:80]}")
    return node


def _output_headers(outputs: tuple[Parameter, ...], result: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for p in outputs:
        value = result.get(p.name)
        if value is None:
            continue
        if p.place == "headers":
            for name, text in value.items():
                yield header_value(p.spelled + name), header_value(text)
        elif p.place == "header":
            yield p.spelled.encode(), header_value(write_value(p.kind, value, is_rfc_date=p.is_rfc_date))


def _document(op: Operation, root: Element, result: Mapping[str, Any]) -> bytes:
    """The document that carries `result`."""
    value = result if op.answer_member is None else result.get(op.answer_member) or {}
    out = [DECLARATION]
    space = f' xmlns="{S3_NAMESPACE}"'
    if op.name in _ROOTLESS:
        text = escape(str(result.get(root.members[0].name) or ""))
        out.append(f"<{root.tag}{space}>{text}</{root.tag}>")
    else:
        encoded = _ENCODED.get(op.name, set()) if result.get("EncodingType") == "url" else set()
        _write_structure(out, root, value, space=space, encoded=encoded, path="")
    return "".join(out).encode()


def _write_structure(
    out: list[str], element: Element, value: Mapping[str, Any], *, space: str, encoded: set[str], path: str
) -> None:
    """Append a structure; `encoded` names the members to percent-encode, by their path below the root."""
    if element.prefix:
        space += f' xmlns:{element.prefix[0]}="{element.prefix[1]}"'
    for member in element.members:
        if member.is_attribute and value.get(member.name) is not None:
            space += f' {member.tag}="{escape(str(value[member.name]))}"'
    out.append(f"<{element.tag}{space}>")
    for member in element.members:
        inner = value.get(member.name)
        if inner is not None and not member.is_attribute:
            _write(out, member, inner, encoded=encoded, path=f"{path}{member.name}")
    out.append(f"</{element.tag}>")


def _write(out: list[str], element: Element, value: Any, *, encoded: set[str], path: str) -> None:
    if element.kind == "list" and element.item is not None:
        if not element.is_flat:
            out.append(f"<{element.tag}>")
        for entry in value:
            _write(out, element.item, entry, encoded=encoded, path=path)
        if not element.is_flat:
            out.append(f"</{element.tag}>")
    elif element.kind == "structure":
        _write_structure(out, element, value, space="", encoded=encoded, path=f"{path}.")
    else:
        text = write_value(element.kind, value, is_rfc_date=element.is_rfc_date)
        if path in encoded:
            text = quote(text, safe="/-_.~*", errors="replace")
        out.append(f"<{element.tag}>{escape(text)}</{element.tag}>")
