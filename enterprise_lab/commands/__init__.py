"""The larger commands of `elab`, a file each."""
