"""`deconfuse cache`: how large the cache is, and a way to empty it."""

from __future__ import annotations

import click

from deconfuse.cli.output import show


@click.group(invoke_without_command=True, short_help="Show the size of the cache; `cache clear` empties it.")
@click.pass_context
def cache(context: click.Context) -> None:
    """Show the size of the cache of backbones and embeddings; `cache clear` empties it."""
    if context.invoked_subcommand is not None:
        return
    from deconfuse import app

    usage = app.cache_usage()
    rows = [("backbone", name, size, "") for name, size in usage.backbones]
    rows += [("embeddings", name, size, f"  {images:,} images") for name, images, size in usage.embeddings]
    width = max((len(name) for _, name, _, _ in rows), default=0)
    rows.append(("total", "", usage.total, ""))
    lines = [f"  {kind:<10}  {name:<{width}}  {_megabytes(size):>12}{more}\n" for kind, name, size, more in rows]
    show(f"{usage.path}\n{''.join(lines)}")


@cache.command()
def clear() -> None:
    """Remove every cached embedding, thumbnail and converted backbone; the next training makes them again."""
    from deconfuse import app

    freed = app.clear_cache()
    show(f"removed {_megabytes(freed)}\n")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
