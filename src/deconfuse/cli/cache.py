"""`deconfuse cache`: how large the cache is, and a way to empty it."""

from __future__ import annotations

import click


@click.group(invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """Show the size of the cache of backbones and embeddings; `cache clear` empties it."""
    if context.invoked_subcommand is not None:
        return
    from deconfuse import app

    usage = app.cache_usage()
    click.echo(f"{usage.path}")
    for name, size in usage.backbones:
        click.echo(f"  backbone    {name:<24} {_megabytes(size):>12}")
    for name, images, size in usage.embeddings:
        click.echo(f"  embeddings  {name:<24} {_megabytes(size):>12}  {images:,} images")
    click.echo(f"  {'total':<36} {_megabytes(usage.total):>12}")


@cache.command()
def clear() -> None:
    """Remove every cached embedding, thumbnail and converted backbone; the next training makes them again."""
    from deconfuse import app

    freed = app.clear_cache()
    click.echo(f"removed {_megabytes(freed)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
