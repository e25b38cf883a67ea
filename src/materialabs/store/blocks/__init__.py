"""The wide rows once more, column by column, so that a filter reads only what it names."""
