"""Records can be compared if they have the same preset, stories and titles."""


def compare_alike(records: list[dict]) -> bool:
    """Return whether the losses of `records` compare: one preset, the same stories and titles."""
    return all(
        r[key] == records[0][key] for r in records for key in ("preset", "stories", "titles")
    )


def refuse_mixed(records: list[dict]) -> None:
    """Raise ValueError, naming what each is of, unless the losses of `records` compare."""
    if not compare_alike(records):
        each = "; ".join(
            f"{r['step']}: preset {r['preset']}, stories {r['stories']}, titles {r['titles']}"
            for r in records
        )
        raise ValueError(f"These records do not compare ({each}). Run them again, all alike.")
