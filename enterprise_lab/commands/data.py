"""The command `elab data`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from enterprise_lab.data.record import Finding
    from enterprise_lab.data.schema import Manifest

data_app = typer.Typer(
    help="Data sets and weights: what there is, what one may do with it; fetch, verify, clean.",
    no_args_is_help=True,
)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="As `elab data list` has it.")]
Json = Annotated[bool, typer.Option("--json", help="Write it for programs.")]


@data_app.command("list")
def list_all(as_json: Json = False) -> None:
    """List data sets and weights: how large, under which licence, whether they are here."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from enterprise_lab.data import manifests, store

    found = manifests()
    if as_json:
        _print_json([_facts(one) for one in found])
        return
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("kind")
    table.add_column("size", justify="right", no_wrap=True)
    for name in ("licence", "state", "stand-in"):
        table.add_column(name)
    for one in found:
        cells = (one.name, one.kind, _size(one), one.licence.name, store.state_of(one).value,
                 one.stand_in or "–")  # fmt: skip
        table.add_row(*map(Text, cells))
    Console().print(table)


@data_app.command()
def show(name: str, as_json: Json = False) -> None:
    """Show what a data set is, what you may do with it, where it comes from, whether it is here."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from enterprise_lab.data import manifest, store

    asked = manifest(name)
    if as_json:
        _print_json(_facts(asked))
        return
    grid = Table.grid(padding=(0, 2))
    rows = {
        "Name": asked.name,
        "Title": asked.title,
        "What": asked.about,
        "You may": asked.licence.student_may,
        "Licence": f"{asked.licence.name}, {asked.licence.address}",
        "Cite": asked.citation,
        "Home": asked.homepage,
        "Size": _size(asked),
        "State": store.state_of(asked).value,
        "Stand-in": asked.stand_in or "none",
        "Folder": str(store.folder_of(asked)),
    }
    for title, said in rows.items():
        grid.add_row(Text(title), Text(said, overflow="fold"))
    for line in _parts(asked):
        grid.add_row(Text(""), line)
    Console().print(grid)


@data_app.command()
def fetch(names: Names) -> None:
    """Download what isn't here, check size and sha256, unpack; print each folder.

    A download that was cut off goes on where it broke. With ENTERPRISE_LAB_MIRROR set to a folder,
    files are copied from there, NAME/FILE, and checked in the same way.
    """
    from enterprise_lab import data

    for one in [data.manifest(name) for name in names]:
        with _telling_where_it_goes_on(one):
            typer.echo(data.fetch(one.name))


@data_app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Without one, all that is here."),
    ] = None,
) -> None:
    """Read every byte of data sets and say what is wrong; exit with 1 if there is anything."""
    from enterprise_lab.data import State, manifest, manifests, store

    here = (State.EMBEDDED, State.AT_HAND, State.UNREADABLE)
    asked = (
        [manifest(name) for name in names]
        if names
        else [one for one in manifests() if store.state_of(one) in here or store.kept_bytes(one)]
    )
    wrong = False
    for one in asked:
        faults = store.faults(one)
        wrong = wrong or bool(faults)
        for fault in faults or ["as it should be"]:
            typer.echo(f"{one.name}: {fault}")
    if wrong:
        typer.echo("`elab data fetch NAME` brings what is missing or wrong again.", err=True)
        raise typer.Exit(1)


@data_app.command()
def clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Without one, all that was downloaded."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove downloaded data from the cache, after saying what that frees."""
    from enterprise_lab.data import manifest, manifests, store
    from enterprise_lab.data.errors import DataError
    from enterprise_lab.units import format_bytes

    asked = [manifest(name) for name in names] if names else manifests()
    kept = {one.name: store.kept_bytes(one) for one in asked if store.is_kept(one)}
    if not kept:
        typer.echo("Nothing of it was downloaded.")
        return
    for name, size in kept.items():
        typer.echo(f"{name}: {format_bytes(size)} in {store.folder_of(manifest(name))}")
    if not yes and not typer.confirm(f"Remove {format_bytes(sum(kept.values()))}?"):
        raise typer.Exit(1)
    freed, stuck = 0, list[DataError]()
    for name in kept:
        try:
            freed += store.clean(name)
        except DataError as error:
            stuck.append(error)
    typer.echo(f"Freed {format_bytes(freed)}.")
    for left in stuck:
        typer.echo(f"{left.problem}\n{left.remedy}", err=True)
    if stuck:
        raise typer.Exit(1)


@data_app.command()
def record(
    name: str,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask: sizes and digests were compared already.")
    ] = False,
) -> None:
    """Download the files that have no sha256 yet and write it into the manifest.

    Compare what is shown with what the source publishes before you agree: from then on these
    bytes, and no others, are loaded.
    """
    from enterprise_lab.data import manifest
    from enterprise_lab.data.record import record as record_files

    asked = manifest(name)
    if asked.recorded:
        typer.echo(f"Nothing to record: the sha256 of every file of {name} is recorded.")
        return

    def agreed(found: Finding) -> bool:
        typer.echo(
            f"{found.path}, from {found.source}\n"
            f"  bytes   {found.size_bytes}\n  sha256  {found.sha256}"
        )
        if yes or typer.confirm("Does the source publish the same, and is it to be recorded?"):
            return True
        typer.echo(f"{found.path} is not recorded, as you don't agree; its copy is removed.")
        return False

    with _telling_where_it_goes_on(asked):
        written = record_files(name, agreed)
    if written:
        typer.echo(f"Recorded {len(written)} file(s) in data_manifests/{name}.yaml.")


@contextmanager
def _telling_where_it_goes_on(one: Manifest) -> Iterator[None]:
    """Say, where a download is interrupted, how much of it is kept; exit with 130."""
    from enterprise_lab.data import store
    from enterprise_lab.units import format_bytes

    try:
        yield
    except KeyboardInterrupt:
        arrived = format_bytes(store.arrived_bytes(one))
        typer.echo(
            f"Interrupted. Run the same again: it goes on from {arrived} of {_size(one)}.", err=True
        )
        raise typer.Exit(130) from None


def _size(one: Manifest) -> str:
    from enterprise_lab.units import format_bytes

    if one.size_bytes is not None:
        return format_bytes(one.size_bytes)
    most = sum(file.bytes or file.at_most_bytes or 0 for file in one.files or ())
    return f"under {format_bytes(most)}"


def _facts(one: Manifest) -> dict[str, Any]:
    from enterprise_lab.data import store

    return one.model_dump(mode="json") | {
        "size_bytes": one.size_bytes,
        "state": store.state_of(one).value,
        "folder": str(store.folder_of(one)),
    }


def _parts(one: Manifest) -> list[Text]:
    """Say a line for each file, and where its sha256 is from."""
    from rich.text import Text

    from enterprise_lab.units import format_bytes

    if one.package:
        lines = [f"in the package {one.package.install}; sha256: {one.package.sha256_source}"]
        lines += [f"{file.path}, {format_bytes(file.bytes)}" for file in one.package.files]
        lines += [f"{tree.pattern}, {tree.files:,} files" for tree in one.package.trees]
    else:
        lines = [
            f"{file.path}, {format_bytes(file.bytes) if file.bytes else 'size not recorded'}; "
            f"sha256: {file.sha256_source}\n" + "\n".join(file.addresses)
            for file in one.files or ()
        ]
    return [Text(line, overflow="fold") for line in lines]


def _print_json(found: object) -> None:
    import json

    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
