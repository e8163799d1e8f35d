"""What all tables are made of."""

Row = tuple[float, ...]
