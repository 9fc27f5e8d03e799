"""Where windows that end with a title begin, found token by token without any code of `lib`."""


def starts(ids: list[int], block: int, eos: int) -> list[int]:
    """The place of each window's first token in the stream `ids`.

    A window holds as many whole titles as fit into `block` tokens; a title that is longer is cut.
    """
    found, begin = [], 0
    while begin < len(ids):
        found.append(begin)
        inside = range(begin, min(begin + block, len(ids)))
        if begin + block >= len(ids):
            break
        ends = [i + 1 for i in inside if ids[i] == eos]
        begin = ends[-1] if ends else begin + block
    return found
